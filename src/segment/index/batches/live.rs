//! One live batch: its chunks, what is settled of them, and the lowest offset of what is left.

use crate::segment::batch::{Block, Header};
use crate::segment::index::{BatchMarks, ChunkRef, Marks};
use crate::segment::{BatchId, EventMs, Offset};

/// In place of a chunk's number when the chunk is settled.
pub const GONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
pub struct Chunk {
    pub batch: BatchId,
    pub ordinal: u32,
    pub block_no: u32,
    pub body_at: u32,
    pub body_bytes: u32,
    /// Its spans in the batch's `offsets`.
    pub spans_start: u32,
    pub spans: u32,
    pub in_flight: bool,
    pub first: Offset,
    /// The lowest offset of its spans.
    pub low: Offset,
    pub first_ms: EventMs,
}

pub struct Live {
    pub header_bytes: u32,
    pub blocks: Vec<Block>,
    pub base: Option<u32>,
    /// The offset of each span, as in the header.
    pub offsets: Vec<Offset>,
    pub marks: Marks,
    /// Chunk numbers by ordinal.
    pub chunks: Vec<u32>,
    /// Ordinals in order of their chunks' lowest offsets, and how many of them come before the
    /// first that is not settled.
    pub by_low: Vec<u32>,
    pub passed: usize,
    /// Its place in `floors`.
    pub floor: Option<Offset>,
    /// Spans settled by the settle that is under way.
    pub settling: Option<u64>,
    pub left: u32,
    pub in_flight: u32,
    pub raw_bytes: u64,
    pub live_bytes: u64,
    pub stored_bytes: u64,
}

impl Live {
    pub fn of(header: &Header, header_bytes: u32, marks: Marks) -> Live {
        let stored: u64 = header.blocks.iter().map(|block| u64::from(block.stored_bytes)).sum();
        Live {
            header_bytes,
            blocks: header.blocks.clone(),
            base: header.base,
            offsets: header.spans.iter().map(|span| span.offset).collect(),
            marks,
            chunks: vec![GONE; header.chunks.len()],
            by_low: Vec::new(),
            passed: 0,
            floor: None,
            settling: None,
            left: 0,
            in_flight: 0,
            raw_bytes: header.blocks.iter().map(|block| u64::from(block.raw_bytes)).sum(),
            live_bytes: 0,
            stored_bytes: stored + u64::from(header_bytes),
        }
    }

    /// The share of its stored bytes that is still wanted.
    pub fn live_stored(&self) -> u64 {
        let share = u128::from(self.stored_bytes) * u128::from(self.live_bytes);
        (share / u128::from(self.raw_bytes.max(1))) as u64
    }

    pub fn is_marked(&self) -> bool {
        !self.marks.0.is_empty()
    }

    /// Numbers of the chunks that are not settled, by their lowest offsets.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        let left = self.by_low[self.passed..].iter();
        left.map(|&ordinal| self.chunks[ordinal as usize]).filter(|&id| id != GONE)
    }

    pub fn batch_marks(&self, batch: BatchId, spans: u64) -> BatchMarks {
        let (header_bytes, marks) = (self.header_bytes, self.marks.clone());
        BatchMarks { batch, header_bytes, marks, done: self.left == 0, spans }
    }

    /// Puts its chunks in order: it is new.
    pub fn line_up(&mut self, chunks: &[Chunk]) {
        let open = self.chunks.iter().zip(0..).filter(|&(&id, _)| id != GONE);
        self.by_low = open.map(|(_, ordinal)| ordinal).collect();
        let low = |&ordinal: &u32| chunks[self.chunks[ordinal as usize] as usize].low;
        self.by_low.sort_unstable_by_key(low);
    }

    /// The one with the lowest offset of those that are not settled.
    pub fn lowest(&mut self) -> Option<u32> {
        let left = self.by_low[self.passed..].iter();
        let is_gone = |&&ordinal: &&u32| self.chunks[ordinal as usize] == GONE;
        self.passed += left.take_while(is_gone).count();
        self.open().next()
    }

    /// The offsets of one of its chunks.
    pub fn offsets_of(&self, chunk: &Chunk) -> &[Offset] {
        let start = chunk.spans_start as usize;
        self.offsets.get(start..start + chunk.spans as usize).unwrap_or_default()
    }

    /// Where one of its chunks lies.
    pub fn chunk_ref(&self, chunk: &Chunk) -> Option<ChunkRef> {
        let block = *self.blocks.get(chunk.block_no as usize)?;
        Some(ChunkRef {
            batch: chunk.batch,
            ordinal: chunk.ordinal,
            block_no: chunk.block_no,
            block,
            base: block.base(&self.blocks, self.base),
            body_at: chunk.body_at,
            body_bytes: chunk.body_bytes,
            spans: chunk.spans,
        })
    }
}
