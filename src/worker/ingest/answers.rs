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

/// That a broker does not let us in is over when the client has not said so for as long.
const LOCKED_OUT_AGAIN: Duration = Duration::from_secs(60);

/// How often it is tried whether what was refused may be read again.
const REFUSED_WAIT: Duration = Duration::from_secs(5);

/// What is said not to work, and once to work again: one line, whoever it is about.
const SILENT: &str = "partitions do not answer, and are asked again";

/// Partitions of which that is said by name.
const NAMED_MAX: usize = 10;

impl Desk<'_> {
    pub fn trouble(&mut self, trouble: &Trouble) {
        if trouble.state == State::LockedOut {
            self.locked_out_at = time::monotonic();
        }
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
        let lets_in = time::monotonic() >= self.locked_out_at + LOCKED_OUT_AGAIN;
        self.over(|state| match state {
            State::NoTopic | State::Denied => false,
            // Others may answer, and the client says it of one from time to time.
            State::LockedOut => lets_in,
            _ => true,
        });
    }

    /// Without shards nothing is asked for them whose answer would end what failed before.
    pub(super) fn nothing_is_asked(&mut self) {
        self.unanswered_since = None;
        self.kafka_backoff.worked();
        self.finding_works();
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
        self.did_not_answer(&[id], now, &error);
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.patience.keep_apart(now, WAIT_MAX * apart);
        }
        Ok(())
    }

    /// Their partitions did not answer what was asked at `asked`, though brokers do.
    pub(super) fn did_not_answer(&mut self, ids: &[ShardId], asked: Duration, error: &Error) {
        let mut is_to_be_said = false;
        for id in ids {
            if let Some(shard) = self.shards.get_mut(id) {
                is_to_be_said |= shard.patience.failed(asked, time::monotonic());
            }
        }
        if is_to_be_said {
            let silent = named(&self.silent());
            let error = format!(
                "{silent}: {error}; look at their leaders and replicas, and whether we may \
                 describe the topic"
            );
            self.troubles.warn(SILENT, &Error::temporary(error));
        }
    }

    /// Whose silence has been said.
    fn silent(&self) -> Vec<ShardId> {
        let silent = self.shards.values().filter(|shard| shard.patience.is_said());
        silent.map(|shard| shard.id).collect()
    }

    /// Its partition has answered.
    pub(super) fn answered_for(&mut self, id: ShardId) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.patience.answered();
        }
    }

    /// The silence is over when nobody is silent any more who is ours.
    pub(super) fn look_at_silence(&mut self) {
        if self.silent().is_empty() {
            self.troubles.works(SILENT);
        }
    }

    /// Nobody answered what was asked at `asked`. One late answer on a busy machine is no outage.
    pub(super) fn unanswered(&mut self, asked: Duration, error: &Error) {
        let now = time::monotonic();
        self.kafka_backoff.failed(now);
        let since = *self.unanswered_since.get_or_insert(asked);
        // Who is let in by none hears of none, and knows why.
        let is_explained = self.is_said(&[State::LockedOut]);
        if !is_explained && now.saturating_sub(since) >= ANSWER_PATIENCE {
            self.trouble(&Trouble { state: State::Away, why: error.to_string() });
        }
    }
}

/// What is said of a state, and once to work again.
fn said(state: State) -> String {
    format!("{} (input)", state.name())
}

/// The first of them and how many there are: a broker that hangs may lead hundreds.
fn named(ids: &[ShardId]) -> String {
    let first: Vec<String> = ids.iter().take(NAMED_MAX).map(ShardId::to_string).collect();
    match ids.len().saturating_sub(NAMED_MAX) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_partitions_the_first_are_named_and_the_rest_are_counted() {
        let named = |count| named(&(0..count).map(ShardId).collect::<Vec<_>>());
        assert_eq!(named(2), "0, 1");
        assert_eq!(named(10), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9");
        assert_eq!(named(300), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 290 more");
    }
}
