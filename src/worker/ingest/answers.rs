//! Whether Kafka answers: its troubles are said once with what to do, and once when they are over.
//!
//! Nothing here stops the worker. The questions for the ends of partitions tell the lag, and by
//! the way that the brokers are there.

use super::desk::Desk;
use crate::board::words::ShardWord;
use crate::error::Error;
use crate::kafka::consumer::Consumer;
use crate::kafka::trouble::{State, Trouble};
use crate::segment::{Offset, ShardId};
use crate::sys::time;
use std::time::Duration;

/// Partitions that are asked for their end in one look, and how long one may take.
const ENDS_PER_LOOK: usize = 8;
pub(super) const ENDS_WAIT: Duration = Duration::from_millis(500);

/// Without an answer for so long, Kafka is said to be away.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

impl Desk<'_> {
    pub fn trouble(&mut self, trouble: &Trouble) {
        self.kafka_waits = true;
        let doing = format!("{} (input)", trouble.state.name());
        self.troubles.warn(&doing, &Error::temporary(trouble.advice()));
    }

    /// A question was answered: whatever was said to be wrong with Kafka is over.
    pub(super) fn kafka_answers(&mut self) {
        self.unanswered_since = None;
        self.kafka_backoff.worked();
        if !self.kafka_waits {
            return;
        }
        self.kafka_waits = false;
        for state in State::ALL {
            self.troubles.works(&format!("{} (input)", state.name()));
        }
    }

    /// Asks some partitions for their ends, in turn, so that the lag can be told. The answers also
    /// tell that Kafka is there, so without shards one is asked for while it is said to be away.
    pub(super) fn look_at_ends(&mut self, consumer: &Consumer, now: Duration) {
        let mut ids: Vec<ShardId> = self.shards.keys().copied().collect();
        if ids.is_empty() && self.kafka_waits {
            ids.push(ShardId(0));
        }
        if ids.is_empty() || !self.kafka_backoff.is_over(now) {
            return;
        }
        let first = self.asked_ends % ids.len();
        self.asked_ends = first + ENDS_PER_LOOK;
        ids.rotate_left(first);
        for id in ids.into_iter().take(ENDS_PER_LOOK) {
            self.berth.beat();
            match consumer.watermarks(id, ENDS_WAIT) {
                Ok((_, end)) => self.note_end(id, end),
                Err(error) => return self.unanswered(&error),
            }
        }
        self.kafka_answers();
    }

    fn note_end(&mut self, id: ShardId, end: Offset) {
        let Some(shard) = self.shards.get_mut(&id) else { return };
        shard.note_end(end, time::monotonic());
        self.slot(id).set_offset(ShardWord::HighWatermark, Some(end));
    }

    /// One late answer on a busy machine is no outage.
    fn unanswered(&mut self, error: &Error) {
        let now = time::monotonic();
        self.kafka_backoff.failed(now);
        let since = *self.unanswered_since.get_or_insert(now);
        if now.saturating_sub(since) >= ANSWER_PATIENCE {
            self.trouble(&Trouble { state: State::Away, why: error.to_string() });
        }
    }
}
