//! The index of one shard: headers in, due segments out.
//!
//! A pure data structure: no store, no clock of its own. It knows of every live chunk which
//! segment it belongs to, when that segment is due, and where the chunk's bytes lie. A segment
//! is a connected set under the relation "span hangs under attach point"; it is kept by union,
//! so arrival order and batching make no difference. A segment whose deadline has passed is
//! sealed: what arrives later under the same ids begins another one, exactly as if the shard
//! had been read in time.
//!
//! Which id names a segment: the smallest id of a segment span in it; without one the smallest
//! attach point that hangs under nothing; without one (a cycle) the smallest attach point.

mod batches;
mod letters;
mod nodes;
mod sets;

use super::batch::{Block, Header};
use super::offset_map::OffsetMap;
use super::{BatchId, EventMs, IdKey, Offset, TraceKey};
use crate::segment::chunk::ChunkKind;
use batches::Batches;
pub use batches::Sparse;
use letters::Letters;
use sets::{Arrival, Sets, Taken};

/// The limits that decide when a segment is due. All in ms of event time, or bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub timeout_ms: i64,
    pub root_timeout_ms: i64,
    pub max_age_ms: i64,
    pub max_bytes: u64,
}

impl Limits {
    /// The shortest time that a deadline can lie behind a span: bounds a chunk's spread.
    pub fn spread_ms(&self) -> i64 {
        self.timeout_ms.min(self.root_timeout_ms).max(1)
    }
}

/// Why a segment was flushed; goes into a header of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `root-timeout` after its last span, its root is there.
    IdleWithRoot,
    /// `timeout` after its last span, no root.
    IdleWithoutRoot,
    /// Older than `max-segment-age`.
    Age,
    /// Larger than `max-segment-bytes`.
    Size,
    /// Flushed early to make room.
    Pressure,
}

/// A chunk as the index hands it out: who it is and where its bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    pub batch: BatchId,
    /// Its number in the batch's header.
    pub ordinal: u32,
    /// Its block: number in the header, and range in the batch's value.
    pub block_no: u32,
    pub block: Block,
    /// The block that it is packed on.
    pub base: Option<Block>,
    /// Its body in the decompressed block.
    pub body_at: u32,
    pub body_bytes: u32,
    pub spans: u32,
}

/// What is due: a segment, or dead letters.
#[derive(Clone, Debug)]
pub struct DueSegment {
    /// `None` for a reject (one chunk).
    pub segment: Option<DueName>,
    pub reason: Reason,
    /// The deadline that has passed.
    pub due_ms: EventMs,
    /// Bound for the dead-letter topic, in letters smaller than so many bytes: a reject, or of a
    /// segment what the output does not take, when all the rest is delivered.
    pub letters_below: Option<usize>,
    /// Of a segment's dead letters: the output has all its messages that were smaller than so many
    /// bytes. The same bound finds what is left, though a lower one may be known by now.
    pub delivered_below: Option<usize>,
    pub spans: u32,
    /// Raw bytes of its chunks.
    pub bytes: u64,
    /// In input order of their first span.
    pub chunks: Vec<ChunkRef>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueName {
    pub trace: TraceKey,
    pub id: IdKey,
    pub has_root: bool,
}

/// Which chunks of a batch are settled: one bit each, lowest first, as stored in `d`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub Vec<u8>);

impl Marks {
    pub fn has(&self, ordinal: u32) -> bool {
        let byte = self.0.get(ordinal as usize / 8).copied().unwrap_or(0);
        byte >> (ordinal % 8) & 1 == 1
    }

    pub fn set(&mut self, ordinal: u32) {
        let at = ordinal as usize / 8;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= 1 << (ordinal % 8);
    }
}

/// What settling some chunks means for one batch: the store gets exactly this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchMarks {
    pub batch: BatchId,
    /// The member of `l` that lists it.
    pub header_bytes: u32,
    /// All settled chunks of the batch, the new ones included.
    pub marks: Marks,
    /// Nothing is left of it: the store removes the batch.
    pub done: bool,
    /// Messages of the chunks that this settles: for the books.
    pub spans: u64,
}

/// How much there is of something, and how much of that waits as dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub letters: u64,
    pub all: u64,
}

impl Share {
    pub fn and(self, other: Share) -> Share {
        Share { letters: self.letters + other.letters, all: self.all + other.all }
    }
}

/// The header does not follow what the index knows: drop the index, build it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// See the head of this file. What a chunk is to its batch stands in `batches`, what it is
/// to its segment in `sets`, and those that wait as dead letters in `letters`; this type keeps
/// them in step.
pub struct Index {
    position: Offset,
    tip: Option<BatchId>,
    indexed_ms: Option<EventMs>,
    batches: Batches,
    sets: Sets,
    letters: Letters,
    /// Chunks of a rebuild that wait for [`Index::restored`].
    staged: Vec<Arrival>,
}

