//! A shard's clock: event time in, deadlines out.
//!
//! The clock is the running maximum of the times stamped on the shard's messages, each
//! taken as at most the wall clock's now, so that one message from the future ends no segment.
//! Where all has been read it goes on from there at the speed of the monotonic clock; it never
//! jumps to the wall clock, because producers may lag by minutes.
//!
//! It goes on only as far as is known: whenever a broker says that nothing is left to be read, the
//! time until then counts. So it stands by itself while Kafka, the store or this process hangs, and
//! what comes late by that, or with a stamp from that time, finds its trace still open.

use super::EventMs;
use std::time::Duration;

/// The most that counts of a time without a word of a broker. What is longer was an outage, and
/// producers may have been held up by it, too. Words of a far broker are about what was long before
/// they arrive, and those that were held up arrive at once: so what counts beyond the time that has
/// passed between their arrivals is bounded as well.
const STRIDE: Duration = Duration::from_secs(1);

/// The earliest time: a stamp may lie before 1970, and 0 on the board says that there is no clock.
const EARLIEST: EventMs = EventMs(1);

/// The clock of one shard. A shard that never had a message has no time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `None` before the first message.
    time: Option<EventMs>,
    /// The monotonic time that `time` stands for; `None` when nothing counts since.
    counted: Option<Duration>,
    /// When the last word of a broker arrived (monotonic).
    heard: Duration,
    /// What has counted beyond the time that passed from word to word: at most `STRIDE`.
    ahead: Duration,
}

impl Clock {
    /// Resumes at the time that the last append stored, `None` for a new life.
    pub fn resume(stored: Option<EventMs>) -> Clock {
        Clock { time: stored, ..Clock::default() }
    }

    /// A message stamped `stamped` (`None`: counts as now) was read at wall time `wall`.
    /// Returns the span's time: the clock at its arrival.
    pub fn arrive(&mut self, stamped: Option<EventMs>, wall: EventMs, now: Duration) -> EventMs {
        let stamped = stamped.unwrap_or(wall).min(wall).max(EARLIEST);
        match self.time {
            Some(time) if time >= stamped => time,
            _ => {
                (self.time, self.counted) = (Some(stamped), Some(now));
                stamped
            }
        }
    }

    /// All that there was at monotonic time `asked` has been read, by a word that arrived at `now`.
    pub fn all_read(&mut self, asked: Duration, now: Duration) {
        self.ahead = self.ahead.saturating_sub(now.saturating_sub(self.heard));
        self.heard = now;
        let counted = *self.counted.get_or_insert(asked);
        let passed = asked.saturating_sub(counted).min(STRIDE - self.ahead);
        let counts = Duration::from_millis(passed.as_millis() as u64);
        self.ahead += counts;
        self.time = self.time.map(|time| time.plus(counts.as_millis() as i64));
        // Fractions of a millisecond count the next time.
        self.counted = Some(counted.max(asked) - (passed - counts));
    }

    /// The shard is not read (backpressure, a store that refuses): no time counts until it has
    /// been read to its end again.
    pub fn stand(&mut self) {
        self.counted = None;
    }

    /// Nothing has moved it for so long.
    pub fn is_quiet(&self, now: Duration, so_long: Duration) -> bool {
        self.counted.is_none_or(|counted| now.saturating_sub(counted) >= so_long)
    }

