//! What each live batch still holds: where its chunks lie, marks, floor, what to clean.
//!
//! A chunk has a number of its own for as long as it lives, also when cleaning moves it to
//! another batch. Nothing here knows of segments.

use super::{BatchMarks, ChunkRef, Marks};
use crate::segment::batch::{Block, Header};
use crate::segment::hash::QuickMap;
use crate::segment::offset_map::OffsetMap;
use crate::segment::{BatchId, EventMs, Offset};
use std::collections::BTreeSet;

/// Counted cost of one chunk: entry, place in its batch, floor tree, place in its set.
const CHUNK_BYTES: u64 = 120;
/// Counted cost of one batch without its chunks: entry in a half-full table, marks.
const BATCH_BYTES: u64 = 300;
/// Counted cost of one span of a live batch: its offset.
const SPAN_BYTES: u64 = 8;
/// The same of one block.
const BLOCK_BYTES: u64 = size_of::<Block>() as u64;
/// Cleaning begins where so many percent of what is wanted are stored, and goes on down to so many:
/// what is moved for a little less is moved again for the next little.
const CLEAN_FROM: u64 = 125;
const CLEAN_TO: u64 = 110;
/// In place of a chunk's number when the chunk is settled.
const GONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Chunk {
    batch: BatchId,
    ordinal: u32,
    block_no: u32,
    body_at: u32,
    body_bytes: u32,
    /// Its spans in the batch's `offsets`.
    spans_start: u32,
    spans: u32,
    in_flight: bool,
    first: Offset,
    /// The lowest offset of its spans.
    low: Offset,
    first_ms: EventMs,
}

struct Live {
    header_bytes: u32,
    blocks: Vec<Block>,
    base: Option<u32>,
    /// The offset of each span, as in the header.
    offsets: Vec<Offset>,
    marks: Marks,
    /// Chunk numbers by ordinal.
    chunks: Vec<u32>,
    left: u32,
    in_flight: u32,
    raw_bytes: u64,
    live_bytes: u64,
    stored_bytes: u64,
}

#[derive(Default)]
pub struct Batches {
    chunks: Vec<Chunk>,
    free: Vec<u32>,
    batches: QuickMap<BatchId, Live>,
    floors: BTreeSet<(Offset, u32)>,
    totals: Totals,
    /// Of all live chunks.
    spans: u64,
    /// Offsets held for the live batches, those of settled spans included.
    offsets_held: u64,
    /// The same of blocks.
    blocks_held: u64,
}

/// Batches worth cleaning together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sparse {
    pub batches: Vec<BatchId>,
    /// There are more than may be cleaned at a time.
    pub more: bool,
}

/// Sums over the live batches: asked for every second, whatever the number of batches.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    stored: u64,
    /// What is still wanted of the stored bytes.
    wanted: u64,
    /// Raw bytes of the live chunks.
    live: u64,
    marked: usize,
}

impl Totals {
    /// Counted anew: what the sums must always be.
    fn of<'l>(batches: impl Iterator<Item = &'l Live>) -> Totals {
        let mut totals = Totals::default();
        batches.for_each(|live| totals.add(live));
        totals
    }

    fn add(&mut self, live: &Live) {
        self.stored += live.stored_bytes;
        self.wanted += live.live_stored();
        self.live += live.live_bytes;
        self.marked += usize::from(live.is_marked());
    }

    fn take(&mut self, live: &Live) {
        self.stored -= live.stored_bytes;
        self.wanted -= live.live_stored();
        self.live -= live.live_bytes;
        self.marked -= usize::from(live.is_marked());
    }
}

/// Counted cost of so many chunks with so many spans.
pub fn chunk_bytes(chunks: u64, spans: u64) -> u64 {
    chunks * CHUNK_BYTES + spans * SPAN_BYTES
}

impl Live {
    fn of(header: &Header, header_bytes: u32, marks: Marks) -> Live {
        let stored: u64 = header.blocks.iter().map(|block| u64::from(block.stored_bytes)).sum();
        Live {
            header_bytes,
            blocks: header.blocks.clone(),
            base: header.base,
            offsets: header.spans.iter().map(|span| span.offset).collect(),
            marks,
            chunks: vec![GONE; header.chunks.len()],
            left: 0,
            in_flight: 0,
            raw_bytes: header.blocks.iter().map(|block| u64::from(block.raw_bytes)).sum(),
            live_bytes: 0,
            stored_bytes: stored + u64::from(header_bytes),
        }
    }

