//! When a partition is asked again that did not answer, whoever asks, and when that is to be said.

use std::time::Duration;

/// The first wait for a partition whose leader does not answer; twice as long each time.
const WAIT: Duration = Duration::from_millis(500);

/// The longest.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// A leader that moves, or one late answer on a busy machine, is no outage.
const SAID_AFTER: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// It is not asked before this (monotonic).
    until: Duration,
    /// How often in a row it did not answer though brokers did.
    failures: u32,
    /// When it was asked first of these times, and when the last one failed.
    since: Duration,
    failed_at: Duration,
}

impl Patience {
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.until
    }

    /// It did not answer the last time.
    pub fn is_tried(&self) -> bool {
        self.failures > 0
    }

    /// How often it has been waited for in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It is not asked before `until`; why is nobody's fault.
    pub fn wait(&mut self, until: Duration) {
        self.until = until;
    }

    /// It is not asked for so long, and that is counted.
    pub fn wait_again(&mut self, now: Duration, wait: Duration) {
        self.since = if self.failures == 0 { now } else { self.since };
        self.failures += 1;
        self.until = now + wait;
    }

    /// It did not answer what was asked at `asked`, and is left alone for a while, at least for
    /// `wait`. Whether that is to be said.
    pub fn failed(&mut self, asked: Duration, now: Duration, wait: Duration) -> bool {
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
        self.until = now + wait.max(longer);
        self.failures > 1 && now.saturating_sub(self.since) >= SAID_AFTER
    }

    /// It answered; whether it had not before.
    pub fn answered(&mut self) -> bool {
        let had_not = self.failures > 0;
        if had_not {
            *self = Patience::default();
        }
        had_not
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
            said.push(patience.failed(now, now, Duration::ZERO));
            assert!(!patience.failed(now - WAIT, now, Duration::ZERO), "it is of the same time");
            assert!(!patience.is_over(now + wait - Duration::from_millis(1)));
            now += wait;
            assert!(patience.is_over(now));
        }
        assert_eq!(said, [false, false, false, true, true, true]);
        assert!(patience.answered() && !patience.is_tried() && !patience.answered());
    }
}
