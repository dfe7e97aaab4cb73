//! One log line a state change: a trouble that lasts is said once, then once a minute.

use crate::error::Error;
use crate::sys::time;
use std::collections::HashMap;
use std::time::Duration;

const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Kinds of trouble remembered at most. While all of them last, the rest counts as one more.
const KINDS_MAX: usize = 256;
const THE_REST: &str = "one of very many troubles";

/// Different things to do that are said of one trouble within a minute, at most.
const ADVICES_MAX: usize = 8;

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
    /// What there was to do about it: something else to do is said at once.
    advices: Vec<String>,
    /// It has worked since.
    works: bool,
}

impl Repeats {
    pub fn new() -> Repeats {
        Repeats::default()
    }

    /// Warns that `doing` failed, unless the same was said within the last minute. Reasons may
    /// differ each time; what to do stands behind the last semicolon and tells them apart.
    pub fn warn(&mut self, doing: &str, error: &Error) {
        let now = time::monotonic();
        let (doing, text) = if self.has_place(doing, now) {
            (doing, error.to_string())
        } else {
            (THE_REST, format!("{doing}: {error}"))
        };
        let advice = text.rsplit_once("; ").map_or("", |(_, advice)| advice).to_owned();
        let Some(said) = self.said.get_mut(doing) else {
            log::warn!("{doing}: {text}");
            let advices = vec![advice];
            let said = Said { at: now, failed_at: now, hushed: 0, advices, works: false };
            self.said.insert(doing.to_owned(), said);
            return;
        };
        (said.failed_at, said.works) = (now, false);
        let is_new = said.advices.len() < ADVICES_MAX && !said.advices.contains(&advice);
        if is_new {
            log::warn!("{doing}: {text}");
            said.advices.push(advice);
            return;
        }
        if now.saturating_sub(said.at) < AGAIN_AFTER {
            said.hushed += 1;
            return;
        }
        log::warn!("{doing}: {text} (and {} times since it was last said)", said.hushed);
        (said.at, said.hushed, said.advices) = (now, 0, vec![advice]);
    }

    /// Whether this kind is remembered, or may be: what has not failed for long makes room, the
    /// oldest first.
    fn has_place(&mut self, doing: &str, now: Duration) -> bool {
        if self.said.len() < KINDS_MAX || self.said.contains_key(doing) {
            return true;
        }
        let oldest = self.said.iter().min_by_key(|(_, said)| said.failed_at);
        let is_past = |said: &Said| now.saturating_sub(said.failed_at) >= AGAIN_AFTER;
        let past = oldest.filter(|(_, said)| is_past(said)).map(|(doing, _)| doing.clone());
        past.is_some_and(|doing| self.said.remove(&doing).is_some())
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
    fn something_else_to_do_is_said_at_once() {
        let mut troubles = Repeats::new();
        for why in ["a; do this", "b; do this", "c; do that", "d"] {
            troubles.warn("this", &Error::temporary(why));
        }
        let said = &troubles.said["this"];
        assert_eq!((said.advices.join(","), said.hushed), ("do this,do that,".to_owned(), 1));
    }

    #[test]
    fn of_very_many_troubles_each_is_said_once_or_counted_with_the_rest() {
        let mut troubles = Repeats::new();
        let error = Error::temporary("because");
        for _ in 0..3 {
            for number in 0..KINDS_MAX + 10 {
                troubles.warn(&number.to_string(), &error);
            }
        }
        assert!((0..KINDS_MAX).all(|number| troubles.said[&number.to_string()].hushed == 2));
        assert_eq!((troubles.said.len(), troubles.said[THE_REST].hushed), (KINDS_MAX + 1, 29));
        // The one that has not failed for the longest time makes room.
        troubles.said.get_mut("7").unwrap().failed_at = Duration::ZERO;
        assert!(troubles.has_place("new", time::monotonic() + AGAIN_AFTER));
        assert!(!troubles.said.contains_key("7") && troubles.said.contains_key("8"));
    }

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