    /// The share of its stored bytes that is still wanted.
    fn live_stored(&self) -> u64 {
        let share = u128::from(self.stored_bytes) * u128::from(self.live_bytes);
        (share / u128::from(self.raw_bytes.max(1))) as u64
    }

    fn is_marked(&self) -> bool {
        !self.marks.0.is_empty()
    }

    fn batch_marks(&self, batch: BatchId, spans: u64) -> BatchMarks {
        let (header_bytes, marks) = (self.header_bytes, self.marks.clone());
        BatchMarks { batch, header_bytes, marks, done: self.left == 0, spans }
    }
}

impl Batches {
    /// Takes in a batch; returns (ordinal, number) of its chunks that are not in `marks`.
    pub fn add(&mut self, header: &Header, header_bytes: u32, marks: Marks) -> Vec<(u32, u32)> {
        let mut live = Live::of(header, header_bytes, marks);
        let mut placed = Vec::with_capacity(header.chunks.len());
        for (ordinal, head) in header.chunks.iter().enumerate() {
            let ordinal = ordinal as u32;
            if live.marks.has(ordinal) {
                continue;
            }
            let start = head.spans_start as usize;
            let spans = &header.spans[start..start + head.spans_count as usize];
            let offsets = || spans.iter().map(|span| span.offset);
            let id = self.new_chunk(Chunk {
                batch: header.id,
                ordinal,
                block_no: head.block,
                body_at: head.body_at,
                body_bytes: head.body_bytes,
                spans_start: head.spans_start,
                spans: head.spans_count,
                in_flight: false,
                first: offsets().next().unwrap_or(header.start),
                low: offsets().min().unwrap_or(header.start),
                first_ms: head.first_ms,
            });
            live.chunks[ordinal as usize] = id;
            live.left += 1;
            live.live_bytes += u64::from(head.body_bytes);
            self.spans += u64::from(head.spans_count);
            placed.push((ordinal, id));
        }
        self.keep(header.id, live);
        placed
    }

    fn keep(&mut self, batch: BatchId, live: Live) {
        self.offsets_held += live.offsets.len() as u64;
        self.blocks_held += live.blocks.len() as u64;
        self.totals.add(&live);
        let old = self.batches.insert(batch, live);
        self.dropped(old.as_ref());
    }

    fn forget(&mut self, batch: BatchId) {
        let old = self.batches.remove(&batch);
        self.dropped(old.as_ref());
    }

    fn dropped(&mut self, old: Option<&Live>) {
        if let Some(old) = old {
            self.offsets_held -= old.offsets.len() as u64;
            self.blocks_held -= old.blocks.len() as u64;
            self.totals.take(old);
        }
    }

    fn new_chunk(&mut self, chunk: Chunk) -> u32 {
        let id = match self.free.pop() {
            Some(id) => {
                self.chunks[id as usize] = chunk;
                id
            }
            None => {
                self.chunks.push(chunk);
                (self.chunks.len() - 1) as u32
            }
        };
        self.floors.insert((chunk.low, id));
        id
    }

    pub fn first(&self, id: u32) -> Offset {
        self.chunks[id as usize].first
    }

    pub fn first_ms(&self, id: u32) -> EventMs {
        self.chunks[id as usize].first_ms
    }

    /// Spans and bytes.
    pub fn size(&self, id: u32) -> (u32, u64) {
        let chunk = &self.chunks[id as usize];
        (chunk.spans, chunk.body_bytes.into())
    }

    pub fn in_flight(&self, id: u32) -> bool {
        self.chunks[id as usize].in_flight
    }

    pub fn set_in_flight(&mut self, id: u32, in_flight: bool) {
        let chunk = &mut self.chunks[id as usize];
        if chunk.in_flight == in_flight {
            return;
        }
        chunk.in_flight = in_flight;
        if let Some(live) = self.batches.get_mut(&chunk.batch) {
            live.in_flight = if in_flight { live.in_flight + 1 } else { live.in_flight - 1 };
        }
    }

    pub fn find(&self, at: &ChunkRef) -> Option<u32> {
        let live = self.batches.get(&at.batch)?;
        live.chunks.get(at.ordinal as usize).copied().filter(|&id| id != GONE)
    }

