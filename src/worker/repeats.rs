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
            self.said.insert(doing.to_owned(), Said { at: now, failed_at: now, hushed: 0 });
            return;
        };
        said.failed_at = now;
        if now.saturating_sub(said.at) < AGAIN_AFTER {
            said.hushed += 1;
            return;
        }
        log::warn!("{doing}: {error} (and {} times since it was last said)", said.hushed);
        (said.at, said.hushed) = (now, 0);
    }

    /// It works: said if it was ever said not to, and has not failed for a while, so that what
    /// comes and goes is not a line each time. False while that has to be seen.
    pub fn clear(&mut self, doing: &str) -> bool {
        let Some(said) = self.said.get(doing) else { return true };
        if time::monotonic().saturating_sub(said.failed_at) < CALM_AFTER {
            return false;
        }
        self.said.remove(doing);
        log::info!("{doing}: this is over, it works again");
        true
    }
}
