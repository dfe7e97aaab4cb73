//! When a flusher works, and how long it rests between.

use super::held::Held;
use super::{Flusher, LETTER_BYTES_MAX, clock};
use crate::sys::time;
use std::time::Duration;

/// How often what is new is indexed, and what is due is sent. Each time has its price in calls to
/// the store and in blocks that are read for a few of their chunks, so things are gathered for as
/// long as nobody minds: it bounds how late a deadline is seen.
const WORK_INTERVAL: Duration = Duration::from_millis(20);

/// The same while all shards work off a backlog.
const BACKLOG_INTERVAL: Duration = Duration::from_millis(200);

/// How often it is looked whether something has fallen due meanwhile, while that may be soon.
/// Clocks move by whole batches, so what a batch has made due need not wait for the interval:
/// nothing joins it before the next batch.
const GLANCE_INTERVAL: Duration = Duration::from_millis(4);

impl Flusher<'_> {
    pub(super) fn work_at(&self) -> Duration {
        self.worked_at + if self.is_backlog() { BACKLOG_INTERVAL } else { WORK_INTERVAL }
    }

    fn is_backlog(&self) -> bool {
        !self.held.is_empty() && self.held.iter().all(|held| held.pace.is_fast())
    }

    /// How long to wait for acknowledgements alone.
    pub(super) fn rest(&mut self) -> Duration {
        let (now, work_at) = (time::monotonic(), self.work_at());
        if now >= self.glance_at {
            // A clock moves by what a batch holds.
            let soon = self.may_have_due(now, self.desk.config.max_batch_time);
            self.glance_at = if soon { now + GLANCE_INTERVAL } else { work_at };
        }
        self.glance_at.min(work_at).saturating_sub(now)
    }

    /// Whether dead letters need not wait for the next work: more wait, and half of their room is
    /// free again, so that they still go many at a time. While their topic takes none, few try.
    pub(super) fn letters_may_go(&self, now: Duration) -> bool {
        let may_send = self.desk.may_send(&self.flights) && self.desk.store_backoff.is_over(now);
        may_send
            && self.round.is_over()
            && self.held.iter().any(|held| held.alone.may_work(now) && held.has_letters())
            && self.desk.letter_room(&self.flights) >= LETTER_BYTES_MAX / 2
    }

    /// Whether something that could be sent is due, or may be when the clocks have gone on by so
    /// much. A backlog is gathered for.
    pub(super) fn may_have_due(&self, now: Duration, within: Duration) -> bool {
        let may_send = self.desk.may_send(&self.flights) && self.desk.store_backoff.is_over(now);
        let may_have_due = |held: &Held| {
            let then = clock(&self.desk, held.shard).map(|at| at.plus(within.as_millis() as i64));
            held.alone.may_work(now) && held.may_have_due(then)
        };
        may_send && !self.is_backlog() && self.held.iter().any(may_have_due)
    }
}