    pub fn chunk_ref(&self, id: u32) -> Option<ChunkRef> {
        let chunk = &self.chunks[id as usize];
        let live = self.batches.get(&chunk.batch)?;
        let block = *live.blocks.get(chunk.block_no as usize)?;
        Some(ChunkRef {
            batch: chunk.batch,
            ordinal: chunk.ordinal,
            block_no: chunk.block_no,
            block,
            base: block.base(&live.blocks, live.base),
            body_at: chunk.body_at,
            body_bytes: chunk.body_bytes,
            spans: chunk.spans,
        })
    }

    /// Forgets these chunks; the marks of each batch that they touch, in order of first touch.
    pub fn settle(&mut self, ids: &[u32]) -> Vec<BatchMarks> {
        let mut touched: Vec<BatchId> = Vec::new();
        let mut spans: QuickMap<BatchId, u64> = QuickMap::default();
        for &id in ids {
            self.set_in_flight(id, false);
            let chunk = self.chunks[id as usize];
            let Some(live) = self.batches.get_mut(&chunk.batch) else { continue };
            if live.chunks[chunk.ordinal as usize] != id {
                continue;
            }
            let settled = spans.entry(chunk.batch).or_insert_with(|| {
                touched.push(chunk.batch);
                self.totals.take(live);
                0
            });
            *settled += u64::from(chunk.spans);
            live.chunks[chunk.ordinal as usize] = GONE;
            live.marks.set(chunk.ordinal);
            live.left -= 1;
            live.live_bytes -= u64::from(chunk.body_bytes);
            self.floors.remove(&(chunk.low, id));
            self.free.push(id);
            self.spans -= u64::from(chunk.spans);
        }
        let changed = touched.iter().filter_map(|batch| self.batches.get(batch));
        changed.for_each(|live| self.totals.add(live));
        touched.into_iter().filter_map(|batch| self.marks_of(batch, spans[&batch])).collect()
    }

    fn marks_of(&mut self, batch: BatchId, spans: u64) -> Option<BatchMarks> {
        let marks = self.batches.get(&batch)?.batch_marks(batch, spans);
        if marks.done {
            self.forget(batch);
        }
        Some(marks)
    }

    /// Batches without a chunk left; forgotten with this.
    pub fn finished(&mut self) -> Vec<BatchMarks> {
        let empty = self.batches.iter().filter(|(_, live)| live.left == 0);
        let empty: Vec<BatchId> = empty.map(|(&id, _)| id).collect();
        empty.into_iter().filter_map(|id| self.marks_of(id, 0)).collect()
    }

    /// Chunks of which every offset lies below `floor` or is in the map.
    pub fn known(&self, floor: Offset, map: &OffsetMap) -> Vec<u32> {
        let upto = map.end().map_or(floor, |end| end.max(floor));
        let known = |&id: &u32| {
            let offsets = self.offsets(id);
            !offsets.is_empty() && offsets.iter().all(|&at| at < floor || map.has(at))
        };
        self.floors.range(..(upto, 0)).map(|&(_, id)| id).filter(known).collect()
    }

    /// The offsets of all spans that are not settled, in no order.
    pub fn open_offsets(&self) -> Vec<Offset> {
        self.floors.iter().flat_map(|&(_, id)| self.offsets(id).iter().copied()).collect()
    }

    fn offsets(&self, id: u32) -> &[Offset] {
        let chunk = &self.chunks[id as usize];
        let start = chunk.spans_start as usize;
        let live = self.batches.get(&chunk.batch);
        live.and_then(|live| live.offsets.get(start..start + chunk.spans as usize)).unwrap_or(&[])
    }

    pub fn floor(&self) -> Option<Offset> {
        self.floors.first().map(|&(low, _)| low)
    }

    pub fn spans(&self) -> u64 {
        self.spans
    }

    pub fn floor_ms(&self) -> Option<EventMs> {
        self.floors.first().map(|&(_, id)| self.chunks[id as usize].first_ms)
    }

    pub fn len(&self) -> usize {
        self.batches.len()
    }

    pub fn stored_bytes(&self) -> u64 {
        self.totals.stored
    }

    pub fn ids(&self) -> Vec<BatchId> {
        self.batches.keys().copied().collect()
    }

    pub fn marked(&self) -> usize {
        self.totals.marked
    }

    pub fn bytes(&self) -> u64 {
        let chunks = self.chunks.len() - self.free.len();
        let batches = self.batches.len() as u64 * BATCH_BYTES + self.blocks_held * BLOCK_BYTES;
        chunk_bytes(chunks as u64, self.offsets_held) + batches
    }

