//! One round: what is due → fetch its blocks → encode → produce.
//!
//! Each block is fetched and decompressed once a round, for all due segments in it. A round
//! only starts messages; what becomes of them arrives later (`flight.rs`).

use super::flight::{Flight, Flights, Ticket};
use super::held::Held;
use super::{Desk, letter};
use crate::error::Result;
use crate::kafka::producer::{Letter, Sent};
use crate::segment::batch::{self, Block};
use crate::segment::body;
use crate::segment::chunk::SpansBody;
use crate::segment::encode::{self, Encoded, Outgoing, Segment};
use crate::segment::hash::QuickMap;
use crate::segment::index::{ChunkRef, DueName, DueSegment};
use crate::segment::{BatchId, ShardId};
use crate::store::Store;
use crate::sys::time;

/// What is decompressed at a time. A block holds 16 KiB of many segments, or one larger chunk.
const PAGE_BYTES: u64 = 8 << 20;

/// Of a block of which less than one part in this many is wanted, only that is kept.
const SPARSE: usize = 2;

type BlockKey = (BatchId, u32);

/// The bodies of some chunks, with at most as much again beside them.
#[derive(Default)]
pub struct Blocks {
    /// Decompressed blocks by batch and number.
    whole: QuickMap<BlockKey, Vec<u8>>,
    /// Single bodies by batch and ordinal.
    bodies: QuickMap<(BatchId, u32), Vec<u8>>,
}

impl Blocks {
    /// The bytes of a chunk's body; `None` when the block is shorter than it should be.
    pub fn body(&self, chunk: &ChunkRef) -> Option<&[u8]> {
        match self.whole.get(&(chunk.batch, chunk.block_no)) {
            Some(block) => body_in(block, chunk),
            None => self.bodies.get(&(chunk.batch, chunk.ordinal)).map(Vec::as_slice),
        }
    }

    fn keep(&mut self, block: Vec<u8>, chunks: &[&ChunkRef]) {
        let wanted: usize = chunks.iter().map(|chunk| chunk.body_bytes as usize).sum();
        if let Some(first) = chunks.first()
            && wanted * SPARSE >= block.len()
        {
            self.whole.insert((first.batch, first.block_no), block);
            return;
        }
        for chunk in chunks {
            if let Some(body) = body_in(&block, chunk) {
                self.bodies.insert((chunk.batch, chunk.ordinal), body.to_vec());
            }
        }
    }
}

fn body_in<'b>(block: &'b [u8], chunk: &ChunkRef) -> Option<&'b [u8]> {
    let start = chunk.body_at as usize;
    block.get(start..start.checked_add(chunk.body_bytes as usize)?)
}

/// Fetches and decompresses the blocks of these chunks, each once, page by page. `None` when one
/// is missing or damaged: the store has a hole.
pub fn read_blocks(
    desk: &mut Desk<'_>,
    shard: ShardId,
    chunks: &[ChunkRef],
) -> Result<Option<Blocks>> {
    let mut wanted: QuickMap<BlockKey, Vec<&ChunkRef>> = QuickMap::default();
    let mut order: Vec<(ShardId, BatchId, Block)> = Vec::new();
    let mut keys: Vec<BlockKey> = Vec::new();
    for chunk in chunks {
        let key = (chunk.batch, chunk.block_no);
        let of_block = wanted.entry(key).or_default();
        if of_block.is_empty() {
            order.push((shard, chunk.batch, chunk.block));
            keys.push(key);
        }
        of_block.push(chunk);
    }
    let mut blocks = Blocks::default();
    for page in pages(&order) {
        let fetched = desk.store.fetch(&order[page.clone()])?;
        for ((key, (_, _, block)), stored) in
            keys[page.clone()].iter().zip(&order[page]).zip(fetched)
        {
            let Some(stored) = stored else { return Ok(None) };
            match batch::unpack_block(block, &stored) {
                Ok(bytes) => blocks.keep(bytes, &wanted[key]),
                Err(damage) => {
                    log::error!("shard {shard}: a block cannot be read: {}", damage.what);
                    return Ok(None);
                }
            }
        }
    }
    Ok(Some(blocks))
}

