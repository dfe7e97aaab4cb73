//! librdkafka's mock cluster, for `demo` and the tests: a broker without Kafka.
//!
//! It serves other processes over TCP on the loopback interface, on a port of its own choice.
//! It keeps little (5 MiB a partition) and knows no time lookup; what it is good for is being
//! there in a millisecond, and failing on request.

use crate::error::{Error, Result};
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::time::Duration;

/// A mock cluster, mostly of one broker, which has number 1; it ends with this value.
pub struct Mock {
    cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
}

impl Mock {
    /// Starts it with these topics and numbers of partitions.
    pub fn start(topics: &[(String, u32)]) -> Result<Mock> {
        Mock::with_brokers(1, topics)
    }

    pub fn with_brokers(brokers: i32, topics: &[(String, u32)]) -> Result<Mock> {
        let failed = |why| Error::temporary(format!("cannot start the mock cluster: {why}"));
        let cluster = MockCluster::new(brokers).map_err(failed)?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions as i32, 1).map_err(failed)?;
        }
        Ok(Mock { cluster })
    }

    /// What `bootstrap-servers` takes.
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        let made = self.cluster.create_topic(topic, partitions as i32, 1);
        made.map_err(|why| Error::temporary(format!("cannot create topic {topic}: {why}")))
    }

    /// Takes a broker away, or brings it back.
    pub fn set_up(&self, broker: i32, up: bool) -> Result<()> {
        let cluster = &self.cluster;
        let done = if up { cluster.broker_up(broker) } else { cluster.broker_down(broker) };
        done.map_err(|why| Error::temporary(format!("cannot switch a mock broker: {why}")))
    }

    /// Has a broker coordinate a group.
    pub fn set_coordinator(&self, group: &str, broker: i32) -> Result<()> {
        let done = self.cluster.coordinator(MockCoordinator::Group(group.to_owned()), broker);
        done.map_err(|why| Error::temporary(format!("cannot set who coordinates {group}: {why}")))
    }

    /// Answers the next `times` requests of this kind with an error.
    pub fn refuse(&self, request: &str, error: &str, times: usize) -> Result<()> {
        self.cluster.request_errors(request_of(request)?, &vec![error_of(error)?; times]);
        Ok(())
    }

    /// Answers requests of this kind again.
    pub fn accept(&self, request: &str) -> Result<()> {
        self.cluster.clear_request_errors(request_of(request)?);
        Ok(())
    }

    /// Answers whatever asks about a topic with an error; `none`: no more.
    pub fn set_topic_error(&self, topic: &str, error: &str) -> Result<()> {
        let done = self.cluster.topic_error(topic, error_of(error)?);
        done.map_err(|why| Error::temporary(format!("cannot set an error of {topic}: {why}")))
    }

    /// Has a broker lead a partition, or none.
    pub fn set_leader(&self, topic: &str, partition: u32, broker: Option<i32>) -> Result<()> {
        let done = self.cluster.partition_leader(topic, partition as i32, broker);
        done.map_err(|why| Error::temporary(format!("cannot set a leader of {topic}: {why}")))
    }

    /// Lets every answer of a broker take this long.
    pub fn set_delay(&self, broker: i32, delay: Duration) -> Result<()> {
        let done = self.cluster.broker_round_trip_time(broker, delay);
        done.map_err(|why| Error::temporary(format!("cannot delay the mock broker: {why}")))
    }
}

fn request_of(name: &str) -> Result<RDKafkaApiKey> {
    Ok(match name {
        "produce" => RDKafkaApiKey::Produce,
        "fetch" => RDKafkaApiKey::Fetch,
        "list-offsets" => RDKafkaApiKey::ListOffsets,
        "offset-commit" => RDKafkaApiKey::OffsetCommit,
        "heartbeat" => RDKafkaApiKey::Heartbeat,
        "find-coordinator" => RDKafkaApiKey::FindCoordinator,
        "join" => RDKafkaApiKey::JoinGroup,
        _ => return Err(Error::usage(format!("unknown request: {name}"))),
    })
}

fn error_of(name: &str) -> Result<RDKafkaRespErr> {
    use RDKafkaRespErr as Code;
    Ok(match name {
        "none" => Code::RD_KAFKA_RESP_ERR_NO_ERROR,
        "not-enough-replicas" => Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        "not-leader" => Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        "timed-out" => Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        "out-of-order" => Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        "topic-denied" => Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        "group-denied" => Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        "unknown-topic" => Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        "unknown-member" => Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        _ => return Err(Error::usage(format!("unknown error: {name}"))),
    })
}
