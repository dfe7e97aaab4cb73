//! One round: what is due → fetch its blocks → encode → produce.
//!
//! Each block is fetched and decompressed once a round, for all due segments in it, so rounds
//! are large. They are handed to the client little by little: what waits in its queue is to be
//! sent soon (`IN_FLIGHT_BYTES_MAX`). What becomes of the messages arrives later (`flight.rs`).

use super::bodies::Bodies;
use super::flight::{Flight, Flights, Ticket};
use super::held::Held;
use super::{Desk, letter};
use crate::error::Result;
use crate::kafka::producer::{Letter, Sent};
use crate::segment::ShardId;
use crate::segment::body;
use crate::segment::chunk::SpansBody;
use crate::segment::encode::{self, Encoded, Outgoing, Segment};
use crate::segment::index::{ChunkRef, DueName, DueSegment};
use crate::sys::headers::Header;
use crate::sys::time;
use std::collections::VecDeque;
use std::time::Duration;

/// Memory is kept for so long: rounds mostly follow each other.
const REST_AFTER: Duration = Duration::from_secs(5);

/// What is due of one shard and not yet handed to the client, with its bodies.
pub struct Round {
    shard: ShardId,
    /// The shard's taking that it belongs to; after another one the store may have moved on.
    taking: u64,
    due: VecDeque<DueSegment>,
    bodies: Bodies,
    /// Chunks of the segments that have left: where the first one's begin.
    gone: usize,
    began_at: Duration,
}

impl Round {
    pub fn none() -> Round {
        let (due, bodies) = (VecDeque::new(), Bodies::default());
        Round { shard: ShardId(0), taking: 0, due, bodies, gone: 0, began_at: Duration::ZERO }
    }

    pub fn is_over(&self) -> bool {
        self.due.is_empty()
    }

    /// Reads what is due. When the store has a hole, everything goes back and the index is built
    /// again, which finds the hole and mends it.
    pub fn begin(
        &mut self,
        desk: &mut Desk<'_>,
        held: &mut Held,
        due: Vec<DueSegment>,
    ) -> Result<()> {
        let chunks: Vec<ChunkRef> = due.iter().flat_map(|due| due.chunks.iter().copied()).collect();
        (self.shard, self.taking, self.gone) = (held.shard, held.taking, 0);
        self.began_at = time::monotonic();
        self.due = due.into();
        match self.bodies.read(desk, held.shard, &chunks) {
            Ok(true) => Ok(()),
            Ok(false) => {
                log::warn!("shard {}: bytes are missing from the store", held.shard);
                self.due.clear();
                held.hole(desk)
            }
            Err(error) => {
                self.give_back(held);
                Err(error)
            }
        }
    }

    /// Starts the delivery of one segment after another, until enough is in flight. Of a shard
    /// that is not ours any more nothing is sent.
    pub fn hand_on(
        &mut self,
        desk: &mut Desk<'_>,
        all: &mut [Held],
        flights: &mut Flights,
    ) -> Result<()> {
        let Some(held) = all.iter_mut().find(|held| self.is_of(held)) else {
            self.due.clear();
            return Ok(());
        };
        if !held.is_sure(desk)? {
            self.due.clear();
            return Ok(());
        }
        while desk.may_send(flights) {
            let Some(due) = self.due.pop_front() else { break };
            let chunks = due.chunks.len();
            if due.letters_below.is_some() && desk.letter_room(flights) == 0 {
                held.give_back(due);
                self.gone += chunks;
                continue;
            }
            if !start(desk, held, flights, Bodied { bodies: &self.bodies, first: self.gone }, due) {
                log::error!("shard {}: a chunk's body cannot be read", held.shard);
                self.due.clear();
                return held.hole(desk);
            }
            self.gone += chunks;
            if desk.lanes.is_request_full(desk.is_alone()) {
                desk.send_request();
            }
        }
        Ok(())
    }

    /// Whether what is left of it belongs to this shard as it is held now.
    pub fn is_of(&self, held: &Held) -> bool {
        !self.is_over() && held.shard == self.shard && held.taking == self.taking
    }

    /// What has not left is due again.
    pub fn give_back(&mut self, held: &mut Held) {
        std::mem::take(&mut self.due).into_iter().for_each(|due| held.give_back(due));
    }

    /// Gives its memory back when nothing has been due for a while.
    pub fn rest(&mut self, now: Duration) {
        if self.is_over() && now.saturating_sub(self.began_at) >= REST_AFTER {
            self.bodies.free();
        }
    }
}

