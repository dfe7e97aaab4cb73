//! One log line a state change: a trouble that lasts is said once, then once a minute.

use crate::error::Error;
use crate::sys::time;
use std::collections::HashMap;
use std::time::Duration;

const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Kinds of trouble remembered at most; beyond it all are forgotten and said again.
const KINDS_MAX: usize = 256;

/// What has not failed for so long works again.
const CALM_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub struct Repeats {
    said: HashMap<String, Said>,
}

#[derive(Debug)]
struct Said {
    at: Duration,
    failed_at: Duration,
    hushed: u64,
    /// It has worked since.
    works: bool,
}

impl Repeats {
    pub fn new() -> Repeats {
        Repeats::default()
    }

    /// Warns that `doing` failed, unless the same was said within the last minute.
    pub fn warn(&mut self, doing: &str, error: &Error) {
        let now = time::monotonic();
        if self.said.len() >= KINDS_MAX {
            self.said.clear();
        }
        let Some(said) = self.said.get_mut(doing) else {
            log::warn!("{doing}: {error}");
            let said = Said { at: now, failed_at: now, hushed: 0, works: false };
            self.said.insert(doing.to_owned(), said);
            return;
        };
        (said.failed_at, said.works) = (now, false);
        if now.saturating_sub(said.at) < AGAIN_AFTER {
            said.hushed += 1;
            return;
        }
        log::warn!("{doing}: {error} (and {} times since it was last said)", said.hushed);
        (said.at, said.hushed) = (now, 0);
    }

    /// It works: `tell` says so if it was ever said not to.
    pub fn works(&mut self, doing: &str) {
        if let Some(said) = self.said.get_mut(doing) {
            said.works = true;
        }
    }

    /// Says what works again and has not failed for a while, so that what comes and goes is not a
    /// line each time. To be called in every turn: perhaps nothing more happens that would tell.
    pub fn tell(&mut self, now: Duration) {
        self.said.retain(|doing, said| {
            let over = said.works && now.saturating_sub(said.failed_at) >= CALM_AFTER;
            if over {
                log::info!("{doing}: this is over, it works again");
            }
            !over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_is_told_once_it_is_calm_and_did_not_fail_again() {
        let mut troubles = Repeats::new();
        let error = Error::temporary("because");
        let knows = |troubles: &Repeats| troubles.said.contains_key("this");
        troubles.warn("this", &error);
        let now = time::monotonic();
        troubles.tell(now + CALM_AFTER);
        assert!(knows(&troubles), "nothing has worked yet");
        troubles.works("this");
        troubles.tell(now);
        assert!(knows(&troubles), "it is too soon");
        troubles.warn("this", &error);
        troubles.tell(now + CALM_AFTER * 2);
        assert!(knows(&troubles), "it failed after it worked");
        troubles.works("this");
        troubles.tell(now + CALM_AFTER * 2);
        assert!(!knows(&troubles));
    }
}
