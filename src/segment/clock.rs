//! A shard's clock: event time in, deadlines out.
//!
//! The clock is the running maximum of the times stamped on the shard's messages, each
//! taken as at most the wall clock's now, so that one message from the future ends no segment.
//! Once the shard is caught up it runs on from there at the speed of the monotonic
//! clock; it never jumps to the wall clock, because producers may lag by minutes. While the
//! shard is frozen (paused by backpressure) it stands still.

use super::EventMs;
use std::time::Duration;

/// The clock of one shard. A shard that never had a message has no time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The time when it last stood; `None` before the first message.
    base: Option<EventMs>,
    /// Since when it runs on from `base`; `None` while it stands.
    running_since: Option<Duration>,
    caught_up: bool,
    frozen: bool,
}

impl Clock {
    /// Resumes at the time that the last append stored, `None` for a new life.
    pub fn resume(stored: Option<EventMs>) -> Clock {
        Clock { base: stored, ..Clock::default() }
    }

    /// A message stamped `stamped` (`None`: counts as now) was read at wall time `wall`.
    /// Returns the span's time: the clock at its arrival.
    pub fn arrive(&mut self, stamped: Option<EventMs>, wall: EventMs, now: Duration) -> EventMs {
        let stamped = stamped.unwrap_or(wall).min(wall);
        match self.read(now) {
            // Left alone: starting anew with each message would lose a fraction each time.
            Some(reading) if reading >= stamped => reading,
            _ => {
                self.base = Some(stamped);
                self.run_if_free(now);
                stamped
            }
        }
    }

    /// Everything there is has been read at monotonic time `now`: the clock may run.
    pub fn caught_up(&mut self, now: Duration) {
        self.caught_up = true;
        if self.running_since.is_none() {
            self.run_if_free(now);
        }
    }

    /// There may be more to read since `then`: the clock stands as it was then, and goes with the
    /// messages.
    pub fn behind(&mut self, then: Duration) {
        self.stand(then);
        self.caught_up = false;
    }

    /// Backpressure holds the shard (or lets go): frozen time does not count, and what arrives
    /// meanwhile has to be read before the clock runs again.
    pub fn freeze(&mut self, frozen: bool, now: Duration) {
        // Said again and again: starting anew each time would lose a fraction each time.
        if frozen == self.frozen {
            return;
        }
        self.stand(now);
        self.caught_up &= !frozen;
        self.frozen = frozen;
        self.run_if_free(now);
    }

    /// Whether all that there was has been read, as far as is known.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// The time at monotonic time `now`.
    pub fn read(&self, now: Duration) -> Option<EventMs> {
        let base = self.base?;
        let ran = self.running_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        Some(base.plus(i64::try_from(ran.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Stops at its reading.
    fn stand(&mut self, now: Duration) {
        self.base = self.read(now);
        self.running_since = None;
    }

    fn run_if_free(&mut self, now: Duration) {
        let free = self.caught_up && !self.frozen && self.base.is_some();
        self.running_since = free.then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: EventMs = EventMs(1_000_000);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn without_a_message_there_is_no_time() {
        let mut clock = Clock::resume(None);
        clock.caught_up(at(1));
        assert_eq!(clock.read(at(9)), None);
        assert_eq!(clock.arrive(None, WALL, at(9)), WALL);
        assert_eq!(clock.read(at(10)), Some(WALL.plus(1000)));
    }

    #[test]
    fn goes_with_the_messages_while_behind_and_never_back() {
        let mut clock = Clock::resume(Some(EventMs(500)));
        assert_eq!(clock.read(at(50)), Some(EventMs(500)));
        assert_eq!(clock.arrive(Some(EventMs(900)), WALL, at(51)), EventMs(900));
        assert_eq!(clock.arrive(Some(EventMs(700)), WALL, at(52)), EventMs(900));
        assert_eq!(clock.read(at(99)), Some(EventMs(900)));
    }

    #[test]
    fn a_message_from_the_future_counts_as_now() {
        let mut clock = Clock::resume(None);
        assert_eq!(clock.arrive(Some(EventMs(i64::MAX)), WALL, at(1)), WALL);
    }

    #[test]
    fn runs_when_caught_up_and_stands_when_behind_or_frozen() {
        let mut clock = Clock::resume(Some(EventMs(0)));
        clock.caught_up(at(10));
        assert_eq!(clock.arrive(Some(EventMs(100)), WALL, at(12)), EventMs(2000));
        clock.freeze(true, at(13));
        assert_eq!(clock.read(at(50)), Some(EventMs(3000)));
        clock.freeze(false, at(50));
        // What has come meanwhile is read first.
        assert_eq!(clock.arrive(Some(EventMs(3500)), WALL, at(51)), EventMs(3500));
        assert_eq!(clock.read(at(52)), Some(EventMs(3500)));
        clock.caught_up(at(53));
        assert_eq!(clock.read(at(54)), Some(EventMs(4500)));
        clock.behind(at(55));
        assert_eq!(clock.read(at(60)), Some(EventMs(5500)));
    }

    #[test]
    fn being_told_to_flow_again_and_again_loses_no_time() {
        let mut clock = Clock::resume(Some(EventMs(0)));
        clock.caught_up(at(0));
        let turns = (0..1000).map(|turn| Duration::from_micros(turn * 900));
        turns.for_each(|now| clock.freeze(false, now));
        assert_eq!(clock.read(at(1)), Some(EventMs(1000)));
    }

    #[test]
    fn being_caught_up_again_and_again_loses_no_time() {
        let mut clock = Clock::resume(Some(EventMs(0)));
        (1..=10).for_each(|second| clock.caught_up(at(second)));
        assert_eq!(clock.read(at(10)), Some(EventMs(9000)));
    }
}
