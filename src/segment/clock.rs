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
pub struct Clock {}

impl Clock {
    /// Resumes at the time that the last append stored, `None` for a new life.
    pub fn resume(_stored: Option<EventMs>) -> Clock {
        todo!()
    }

    /// A message stamped `stamped` (`None`: counts as now) was read at wall time `wall`.
    /// Returns the span's time: the clock at its arrival.
    pub fn arrive(&mut self, _stamped: Option<EventMs>, _wall: EventMs, _now: Duration) -> EventMs {
        todo!()
    }

    /// Everything there is has been read at monotonic time `now`: the clock may run.
    pub fn caught_up(&mut self, _now: Duration) {
        todo!()
    }

    /// There is more to read: the clock goes with the messages.
    pub fn behind(&mut self, _now: Duration) {
        todo!()
    }

    /// Backpressure holds the shard (or lets go): frozen time does not count.
    pub fn freeze(&mut self, _frozen: bool, _now: Duration) {
        todo!()
    }

    /// The time at monotonic time `now`.
    pub fn read(&self, _now: Duration) -> Option<EventMs> {
        todo!()
    }
}
