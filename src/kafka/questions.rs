//! What a consumer asks of brokers: who they are, which topics and partitions there are, and where
//! these begin and end.

use super::consumer::Consumer;
use crate::config::StartFrom;
use crate::error::{Error, Result};
use crate::segment::{Offset, ShardId};
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use std::time::Duration;

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
        let doing = "ask for the partitions of";
        let metadata = self
            .inner
            .fetch_metadata(Some(&self.topic), wait)
            .map_err(|why| self.error(doing, why))?;
        let found = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let shards: Vec<ShardId> = found.map(|found| ShardId(found.id() as u32)).collect();
        match shards.is_empty() {
            true => Err(Error::temporary(format!("topic {} is not there", self.topic))),
            false => Ok(shards),
        }
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
        match found.find_partition(&self.topic, shard.0 as i32).map(|elem| elem.offset()) {
            Some(Place::Offset(offset)) => Ok(Offset(offset)),
            _ => Ok(end),
        }
    }

    /// The next offsets of these shards' partitions, in one round trip. An error when one of them
    /// has no leader.
    pub fn ends(&self, shards: &[ShardId], wait: Duration) -> Result<Vec<(ShardId, Offset)>> {
        let doing = "ask for the ends of";
        let mut list = self.list(shards);
        // In place of a time: the newest.
        list.set_all_offsets(Place::End).map_err(|why| self.error(doing, why))?;
        let found =
            self.inner.offsets_for_times(list, wait).map_err(|why| self.error(doing, why))?;
        let mut ends = Vec::new();
        for elem in found.elements() {
            elem.error().map_err(|why| self.error(doing, why))?;
            if let Place::Offset(end) = elem.offset() {
                ends.push((ShardId(elem.partition() as u32), Offset(end)));
            }
        }
        Ok(ends)
    }

    /// Lowest and next offset of a shard's partition.
    pub fn watermarks(&self, shard: ShardId, wait: Duration) -> Result<(Offset, Offset)> {
        let (low, high) = self
            .inner
            .fetch_watermarks(&self.topic, shard.0 as i32, wait)
            .map_err(|why| self.error("ask for the range of a partition of", why))?;
        Ok((Offset(low), Offset(high)))
    }
}