/// Runs of blocks of at most [`PAGE_BYTES`] when decompressed; one block at least.
fn pages(order: &[(ShardId, BatchId, Block)]) -> Vec<std::ops::Range<usize>> {
    let (mut pages, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, (_, _, block)) in order.iter().enumerate() {
        if at > start && bytes + u64::from(block.raw_bytes) > PAGE_BYTES {
            pages.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += u64::from(block.raw_bytes);
    }
    if start < order.len() {
        pages.push(start..order.len());
    }
    pages
}

/// Starts the delivery of what is due. When the store has a hole, everything goes back and the
/// index is built again, which finds the hole and mends it.
pub fn start(
    desk: &mut Desk<'_>,
    held: &mut Held,
    flights: &mut Flights,
    due: Vec<DueSegment>,
) -> Result<()> {
    let chunks: Vec<ChunkRef> = due.iter().flat_map(|due| due.chunks.iter().copied()).collect();
    let blocks = match read_blocks(desk, held.shard, &chunks) {
        Ok(Some(blocks)) => blocks,
        Ok(None) => {
            log::warn!("shard {}: bytes are missing from the store", held.shard);
            return held.hole(desk);
        }
        Err(error) => {
            give_back(held, due);
            return Err(error);
        }
    };
    match held.is_sure(desk) {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(error) => {
            give_back(held, due);
            return Err(error);
        }
    }
    for due in due {
        if !start_one(desk, held, flights, &blocks, due) {
            log::error!("shard {}: a chunk's body cannot be read", held.shard);
            return held.hole(desk);
        }
    }
    Ok(())
}

fn give_back(held: &mut Held, due: Vec<DueSegment>) {
    if let Some(index) = held.index() {
        for due in due {
            index.give_back(due);
        }
    }
}

/// Starts one segment or one reject; false when its bodies cannot be read.
fn start_one(
    desk: &mut Desk<'_>,
    held: &Held,
    flights: &mut Flights,
    blocks: &Blocks,
    due: DueSegment,
) -> bool {
    let mut flight = Flight::new(held.shard, held.taking, due);
    let sent = match flight.due.segment {
        Some(name) => parse_spans(blocks, &flight.due)
            .map(|bodies| send_segment(desk, flights, &mut flight, name, bodies)),
        None => flight.due.chunks.first().copied().and_then(|chunk| {
            let reject = body::reject(blocks.body(&chunk)?).ok()?;
            letter::send_reject(desk, flights, &mut flight, &reject);
            Some(())
        }),
    };
    if sent.is_some() {
        flights.launch(flight);
    }
    sent.is_some()
}

fn parse_spans<'b>(blocks: &'b Blocks, due: &DueSegment) -> Option<Vec<SpansBody<'b>>> {
    due.chunks.iter().map(|chunk| body::spans(blocks.body(chunk)?, chunk.spans).ok()).collect()
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
    let limit = message_limit(desk);
    let Encoded { messages, duplicates } = encode::encode(&segment, limit);
    flight.became.duplicates += u64::from(duplicates);
    for message in &messages {
        if message.offsets.len() == 1 && message.payload.len() >= desk.refused_bytes {
            letter::send_too_large(desk, flights, flight, &segment, message);
        } else {
            send_message(desk, flights, flight, message);
        }
    }
}

/// Bytes of spans in one message: the configured limit, or half of what the broker refused.
fn message_limit(desk: &Desk<'_>) -> usize {
    (desk.config.max_segment_bytes as usize).min(desk.refused_bytes / 2)
}

fn send_message(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    message: &Outgoing,
) {
    let headers: Vec<(&str, Option<&[u8]>)> =
        message.headers.iter().map(|(name, text)| (*name, Some(text.as_bytes()))).collect();
    let topic = desk.config.output_topic.clone();
    let letter = Letter {
        topic: &topic,
        partition: None,
        key: None,
        payload: Some(&message.payload),
        headers: &headers,
    };
    flight.became.delivered += message.offsets.len() as u64;
    post(desk, flights, flight, &letter, false);
}

/// Queues one message under a ticket of its own and notes it in the flight. What cannot be
/// queued makes the flight fail, so that it is tried again.
pub fn post(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    letter: &Letter<'_>,
    is_letter: bool,
) {
    let number = flights.ticket();
    let bytes = letter.payload.map_or(0, <[u8]>::len);
    match desk.producer.send(number, letter) {
        Ok(Sent::Queued) => {
            desk.producer.seal(number);
            let sent_alone = desk.producer.is_alone();
            flight.tickets.push(Ticket { number, bytes, is_letter, sent_alone });
            flight.bytes += bytes as u64;
        }
        Ok(Sent::TooLarge) => {
            desk.too_large(bytes, is_letter);
            flight.failed = true;
        }
        Ok(Sent::Full) => {
            desk.kafka_backoff.failed(time::monotonic());
            flight.failed = true;
        }
        Err(trouble) => {
            desk.kafka_backoff.failed(time::monotonic());
            flight.failed = true;
            desk.trouble(&trouble);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(raw_bytes: u32) -> Block {
        Block { at: 0, stored_bytes: 0, raw_bytes, checksum: 0 }
    }

    fn chunk(ordinal: u32, body_at: u32, body_bytes: u32) -> ChunkRef {
        let batch = BatchId(1);
        ChunkRef { batch, ordinal, block_no: 0, block: block(100), body_at, body_bytes, spans: 1 }
    }

    #[test]
    fn of_a_sparse_block_only_what_is_wanted_is_kept() {
        let bytes: Vec<u8> = (0..100).collect();
        for (body_bytes, whole) in [(10, 0), (60, 1)] {
            let (one, beyond) = (chunk(3, 20, body_bytes), chunk(4, 90, 20));
            let mut blocks = Blocks::default();
            blocks.keep(bytes.clone(), &[&one, &beyond]);
            assert_eq!(blocks.whole.len(), whole);
            assert_eq!(blocks.body(&one), Some(&bytes[20..20 + body_bytes as usize]));
            assert_eq!(blocks.body(&beyond), None, "beyond the block");
        }
    }

    #[test]
    fn pages_are_bounded_and_leave_nothing_out() {
        let page = PAGE_BYTES as u32;
        let sizes = [page / 2, page / 2, 1, page * 3, page];
        let order: Vec<_> = sizes.map(|size| (ShardId(0), BatchId(0), block(size))).into();
        assert_eq!(pages(&order), [0..2, 2..3, 3..4, 4..5]);
        assert_eq!(pages(&[]), []);
    }
}
