//! Waiting longer after each failure, with jitter: one of these per thing that can fail; and
//! phases, so that workers that were born together do not all work at the same tick.

use crate::sys::random;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// When something that failed may be tried again.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    until: Duration,
}

impl Backoff {
    pub fn new() -> Backoff {
        Backoff::default()
    }

    /// It may be tried at monotonic time `now`.
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.until
    }

    /// It failed the last time.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub fn failed(&mut self, now: Duration) {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        // Half fixed, half random: many workers must not come back at the same tick. Without
        // random bits the wait is just not jittered.
        self.until = now + full / 2 + phase(full / 2);
        self.failures += 1;
    }

    pub fn worked(&mut self) {
        *self = Backoff::default();
    }
}

/// Some part of an interval, another one each time: where in it something regular begins.
/// Without random bits it is the middle.
pub fn phase(interval: Duration) -> Duration {
    let share = random::bits128().map_or(0.5, |bits| (bits as u16) as f64 / 65_536.0);
    interval.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_end_with_success() {
        let mut backoff = Backoff::new();
        let now = Duration::from_secs(100);
        for full in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            assert_eq!(backoff.is_failing(), full > 50);
            backoff.failed(now);
            assert!(!backoff.is_over(now + Duration::from_millis(full / 2 - 1)));
            assert!(backoff.is_over(now + Duration::from_millis(full)));
        }
        backoff.worked();
        assert!(backoff.is_over(Duration::ZERO) && !backoff.is_failing());
    }

    #[test]
    fn phases_spread_over_the_interval() {
        let second = Duration::from_secs(1);
        let mut phases: Vec<Duration> = (0..100).map(|_| phase(second)).collect();
        phases.sort_unstable();
        assert!(phases[99] < second);
        assert!(phases[10] < second / 2 && phases[90] > second / 2, "{phases:?}");
    }
}
