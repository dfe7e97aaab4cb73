//! One log line a state change: a trouble that lasts is said once, then once a minute.

use crate::error::Error;
use crate::sys::time;
use std::collections::HashMap;
use std::time::Duration;

const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Kinds of trouble remembered at most; beyond it all are forgotten and said again.
const KINDS_MAX: usize = 256;

#[derive(Debug, Default)]
pub struct Repeats {
    said: HashMap<String, (Duration, u64)>,
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
        match self.said.get_mut(doing) {
            Some((at, hushed)) if now.saturating_sub(*at) < AGAIN_AFTER => *hushed += 1,
            Some((at, hushed)) => {
                log::warn!("{doing}: {error} (and {hushed} times since it was last said)");
                (*at, *hushed) = (now, 0);
            }
            None => {
                log::warn!("{doing}: {error}");
                self.said.insert(doing.to_owned(), (now, 0));
            }
        }
    }
}
