//! Questions for the ends of partitions that nobody waits for: the safe client has only one that
//! waits, and for all brokers at once. And how far partitions are read, asked of the client alone.

use super::commit::checked;
use super::time;
use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new,
    rd_kafka_AdminOptions_set_isolation_level, rd_kafka_AdminOptions_set_opaque,
    rd_kafka_AdminOptions_set_request_timeout, rd_kafka_AdminOptions_t, rd_kafka_IsolationLevel_t,
    rd_kafka_ListOffsets, rd_kafka_ListOffsets_result_infos, rd_kafka_ListOffsetsResultInfo_t,
    rd_kafka_ListOffsetsResultInfo_topic_partition, rd_kafka_admin_op_t, rd_kafka_error_destroy,
    rd_kafka_event_ListOffsets_result, rd_kafka_event_destroy, rd_kafka_event_error,
    rd_kafka_event_opaque, rd_kafka_event_t, rd_kafka_position, rd_kafka_queue_destroy,
    rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::ops::Deref;
use std::time::Duration;
use std::{ptr, slice};

/// What is asked.
pub struct Question<'l> {
    /// In place of offsets these name what is asked for: `Offset::End`.
    pub partitions: &'l TopicPartitionList,
    /// Comes back with the answer.
    pub number: usize,
    /// What was not answered in this time is answered with an error.
    pub within: Duration,
    /// The end for those who read what is committed: before the first open transaction.
    pub is_committed: bool,
}

/// A partition and its next offset, or why that is not known.
pub type End = (i32, Result<i64, RDKafkaErrorCode>);

/// What came of a question.
pub struct Answer {
    pub number: usize,
    pub outcome: Result<Vec<End>, RDKafkaErrorCode>,
}

/// A consumer with a queue for the answers, which belongs to no other and does not outlive it.
pub struct Asking<C: ConsumerContext> {
    /// In front, so that it goes first.
    answers: Answers,
    consumer: BaseConsumer<C>,
}

impl<C: ConsumerContext> Asking<C> {
    pub fn of(consumer: BaseConsumer<C>) -> Asking<C> {
        // SAFETY: the client is live; the answer is a queue of our own.
        let queue = unsafe { rd_kafka_queue_new(consumer.client().native_ptr()) };
        Asking { answers: Answers { queue }, consumer }
    }

    /// Asks and does not wait.
    pub fn ask(&self, question: &Question<'_>) {
        let client = self.consumer.client().native_ptr();
        let kind = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        // SAFETY: the client is live, since we own it; the answer is ours.
        let options = unsafe { rd_kafka_AdminOptions_new(client, kind) };
        set(options, question);
        let list = question.partitions.ptr();
        // SAFETY: client, list, options and queue are live; the library copies list and options,
        // and keeps the queue by a count of its own.
        unsafe { rd_kafka_ListOffsets(client, list, options, self.answers.queue) };
        // SAFETY: the options are ours and are not used after this.
        unsafe { rd_kafka_AdminOptions_destroy(options) };
    }

    /// An answer that has arrived.
    pub fn next_answer(&self) -> Option<Answer> {
        // SAFETY: the queue is ours and its client is live, since we own it; the answer is an event
        // of our own, or null.
        let event = unsafe { rd_kafka_queue_poll(self.answers.queue, 0) };
        if event.is_null() {
            return None;
        }
        let answer = read(event);
        // SAFETY: the event is ours; nothing of it is used after this.
        unsafe { rd_kafka_event_destroy(event) };
        Some(answer)
    }
}

impl<C: ConsumerContext> Deref for Asking<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &BaseConsumer<C> {
        &self.consumer
    }
}

struct Answers {
    queue: *mut rd_kafka_queue_t,
}

impl Drop for Answers {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and is not used after this; who asks keeps its own count.
        unsafe { rd_kafka_queue_destroy(self.queue) };
    }
}

/// Sets the offsets of the list to what is behind the last message or marker that the client has
/// handed out or passed over; where there is none since the last seek, to none.
pub fn read_to<C: ConsumerContext>(consumer: &BaseConsumer<C>, list: &mut TopicPartitionList) {
    // SAFETY: client and list are live, and the list is ours alone. What is not known of a
    // partition stands in its element; the answer is never an error.
    let _ = unsafe { rd_kafka_position(consumer.client().native_ptr(), list.ptr()) };
}

fn set(options: *mut rd_kafka_AdminOptions_t, question: &Question<'_>) {
    let within = time::whole_ms(question.within);
    // SAFETY: the options are live; without room for it no text of an error is written. It refuses
    // only times of more than an hour, and then the default stays.
    let _ =
        unsafe { rd_kafka_AdminOptions_set_request_timeout(options, within, ptr::null_mut(), 0) };
    let level = match question.is_committed {
        true => rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        false => rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
    };
    // SAFETY: the options are live; the answer is null, or an error of our own.
    let refused = unsafe { rd_kafka_AdminOptions_set_isolation_level(options, level) };
    if !refused.is_null() {
        // SAFETY: the error is ours and is not used after this.
        unsafe { rd_kafka_error_destroy(refused) };
    }
    let number = ptr::without_provenance_mut(question.number);
    // SAFETY: the options are live; the library never looks behind this pointer.
    unsafe { rd_kafka_AdminOptions_set_opaque(options, number) };
}

fn read(event: *mut rd_kafka_event_t) -> Answer {
    // SAFETY: the event is live; the answer is the number that went with the question.
    let number = unsafe { rd_kafka_event_opaque(event) }.addr();
    // SAFETY: the event is live; the answer is a plain number.
    let error = unsafe { rd_kafka_event_error(event) };
    Answer { number, outcome: checked(error).map(|()| ends(event)) }
}

fn ends(event: *mut rd_kafka_event_t) -> Vec<End> {
    // SAFETY: the event is live; the answer is a part of it, or null when it is of another kind.
    let result = unsafe { rd_kafka_event_ListOffsets_result(event) };
    if result.is_null() {
        return Vec::new();
    }
    let mut count = 0;
    // SAFETY: the result is live, and the place for the count is ours.
    let infos = unsafe { rd_kafka_ListOffsets_result_infos(result, &raw mut count) };
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: there are `count` of them, here more than none, and they live as long as the event.
    let infos = unsafe { slice::from_raw_parts(infos, count) };
    infos.iter().map(|info| end(*info)).collect()
}

fn end(info: *const rd_kafka_ListOffsetsResultInfo_t) -> End {
    // SAFETY: the caller has it from a live event; the answer is a part of it.
    let elem = unsafe { rd_kafka_ListOffsetsResultInfo_topic_partition(info) };
    // SAFETY: never null, and it lives as long as the event.
    let elem = unsafe { &*elem };
    let found = checked(elem.err).and(match elem.offset {
        // The broker that leads it did not answer.
        ..0 => Err(RDKafkaErrorCode::OperationTimedOut),
        offset => Ok(offset),
    });
    (elem.partition, found)
}
