//! The offset-map topic: a shard's map where the commit's metadata has no room for it.
//!
//! A compacted topic, one key a shard, `GROUP/TOPIC/PARTITION`, of which the last record counts. A
//! record is what would stand behind the commit, whole. The topic goes by its name and not by its
//! id: what a name cannot tell (a topic that was made anew) the mark does, see [`Mark`].

use super::admin::Admin;
use super::consumer::{Consumer, Context};
use super::metadata::{self, Mark, Note};
use super::producer::{Letter, Outcome, Producer, Sent};
use super::settings;
use super::trouble::State;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::segment::{Offset, ShardId};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// Reading the topic is what a start waits for, so little of it may wait to be compacted: segments
/// are small and closed soon, and are compacted when one part in a hundred is stale. A tombstone
/// (nobody but an operator writes one) does not stay.
const SETTINGS: [(&str, &str); 6] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "4194304"),
    ("segment.ms", "60000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("min.compaction.lag.ms", "0"),
    ("delete.retention.ms", "60000"),
];

fn key(config: &Config, shard: ShardId) -> String {
    format!("{}/{}/{shard}", config.group_id, config.input_topic)
}

/// What became of the records that were written.
#[derive(Debug, Default)]
pub struct Written {
    /// Of these shards there is a record now.
    pub kept: Vec<ShardId>,
    /// Of these there is none, or an older one.
    pub failed: Vec<ShardId>,
    pub why: Option<String>,
}

/// Writes records, one of a shard at a time.
pub struct MapWriter<'a> {
    config: &'a Config,
    topic: &'a str,
    /// Never dropped: that may wait for brokers that do not answer.
    producer: ManuallyDrop<Producer>,
    admin: Admin,
    is_there: bool,
    in_flight: BTreeMap<u64, ShardId>,
    tickets: u64,
    wait: Duration,
}

impl<'a> MapWriter<'a> {
    /// Asks nothing of anybody; later every question has the bound `wait`.
    pub fn open(
        config: &'a Config,
        topic: &'a str,
        worker: usize,
        wait: Duration,
    ) -> Result<MapWriter<'a>> {
        let producer = Producer::with_settings(settings::map_producer(config, worker))?;
        Ok(MapWriter {
            config,
            topic,
            producer: ManuallyDrop::new(producer),
            admin: Admin::open(config, wait)?,
            is_there: false,
            in_flight: BTreeMap::new(),
            tickets: 0,
            wait,
        })
    }

    /// Makes the topic where it is missing. Looked for first, since who may not make topics is
    /// refused also where there is one.
    pub fn prepare(&mut self, consumer: &Consumer) -> Result<()> {
        if self.is_there {
            return Ok(());
        }
        if consumer.knows(self.topic, self.wait)? {
            self.look_at_policy();
        } else {
            self.admin.create(self.topic, &SETTINGS)?;
            log::info!("created topic {} for offset maps (offset-map-topic)", self.topic);
        }
        self.is_there = true;
        Ok(())
    }

    fn look_at_policy(&self) {
        match self.admin.setting(self.topic, "cleanup.policy") {
            Ok(Some(policy)) if !policy.contains("compact") => log::warn!(
                "topic {} (offset-map-topic) has cleanup.policy={policy}: reading it at start \
                 takes ever longer, or maps are gone when they are needed; set it to compact",
                self.topic
            ),
            Ok(_) => {}
            Err(error) => log::debug!("{error}"),
        }
    }

    /// The shard's last record has no outcome yet.
    pub fn is_busy(&self, shard: ShardId) -> bool {
        self.in_flight.values().any(|busy| *busy == shard)
    }

    /// Sends a record. What becomes of it `poll` tells.
    pub fn write(&mut self, shard: ShardId, floor: Offset, map: &[u8], mark: Mark) -> Result<()> {
        let note = Note::Floor { map: map.to_vec(), mark: Some(mark) };
        let (key, text) = (key(self.config, shard), metadata::print(&note, floor));
        let letter = Letter {
            topic: self.topic,
            partition: None,
            key: Some(key.as_bytes()),
            payload: Some(text.as_bytes()),
            headers: &[],
        };
        match self.producer.send(self.tickets, &letter)? {
            Sent::Queued => {
                self.in_flight.insert(self.tickets, shard);
                self.producer.seal(self.tickets);
                self.tickets += 1;
                Ok(())
            }
            refused => {
                let why = format!("cannot write to topic {}: {refused:?}", self.topic);
                Err(Error::temporary(why))
            }
        }
    }

    /// What became of records since the last call; waits for all of them, at most `wait`.
    pub fn poll(&mut self, wait: Duration) -> Written {
        let deadline = Instant::now() + wait;
        let mut written = Written::default();
        while !self.in_flight.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            for outcome in self.producer.poll(left) {
                self.note(outcome, &mut written);
            }
            if left.is_zero() {
                break;
            }
        }
        written
    }

    fn note(&mut self, outcome: Outcome, written: &mut Written) {
        let (ticket, why) = match outcome {
            Outcome::Delivered(delivered) => (delivered.ticket(), None),
            Outcome::TooLarge { ticket } => {
                (ticket, Some("a record is larger than its max.message.bytes".to_owned()))
            }
            Outcome::Failed { ticket, trouble } => {
                self.is_there &= trouble.state != State::NoTopic;
                (ticket, Some(trouble.why))
            }
        };
        let Some(shard) = self.in_flight.remove(&ticket) else { return };
        match why {
            None => written.kept.push(shard),
            Some(why) => {
                written.failed.push(shard);
                written.why = Some(format!("cannot write to topic {}: {why}", self.topic));
            }
        }
    }
}

