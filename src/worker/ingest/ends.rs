//! Asking brokers for the ends of partitions: by the answers clocks go, and the lag is told.
//!
//! Nobody waits for an end; only for whether brokers answer at all, and for who leads whom, and
//! that a second at most (`ANSWER_WAIT`). Every broker is asked by itself, for the partitions that
//! it leads, so one that is slow or hangs holds up no partition of another; and a far one is asked
//! again before it has answered, so that all of the time counts (`segment::clock`). What did not
//! answer is asked apart from the others.

use super::answers::ANSWER_WAIT;
use super::desk::{Desk, LOOK_INTERVAL};
use super::shard::{Phase, Shard};
use crate::board::words::ShardWord;
use crate::error::{Error, Result};
use crate::kafka::consumer::Consumer;
use crate::kafka::trouble::State;
use crate::segment::{Offset, ShardId};
use crate::sys::time;
use std::collections::BTreeMap;
use std::time::Duration;

/// How soon after its answer a broker is asked again about partitions of which one has had no
/// message for as long: its clock goes by the answers, so what falls due is seen that much later.
const PAUSE: Duration = Duration::from_millis(50);

/// How soon a broker is asked again that has yet to answer.
const PAUSE_OPEN: Duration = Duration::from_millis(500);

/// How long an answer may take, and how many of one kind are waited for at a time.
const WAIT: Duration = Duration::from_secs(5);
const OPEN_MAX: usize = 10;

/// The client answers within `WAIT`; should it ever not, this ends the question.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10);

/// So long one look holds: with many shards it is too dear for every turn.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Partitions in one question, at most: what the client does with an answer grows with the square.
const TOGETHER_MAX: usize = 100;

/// How often it is asked which broker leads which partition; the same where something failed.
const LEADERS_INTERVAL: Duration = Duration::from_secs(30);
const LEADERS_AGAIN: Duration = Duration::from_secs(5);

/// A broker that answered so lately shows that brokers do.
const LATELY: Duration = Duration::from_secs(3);

/// Whom one question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Party {
    /// The broker that leads them; `None` where there is none, or it is not known.
    leader: Option<i32>,
    /// They did not answer the last time.
    is_silent: bool,
    /// Which part of them, where they are many.
    part: usize,
}

/// When a party is asked again.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    asked: Duration,
    answered: Duration,
    open: usize,
}

impl Pace {
    fn is_over(&self, is_silent: bool, now: Duration) -> bool {
        match self.open {
            0 => now >= self.answered + PAUSE,
            open => !is_silent && open < OPEN_MAX && now >= self.asked + PAUSE_OPEN,
        }
    }
}

struct Question {
    party: Party,
    asked: Duration,
    shards: Vec<ShardId>,
}

/// What is asked, and who has answered.
#[derive(Default)]
pub struct Ends {
    leaders: BTreeMap<ShardId, i32>,
    leaders_asked: Option<Duration>,
    /// Somebody is not led by whom we believe, or may not be.
    doubted: bool,
    paces: BTreeMap<Party, Pace>,
    open: BTreeMap<usize, Question>,
    /// The number of the last question.
    last: usize,
    look_at: Duration,
    /// When a broker last named an end.
    heard_at: Option<Duration>,
}

impl Ends {
    fn must_ask_for_leaders(&self, now: Duration) -> bool {
        let interval = if self.doubted { LEADERS_AGAIN } else { LEADERS_INTERVAL };
        self.leaders_asked.is_none_or(|asked| now >= asked + interval)
    }

    /// These are asked; the number of the question.
    fn begin(&mut self, party: Party, shards: Vec<ShardId>, asked: Duration) -> usize {
        let pace = self.paces.entry(party).or_default();
        pace.asked = asked;
        pace.open += 1;
        self.last += 1;
        self.open.insert(self.last, Question { party, asked, shards });
        self.last
    }

    /// The question has an answer.
    fn end(&mut self, number: usize, now: Duration) -> Option<Question> {
        let question = self.open.remove(&number)?;
        let pace = self.paces.entry(question.party).or_default();
        pace.answered = now;
        pace.open = pace.open.saturating_sub(1);
        Some(question)
    }

