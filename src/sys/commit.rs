//! Commits whose outcome is heard of within a bound: the safe client waits for one without any, and
//! sends one that is not waited for without a place for the answer.

use super::time;
use rdkafka::bindings::{
    rd_kafka_commit_queue, rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_queue_destroy,
    rd_kafka_queue_get_consumer, rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t,
    rd_kafka_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::ptr;
use std::time::Duration;

/// Sends a commit and does not wait; its outcome arrives at a poll, as the context's
/// `commit_callback`.
pub fn send<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    let client: *mut rd_kafka_t = consumer.client().native_ptr();
    // SAFETY: the client lives as long as the borrow; the answer is a counted reference or null.
    let queue = unsafe { rd_kafka_queue_get_consumer(client) };
    if queue.is_null() {
        return Err(RDKafkaErrorCode::UnknownGroup);
    }
    let sent = send_to(client, list, queue);
    // SAFETY: gives back the reference that was taken above, once.
    unsafe { rd_kafka_queue_destroy(queue) };
    sent
}

/// Sends a commit and waits for its outcome, at most `wait`. One that comes later is nobody's.
pub fn send_and_wait<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
    wait: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let client: *mut rd_kafka_t = consumer.client().native_ptr();
    // SAFETY: the client lives as long as the borrow; the answer is a queue of our own.
    let queue = unsafe { rd_kafka_queue_new(client) };
    let outcome = send_to(client, list, queue).and_then(|()| answer(queue, wait));
    // SAFETY: the queue is ours and is not used after this; the library keeps its own count.
    unsafe { rd_kafka_queue_destroy(queue) };
    outcome
}

fn send_to(
    client: *mut rd_kafka_t,
    list: &TopicPartitionList,
    queue: *mut rd_kafka_queue_t,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: client, list and queue are live; the library copies the list and keeps the queue by
    // a count of its own. Without a callback it touches no memory of ours.
    let answer = unsafe { rd_kafka_commit_queue(client, list.ptr(), queue, None, ptr::null_mut()) };
    checked(answer)
}

/// The outcome that arrives on the queue.
fn answer(queue: *mut rd_kafka_queue_t, wait: Duration) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: the queue is live; the answer is an event of our own, or null when none came.
    let event = unsafe { rd_kafka_queue_poll(queue, time::whole_ms(wait)) };
    if event.is_null() {
        return Err(RDKafkaErrorCode::OperationTimedOut);
    }
    // SAFETY: the event is live; the answer is a plain number, an error if any partition has one.
    let outcome = unsafe { rd_kafka_event_error(event) };
    // SAFETY: the event is ours; nothing of it is used after this.
    unsafe { rd_kafka_event_destroy(event) };
    checked(outcome)
}

/// Turns the library's "no error is 0" into a `Result`.
pub(super) fn checked(code: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(error.into()),
    }
}
