//! Whether Kafka answers: its troubles are said once with what to do, and once when they are over.
//!
//! Nothing here stops the worker. Each trouble is over when what failed works: brokers answer, the
//! topic is known, something is read. That brokers answer shows in the questions for the ends of
//! partitions (`ends.rs`).

use super::desk::Desk;
use super::patience::WAIT_MAX;
use super::shard::{Phase, Shard};
use crate::error::{Error, Kind, Result};
use crate::kafka::consumer::Consumer;
use crate::kafka::trouble::{State, Trouble};
use crate::segment::ShardId;
use crate::sys::time;
use std::time::Duration;

/// How long it may take to learn whether brokers answer at all: nothing is read meanwhile.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Without an answer for so long, Kafka is said to be away.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// How often it is tried whether what was refused may be read again.
const REFUSED_WAIT: Duration = Duration::from_secs(5);

impl Desk<'_> {
    pub fn trouble(&mut self, trouble: &Trouble) {
        if !self.kafka_troubles.contains(&trouble.state) {
            self.kafka_troubles.push(trouble.state);
            self.refused_at = time::monotonic();
        }
        let doing = said(trouble.state);
        self.troubles.warn(&doing, &Error::temporary(trouble.advice()));
    }

    pub(super) fn is_said(&self, states: &[State]) -> bool {
        self.kafka_troubles.iter().any(|state| states.contains(state))
    }

    fn over(&mut self, is_over: impl Fn(State) -> bool) {
        let troubles = &mut self.troubles;
        self.kafka_troubles.retain(|state| {
            if is_over(*state) {
                troubles.works(&said(*state));
            }
            !is_over(*state)
        });
    }

    /// A question was answered. That proves nothing of a topic that is missing or denied.
    pub(super) fn kafka_answers(&mut self) {
        self.unanswered_since = None;
        self.kafka_backoff.worked();
        self.over(|state| !matches!(state, State::NoTopic | State::Denied));
    }

    /// Something is assigned or read: nothing is denied.
    pub fn kafka_gives(&mut self) {
        if !self.kafka_troubles.is_empty() {
            self.over(|state| matches!(state, State::NoTopic | State::Denied));
        }
    }

    /// Asks whether what was said to be wrong is over.
    pub(super) fn look_at_troubles(&mut self, consumer: &Consumer, now: Duration) {
        if self.kafka_troubles.is_empty() {
            return;
        }
        if consumer.answers(ANSWER_WAIT) {
            self.kafka_answers();
        }
        if self.is_said(&[State::NoTopic]) && consumer.partitions(ANSWER_WAIT).is_ok() {
            self.over(|state| state == State::NoTopic);
        }
        if self.is_said(&[State::Denied]) && now >= self.refused_at + REFUSED_WAIT {
            self.refused_at = now;
            self.read_anew();
        }
    }

    /// The client tells of a refusal once, and does not tell of its end where there is nothing to
    /// be read: after a seek it does.
    fn read_anew(&mut self) {
        for shard in self.shards.values_mut() {
            if shard.phase == Phase::Flowing && shard.is_idle() {
                shard.phase = Phase::Starting;
            }
        }
    }

    /// Who is to blame when a question for a partition fails: where brokers answer it is the
    /// partition, which is left alone for a while, and no other waits for it. Else the error is
    /// everybody's.
    pub(super) fn blame(&mut self, consumer: &Consumer, id: ShardId, error: Error) -> Result<()> {
        self.berth.beat();
        if error.kind() != Kind::Temporary || !consumer.answers(ANSWER_WAIT) {
            return Err(error);
        }
        let now = time::monotonic();
        // Waiting for them must not take the others' time.
        let is_apart =
            |shard: &&Shard| shard.phase == Phase::Finding && !shard.patience.may_hold_up(now);
        let apart = self.shards.values().filter(is_apart).count() as u32 + 1;
        self.did_not_answer(id, now, &error);
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.patience.keep_apart(now, WAIT_MAX * apart);
        }
        Ok(())
    }

    /// Its partition did not answer what was asked at `asked`, though brokers do.
    pub(super) fn did_not_answer(&mut self, id: ShardId, asked: Duration, error: &Error) {
        let Some(shard) = self.shards.get_mut(&id) else { return };
        if shard.patience.failed(asked, time::monotonic()) {
            let error = Error::temporary(format!("{error}; look at its leader and replicas"));
            self.troubles.warn(&unanswered(id), &error);
        }
    }

    /// Its partition has answered.
    pub(super) fn answered_for(&mut self, id: ShardId) {
        if let Some(shard) = self.shards.get_mut(&id)
            && shard.patience.answered()
        {
            self.troubles.works(&unanswered(id));
        }
    }

    /// Nobody answered what was asked at `asked`. One late answer on a busy machine is no outage.
    pub(super) fn unanswered(&mut self, asked: Duration, error: &Error) {
        let now = time::monotonic();
        self.kafka_backoff.failed(now);
        let since = *self.unanswered_since.get_or_insert(asked);
        if now.saturating_sub(since) >= ANSWER_PATIENCE {
            self.trouble(&Trouble { state: State::Away, why: error.to_string() });
        }
    }
}

/// What is said of a state, and once to work again.
fn said(state: State) -> String {
    format!("{} (input)", state.name())
}

fn unanswered(id: ShardId) -> String {
    format!("partition {id} does not answer, and is asked again")
}
