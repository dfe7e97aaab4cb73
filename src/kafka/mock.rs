//! librdkafka's mock cluster, for `demo` and the tests: a broker without Kafka.
//!
//! It serves other processes over TCP on the loopback interface, on a port of its own choice.
//! It keeps little (5 MiB a partition) and knows no time lookup; what it is good for is being
//! there in a millisecond, and failing on request.

use crate::error::{Error, Result};
use rdkafka::mocking::MockCluster;
use std::time::Duration;

/// A mock cluster of one broker; it ends with this value.
pub struct Mock {
    cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
}

impl Mock {
    /// Starts it with these topics and numbers of partitions.
    pub fn start(topics: &[(String, u32)]) -> Result<Mock> {
        let failed = |why| Error::temporary(format!("cannot start the mock cluster: {why}"));
        let cluster = MockCluster::new(1).map_err(failed)?;
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

    /// Takes the broker away, or brings it back.
    pub fn set_up(&self, up: bool) -> Result<()> {
        let done = if up { self.cluster.broker_up(1) } else { self.cluster.broker_down(1) };
        done.map_err(|why| Error::temporary(format!("cannot switch the mock broker: {why}")))
    }

    /// Lets every answer take this long.
    pub fn set_delay(&self, delay: Duration) -> Result<()> {
        let done = self.cluster.broker_round_trip_time(1, delay);
        done.map_err(|why| Error::temporary(format!("cannot delay the mock broker: {why}")))
    }
}
