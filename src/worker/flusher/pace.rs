//! Whether a shard works off a backlog: its clock runs faster than time.
//!
//! Then nobody waits for its segments to the millisecond, and gathering more of them at a time
//! saves calls to the store and blocks that are read again. Pure: the times are arguments.

use crate::segment::EventMs;
use std::time::Duration;

/// The clock moves by whole batches: it is looked at over so long.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A clock that runs so many times as fast as time has a backlog behind it.
const FAST: i64 = 2;

#[derive(Debug, Default)]
pub struct Pace {
    /// The clock when it was looked at, and when that was.
    seen: Option<(EventMs, Duration)>,
    is_fast: bool,
}

impl Pace {
    /// Notes what the shard's clock says.
    pub fn note(&mut self, clock: Option<EventMs>, now: Duration) {
        let Some(clock) = clock else { return };
        let Some((before, at)) = self.seen else {
            self.seen = Some((clock, now));
            return;
        };
        let passed = now.saturating_sub(at);
        if passed >= LOOK_INTERVAL {
            self.is_fast = clock.since(before) > FAST * passed.as_millis() as i64;
            self.seen = Some((clock, now));
        }
    }

    pub fn is_fast(&self) -> bool {
        self.is_fast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_outruns_time_is_fast_until_it_does_no_more() {
        let mut pace = Pace::default();
        let mut note = |clock, ms| {
            pace.note(clock, Duration::from_millis(ms));
            pace.is_fast()
        };
        assert!(!note(None, 0));
        assert!(!note(Some(EventMs(1_000)), 0));
        assert!(!note(Some(EventMs(9_000)), 100), "a batch is no pace");
        assert!(note(Some(EventMs(9_000)), 300));
        assert!(note(Some(EventMs(9_000)), 400));
        assert!(!note(Some(EventMs(9_300)), 600));
    }
}
