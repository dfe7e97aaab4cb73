//! Telling the group how far a shard is done with: sent, and answered later or within a bound.
//!
//! The client's own synchronous commit has no bound: beside a broker that hangs it waits until the
//! session times out.

use super::consumer::Consumer;
use crate::error::Result;
use crate::segment::{Offset, ShardId};
use crate::sys::commit;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Consumer {
    /// Sends a commit of offsets with metadata, and waits for nothing. The outcome is an event.
    pub fn commit(&self, commits: &[(ShardId, Offset, String)]) -> Result<()> {
        let sent = commit::send(&self.inner, &self.list_of(commits)?);
        sent.map_err(|code| self.error("commit in", KafkaError::ConsumerCommit(code)))?;
        self.commits.set(self.commits.get() + 1);
        Ok(())
    }

    /// The same, and waits for the outcome, at most `wait`.
    pub fn commit_now(&self, commits: &[(ShardId, Offset, String)], wait: Duration) -> Result<()> {
        let done = commit::send_and_wait(&self.inner, &self.list_of(commits)?, wait);
        done.map_err(|code| self.error("commit in", KafkaError::ConsumerCommit(code)))
    }

    fn list_of(&self, commits: &[(ShardId, Offset, String)]) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (shard, offset, metadata) in commits {
            let mut elem = list.add_partition(&self.topic, shard.0 as i32);
            elem.set_offset(Place::Offset(offset.0))
                .map_err(|why| self.error("name an offset of", why))?;
            elem.set_metadata(metadata);
        }
        Ok(list)
    }

    /// The number of the last commit; its answer carries it.
    pub fn last_commit(&self) -> u64 {
        self.commits.get()
    }

    /// Whether the group has answered the commit with this number, and so all before it.
    pub fn has_answered(&self, number: u64) -> bool {
        number <= self.inner.context().answered.load(Ordering::Relaxed)
    }
}
