//! What each live batch still holds: where its chunks lie, marks, floor, what to clean.
//!
//! A chunk has a number of its own for as long as it lives, also when cleaning moves it to
//! another batch. Nothing here knows of segments.

mod live;

use super::{BatchMarks, ChunkRef, Marks};
use crate::segment::batch::{Block, Header};
use crate::segment::hash::QuickMap;
use crate::segment::offset_map::OffsetMap;
use crate::segment::{BatchId, EventMs, Offset};
use live::{Chunk, GONE, Live};
use std::collections::BTreeSet;

/// Counted cost of one chunk: entry in a table that grows, places in its batch and in its set.
const CHUNK_BYTES: u64 = 120;
/// Counted cost of one batch without its chunks: entry in a half-full table, marks, floor.
const BATCH_BYTES: u64 = 400;
/// Counted cost of one span of a live batch: its offset.
const SPAN_BYTES: u64 = 8;
/// The same of one block.
const BLOCK_BYTES: u64 = size_of::<Block>() as u64;
/// Cleaning begins where so many percent of what is wanted are stored, and goes on down to so many:
/// what is moved for a little less is moved again for the next little.
const CLEAN_FROM: u64 = 125;
const CLEAN_TO: u64 = 110;

#[derive(Default)]
pub struct Batches {
    chunks: Vec<Chunk>,
    free: Vec<u32>,
    batches: QuickMap<BatchId, Live>,
    /// The lowest open offset of each batch that has one.
    floors: BTreeSet<(Offset, BatchId)>,
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

    fn keep(&mut self, batch: BatchId, mut live: Live) {
        live.line_up(&self.chunks);
        self.offsets_held += live.offsets.len() as u64;
        self.blocks_held += live.blocks.len() as u64;
        self.totals.add(&live);
        let old = self.batches.insert(batch, live);
        self.dropped(batch, old.as_ref());
        self.move_floor(batch);
    }

    /// Puts it where its lowest open offset belongs.
    fn move_floor(&mut self, batch: BatchId) {
        let Some(live) = self.batches.get_mut(&batch) else { return };
        let floor = live.lowest().map(|id| self.chunks[id as usize].low);
        if floor == live.floor {
            return;
        }
        if let Some(old) = std::mem::replace(&mut live.floor, floor) {
            self.floors.remove(&(old, batch));
        }
        self.floors.extend(floor.map(|floor| (floor, batch)));
    }

    fn forget(&mut self, batch: BatchId) {
        let old = self.batches.remove(&batch);
        self.dropped(batch, old.as_ref());
    }

    fn dropped(&mut self, batch: BatchId, old: Option<&Live>) {
        if let Some(old) = old {
            if let Some(floor) = old.floor {
                self.floors.remove(&(floor, batch));
            }
            self.offsets_held -= old.offsets.len() as u64;
            self.blocks_held -= old.blocks.len() as u64;
            self.totals.take(old);
        }
    }

