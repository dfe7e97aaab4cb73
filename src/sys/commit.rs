//! A commit whose outcome is heard of: the safe client sends commits that are not waited for
//! without a place for the answer, and their outcome would be lost.

use rdkafka::bindings::{
    rd_kafka_commit_queue, rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::ptr;

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
    // SAFETY: client, list and queue are live; the library copies the list and keeps the queue by
    // a count of its own. Without a callback it touches no memory of ours.
    let answer = unsafe { rd_kafka_commit_queue(client, list.ptr(), queue, None, ptr::null_mut()) };
    // SAFETY: gives back the reference that was taken above, once.
    unsafe { rd_kafka_queue_destroy(queue) };
    if answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(answer.into()) }
}