/// The bodies of one segment: those of the round from the first on.
#[derive(Clone, Copy)]
struct Bodied<'b> {
    bodies: &'b Bodies,
    first: usize,
}

impl<'b> Bodied<'b> {
    fn spans(self, due: &DueSegment) -> Option<Vec<SpansBody<'b>>> {
        let chunks = due.chunks.iter().enumerate();
        chunks
            .map(|(nth, chunk)| body::spans(self.bodies.get(self.first + nth)?, chunk.spans).ok())
            .collect()
    }
}

/// Starts one segment, its dead letters, or one reject; false when its bodies cannot be read.
fn start(
    desk: &mut Desk<'_>,
    held: &Held,
    flights: &mut Flights,
    bodied: Bodied<'_>,
    due: DueSegment,
) -> bool {
    let mut flight = Flight::new(held.shard, held.taking, due);
    let sent = match flight.due.segment {
        Some(name) => bodied
            .spans(&flight.due)
            .map(|bodies| send_segment(desk, flights, &mut flight, name, bodies)),
        None => bodied.bodies.get(bodied.first).and_then(|body| {
            let reject = body::reject(body).ok()?;
            letter::send_reject(desk, flights, &mut flight, &reject);
            Some(())
        }),
    };
    if sent.is_some() {
        flights.launch(flight);
    }
    sent.is_some()
}

fn send_segment(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    name: DueName,
    bodies: Vec<SpansBody<'_>>,
) {
    let segment = Segment {
        shard: flight.shard,
        id: name.id,
        has_root: name.has_root,
        reason: flight.due.reason,
        bodies,
    };
    let refused_bytes = flight.due.delivered_below.unwrap_or(desk.refused_bytes);
    let limit = message_limit(desk, refused_bytes);
    let Encoded { messages, duplicates } = encode::encode(&segment, limit);
    flight.became.duplicates += u64::from(duplicates);
    let keeps_letters = desk.config.dead_letter_topic.is_some();
    for message in &messages {
        let is_refused = message.offsets.len() == 1 && message.payload.len() >= refused_bytes;
        match (is_refused, flight.is_letters()) {
            (true, false) if keeps_letters => flight.owes_letters = Some(refused_bytes),
            (true, _) => letter::send_too_large(desk, flights, flight, &segment, message),
            (false, false) => send_message(desk, flights, flight, message),
            (false, true) => flight.became.delivered += message.offsets.len() as u64,
        }
    }
}

/// Bytes of spans in one message: the configured limit, or half of what the broker refused.
fn message_limit(desk: &Desk<'_>, refused_bytes: usize) -> usize {
    (desk.config.max_segment_bytes as usize).min(refused_bytes / 2)
}

fn send_message(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    message: &Outgoing,
) {
    let headers: Vec<Header<'_>> = message
        .headers
        .iter()
        .map(|(name, text)| (name.as_bytes(), Some(text.as_bytes())))
        .collect();
    let topic = desk.config.output_topic.clone();
    let alone = desk.is_alone();
    let letter = Letter {
        topic: &topic,
        partition: desk.lanes.give(message.payload.len(), alone, time::monotonic()),
        key: None,
        payload: Some(&message.payload),
        headers: &headers,
    };
    flight.became.delivered += message.offsets.len() as u64;
    post(desk, flights, flight, &letter, message.payload.len());
}

/// Queues one message under a ticket of its own and notes it in the flight. What cannot be
/// queued makes the flight fail, so that it is tried again. `bytes` is what counts of its size.
pub fn post(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    letter: &Letter<'_>,
    bytes: usize,
) {
    let number = flights.ticket();
    let sent = desk.producer.send(number, letter);
    if !flight.is_letters() && !matches!(sent, Ok(Sent::Queued)) {
        desk.lanes.failed(letter.partition);
    }
    match sent {
        Ok(Sent::Queued) => {
            desk.producer.seal(number);
            let (sent_alone, partition) = (desk.producer.is_alone(letter.topic), letter.partition);
            flight.tickets.push(Ticket { number, bytes, sent_alone, partition });
            flight.bytes += bytes as u64;
        }
        Ok(Sent::TooLarge) => flight.refused(desk, bytes),
        Ok(Sent::Full) => {
            desk.kafka_backoff.failed(time::monotonic());
            flight.failed = true;
        }
        Err(trouble) => {
            flight.failed = true;
            flight.trouble(desk, &trouble, time::monotonic());
        }
    }
}