    pub fn live_bytes(&self) -> u64 {
        self.totals.live
    }

    /// The emptiest batches, which give back most for what has to be moved.
    pub fn sparse(&self, max_bytes: u64, max_batches: usize) -> Sparse {
        debug_assert_eq!(self.totals, Totals::of(self.batches.values()));
        let Totals { mut stored, wanted, .. } = self.totals;
        let mut found = Sparse::default();
        if stored * 100 < CLEAN_FROM * wanted {
            return found;
        }
        let mut order: Vec<_> =
            self.batches.iter().filter(|(_, live)| live.in_flight == 0).collect();
        order
            .sort_by_key(|(id, live)| (live.live_stored() * 1000 / live.stored_bytes.max(1), **id));
        let mut moving = 0;
        for (id, live) in order {
            if stored * 100 < CLEAN_TO * wanted || live.live_bytes == live.raw_bytes {
                break;
            }
            let fits = found.batches.is_empty() || moving + live.live_bytes <= max_bytes;
            if !fits || found.batches.len() >= max_batches {
                found.more = true;
                continue;
            }
            moving += live.live_bytes;
            stored -= live.stored_bytes - live.live_stored();
            found.batches.push(*id);
        }
        found
    }

    pub fn live(&self, batch: BatchId) -> Option<(Vec<ChunkRef>, BatchMarks)> {
        let live = self.batches.get(&batch)?;
        let ids = live.chunks.iter().filter(|&&id| id != GONE);
        Some((ids.filter_map(|&id| self.chunk_ref(id)).collect(), live.batch_marks(batch, 0)))
    }

    /// The i-th chunk of the carry is the i-th of `moved`, and keeps its number.
    pub fn moved(&mut self, from: &[BatchId], carry: &Header, bytes: u32, moved: &[ChunkRef]) {
        let mut live = Live::of(carry, bytes, Marks::default());
        for (ordinal, (head, old)) in carry.chunks.iter().zip(moved).enumerate() {
            let Some(id) = self.find(old) else {
                live.marks.set(ordinal as u32);
                continue;
            };
            let chunk = &mut self.chunks[id as usize];
            chunk.batch = carry.id;
            chunk.ordinal = ordinal as u32;
            chunk.block_no = head.block;
            chunk.body_at = head.body_at;
            chunk.spans_start = head.spans_start;
            live.chunks[ordinal] = id;
            live.left += 1;
            live.in_flight += u32::from(chunk.in_flight);
            live.live_bytes += u64::from(head.body_bytes);
        }
        from.iter().for_each(|batch| self.forget(*batch));
        self.keep(carry.id, live);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::batch::{self, Compression, Place};
    use crate::segment::chunk::{Draft, RejectBody};

    /// Adds a batch of five chunks of some 100 bytes, of which all but one are settled.
    fn add_sparse(batches: &mut Batches, id: u128) {
        let mut draft = Draft::new(1000);
        for offset in 0..5 {
            let reject = RejectBody {
                offset: Offset(offset),
                timestamp_ms: None,
                reason: "",
                payload: Some(&[7; 90]),
                key: None,
                headers: Vec::new(),
            };
            draft.reject(&reject, EventMs(1));
        }
        let (id, start, next) = (BatchId(id), Offset(0), Offset(5));
        let place = Place { id, previous: None, start, next, clock: EventMs(1) };
        let packed = batch::pack(&mut draft, place, Compression::None);
        let placed = batches.add(&packed.header, packed.header_bytes, Marks::default());
        let settled: Vec<u32> = placed.iter().skip(1).map(|&(_, id)| id).collect();
        batches.settle(&settled);
    }

    #[test]
    fn a_batch_that_is_larger_than_the_bound_is_cleaned_alone() {
        let mut batches = Batches::default();
        assert_eq!(batches.sparse(1, 9), Sparse::default());
        add_sparse(&mut batches, 1);
        let alone = |id, more| Sparse { batches: vec![BatchId(id)], more };
        assert_eq!(batches.sparse(1, 9), alone(1, false));
        add_sparse(&mut batches, 2);
        assert_eq!(batches.sparse(1, 9), alone(1, true));
        assert_eq!(batches.sparse(1 << 20, 1), alone(1, true));
        assert_eq!(batches.sparse(1 << 20, 9).batches.len(), 2);
    }
}