/// A shard's last record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub mark: Mark,
    /// All below it is delivered.
    pub floor: Offset,
    /// What is delivered above it.
    pub map: Vec<u8>,
}

/// Reads the topic from its beginning to what was its end, a slice at a time.
pub struct MapReader {
    /// Never dropped: that may wait for brokers that do not answer.
    consumer: ManuallyDrop<BaseConsumer<Context>>,
    unread: BTreeSet<i32>,
    keys: BTreeMap<String, ShardId>,
    found: BTreeMap<ShardId, Record>,
}

impl MapReader {
    pub fn open(config: &Config, worker: usize) -> Result<MapReader> {
        let settings = settings::map_consumer(config, worker);
        let consumer = settings.create_with_context(Context::default());
        let consumer = consumer.map_err(|why| {
            Error::around_config(format!("cannot open a consumer for offset maps: {why}"))
        })?;
        Ok(MapReader {
            consumer: ManuallyDrop::new(consumer),
            unread: BTreeSet::new(),
            keys: BTreeMap::new(),
            found: BTreeMap::new(),
        })
    }

    /// Begins at the beginning, looking for these shards. A topic that is not there has nothing.
    pub fn begin(
        &mut self,
        config: &Config,
        topic: &str,
        shards: &BTreeSet<ShardId>,
        wait: Duration,
    ) -> Result<()> {
        let failed = |why: KafkaError| {
            Error::temporary(format!("cannot read topic {topic} (offset-map-topic): {why}"))
        };
        let metadata = self.consumer.fetch_metadata(Some(topic), wait).map_err(failed)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        self.unread = partitions.map(|partition| partition.id()).collect();
        let mut list = TopicPartitionList::new();
        for partition in &self.unread {
            list.add_partition_offset(topic, *partition, Place::Beginning).map_err(failed)?;
        }
        self.keys = shards.iter().map(|shard| (key(config, *shard), *shard)).collect();
        self.found.clear();
        self.consumer.assign(&list).map_err(failed)
    }

    /// Reads for at most `slice`; whether the end is reached.
    pub fn read(&mut self, slice: Duration) -> bool {
        let deadline = Instant::now() + slice;
        while !self.unread.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.consumer.poll(left) {
                Some(Ok(message)) => note(&self.keys, &mut self.found, &message),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.unread.remove(&partition);
                }
                // The client goes on trying by itself; the caller's patience is the bound.
                Some(Err(error)) => log::debug!("reading offset maps: {error}"),
                None => {}
            }
        }
        true
    }

    /// The end, reached or not: what was found.
    pub fn end(&mut self) -> BTreeMap<ShardId, Record> {
        if let Err(error) = self.consumer.unassign() {
            log::debug!("reading offset maps: {error}");
        }
        self.unread.clear();
        std::mem::take(&mut self.found)
    }
}

fn note(
    keys: &BTreeMap<String, ShardId>,
    found: &mut BTreeMap<ShardId, Record>,
    message: &rdkafka::message::BorrowedMessage<'_>,
) {
    let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
    let Some(shard) = key.and_then(|key| keys.get(key)) else { return };
    match message.payload().and_then(metadata::read) {
        Some((floor, Note::Floor { map, mark: Some(mark) })) => {
            found.insert(*shard, Record { mark, floor, map });
        }
        // A tombstone, or another's: what stood there before does not count any more.
        _ => {
            found.remove(shard);
        }
    }
}

impl Consumer {
    /// Whether a topic is there. This client never has one made by asking.
    fn knows(&self, topic: &str, wait: Duration) -> Result<bool> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::temporary(format!("cannot look for topic {topic}: {why}"))
        };
        let metadata = self.inner.fetch_metadata(Some(topic), wait).map_err(|why| failed(&why))?;
        let Some(found) = metadata.topics().first() else { return Ok(false) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(!found.partitions().is_empty()),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Ok(false)
            }
            Some(code) => Err(failed(&code)),
        }
    }
}
