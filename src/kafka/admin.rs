//! Questions about topics, and the making of one: what neither client can do.
//!
//! Each call has a bound; asked once, or once in a long while.

use super::settings;
use crate::config::Config;
use crate::error::{Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use std::fmt::Display;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Replicas of a new topic: as many as the brokers give by default.
const REPLICAS: TopicReplication<'static> = TopicReplication::Fixed(-1);

pub struct Admin {
    /// Never dropped: that may wait for brokers that do not answer.
    client: ManuallyDrop<AdminClient<DefaultClientContext>>,
    wait: Duration,
}

impl Admin {
    /// Every answer is waited for at most `wait`.
    pub fn open(config: &Config, wait: Duration) -> Result<Admin> {
        let client = settings::admin(config).create();
        let client = client.map_err(|why| failed("open a client for topics", &why))?;
        Ok(Admin { client: ManuallyDrop::new(client), wait })
    }

    /// A setting of a topic; `None` where it has none of that name.
    pub fn setting(&self, topic: &str, name: &str) -> Result<Option<String>> {
        let doing = format!("ask for the {name} of topic {topic}");
        let resource = [ResourceSpecifier::Topic(topic)];
        let options = self.options();
        let answer = self.answer(&doing, self.client.describe_configs(&resource, &options))?;
        let found = answer.into_iter().next().ok_or_else(|| failed(&doing, &"an empty answer"))?;
        let entries = found.map_err(|code| failed(&doing, &code))?;
        Ok(entries.get(name).and_then(|entry| entry.value.clone()))
    }

    /// Makes a topic of one partition; that there is one already is no error.
    pub fn create(&self, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
        let doing = format!("create topic {topic}");
        let new = NewTopic::new(topic, 1, REPLICAS);
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let options = self.options();
        let answer = self.answer(&doing, self.client.create_topics([&new], &options))?;
        match answer.into_iter().next() {
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(failed(&doing, &code)),
            None => Err(failed(&doing, &"an empty answer")),
        }
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.wait)).operation_timeout(Some(self.wait))
    }

    /// Waits for what another thread completes, without a runtime.
    fn answer<T>(&self, doing: &str, future: impl Future<Output = KafkaResult<T>>) -> Result<T> {
        let deadline = Instant::now() + self.wait;
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        while Instant::now() < deadline {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return output.map_err(|why| failed(doing, &why)),
                Poll::Pending => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(failed(doing, &"no answer"))
    }
}

fn failed(doing: &str, why: &dyn Display) -> Error {
    Error::temporary(format!("cannot {doing}: {why}"))
}

/// The input topic's `retention.ms`; `None` when it keeps everything, or by size alone.
pub fn input_retention(config: &Config, wait: Duration) -> Result<Option<Duration>> {
    let found = Admin::open(config, wait)?.setting(&config.input_topic, "retention.ms")?;
    // -1: without end.
    Ok(found.and_then(|text| text.parse::<u64>().ok()).map(Duration::from_millis))
}