    /// The questions that had their answer long ago, if there were any to come.
    fn overdue(&self, now: Duration) -> Vec<usize> {
        let is_late = |question: &Question| question.asked + GIVEN_UP_AFTER < now;
        let late = self.open.iter().filter(|(_, question)| is_late(question));
        late.map(|(number, _)| *number).collect()
    }

    /// Those that may be asked, by whom they are asked with.
    fn parties<'s>(
        &self,
        shards: impl Iterator<Item = &'s Shard>,
    ) -> BTreeMap<Party, Vec<&'s Shard>> {
        let mut parties = BTreeMap::<Party, Vec<&Shard>>::new();
        let mut sizes = BTreeMap::<(Option<i32>, bool), usize>::new();
        for shard in shards {
            let (leader, is_silent) =
                (self.leaders.get(&shard.id).copied(), shard.patience.is_tried());
            let size = sizes.entry((leader, is_silent)).or_default();
            let party = Party { leader, is_silent, part: *size / TOGETHER_MAX };
            *size += 1;
            parties.entry(party).or_default().push(shard);
        }
        parties
    }

    /// While messages come for all, their clocks go by those, and the lag can wait.
    fn must_ask(&self, party: Party, shards: &[&Shard], now: Duration) -> bool {
        let pace = self.paces.get(&party).copied().unwrap_or_default();
        let quiet =
            |shard: &&Shard| shard.phase == Phase::Flowing && shard.clock.is_quiet(now, PAUSE);
        let waited = now.saturating_sub(pace.asked) >= LOOK_INTERVAL;
        pace.is_over(party.is_silent, now) && (waited || shards.iter().any(quiet))
    }
}

