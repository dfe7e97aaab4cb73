//! Whether Kafka answers: its troubles are said once with what to do, and once when they are over.
//!
//! Nothing here stops the worker. Each trouble is over when what failed works: brokers answer, the
//! topic is known, something is read. The questions for the ends of partitions move the
//! clocks of the shards that are read up to there, tell the lag, and that the brokers are there.

use super::desk::{Desk, KAFKA_WAIT};
use super::shard::{Phase, Shard};
use crate::board::words::ShardWord;
use crate::error::{Error, Kind, Result};
use crate::kafka::consumer::Consumer;
use crate::kafka::trouble::{State, Trouble};
use crate::segment::{Offset, ShardId};
use crate::sys::time;
use std::time::Duration;

/// How long a look at the ends may take as a rule: nothing is read meanwhile. The client ends a
/// connection on which something was not answered in time, so a pause of a broker must fit in.
pub(super) const ENDS_WAIT: Duration = Duration::from_secs(1);

/// Without an answer for so long, Kafka is said to be away.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// A partition that does not answer is left alone for so long, times the number of such: to wait
/// for them must not take the others' time.
pub(super) const UNANSWERED_WAIT: Duration = Duration::from_secs(5);

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

    fn is_said(&self, states: &[State]) -> bool {
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
        if consumer.answers(ENDS_WAIT) {
            self.kafka_answers();
        }
        if self.is_said(&[State::NoTopic]) && consumer.partitions(ENDS_WAIT).is_ok() {
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

    /// Asks for the ends of the partitions, by which clocks go and the lag is told: for all of them
    /// in one question, whatever their number. Of a topic that is missing or denied there is
    /// nothing to be told.
    pub(super) fn look_at_ends(&mut self, consumer: &Consumer, now: Duration) {
        let may_ask = |shard: &&Shard| shard.ask_at <= now;
        let ids: Vec<ShardId> =
            self.shards.values().filter(may_ask).map(|shard| shard.id).collect();
        let refused = self.is_said(&[State::NoTopic, State::Denied]);
        if ids.is_empty() || refused || !self.kafka_backoff.is_over(now) {
            return;
        }
        if self.suspects > 0 {
            return self.look_at_suspects(consumer, &ids);
        }
        let asked = time::monotonic();
        match consumer.ends(&ids, self.ends_wait) {
            Ok(ends) => {
                ends.into_iter().for_each(|(id, end)| self.note_end(id, end, asked));
                if time::monotonic().saturating_sub(asked) <= ENDS_WAIT {
                    self.ends_wait = ENDS_WAIT;
                }
                self.kafka_answers();
            }
            // Brokers that only are slow need more time.
            Err(_) if self.ends_wait < KAFKA_WAIT => self.ends_wait = KAFKA_WAIT,
            Err(_) if consumer.answers(ENDS_WAIT) => self.suspects = ids.len(),
            Err(error) => self.unanswered(&error),
        }
    }

    /// One of the partitions had no answer, which left all without: they are asked one by one until
    /// it is found, a few in each look.
    fn look_at_suspects(&mut self, consumer: &Consumer, ids: &[ShardId]) {
        let until = time::monotonic() + ENDS_WAIT;
        while self.suspects > 0 && time::monotonic() < until {
            self.berth.beat();
            self.suspects -= 1;
            let id = ids[self.suspects % ids.len()];
            let asked = time::monotonic();
            match consumer.watermarks(id, ENDS_WAIT) {
                Ok((_, end)) => {
                    self.note_end(id, end, asked);
                    self.kafka_answers();
                }
                Err(error) => {
                    self.suspects = 0;
                    if let Err(error) = self.blame(consumer, id, error) {
                        self.unanswered(&error);
                    }
                    return;
                }
            }
        }
    }

    fn note_end(&mut self, id: ShardId, end: Offset, asked: Duration) {
        self.answered_for(id);
        let Some(shard) = self.shards.get_mut(&id) else { return };
        shard.note_end(end, asked);
        self.slot(id).set_offset(ShardWord::HighWatermark, Some(end));
    }

    /// Who is to blame when a question for a partition fails: where brokers answer it is the
    /// partition, which is left alone for a while, and no other waits for it. Else the error is
    /// everybody's.
    pub(super) fn blame(&mut self, consumer: &Consumer, id: ShardId, error: Error) -> Result<()> {
        self.berth.beat();
        if error.kind() != Kind::Temporary || !consumer.answers(ENDS_WAIT) {
            return Err(error);
        }
        let now = time::monotonic();
        let silent = self.shards.values().filter(|shard| shard.ask_at > now).count() as u32 + 1;
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.ask_at = now + UNANSWERED_WAIT * silent;
            shard.unanswered += 1;
            // One late answer on a busy machine is no outage.
            if shard.unanswered > 1 {
                let error = Error::temporary(format!("{error}; look at its leader and replicas"));
                self.troubles.warn(&unanswered(id), &error);
            }
        }
        Ok(())
    }

    /// Its partition has answered.
    pub(super) fn answered_for(&mut self, id: ShardId) {
        if let Some(shard) = self.shards.get_mut(&id)
            && std::mem::take(&mut shard.unanswered) > 0
        {
            self.troubles.works(&unanswered(id));
        }
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

/// What is said of a state, and once to work again.
fn said(state: State) -> String {
    format!("{} (input)", state.name())
}

fn unanswered(id: ShardId) -> String {
    format!("partition {id} does not answer, and is asked again")
}
