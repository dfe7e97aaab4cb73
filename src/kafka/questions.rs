//! What a consumer asks of brokers: who they are, which topics and partitions there are, where
//! these begin and end, and what the group has committed.

use super::consumer::{Committed, Consumer};
use crate::config::StartFrom;
use crate::error::{Error, Result};
use crate::segment::{Offset, ShardId};
use crate::sys::{ends, metadata};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const ENDS: &str = "ask for the ends of";

/// The answer to a question for ends.
pub struct Ends {
    /// As given with the question.
    pub number: usize,
    /// The next offset of each partition, or why it is not known. An error is about all of them.
    pub ends: Result<Vec<(ShardId, Result<Offset>)>>,
}

impl Consumer {
    /// The cluster's id, `None` while no broker has answered.
    pub fn cluster_id(&self, wait: Duration) -> Option<String> {
        self.inner.client().fetch_cluster_id(wait)
    }

    /// Whether some broker answers within `wait`.
    pub fn answers(&self, wait: Duration) -> bool {
        self.inner.fetch_metadata(Some(&self.topic), wait).is_ok()
    }

    /// Whether brokers say that there is no such topic. Asking does not create it, unless the user
    /// wants that (`allow.auto.create.topics`).
    pub fn lacks(&self, topic: &str, wait: Duration) -> bool {
        let Ok(metadata) = self.inner.fetch_metadata(Some(topic), wait) else { return false };
        let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        metadata.topics().iter().any(|topic| topic.error() == Some(unknown))
    }

    /// The partitions that the topic has; an error where it is missing. Asking does not make it.
    pub fn partitions(&self, wait: Duration) -> Result<Vec<ShardId>> {
        let found = self.by_leader("ask for the partitions of", wait)?;
        match found.is_empty() {
            true => Err(Error::temporary(format!("topic {} is not there", self.topic))),
            false => Ok(found.into_iter().map(|(shard, _)| shard).collect()),
        }
    }

    /// The broker that leads each partition of the topic; those without one are left out.
    pub fn leaders(&self, wait: Duration) -> Result<BTreeMap<ShardId, i32>> {
        let found = self.by_leader("ask for the leaders of", wait)?;
        Ok(found.into_iter().filter(|(_, leader)| *leader >= 0).collect())
    }

    /// Each partition of the topic with the broker that leads it, below 0 where none does.
    fn by_leader(&self, doing: &str, wait: Duration) -> Result<Vec<(ShardId, i32)>> {
        let metadata = self.inner.fetch_metadata(Some(&self.topic), wait);
        let metadata = metadata.map_err(|why| self.error(doing, why))?;
        let found = metadata.topics().iter().flat_map(|topic| topic.partitions());
        Ok(found.map(|found| (ShardId(found.id() as u32), found.leader())).collect())
    }

    /// Where `start-from` points to in a shard that the group begins with.
    pub fn start_from(&self, shard: ShardId, wait: Duration) -> Result<Offset> {
        let (low, high) = self.watermarks(shard, wait)?;
        match self.start_from {
            StartFrom::Earliest => Ok(low),
            StartFrom::Latest => Ok(high),
            StartFrom::Time(at_ms) => self.offset_at(shard, at_ms, high, wait),
        }
    }

    /// The first offset stamped at or after `at_ms`; the end when there is none.
    fn offset_at(&self, shard: ShardId, at_ms: i64, end: Offset, wait: Duration) -> Result<Offset> {
        let doing = "ask for the offset of a time in";
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, shard.0 as i32, Place::Offset(at_ms))
            .map_err(|why| self.error(doing, why))?;
        let found =
            self.inner.offsets_for_times(list, wait).map_err(|why| self.error(doing, why))?;
        let elem = found.find_partition(&self.topic, shard.0 as i32);
        let Some(elem) = elem else { return Ok(end) };
        elem.error().map_err(|why| self.error(doing, why))?;
        match elem.offset() {
            Place::Offset(offset) => Ok(Offset(offset)),
            _ => Ok(end),
        }
    }

    /// Asks for the next offsets of these shards' partitions and does not wait: the answer comes
    /// with `next_ends`, after `within` at the latest.
    pub fn ask_for_ends(&self, shards: &[ShardId], number: usize, within: Duration) -> Result<()> {
        let mut list = self.list(shards);
        // In place of a time: the newest.
        list.set_all_offsets(Place::End).map_err(|why| self.error(ENDS, why))?;
        let is_committed = self.reads_committed;
        let question = ends::Question { partitions: &list, number, within, is_committed };
        self.inner.ask(&question);
        Ok(())
    }

    /// An answer to `ask_for_ends` that has arrived.
    pub fn next_ends(&self) -> Option<Ends> {
        let answer = self.inner.next_answer()?;
        let error = |code: RDKafkaErrorCode| self.error(ENDS, KafkaError::OffsetFetch(code));
        let name = |(partition, end): ends::End| {
            (ShardId(partition as u32), end.map(Offset).map_err(error))
        };
        let ends = answer.outcome.map_err(error);
        let ends = ends.map(|ends| ends.into_iter().map(name).collect());
        Some(Ends { number: answer.number, ends })
    }

    /// How far these are read, markers of transactions included. Asks the client alone.
    pub fn read_to(&self, shards: &[ShardId]) -> Vec<(ShardId, Offset)> {
        let mut list = self.list(shards);
        ends::read_to(&self.inner, &mut list);
        let known = |elem: &TopicPartitionListElem<'_>| match elem.offset() {
            Place::Offset(offset) => Some((ShardId(elem.partition() as u32), Offset(offset))),
            _ => None,
        };
        list.elements().iter().filter_map(known).collect()
    }

    /// Lowest and next offset of a shard's partition.
    pub fn watermarks(&self, shard: ShardId, wait: Duration) -> Result<(Offset, Offset)> {
        let (low, high) = self
            .inner
            .fetch_watermarks(&self.topic, shard.0 as i32, wait)
            .map_err(|why| self.error("ask for the range of a partition of", why))?;
        Ok((Offset(low), Offset(high)))
    }

    /// The group's committed offsets. `None` only when the broker says "nothing committed".
    pub fn committed(
        &self,
        shards: &[ShardId],
        wait: Duration,
    ) -> Result<Vec<(ShardId, Option<Committed>)>> {
        let doing = "ask for the committed offsets of";
        let list = self
            .inner
            .committed_offsets(self.list(shards), wait)
            .map_err(|why| self.error(doing, why))?;
        let metadata: HashMap<i32, Vec<u8>> = metadata::of(&list).into_iter().collect();
        let mut found = Vec::new();
        for &shard in shards {
            let Some(elem) = list.find_partition(&self.topic, shard.0 as i32) else {
                return Err(Error::temporary(format!("no answer for partition {shard}")));
            };
            elem.error().map_err(|why| self.error(doing, why))?;
            let committed = match elem.offset() {
                Place::Offset(offset) => {
                    let metadata = metadata.get(&elem.partition()).cloned().unwrap_or_default();
                    Some(Committed { offset: Offset(offset), metadata })
                }
                _ => None,
            };
            found.push((shard, committed));
        }
        Ok(found)
    }
}
