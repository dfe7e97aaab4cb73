//! When a partition is asked again that did not answer, whoever asks, and when that is to be said.

use std::time::Duration;

/// The first wait for a partition whose leader does not answer; twice as long each time.
const WAIT: Duration = Duration::from_millis(500);

/// The longest.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// The longest for what others wait for.
const APART_MAX: Duration = Duration::from_secs(30);

/// A leader that moves, or one late answer on a busy machine, is no outage.
const SAID_AFTER: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// It is not asked before this (monotonic).
    until: Duration,
    /// Nothing is asked of it before this that others would wait for.
    apart_until: Duration,
    /// How often in a row it did not answer though brokers did, or had to wait for another member.
    failures: u32,
    /// When it was asked first of these times, and when the last one failed.
    since: Duration,
    failed_at: Duration,
    is_said: bool,
}

impl Patience {
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.until
    }

    /// It may be asked what others wait for.
    pub fn may_hold_up(&self, now: Duration) -> bool {
        now >= self.until.max(self.apart_until)
    }

    /// It did not answer the last time, or waits for another member.
    pub fn is_tried(&self) -> bool {
        self.failures > 0
    }

    /// How often it has been waited for in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It is not asked for so long, and that is counted.
    pub fn wait_again(&mut self, now: Duration, wait: Duration) {
        self.since = if self.failures == 0 { now } else { self.since };
        self.failures += 1;
        self.until = now + wait;
    }

    /// Others have waited for it in vain, and do not again for so long, up to a bound.
    pub fn keep_apart(&mut self, now: Duration, wait: Duration) {
        self.apart_until = now + wait.min(APART_MAX);
    }

    /// It did not answer what was asked at `asked`, and is left alone for a while. Whether that is
    /// to be said.
    pub fn failed(&mut self, asked: Duration, now: Duration) -> bool {
        // What else was asked in that time fails as well, and says nothing new.
        if self.failures > 0 && asked < self.failed_at {
            return false;
        }
        if self.failures == 0 {
            self.since = asked;
        }
        let longer = WAIT.saturating_mul(1 << self.failures.min(10)).min(WAIT_MAX);
        self.failures += 1;
        self.failed_at = now;
        self.until = now + longer;
        self.is_said = self.failures > 1 && now.saturating_sub(self.since) >= SAID_AFTER;
        self.is_said
    }

    /// That it does not answer has been said, or is to be.
    pub fn is_said(&self) -> bool {
        self.is_said
    }

    pub fn answered(&mut self) {
        if self.failures > 0 {
            // What others wait for may fail all the same, and then takes their time each time.
            let apart_until = self.apart_until.min(self.failed_at + WAIT_MAX);
            *self = Patience { apart_until, ..Patience::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_are_said_when_they_last() {
        let mut patience = Patience::default();
        let (mut now, mut said) = (Duration::from_secs(10), Vec::new());
        for wait in [500, 1000, 2000, 4000, 5000, 5000].map(Duration::from_millis) {
            said.push(patience.failed(now, now));
            assert!(!patience.failed(now - WAIT, now), "it is of the same time");
            assert!(!patience.is_over(now + wait - Duration::from_millis(1)));
            now += wait;
            assert!(patience.is_over(now));
        }
        assert_eq!(said, [false, false, false, true, true, true]);
        assert!(patience.is_said());
        patience.answered();
        assert!(!patience.is_tried() && !patience.is_said());
    }

    #[test]
    fn who_is_kept_apart_is_asked_what_nobody_waits_for_and_an_answer_shortens_it() {
        let (mut patience, second) = (Patience::default(), Duration::from_secs(1));
        patience.failed(second, second);
        patience.keep_apart(second, second * 500);
        assert!(patience.is_over(second * 2) && !patience.may_hold_up(second * 30));
        assert!(patience.may_hold_up(second * 31), "there is a bound");
        patience.answered();
        assert!(!patience.may_hold_up(second * 5) && patience.may_hold_up(second * 6));
    }
}
