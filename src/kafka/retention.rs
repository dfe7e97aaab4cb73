//! How long a topic keeps its messages: asked once, at start.

use super::settings;
use crate::config::Config;
use crate::error::{Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The input topic's `retention.ms`; `None` when it keeps everything, or by size alone.
pub fn of_input(config: &Config, wait: Duration) -> Result<Option<Duration>> {
    let topic = &config.input_topic;
    let failed = |why: String| {
        Error::temporary(format!("cannot ask for the retention of topic {topic}: {why}"))
    };
    let client: AdminClient<DefaultClientContext> =
        settings::admin(config).create().map_err(|why| failed(why.to_string()))?;
    // Never dropped: that may wait for brokers that do not answer.
    let client = std::mem::ManuallyDrop::new(client);
    let options = AdminOptions::new().request_timeout(Some(wait));
    let resource = [ResourceSpecifier::Topic(topic)];
    let answer = wait_for(client.describe_configs(&resource, &options), wait)
        .ok_or_else(|| failed("no answer".to_owned()))?
        .map_err(|why| failed(why.to_string()))?;
    let entry = answer
        .into_iter()
        .next()
        .ok_or_else(|| failed("an empty answer".to_owned()))?
        .map_err(|code| failed(code.to_string()))?;
    let value = entry.get("retention.ms").and_then(|entry| entry.value.clone());
    // -1: without end.
    Ok(value.and_then(|text| text.parse::<u64>().ok()).map(Duration::from_millis))
}

/// Waits for what another thread completes, without a runtime.
fn wait_for<F: Future>(future: F, wait: Duration) -> Option<F::Output> {
    let deadline = Instant::now() + wait;
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    while Instant::now() < deadline {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    None
}