    fn new_chunk(&mut self, chunk: Chunk) -> u32 {
        match self.free.pop() {
            Some(id) => {
                self.chunks[id as usize] = chunk;
                id
            }
            None => {
                self.chunks.push(chunk);
                (self.chunks.len() - 1) as u32
            }
        }
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

    /// The chunk is in flight from now on: where it lies.
    pub fn take_off(&mut self, id: u32) -> Option<ChunkRef> {
        let chunk = &mut self.chunks[id as usize];
        let live = self.batches.get_mut(&chunk.batch)?;
        live.in_flight += u32::from(!std::mem::replace(&mut chunk.in_flight, true));
        live.chunk_ref(chunk)
    }

    /// The chunk is in flight no more.
    pub fn take_back(&mut self, id: u32) {
        let chunk = &mut self.chunks[id as usize];
        if let Some(live) = self.batches.get_mut(&chunk.batch) {
            live.in_flight -= u32::from(std::mem::take(&mut chunk.in_flight));
        }
    }

    pub fn find(&self, at: &ChunkRef) -> Option<u32> {
        let live = self.batches.get(&at.batch)?;
        live.chunks.get(at.ordinal as usize).copied().filter(|&id| id != GONE)
    }

    /// Forgets these chunks; the marks of each batch that they touch, in order of first touch.
    pub fn settle(&mut self, ids: &[u32]) -> Vec<BatchMarks> {
        let mut touched: Vec<BatchId> = Vec::new();
        for &id in ids {
            let chunk = &mut self.chunks[id as usize];
            let was_in_flight = std::mem::take(&mut chunk.in_flight);
            let Some(live) = self.batches.get_mut(&chunk.batch) else { continue };
            live.in_flight -= u32::from(was_in_flight);
            if live.chunks[chunk.ordinal as usize] != id {
                continue;
            }
            if live.settling.is_none() {
                touched.push(chunk.batch);
                self.totals.take(live);
            }
            *live.settling.get_or_insert(0) += u64::from(chunk.spans);
            live.chunks[chunk.ordinal as usize] = GONE;
            live.marks.set(chunk.ordinal);
            live.left -= 1;
            live.live_bytes -= u64::from(chunk.body_bytes);
            self.free.push(id);
            self.spans -= u64::from(chunk.spans);
        }
        touched.into_iter().filter_map(|batch| self.settled(batch)).collect()
    }

    /// Some of its chunks were settled: its sums, its floor and its marks.
    fn settled(&mut self, batch: BatchId) -> Option<BatchMarks> {
        let live = self.batches.get_mut(&batch)?;
        self.totals.add(live);
        let spans = live.settling.take().unwrap_or_default();
        self.move_floor(batch);
        self.marks_of(batch, spans)
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
        let is_known = |live: &Live, id: u32| {
            let offsets = live.offsets_of(&self.chunks[id as usize]);
            !offsets.is_empty() && offsets.iter().all(|&at| at < floor || map.has(at))
        };
        let batches = self.floors.range(..(upto, BatchId(0)));
        let batches = batches.filter_map(|(_, batch)| self.batches.get(batch));
        batches.flat_map(|live| live.open().filter(move |&id| is_known(live, id))).collect()
    }

    /// The offsets of all spans that are not settled, in order as far as batches follow each other.
    pub fn open_offsets(&self) -> Vec<Offset> {
        let mut offsets = Vec::with_capacity(self.spans as usize);
        for live in self.floors.iter().filter_map(|(_, batch)| self.batches.get(batch)) {
            let begin = offsets.len();
            for id in live.open() {
                offsets.extend_from_slice(live.offsets_of(&self.chunks[id as usize]));
            }
            offsets[begin..].sort_unstable();
        }
        offsets
    }

    pub fn floor(&self) -> Option<Offset> {
        self.floors.first().map(|&(low, _)| low)
    }

    pub fn spans(&self) -> u64 {
        self.spans
    }

    pub fn floor_ms(&self) -> Option<EventMs> {
        let (_, batch) = self.floors.first()?;
        let lowest = self.batches.get(batch)?.open().next()?;
        Some(self.first_ms(lowest))
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
        let open = live.chunks.iter().filter(|&&id| id != GONE);
        let chunks = open.filter_map(|&id| live.chunk_ref(&self.chunks[id as usize])).collect();
        Some((chunks, live.batch_marks(batch, 0)))
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

    /// Adds a batch of five chunks of some 100 bytes, with the offsets from `start` on: the numbers
    /// of its chunks.
    fn add(batches: &mut Batches, id: u128, start: i64) -> Vec<u32> {
        let mut draft = Draft::new(1000);
        for offset in start..start + 5 {
            let reject = RejectBody {
                offset: Offset(offset),
                timestamp_ms: None,
                reason: "",
                payload: Some(&[7; 90]),
                key: None,
                headers: Vec::new(),
            };
            draft.reject(&reject, EventMs(offset));
        }
        let (id, start, next) = (BatchId(id), Offset(start), Offset(start + 5));
        let place = Place { id, previous: None, start, next, clock: EventMs(1) };
        let packed = batch::pack(&mut draft, place, Compression::None);
        let placed = batches.add(&packed.header, packed.header_bytes, Marks::default());
        placed.into_iter().map(|(_, chunk)| chunk).collect()
    }

    /// The same, with all but one of them settled.
    fn add_sparse(batches: &mut Batches, id: u128) {
        let chunks = add(batches, id, 0);
        batches.settle(&chunks[1..]);
    }

    #[test]
    fn the_floor_is_the_lowest_offset_that_is_not_settled_in_whatever_order_that_goes() {
        let mut batches = Batches::default();
        let (late, early) = (add(&mut batches, 1, 10), add(&mut batches, 2, 0));
        let floor = |batches: &Batches| {
            let open: Vec<i64> = batches.open_offsets().iter().map(|at| at.0).collect();
            assert_eq!(open.first().copied(), batches.floor().map(|at| at.0), "{open:?}");
            (open.len(), batches.floor_ms().map(|at| at.0))
        };
        assert_eq!(floor(&batches), (10, Some(0)));
        batches.settle(&[early[1], early[2], late[0]]);
        assert_eq!(floor(&batches), (7, Some(0)));
        batches.settle(&[early[0]]);
        assert_eq!(floor(&batches), (6, Some(3)));
        // Delivered before, as far as a map says: one at the end of what is asked for.
        assert_eq!(batches.known(Offset(4), &OffsetMap::default()), [early[3]]);
        let marks = batches.settle(&[early[4], early[3]]);
        assert_eq!(marks.iter().map(|one| (one.done, one.spans)).collect::<Vec<_>>(), [(true, 2)]);
        assert_eq!(floor(&batches), (4, Some(11)));
        batches.settle(&late);
        assert_eq!(floor(&batches), (0, None));
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
