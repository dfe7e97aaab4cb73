//! Where a shard begins: asked of Kafka and of the store, decided once.
//!
//! The store is believed where it knows something; the committed offset is the floor, and where
//! the store knows nothing a new life begins there (P6).

use super::desk::{Desk, KAFKA_WAIT};
use super::first::is_begin;
use super::floor::Floor;
use super::shard::Phase;
use crate::board::Told;
use crate::board::words::ShardWord;
use crate::config::Commit;
use crate::error::{Error, Kind, Result};
use crate::kafka::admin;
use crate::kafka::consumer::{Committed, Consumer};
use crate::kafka::metadata::{self, Mark, Note};
use crate::segment::offset_map::OffsetMap;
use crate::segment::{Offset, ShardId};
use crate::store::{Begun, Identity, Life, State, Store};
use crate::sys::{random, time};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is said not to work, and once to work again.
const FINDING: &str = "cannot find where to read";

/// How long the last word of a flusher is waited for, before its words so far have to do.
const LAST_WORD_WAIT: Duration = Duration::from_secs(5);

/// Messages should outlive the oldest floor by this: the time to notice and mend an outage.
const RETENTION_MARGIN: Duration = Duration::from_secs(3600);

/// What is known of a shard's beginning outside of the store.
pub(super) struct Start {
    /// What is committed.
    offset: Offset,
    /// All below it is delivered; else it is only buffered (`commit = buffered`).
    is_floor: bool,
    /// Nothing was committed before.
    is_new: bool,
    /// What is delivered above it.
    known: OffsetMap,
    /// What binds it to a record in the offset-map topic.
    mark: Option<Mark>,
}

impl Start {
    fn at(offset: Offset, is_floor: bool) -> Start {
        Start { offset, is_floor, is_new: false, known: OffsetMap::default(), mark: None }
    }

    /// Nothing was committed before.
    pub(super) fn first(offset: Offset) -> Start {
        Start { is_new: true, ..Start::at(offset, true) }
    }

    /// What is delivered by the word of one who had this floor and this map above it.
    fn knows(&mut self, floor: Offset, map: &[u8]) {
        let above = OffsetMap::decode(map).unwrap_or_default().above(self.offset);
        let below = OffsetMap::all_but(self.offset, floor, Vec::new());
        self.known = self.known.and(&below).and(&above);
    }
}