impl Index {
    /// An empty index that continues behind `tip`, at `position`.
    pub fn new(limits: Limits, position: Offset, tip: Option<BatchId>) -> Index {
        Index {
            position,
            tip,
            indexed_ms: None,
            batches: Batches::default(),
            sets: Sets::new(limits),
            letters: Letters::default(),
            staged: Vec::new(),
        }
    }

    /// For a rebuild: takes over a listed batch, in any order, without looking at the chain.
    /// Chunks in `marks` are settled. Call [`Index::restored`] when all have been given.
    pub fn restore(&mut self, header: &Header, header_bytes: u32, marks: &Marks) {
        if !header.carry {
            self.indexed_ms = self.indexed_ms.max(Some(header.clock));
        }
        let arrivals = self.take_in(header, header_bytes, marks.clone());
        self.staged.extend(arrivals);
    }

    /// Ends a rebuild: the spans of all batches, carries included, enter in order of time,
    /// because what is sealed depends on it.
    pub fn restored(&mut self) {
        let staged = std::mem::take(&mut self.staged);
        self.enter(staged);
    }

    /// Spans enter one by one, each at its own time, whatever chunks and batches they are in.
    fn enter(&mut self, mut arrivals: Vec<Arrival>) {
        arrivals.sort_unstable_by_key(|arrival| (arrival.at, arrival.offset));
        for arrival in &arrivals {
            match arrival.kind {
                ChunkKind::Spans { has_root } => self.sets.arrive(arrival, has_root),
                ChunkKind::Reject => self.letters.arrive(arrival),
            }
        }
    }

    /// Follows the chain by one batch: its `previous` must be the tip, its `start` not before the
    /// position. It is behind it where ingest moved on without a batch in between.
    pub fn follow(&mut self, header: &Header, header_bytes: u32) -> Result<(), Broken> {
        if header.carry || header.previous != self.tip || header.start < self.position {
            return Err(Broken);
        }
        let arrivals = self.take_in(header, header_bytes, Marks::default());
        self.enter(arrivals);
        self.indexed_ms = self.indexed_ms.max(Some(header.clock));
        self.position = header.next;
        self.tip = Some(header.id);
        Ok(())
    }

    fn take_in(&mut self, header: &Header, header_bytes: u32, marks: Marks) -> Vec<Arrival> {
        let placed = self.batches.add(header, header_bytes, marks);
        let mut arrivals = Vec::with_capacity(header.spans.len());
        for (ordinal, chunk) in placed {
            let head = &header.chunks[ordinal as usize];
            for (nth, span) in header.spans_of(head).iter().enumerate() {
                arrivals.push(Arrival {
                    chunk,
                    kind: head.kind,
                    trace: head.trace,
                    attach: head.attach,
                    id: span.id,
                    offset: span.offset,
                    at: span.at,
                    // The chunk's bytes count where its first span counts.
                    bytes: if nth == 0 { head.body_bytes.into() } else { 0 },
                });
            }
        }
        arrivals
    }

    /// The position moved without a batch (nothing but gaps): same tip.
    pub fn advance(&mut self, position: Offset) {
        self.position = self.position.max(position);
    }

    /// Takes out what is due at `now`, oldest deadline first, at most `max_segments`, and at
    /// most about `max_bytes` (one segment at least). What is taken is in flight until it is
    /// settled or given back.
    pub fn due(&mut self, now: EventMs, max_segments: usize, max_bytes: u64) -> Vec<DueSegment> {
        let taken = self.sets.take_due(now, max_segments, max_bytes);
        taken.into_iter().map(|set| self.hand_out(set)).collect()
    }

    /// Dead letters wait.
    pub fn has_letters(&self) -> bool {
        self.letters.len() > 0
    }

    /// Takes out dead letters, first those that have waited longest, at most `count`, and at most
    /// about `max_bytes` (one at least).
    pub fn letters(&mut self, count: usize, max_bytes: u64) -> Vec<DueSegment> {
        let taken = self.letters.take(count, max_bytes);
        taken.into_iter().map(|letters| self.hand_out(letters)).collect()
    }

    /// Takes out the oldest open segments whatever their deadline, to make room: at most
    /// `max_segments`, and at most about `max_bytes` (one segment at least).
    pub fn oldest(&mut self, max_segments: usize, max_bytes: u64) -> Vec<DueSegment> {
        let taken = self.sets.take_oldest(max_segments, max_bytes);
        taken.into_iter().map(|set| self.hand_out(set)).collect()
    }

    fn hand_out(&mut self, taken: Taken) -> DueSegment {
        let Taken { due, mut chunks } = taken;
        chunks.sort_by_key(|&id| self.batches.first(id));
        let chunks = chunks.iter().filter_map(|&id| self.batches.take_off(id)).collect();
        DueSegment { chunks, ..due }
    }

    /// What was taken out could not be delivered: a segment is due again at once, dead letters
    /// stand in line again.
    pub fn give_back(&mut self, due: DueSegment) {
        let chunks: Vec<u32> = due.chunks.iter().filter_map(|at| self.batches.find(at)).collect();
        chunks.iter().for_each(|&id| self.batches.take_back(id));
        let Some(&first) = chunks.first() else { return };
        let back = Taken { due: DueSegment { chunks: Vec::new(), ..due }, chunks };
        if back.due.letters_below.is_some() {
            return self.letters.put(back);
        }
        self.sets.put_back(back, self.batches.first_ms(first));
    }

