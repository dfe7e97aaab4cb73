//! Backpressure: when a shard is not read, because what follows it cannot keep up.
//!
//! Each shard is judged alone, from words of the board: one slow flusher pauses its own
//! partitions and no others. The memory of the store is the one cause that holds all.

use crate::segment::{EventMs, Offset};
use crate::worker::is_above;
use std::time::Duration;

/// A deadline counts as missed this long after it, by the shard's clock.
const SLACK_MS: i64 = 1000;

/// What the board says of one shard's flusher.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    pub clock: Option<EventMs>,
    /// The earliest deadline that is not yet being delivered; `None` when nothing is open.
    pub next_due: Option<EventMs>,
    pub position: Option<Offset>,
    pub indexed: Option<Offset>,
    /// What the holder's indexes use, and may use.
    pub index_bytes: u64,
    pub max_index_bytes: u64,
}

/// One shard's backpressure over time.
#[derive(Clone, Debug, Default)]
pub struct Pressure {
    behind_since: Option<Duration>,
    indexed: Option<Offset>,
    indexed_at: Duration,
    index_full: bool,
}

impl Pressure {
    /// Whether the shard must wait: its flusher has missed deadlines, or has not indexed
    /// anything of what is there, for `limit`; or its index is full, or was and is not well below
    /// that yet.
    pub fn holds(&mut self, facts: &Facts, limit: Duration, now: Duration) -> bool {
        if self.indexed != facts.indexed || facts.indexed >= facts.position {
            self.indexed = facts.indexed;
            self.indexed_at = now;
        }
        let max = facts.max_index_bytes;
        self.index_full = is_above(max, max, facts.index_bytes, self.index_full);
        let stuck = now.saturating_sub(self.indexed_at) >= limit;
        if !misses_deadlines(facts) {
            self.behind_since = None;
            return stuck || self.index_full;
        }
        let since = *self.behind_since.get_or_insert(now);
        stuck || self.index_full || now.saturating_sub(since) >= limit
    }
}

fn misses_deadlines(facts: &Facts) -> bool {
    match (facts.clock, facts.next_due) {
        (Some(clock), Some(due)) => clock.since(due) > SLACK_MS,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn behind() -> Facts {
        Facts {
            clock: Some(EventMs(100_000)),
            next_due: Some(EventMs(90_000)),
            position: Some(Offset(5)),
            indexed: Some(Offset(5)),
            ..Facts::default()
        }
    }

    #[test]
    fn a_shard_is_held_when_deadlines_are_missed_for_the_whole_limit() {
        let mut pressure = Pressure::default();
        assert!(!pressure.holds(&behind(), LIMIT, at(0)));
        assert!(!pressure.holds(&behind(), LIMIT, at(9)));
        assert!(pressure.holds(&behind(), LIMIT, at(10)));
    }

    #[test]
    fn catching_up_once_forgives() {
        let mut pressure = Pressure::default();
        pressure.holds(&behind(), LIMIT, at(0));
        let fine = Facts { next_due: Some(EventMs(99_500)), ..behind() };
        assert!(!pressure.holds(&fine, LIMIT, at(9)));
        assert!(!pressure.holds(&behind(), LIMIT, at(11)));
    }

    #[test]
    fn a_flusher_that_indexes_nothing_holds_its_shard() {
        let mut pressure = Pressure::default();
        let stuck = Facts { next_due: None, indexed: Some(Offset(3)), ..behind() };
        assert!(!pressure.holds(&stuck, LIMIT, at(0)));
        assert!(pressure.holds(&stuck, LIMIT, at(10)));
        let moving = Facts { indexed: Some(Offset(4)), ..stuck };
        assert!(!pressure.holds(&moving, LIMIT, at(11)));
    }

    #[test]
    fn nothing_open_is_not_behind() {
        let mut pressure = Pressure::default();
        let idle = Facts { next_due: None, ..behind() };
        assert!(!pressure.holds(&idle, LIMIT, at(0)));
        assert!(!pressure.holds(&idle, LIMIT, at(100)));
    }

    #[test]
    fn a_full_index_holds_its_shard_until_it_is_well_below_the_limit() {
        let mut pressure = Pressure::default();
        let mut holds = |index_bytes| {
            let facts = Facts { index_bytes, max_index_bytes: 1000, ..Facts::default() };
            pressure.holds(&facts, LIMIT, at(0))
        };
        let held = [1000, 1001, 951, 950, 1000].map(&mut holds);
        assert_eq!(held, [false, true, true, false, false]);
    }

    #[test]
    fn memory_goes_on_only_well_below_the_limit() {
        let mut short = false;
        let held = [80, 81, 76, 75, 80].map(|used| {
            short = is_above(80, 100, used, short);
            short
        });
        assert_eq!(held, [false, true, true, false, false]);
    }

    #[test]
    fn memory_is_bounded_by_the_store_or_else_by_its_host_or_not_known_to_be() {
        let used = |used_bytes, max_bytes, host_bytes| {
            crate::store::redis::Memory { used_bytes, max_bytes, host_bytes }.used_percentage()
        };
        assert_eq!((used(90, 100, 1000), used(90, 0, 1000)), (90, 9));
        assert_eq!(used(u64::MAX, 0, 0), 0);
    }
}