impl Desk<'_> {
    /// Asks Kafka and the store where the shards stand that nobody knows of yet.
    pub(super) fn find(&mut self, consumer: &Consumer, now: Duration) -> Result<()> {
        let wanted: Vec<ShardId> = self
            .shards
            .values()
            .filter(|shard| shard.phase == Phase::Finding && shard.held_at == now)
            .filter(|shard| shard.alone.may_work(now) && shard.patience.may_hold_up(now))
            .map(|shard| shard.id)
            .collect();
        let may_ask = self.finding_backoff.is_over(now) && self.store_backoff.is_over(now);
        if wanted.is_empty() || !may_ask {
            return Ok(());
        }
        match self.find_all(consumer, &wanted) {
            Ok(()) => {
                self.finding_works();
                Ok(())
            }
            Err(error) if error.kind() == Kind::Temporary => {
                if !self.store_backoff.is_failing() {
                    self.finding_backoff.failed(time::monotonic());
                }
                self.troubles.warn(FINDING, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn finding_works(&mut self) {
        self.finding_backoff.worked();
        self.troubles.works(FINDING);
    }

    fn find_all(&mut self, consumer: &Consumer, wanted: &[ShardId]) -> Result<()> {
        if !self.read_records() {
            return Ok(());
        }
        let identity = self.identity(consumer)?;
        self.berth.beat();
        self.check_topics(consumer);
        let committed = consumer.committed(wanted, KAFKA_WAIT)?;
        self.berth.beat();
        if !self.has_records(&committed) {
            return Ok(());
        }
        let states = self.look(wanted);
        let states = states.inspect_err(|_| self.store_backoff.failed(time::monotonic()))?;
        let mut states: BTreeMap<ShardId, Option<State>> = states.into_iter().collect();
        self.store_works();
        let committed = self.see_begin(consumer, committed.into_iter().collect(), &states)?;
        for (id, committed) in committed.unwrap_or_default() {
            let Some(state) = states.remove(&id) else { continue };
            if let Some(state) = &state {
                check_identity(id, &state.identity, &identity, &self.config.namespace)?;
            }
            if self.waits_for_last_word(id, state.as_ref()) {
                continue;
            }
            let start = match committed {
                Some(committed) if !is_begin(&committed) => {
                    self.believe(id, &committed, state.as_ref())
                }
                other => match self.first_start(consumer, id, other.is_some(), state.as_ref()) {
                    Ok(start) => start,
                    Err(error) => return self.blame(consumer, id, error),
                },
            };
            let state = match self.settle_position(id, &start, state, &identity) {
                Err(error) if error.is_of_one_shard() => {
                    self.stop_alone(id, &error);
                    continue;
                }
                other => other?,
            };
            self.answered_for(id);
            self.adopt(id, &state, start);
            self.berth.beat();
        }
        Ok(())
    }

    /// The store has lost what we had there, and the shard's flusher still knows what was
    /// delivered: it says so when all that it had in flight has landed.
    fn waits_for_last_word(&self, id: ShardId, state: Option<&State>) -> bool {
        let Some(left) = self.shards.get(&id).and_then(|shard| shard.left) else { return false };
        let lost = |state: &State| state.life != left.life || state.position < left.position;
        if !state.is_none_or(lost) || self.slot(id).holder().is_none() {
            return false;
        }
        let told = self.berth.board.delivered(id).and_then(|area| area.read());
        let open = told.is_some_and(|told| told.life == left.life.0 && !told.closed);
        open && time::monotonic().saturating_sub(left.at) < LAST_WORD_WAIT
    }

    /// What a committed offset says, and what is known to be delivered above it: by the map that
    /// goes with it, by the record that it speaks of, and by the last word of the flusher if it is
    /// of the life that we had.
    fn believe(&self, id: ShardId, committed: &Committed, state: Option<&State>) -> Start {
        let mut start = Start::at(committed.offset, true);
        match metadata::parse(&committed.metadata, start.offset) {
            Some(Note::Buffered) => return Start::at(committed.offset, false),
            Some(Note::Floor { map, mark }) => {
                start.mark = mark;
                start.knows(start.offset, &map);
            }
            Some(Note::Begin) | None => {}
        }
        if let Some(record) = self.maps.record(id, start.mark) {
            start.knows(record.floor, &record.map);
        }
        let board = self.berth.board;
        let had = board.found(id).and_then(|area| area.read()).map(|found| found.life);
        if let Some(told) = board.delivered(id).and_then(|area| area.read())
            && (had == Some(told.life) || state.is_some_and(|state| state.life.0 == told.life))
        {
            start.knows(told.floor, &told.map);
        }
        start
    }

    /// Decides where a shard begins. Where the committed offset is the floor, a new life begins
    /// there if there is none (P6), and a position below it means that all the store holds is
    /// delivered.
    fn settle_position(
        &mut self,
        id: ShardId,
        start: &Start,
        state: Option<State>,
        identity: &Identity,
    ) -> Result<State> {
        self.slot(id).set_offset(ShardWord::Committed, Some(start.offset));
        match state {
            Some(state) if !start.is_new && (!start.is_floor || state.position >= start.offset) => {
                Ok(state)
            }
            state => self.begin(id, identity, start.offset, state.map(|state| state.life)),
        }
    }

    /// Once: what would be a trouble much later. Not knowing is no trouble.
    fn check_topics(&mut self, consumer: &Consumer) {
        if std::mem::replace(&mut self.topics_checked, true) {
            return;
        }
        self.check_retention();
        self.berth.beat();
        let output = ("output-topic", Some(&self.config.output_topic));
        let letters = ("dead-letter-topic", self.config.dead_letter_topic.as_ref());
        for (option, topic) in [output, letters] {
            if let Some(topic) = topic.filter(|topic| consumer.lacks(topic, KAFKA_WAIT)) {
                log::warn!(
                    "topic {topic} ({option}) is not there: what is meant for it waits in Redis; \
                     create it, unless the brokers do so at the first message"
                );
            }
            self.berth.beat();
        }
    }

    /// Whether Kafka keeps what would have to be read again.
    fn check_retention(&self) {
        let config = self.config;
        let needed = config.max_segment_age + config.timeout.max(config.root_timeout);
        match admin::input_retention(config, KAFKA_WAIT) {
            Ok(Some(kept)) if kept < needed + RETENTION_MARGIN => log::warn!(
                "topic {} keeps messages for {} s (retention.ms), and the floor may be {} s old \
                 (max-segment-age {} s, and a timeout), plus {} s to mend an outage: what is not \
                 delivered could be gone when it has to be read again; raise retention.ms or \
                 lower max-segment-age",
                config.input_topic,
                kept.as_secs(),
                needed.as_secs(),
                config.max_segment_age.as_secs(),
                RETENTION_MARGIN.as_secs()
            ),
            Ok(_) => {}
            Err(error) => log::debug!("{error}"),
        }
    }

    fn begin(
        &mut self,
        id: ShardId,
        identity: &Identity,
        floor: Offset,
        replaces: Option<Life>,
    ) -> Result<State> {
        let life = Life(random::bits128()?);
        match self.store.begin(id, identity, life, floor, replaces)? {
            Begun::New(state) => {
                self.slot(id).add(ShardWord::Lives, 1);
                log::info!("shard {id}: a new life begins at offset {floor}");
                Ok(state)
            }
            Begun::Found(state) => {
                check_identity(id, &state.identity, identity, &self.config.namespace)?;
                Ok(state)
            }
        }
    }

    /// Takes over where a shard begins, and tells its flusher what is known to be delivered.
    fn adopt(&mut self, id: ShardId, state: &State, start: Start) {
        self.maps.forget(id);
        self.works_alone(id);
        let Some(shard) = self.shards.get_mut(&id) else { return };
        // What only was in the buffer is no floor: ours may have to go back behind it.
        let floor = if start.is_floor { start.offset } else { Offset(0) };
        let buffered = self.config.commit == Commit::Buffered;
        shard.floor = Floor::found(if buffered { start.offset } else { floor }, start.mark);
        shard.adopt(state);
        if let Some(area) = self.berth.board.found(id) {
            let map = start.known.encode(area.room());
            area.tell(&Told { life: state.life.0, floor, closed: false, map });
        }
        let known = start.known.above(state.position).len();
        if known > 0 {
            log::info!(
                "shard {id}: {known} messages from offset {} on are known to be delivered and are \
                 left out",
                state.position
            );
        }
        shard.known = start.known;
        self.say_found(id);
    }

    fn identity(&mut self, consumer: &Consumer) -> Result<Identity> {
        if let Some(identity) = &self.identity {
            return Ok(identity.clone());
        }
        let Some(cluster) = consumer.cluster_id(KAFKA_WAIT) else {
            return Err(Error::temporary("no broker has answered yet"));
        };
        let identity = Identity {
            cluster,
            topic: self.config.input_topic.clone(),
            group: self.config.group_id.clone(),
        };
        self.identity = Some(identity.clone());
        Ok(identity)
    }
}

/// Another cluster, topic or group under our keys is never taken over.
fn check_identity(id: ShardId, found: &Identity, ours: &Identity, namespace: &str) -> Result<()> {
    if found == ours {
        return Ok(());
    }
    Err(Error::config(format!(
        "the keys of shard {id} in namespace {namespace} belong to topic {} of cluster {}, read by \
         group {}; we read topic {} of cluster {} as group {}; give this instance a namespace of \
         its own",
        found.topic, found.cluster, found.group, ours.topic, ours.cluster, ours.group
    )))
}
