//! Reading a whole topic from its beginning, without a group: for `demo`.

use crate::error::{Error, Result};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

/// Bound of the one question that opening asks.
const METADATA_WAIT: Duration = Duration::from_secs(10);

pub struct Tap {
    consumer: BaseConsumer,
}

impl Tap {
    /// Opens every partition that `topic` has now, at its beginning.
    pub fn open(bootstrap_servers: &str, topic: &str) -> Result<Tap> {
        let failed = |why: rdkafka::error::KafkaError| {
            Error::temporary(format!("cannot read topic {topic} at {bootstrap_servers}: {why}"))
        };
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("group.id", "spanbufd-tap")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.queue.backoff.ms", "5")
            .create()
            .map_err(failed)?;
        let metadata = consumer.fetch_metadata(Some(topic), METADATA_WAIT).map_err(failed)?;
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).map_err(failed)?;
        }
        consumer.assign(&list).map_err(failed)?;
        Ok(Tap { consumer })
    }

    /// Hands the next payload to `seen`, waiting at most `wait`; false when there is none.
    pub fn next(&self, wait: Duration, seen: impl FnOnce(&[u8])) -> bool {
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                seen(message.payload().unwrap_or_default());
                true
            }
            // The client goes on trying by itself.
            Some(Err(error)) => {
                log::debug!("reading a topic: {error}");
                false
            }
            None => false,
        }
    }
}
