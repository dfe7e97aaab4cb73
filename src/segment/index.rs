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

use super::batch::Header;
use super::{BatchId, EventMs, IdKey, Offset, TraceKey};

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
    /// Flushed because the operator asked for it.
    Drain,
}

/// A chunk as the index hands it out: who it is and where its bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    pub batch: BatchId,
    /// Its number in the batch's header.
    pub ordinal: u32,
    /// Its block: number in the header, and range in the batch's value.
    pub block_no: u32,
    pub block: super::batch::Block,
    /// Its body in the decompressed block.
    pub body_at: u32,
    pub body_bytes: u32,
}

/// What is due: a segment, or a reject.
#[derive(Clone, Debug)]
pub struct DueSegment {
    /// `None` for a reject (one chunk).
    pub segment: Option<DueName>,
    pub reason: Reason,
    /// The deadline that has passed.
    pub due_ms: EventMs,
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
}

/// The header does not follow what the index knows: drop the index, build it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

pub struct Index {}

impl Index {
    /// An empty index that continues behind `tip`, at `position`.
    pub fn new(_limits: Limits, _position: Offset, _tip: Option<BatchId>) -> Index {
        todo!()
    }

    /// For a rebuild: takes over a listed batch in any order of calls by first offset, without
    /// looking at the chain. Chunks in `marks`, and those wholly below `floor`, are settled.
    pub fn restore(&mut self, _header: &Header, _header_bytes: u32, _marks: &Marks) {
        todo!()
    }

    /// Follows the chain by one batch: its `previous` must be the tip, its `start` the position.
    pub fn follow(&mut self, _header: &Header, _header_bytes: u32) -> Result<(), Broken> {
        todo!()
    }

    /// The position moved without a batch (nothing but gaps): same tip.
    pub fn advance(&mut self, _position: Offset) {
        todo!()
    }

    /// Takes out what is due at `now`, oldest deadline first, at most `max_segments`, and at
    /// most about `max_bytes` (one segment at least). What is taken is in flight until it is
    /// settled or given back.
    pub fn due(&mut self, _now: EventMs, _max_segments: usize, _max_bytes: u64) -> Vec<DueSegment> {
        todo!()
    }

    /// Takes out the oldest open segments whatever their deadline (reason `Pressure`/`Drain`).
    pub fn oldest(&mut self, _max_segments: usize, _reason: Reason) -> Vec<DueSegment> {
        todo!()
    }

    /// What was taken out could not be delivered: it is due again at once.
    pub fn give_back(&mut self, _due: DueSegment) {
        todo!()
    }

    /// These chunks are done with (P8: delivered, known duplicates, or dropped by policy):
    /// forgets them and says what the store has to be told, batch by batch.
    pub fn settle(&mut self, _chunks: &[ChunkRef]) -> Vec<BatchMarks> {
        todo!()
    }

    /// When the next segment falls due, `None` when nothing is open.
    pub fn next_due(&self) -> Option<EventMs> {
        todo!()
    }

    /// The lowest offset that is not settled; the position when there is none.
    pub fn floor(&self) -> Offset {
        todo!()
    }

    /// Where the chain stands: position and tip as indexed.
    pub fn position(&self) -> Offset {
        todo!()
    }

    pub fn tip(&self) -> Option<BatchId> {
        todo!()
    }

    /// Live batches, as Redis must count them; and how many of them have marks.
    pub fn batches(&self) -> usize {
        todo!()
    }

    pub fn marked_batches(&self) -> usize {
        todo!()
    }

    pub fn open_segments(&self) -> usize {
        todo!()
    }

    pub fn open_spans(&self) -> u64 {
        todo!()
    }

    /// Bytes of memory that the index uses, counted, not measured.
    pub fn bytes(&self) -> u64 {
        todo!()
    }

    /// Batches worth cleaning: those of which the least is left, until the stored bytes
    /// are under twice the live ones; none with a chunk in flight. At most `max_bytes` live.
    pub fn sparse(&self, _max_bytes: u64) -> Vec<BatchId> {
        todo!()
    }

    /// Live chunks and marks of a batch, for cleaning.
    pub fn live(&self, _batch: BatchId) -> Option<(Vec<ChunkRef>, BatchMarks)> {
        todo!()
    }

    /// Cleaning moved the live chunks of `from` into the batch of `carry`. The i-th chunk of the
    /// carry is the i-th of `moved`.
    pub fn moved(
        &mut self,
        _from: &[BatchId],
        _carry: &Header,
        _header_bytes: u32,
        _moved: &[ChunkRef],
    ) {
        todo!()
    }
}