    pub fn read(&self) -> Option<EventMs> {
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: EventMs = EventMs(1_000_000);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A broker says at once that all is read.
    fn hear(clock: &mut Clock, ms: u64) {
        clock.all_read(at(ms), at(ms));
    }

    /// A clock that stood at `time` when all was read at `ms`.
    fn caught_up(time: i64, ms: u64) -> Clock {
        let mut clock = Clock::resume(Some(EventMs(time)));
        hear(&mut clock, ms);
        assert_eq!(clock.read(), Some(EventMs(time)));
        clock
    }

    #[test]
    fn without_a_message_there_is_no_time() {
        let mut clock = Clock::resume(None);
        hear(&mut clock, 1000);
        assert_eq!(clock.read(), None);
        assert_eq!(clock.arrive(None, WALL, at(9000)), WALL);
        hear(&mut clock, 9700);
        assert_eq!(clock.read(), Some(WALL.plus(700)));
    }

    #[test]
    fn goes_with_the_messages_and_never_back() {
        let mut clock = Clock::resume(Some(EventMs(500)));
        assert_eq!(clock.arrive(Some(EventMs(900)), WALL, at(51)), EventMs(900));
        assert_eq!(clock.arrive(Some(EventMs(700)), WALL, at(52)), EventMs(900));
        assert_eq!(clock.read(), Some(EventMs(900)));
    }

    #[test]
    fn a_message_from_the_future_counts_as_now() {
        let mut clock = Clock::resume(None);
        assert_eq!(clock.arrive(Some(EventMs(i64::MAX)), WALL, at(1)), WALL);
    }

    #[test]
    fn a_message_from_before_1970_has_a_time() {
        for stamp in [i64::MIN, -2, 0] {
            let mut clock = Clock::resume(None);
            assert_eq!(clock.arrive(Some(EventMs(stamp)), WALL, at(0)), EARLIEST);
            hear(&mut clock, 700);
            assert_eq!(clock.read(), Some(EARLIEST.plus(700)));
        }
    }

    #[test]
    fn goes_on_from_the_newest_message_when_all_is_read() {
        let mut clock = caught_up(0, 10_000);
        hear(&mut clock, 10_300);
        assert_eq!(clock.arrive(Some(EventMs(200)), WALL, at(10_400)), EventMs(300));
        hear(&mut clock, 10_600);
        assert_eq!(clock.read(), Some(EventMs(600)));
        assert_eq!(clock.arrive(Some(EventMs(900)), WALL, at(11_000)), EventMs(900));
        hear(&mut clock, 11_100);
        assert_eq!(clock.read(), Some(EventMs(1000)));
    }

    #[test]
    fn an_outage_in_which_nobody_could_say_that_all_is_read_does_not_count() {
        let mut clock = caught_up(0, 0);
        hear(&mut clock, 20_000);
        assert_eq!(clock.read(), Some(EventMs(1000)));
        // Stamped at its beginning, and held up by it.
        assert_eq!(clock.arrive(Some(EventMs(1200)), WALL, at(20_001)), EventMs(1200));
    }

    #[test]
    fn who_was_not_read_counts_from_when_all_is_read_again() {
        let mut clock = caught_up(0, 0);
        clock.stand();
        hear(&mut clock, 900);
        assert_eq!(clock.read(), Some(EventMs(0)));
        hear(&mut clock, 1100);
        assert_eq!(clock.read(), Some(EventMs(200)));
    }

    #[test]
    fn being_asked_again_and_again_loses_no_time() {
        let mut clock = caught_up(0, 0);
        (1..=1000).map(|turn| Duration::from_micros(turn * 900)).for_each(|now| {
            clock.all_read(now, now);
        });
        assert_eq!(clock.read(), Some(EventMs(900)));
        // Asked before the newest message was read.
        clock.arrive(Some(EventMs(950)), WALL, at(1000));
        hear(&mut clock, 990);
        hear(&mut clock, 1050);
        assert_eq!(clock.read(), Some(EventMs(1000)));
    }

    #[test]
    fn words_of_a_far_broker_count_in_full_though_they_come_in_fits() {
        let mut clock = Clock::resume(Some(EventMs(0)));
        let late = [3000, 3900, 3000, 3400];
        for (asked, late) in (0..=60).map(|nth| nth * 500).zip(late.into_iter().cycle()) {
            clock.all_read(at(asked), at(asked + late));
        }
        assert_eq!(clock.read(), Some(EventMs(30_000)));
    }

    #[test]
    fn what_a_broker_that_hung_says_all_at_once_counts_like_one_outage() {
        let mut clock = caught_up(0, 0);
        (1..=10).for_each(|nth| clock.all_read(at(nth * 500), at(6000)));
        assert_eq!(clock.read(), Some(EventMs(1000)));
        hear(&mut clock, 6500);
        assert_eq!(clock.read(), Some(EventMs(1500)));
    }
}