impl Desk<'_> {
    /// Takes the answers that there are, and asks anew whoever is to be asked. Of a topic that is
    /// missing or denied there is nothing to be told.
    pub(super) fn look_at_ends(&mut self, consumer: &Consumer, now: Duration) {
        // At the end there is no time for that.
        if self.stopping {
            return;
        }
        self.take_ends(consumer);
        self.give_up_ends(consumer, now);
        let refused = self.is_said(&[State::NoTopic, State::Denied]);
        if refused || now < self.ends.look_at || !self.kafka_backoff.is_over(now) {
            return;
        }
        self.ends.look_at = now + LOOK_PAUSE;
        if !self.shards.is_empty() && self.ends.must_ask_for_leaders(now) {
            self.look_at_leaders(consumer, now);
        }
        let asked: Vec<(Party, Vec<ShardId>)> = self
            .ends
            .parties(self.shards.values().filter(|shard| shard.patience.is_over(now)))
            .into_iter()
            .filter(|(party, shards)| self.ends.must_ask(*party, shards, now))
            .map(|(party, shards)| (party, shards.iter().map(|shard| shard.id).collect()))
            .collect();
        for (party, shards) in asked {
            self.ask_for_ends(consumer, party, shards);
        }
    }

    fn ask_for_ends(&mut self, consumer: &Consumer, party: Party, shards: Vec<ShardId>) {
        let number = self.ends.begin(party, shards.clone(), time::monotonic());
        if let Err(error) = consumer.ask_for_ends(&shards, number, WAIT) {
            self.ends.end(number, time::monotonic());
            log::debug!("{error}");
        }
    }

    /// Who leads whom; without an answer what was known counts.
    fn look_at_leaders(&mut self, consumer: &Consumer, now: Duration) {
        self.ends.leaders_asked = Some(now);
        match consumer.leaders(ANSWER_WAIT) {
            Ok(leaders) => (self.ends.leaders, self.ends.doubted) = (leaders, false),
            Err(error) => {
                self.ends.doubted = true;
                log::debug!("{error}");
            }
        }
    }

    fn take_ends(&mut self, consumer: &Consumer) {
        while let Some(answer) = consumer.next_ends() {
            let now = time::monotonic();
            let Some(question) = self.ends.end(answer.number, now) else { continue };
            let (silent, error) = match answer.ends {
                Ok(ends) => {
                    self.pass_markers(consumer, &ends);
                    self.note_ends(ends, question.asked, now)
                }
                Err(error) => (question.shards, Some(error)),
            };
            if let Some(error) = error {
                self.without_end(consumer, &silent, question.asked, &error);
            }
        }
    }

    /// A question that the client never answers must not stay open: its party would not be asked
    /// again.
    fn give_up_ends(&mut self, consumer: &Consumer, now: Duration) {
        for number in self.ends.overdue(now) {
            let Some(question) = self.ends.end(number, now) else { continue };
            let error = Error::temporary("the client has left a question for ends unanswered");
            log::debug!("{error}");
            self.without_end(consumer, &question.shards, question.asked, &error);
        }
    }

    /// What is not read up to its end by its messages may be so by what the client has passed over.
    fn pass_markers(&mut self, consumer: &Consumer, ends: &[(ShardId, Result<Offset>)]) {
        let shards = &mut self.shards;
        let is_behind = |(id, end): &(ShardId, Result<Offset>)| {
            let shard = shards.get(id).filter(|shard| shard.phase == Phase::Flowing)?;
            let end = end.as_ref().ok()?;
            (shard.tail.read(shard.next) < *end).then_some(*id)
        };
        let behind: Vec<ShardId> = ends.iter().filter_map(is_behind).collect();
        for (id, read_to) in consumer.read_to(&behind) {
            if let Some(shard) = shards.get_mut(&id) {
                shard.tail.reached(read_to);
            }
        }
    }

    /// Takes the ends that are named; those that are not, and why the first of these.
    fn note_ends(
        &mut self,
        ends: Vec<(ShardId, Result<Offset>)>,
        asked: Duration,
        now: Duration,
    ) -> (Vec<ShardId>, Option<Error>) {
        let (mut silent, mut first) = (Vec::new(), None);
        let all = ends.len();
        for (id, end) in ends {
            match end {
                Ok(end) => self.note_end(id, end, asked, now),
                Err(error) => {
                    silent.push(id);
                    first.get_or_insert(error);
                }
            }
        }
        if silent.len() < all {
            self.ends.heard_at = Some(now);
            self.kafka_answers();
        }
        (silent, first)
    }

    fn note_end(&mut self, id: ShardId, end: Offset, asked: Duration, now: Duration) {
        self.answered_for(id);
        let Some(shard) = self.shards.get_mut(&id) else { return };
        shard.note_end(end, asked, now);
        let end = shard.tail.readable_end(shard.next, end);
        self.slot(id).set_offset(ShardWord::HighWatermark, Some(end));
    }

    /// Nobody has named the ends of these. Where brokers answer at all it is these partitions that
    /// do not.
    fn without_end(
        &mut self,
        consumer: &Consumer,
        silent: &[ShardId],
        asked: Duration,
        error: &Error,
    ) {
        if !silent.iter().any(|id| self.shards.contains_key(id)) {
            return;
        }
        // Who stays silent is no reason to ask again and again: that, too, may hit a broker that
        // hangs, and then nothing is read for as long.
        let is_new = |id| self.shards.get(id).is_some_and(|shard| !shard.patience.is_tried());
        self.ends.doubted |= silent.iter().any(is_new);
        let now = time::monotonic();
        let lately = self.ends.heard_at.is_some_and(|heard| heard + LATELY >= now);
        if !lately && !self.kafka_backoff.is_over(now) {
            return;
        }
        if lately || consumer.answers(ANSWER_WAIT) {
            self.did_not_answer(silent, asked, error);
        } else {
            self.unanswered(asked, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_never_answered_does_not_stay_open() {
        let (mut ends, second) = (Ends::default(), Duration::from_secs(1));
        let party = Party { leader: Some(1), is_silent: true, part: 0 };
        let number = ends.begin(party, vec![ShardId(3)], second);
        assert!(ends.overdue(second + GIVEN_UP_AFTER).is_empty());
        assert!(!ends.must_ask(party, &[], second * 20));
        assert_eq!(ends.overdue(second * 20), [number]);
        let given_up = ends.end(number, second * 20).map(|question| question.shards);
        assert_eq!(given_up, Some(vec![ShardId(3)]));
        assert!(ends.overdue(second * 20).is_empty() && ends.must_ask(party, &[], second * 21));
        assert!(ends.end(number, second * 21).is_none(), "an answer that comes after all");
    }
}