    /// These chunks are done with (P8: delivered, known duplicates, or dropped by policy):
    /// forgets them and says what the store has to be told, batch by batch.
    pub fn settle(&mut self, chunks: &[ChunkRef]) -> Vec<BatchMarks> {
        let ids = chunks.iter().filter_map(|at| self.batches.find(at)).collect();
        self.settle_ids(ids)
    }

    /// Settles the open chunks of which every offset lies below `floor` or is in the map: they
    /// were delivered before. Also gives up restored batches of which nothing was left.
    pub fn settle_known(&mut self, floor: Offset, map: &OffsetMap) -> Vec<BatchMarks> {
        let ids = self.batches.known(floor, map);
        let mut settled = self.settle_ids(ids);
        settled.extend(self.batches.finished());
        settled
    }

    /// The offset map: everything below the position that is not open is settled, or never was a
    /// message. Linear in the number of open spans.
    pub fn settled(&self) -> OffsetMap {
        OffsetMap::all_but(self.floor(), self.position, self.batches.open_offsets())
    }

    fn settle_ids(&mut self, ids: Vec<u32>) -> Vec<BatchMarks> {
        let mut open = Vec::new();
        for &id in &ids {
            if !self.batches.in_flight(id) {
                open.push((id, self.batches.size(id)));
            }
        }
        self.sets.remove(&open);
        self.letters.remove(&open);
        self.batches.settle(&ids)
    }

    /// A time before which nothing falls due: exact when the segment in front had no span
    /// since the last call of [`Index::due`], else too early. `None` when no segment is open.
    pub fn next_due(&self) -> Option<EventMs> {
        self.sets.next_due()
    }

    /// The lowest offset that is not settled; the position when there is none.
    pub fn floor(&self) -> Offset {
        self.batches.floor().unwrap_or(self.position)
    }

    /// The event time of the chunk at the floor; `None` when nothing is open.
    pub fn floor_ms(&self) -> Option<EventMs> {
        self.batches.floor_ms()
    }

    /// Where the chain stands: position and tip as indexed.
    pub fn position(&self) -> Offset {
        self.position
    }

    /// The shard's clock at the newest batch that was followed: every span that arrived before
    /// then is in the index. `None` before the first.
    pub fn indexed_ms(&self) -> Option<EventMs> {
        self.indexed_ms
    }

    /// Bytes of its batches in the store.
    pub fn stored_bytes(&self) -> u64 {
        self.batches.stored_bytes()
    }

    /// The live batches, in no order.
    pub fn batch_ids(&self) -> Vec<BatchId> {
        self.batches.ids()
    }

    pub fn tip(&self) -> Option<BatchId> {
        self.tip
    }

    /// Live batches, as Redis must count them; and how many of them have marks.
    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    pub fn marked_batches(&self) -> usize {
        self.batches.marked()
    }

    pub fn open_segments(&self) -> usize {
        self.sets.len() + self.letters.len()
    }

    pub fn open_spans(&self) -> u64 {
        self.sets.spans() + self.letters.spans()
    }

    /// Messages of its live chunks, those in flight and rejects included: what the store holds
    /// by the books.
    pub fn buffered(&self) -> u64 {
        self.batches.spans()
    }

    /// Bytes of memory that the index uses, counted, not measured.
    pub fn bytes(&self) -> u64 {
        self.batches.bytes() + self.sets.bytes() + self.letters.bytes()
    }

    /// Of what [`Index::bytes`] counts.
    pub fn memory_share(&self) -> Share {
        let letters = &self.letters;
        let in_batches = batches::chunk_bytes(letters.len() as u64, letters.spans());
        Share { letters: letters.bytes() + in_batches, all: self.bytes() }
    }

    /// Of the raw bytes of all live chunks.
    pub fn live_share(&self) -> Share {
        Share { letters: self.letters.raw_bytes(), all: self.batches.live_bytes() }
    }

    /// Batches worth cleaning: those of which the least is left, until little more is stored than
    /// is wanted; none with a chunk in flight. At most `max_batches`, and
    /// `max_bytes` live; one batch may pass that.
    pub fn sparse(&self, max_bytes: u64, max_batches: usize) -> Sparse {
        self.batches.sparse(max_bytes, max_batches)
    }

    /// Live chunks and marks of a batch, for cleaning.
    pub fn live(&self, batch: BatchId) -> Option<(Vec<ChunkRef>, BatchMarks)> {
        self.batches.live(batch)
    }

    /// Cleaning moved the live chunks of `from` into the batch of `carry`. The i-th chunk of the
    /// carry is the i-th of `moved`.
    pub fn moved(
        &mut self,
        from: &[BatchId],
        carry: &Header,
        header_bytes: u32,
        moved: &[ChunkRef],
    ) {
        self.batches.moved(from, carry, header_bytes, moved);
    }
}
