//! Sending what the client holds: the safe client can only ask for that and at once take it back.

use super::time;
use rdkafka::bindings::rd_kafka_flush;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use std::time::Duration;

/// Has the client send what it was given, whatever `linger.ms` says, within `wait`; returns sooner
/// only when all of that was acknowledged.
pub fn send_now<C: ProducerContext>(producer: &BaseProducer<C>, wait: Duration) {
    // SAFETY: the client lives as long as the borrow. It hands out events, so this only waits and
    // calls nothing of ours. That something is still on its way is no error here.
    let _ = unsafe { rd_kafka_flush(producer.client().native_ptr(), time::whole_ms(wait)) };
}
