//! Waiting longer after each failure, with jitter: one of these per thing that can fail.

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

    pub fn failed(&mut self, now: Duration) {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        // Half fixed, half random: many workers must not come back at the same tick. Without
        // random bits the wait is just not jittered.
        let share = random::bits128().map_or(0.5, |bits| (bits as u16) as f64 / 65_536.0);
        self.until = now + full.mul_f64(0.5 + share / 2.0);
        self.failures += 1;
    }

    pub fn worked(&mut self) {
        *self = Backoff::default();
    }
}
