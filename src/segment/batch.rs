//! Chunks to bytes and back: what one append stores for one shard.
//!
//! A batch is a header (the directory of its chunks) and blocks (their bodies, compressed
//! together). It is versioned, checksummed and length-checked: bytes from outside never
//! reach an assert, they give a [`Damage`].

mod blocks;
#[cfg(test)]
mod tests;

pub use blocks::{Packing, unpack_block, unpack_block_into};

use super::chunk::{ChunkHead, ChunkKind, Draft, SpanHead};
use super::wire::{Reader, damage, put_signed, put_varint};
use super::{BatchId, EventMs, IdKey, Offset, TraceKey, body};
use blocks::{Packed, Packer};
use xxhash_rust::xxh3::xxh3_64;

/// First byte of a header: the format's version, far from what other values begin with.
const VERSION: u8 = 0xb2;
const CARRY: u8 = 1;
const HAS_PREVIOUS: u8 = 2;
const HAS_BASE: u8 = 4;

const REJECT: u8 = 1;
const HAS_ROOT: u8 = 2;
const SAME_TRACE: u8 = 4;
const SAME_PROJECT: u8 = 8;
/// The attach point is the id of the chunk's first span: a root, most often.
const OWN_ATTACH: u8 = 16;
const OPENS_BLOCK: u8 = 32;

/// Option `compression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Zstd(i32),
}

/// What the directory of a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub id: BatchId,
    /// The batch before it in the chain; `None` for the first of a life and for a carry.
    pub previous: Option<BatchId>,
    /// A carry stands outside the chain: chunks of older batches, rewritten by cleaning.
    pub carry: bool,
    /// Half-open range of offsets that the batch accounts for, gaps included. In a carry:
    /// the lowest offset of its chunks, and the highest plus one.
    pub start: Offset,
    pub next: Offset,
    /// The shard's clock when the batch was made.
    pub clock: EventMs,
    pub blocks: Vec<Block>,
    /// The number of the block that others are packed on.
    pub base: Option<u32>,
    pub chunks: Vec<ChunkHead>,
    pub spans: Vec<SpanHead>,
}

impl Header {
    /// The spans of one of its chunks.
    pub fn spans_of(&self, head: &ChunkHead) -> &[SpanHead] {
        let start = head.spans_start as usize;
        self.spans.get(start..start + head.spans_count as usize).unwrap_or_default()
    }

    /// Reads one block of the batch's value.
    pub fn read_block(&self, number: u32, value: &[u8]) -> Result<Vec<u8>, Damage> {
        let Some(block) = self.blocks.get(number as usize) else {
            return damage(format!("no block {number}"));
        };
        let stored = |block: &Block| {
            let start = block.at as usize;
            value.get(start..start.saturating_add(block.stored_bytes as usize)).unwrap_or_default()
        };
        let base = match block.base(&self.blocks, self.base) {
            Some(base) => Some(unpack_block(&base, None, stored(&base))?),
            None => None,
        };
        unpack_block(block, base.as_deref(), stored(block))
    }
}

/// One block: a range of the batch's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it starts in the batch's value, and how many bytes it has there.
    pub at: u32,
    pub stored_bytes: u32,
    /// Bytes when decompressed.
    pub raw_bytes: u32,
    /// It is packed on the batch's base, which stands before it and is not.
    pub on_base: bool,
    /// Checksum of the stored bytes.
    pub checksum: u64,
}

impl Block {
    /// What has to be read before it can be, of its batch's blocks: `None` where nothing has.
    /// `base`: the number of the batch's base.
    pub fn base(&self, blocks: &[Block], base: Option<u32>) -> Option<Block> {
        let base = base.filter(|_| self.on_base)?;
        blocks.get(base as usize).copied()
    }
}

/// A packed batch, ready for the store.
#[derive(Clone, Debug)]
pub struct Batch {
    pub header: Header,
    /// Length of the encoded header: the first bytes of `value`.
    pub header_bytes: u32,
    pub value: Vec<u8>,
}

/// Where a batch stands in its shard.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub id: BatchId,
    pub previous: Option<BatchId>,
    pub start: Offset,
    pub next: Offset,
    pub clock: EventMs,
}

/// Why stored bytes cannot be read: they are treated like a missing batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub what: String,
}

/// Groups the draft's spans into chunks and packs them. The draft must not be empty.
pub fn pack(draft: &mut Draft, place: Place, packing: impl Into<Packing>) -> Batch {
    let mut header = Header {
        id: place.id,
        previous: place.previous,
        carry: false,
        start: place.start,
        next: place.next,
        clock: place.clock,
        blocks: Vec::new(),
        base: None,
        chunks: Vec::new(),
        spans: Vec::with_capacity(draft.len()),
    };
    let mut packer = Packer::new(packing.into());
    let mut trace = None;
    for chunk in draft.group() {
        let spans_start = header.spans.len() as u32;
        header.spans.extend(draft.heads(&chunk));
        let head = ChunkHead { spans_start, ..chunk.head.clone() };
        let goes_on = trace.replace(head.trace) == Some(head.trace);
        let together = chunk.is_complete || goes_on;
        header.chunks.push(packer.place(head, together, |raw| draft.put_body(&chunk, raw)));
    }
    assemble(header, packer)
}

/// Packs a carry: live chunks of older batches, as they are, under a new id.
///
/// `chunks` are the heads with their spans and decompressed bodies; the carry keeps their order,
/// which is how the index finds them again.
pub fn pack_carry(
    id: BatchId,
    clock: EventMs,
    chunks: &[CarriedChunk<'_>],
    compression: Compression,
) -> Batch {
    let offsets = || chunks.iter().flat_map(|chunk| chunk.spans).map(|span| span.offset.0);
    let start = offsets().min().unwrap_or(0);
    let next = offsets().max().map_or(start, |last| last.saturating_add(1));
    let mut header = Header {
        id,
        previous: None,
        carry: true,
        start: Offset(start),
        next: Offset(next),
        clock,
        blocks: Vec::new(),
        base: None,
        chunks: Vec::with_capacity(chunks.len()),
        spans: Vec::new(),
    };
    let mut packer = Packer::new(compression.into());
    for chunk in chunks {
        let spans_start = header.spans.len() as u32;
        header.spans.extend_from_slice(chunk.spans);
        let head = ChunkHead { spans_start, ..chunk.head.clone() };
        let put = |raw: &mut Vec<u8>| raw.extend_from_slice(chunk.body);
        header.chunks.push(packer.place(head, false, put));
    }
    assemble(header, packer)
}

fn assemble(mut header: Header, packer: Packer) -> Batch {
    let Packed { blocks, base, stored } = packer.finish();
    (header.blocks, header.base) = (blocks, base);
    let mut value = put_header(&header);
    let header_bytes = value.len() as u32;
    for block in &mut header.blocks {
        block.at += header_bytes;
    }
    value.extend_from_slice(&stored);
    Batch { header, header_bytes, value }
}

fn put_header(header: &Header) -> Vec<u8> {
    let room = 80 + header.blocks.len() * 16 + header.chunks.len() * 36 + header.spans.len() * 10;
    let mut out = Vec::with_capacity(room);
    let flags = if header.carry { CARRY } else { 0 };
    let flags = flags | if header.previous.is_some() { HAS_PREVIOUS } else { 0 };
    let flags = flags | if header.base.is_some() { HAS_BASE } else { 0 };
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&header.id.0.to_be_bytes());
    if let Some(previous) = header.previous {
        out.extend_from_slice(&previous.0.to_be_bytes());
    }
    put_signed(&mut out, header.start.0);
    put_varint(&mut out, header.next.0.wrapping_sub(header.start.0) as u64);
    put_signed(&mut out, header.clock.0);
    if let Some(base) = header.base {
        put_varint(&mut out, base.into());
    }
    put_varint(&mut out, header.blocks.len() as u64);
    for block in &header.blocks {
        put_varint(&mut out, u64::from(block.stored_bytes) << 1 | u64::from(block.on_base));
        put_varint(&mut out, block.raw_bytes.into());
        out.extend_from_slice(&block.checksum.to_be_bytes());
    }
    put_varint(&mut out, header.chunks.len() as u64);
    let mut before = Before::of(header.start, header.clock);
    for chunk in &header.chunks {
        let start = chunk.spans_start as usize;
        let spans = &header.spans[start..start + chunk.spans_count as usize];
        before.put_chunk(&mut out, chunk, spans);
    }
    let checksum = xxh3_64(&out);
    out.extend_from_slice(&checksum.to_be_bytes());
    out
}

/// What deltas are taken from: the chunk and the span before.
struct Before {
    trace: TraceKey,
    first_ms: EventMs,
    offset: Offset,
    /// Number of the current block plus one; zero before the first.
    blocks: u32,
    body_end: u32,
}

impl Before {
    fn of(start: Offset, clock: EventMs) -> Before {
        let trace = TraceKey { project: 0, trace: 0 };
        Before { trace, first_ms: clock, offset: start, blocks: 0, body_end: 0 }
    }

    fn flags(&self, chunk: &ChunkHead, spans: &[SpanHead]) -> u8 {
        let kind = match chunk.kind {
            ChunkKind::Reject => REJECT,
            ChunkKind::Spans { has_root } => u8::from(has_root) * HAS_ROOT,
        };
        let opens = u8::from(chunk.block + 1 != self.blocks) * OPENS_BLOCK;
        if chunk.kind == ChunkKind::Reject {
            return kind | opens;
        }
        let same = u8::from(chunk.trace == self.trace) * SAME_TRACE;
        let project = u8::from(chunk.trace.project == self.trace.project) * SAME_PROJECT;
        let own = u8::from(spans.first().is_some_and(|span| span.id == chunk.attach)) * OWN_ATTACH;
        kind | opens | same | project | own
    }

    fn put_chunk(&mut self, out: &mut Vec<u8>, chunk: &ChunkHead, spans: &[SpanHead]) {
        let flags = self.flags(chunk, spans);
        out.push(flags);
        if flags & REJECT == 0 {
            self.put_names(out, chunk, flags);
        }
        put_signed(out, chunk.first_ms.0.wrapping_sub(self.first_ms.0));
        put_varint(out, chunk.last_ms.0.wrapping_sub(chunk.first_ms.0) as u64);
        put_varint(out, chunk.body_bytes.into());
        put_varint(out, chunk.spans_count.into());
        let mut before = chunk.first_ms;
        for span in spans {
            if flags & REJECT == 0 {
                out.extend_from_slice(&span.id.0.to_be_bytes());
                put_varint(out, span.at.0.wrapping_sub(before.0) as u64);
                before = span.at;
            }
            put_signed(out, span.offset.0.wrapping_sub(self.offset.0));
            self.offset = span.offset;
        }
        self.first_ms = chunk.first_ms;
        self.blocks = chunk.block + 1;
    }

    fn put_names(&mut self, out: &mut Vec<u8>, chunk: &ChunkHead, flags: u8) {
        if flags & SAME_TRACE == 0 {
            if flags & SAME_PROJECT == 0 {
                put_varint(out, chunk.trace.project);
            }
            out.extend_from_slice(&chunk.trace.trace.to_be_bytes());
        }
        if flags & OWN_ATTACH == 0 {
            out.extend_from_slice(&chunk.attach.0.to_be_bytes());
        }
        self.trace = chunk.trace;
    }

    fn read_chunk(&mut self, from: &mut Reader<'_>, header: &mut Header) -> Result<(), Damage> {
        let flags = from.byte()?;
        if flags & !(REJECT | HAS_ROOT | SAME_TRACE | SAME_PROJECT | OWN_ATTACH | OPENS_BLOCK) != 0
        {
            return damage(format!("chunk flags {flags}"));
        }
        let reject = flags & REJECT != 0;
        let attach = if reject { None } else { self.read_names(from, flags)? };
        let first_ms = EventMs(self.first_ms.0.wrapping_add(from.signed()?));
        let last_ms = EventMs(first_ms.0.wrapping_add(from.varint()? as i64));
        let body_bytes = from.u32()?;
        let spans_start = header.spans.len() as u32;
        let spans_count = self.read_spans(from, reject, first_ms, &mut header.spans)?;
        let (block, body_at) = self.read_place(flags, body_bytes, &header.blocks)?;
        let own = header.spans[spans_start as usize].id;
        let has_root = flags & HAS_ROOT != 0;
        header.chunks.push(ChunkHead {
            kind: if reject { ChunkKind::Reject } else { ChunkKind::Spans { has_root } },
            trace: if reject { TraceKey { project: 0, trace: 0 } } else { self.trace },
            attach: if reject { IdKey(0) } else { attach.unwrap_or(own) },
            first_ms,
            last_ms,
            spans_start,
            spans_count,
            block,
            body_at,
            body_bytes,
        });
        self.first_ms = first_ms;
        Ok(())
    }

    /// The attach point, `None` when it is the first span's own id.
    fn read_names(&mut self, from: &mut Reader<'_>, flags: u8) -> Result<Option<IdKey>, Damage> {
        if flags & SAME_TRACE == 0 {
            if flags & SAME_PROJECT == 0 {
                self.trace.project = from.varint()?;
            }
            self.trace.trace = from.u128_raw()?;
        }
        if flags & OWN_ATTACH != 0 {
            return Ok(None);
        }
        Ok(Some(IdKey(from.u64_raw()?)))
    }

    fn read_spans(
        &mut self,
        from: &mut Reader<'_>,
        reject: bool,
        first_ms: EventMs,
        spans: &mut Vec<SpanHead>,
    ) -> Result<u32, Damage> {
        let count = from.u32()?;
        if count == 0 || count as usize > from.left() || (reject && count != 1) {
            return damage(format!("a chunk of {count} spans"));
        }
        let mut at = first_ms;
        for _ in 0..count {
            let mut id = IdKey(0);
            if !reject {
                id = IdKey(from.u64_raw()?);
                at = EventMs(at.0.wrapping_add(from.varint()? as i64));
            }
            self.offset = Offset(self.offset.0.wrapping_add(from.signed()?));
            spans.push(SpanHead { id, offset: self.offset, at });
        }
        Ok(count)
    }

    fn read_place(
        &mut self,
        flags: u8,
        body_bytes: u32,
        blocks: &[Block],
    ) -> Result<(u32, u32), Damage> {
        if flags & OPENS_BLOCK != 0 {
            self.blocks += 1;
            self.body_end = 0;
        }
        let number = self.blocks.wrapping_sub(1);
        let Some(block) = blocks.get(number as usize) else {
            return damage("a chunk without a block");
        };
        let body_at = self.body_end;
        match body_at.checked_add(body_bytes) {
            Some(end) if end <= block.raw_bytes => self.body_end = end,
            _ => return damage("a chunk's body passes its block"),
        }
        Ok((number, body_at))
    }
}

/// A live chunk on its way into a carry.
#[derive(Clone, Debug)]
pub struct CarriedChunk<'b> {
    pub head: &'b ChunkHead,
    pub spans: &'b [SpanHead],
    pub body: &'b [u8],
}

/// Reads a header from the first bytes of a batch's value.
///
/// More bytes than the header may follow. Checked by structure first, then by checksum.
pub fn parse_header(bytes: &[u8]) -> Result<Header, Damage> {
    let mut from = Reader::new(bytes);
    let mut header = read_place_in_chain(&mut from)?;
    header.blocks = read_blocks(&mut from, header.base)?;
    let chunks = from.u32()?;
    let mut before = Before::of(header.start, header.clock);
    for _ in 0..chunks {
        before.read_chunk(&mut from, &mut header)?;
    }
    let checksum = xxh3_64(&bytes[..from.at()]);
    if from.u64_raw()? != checksum {
        return damage("the header's checksum is wrong");
    }
    let mut at = from.at() as u32;
    for block in &mut header.blocks {
        block.at = at;
        let Some(end) = at.checked_add(block.stored_bytes) else {
            return damage("blocks of more than 4 GiB");
        };
        at = end;
    }
    Ok(header)
}

fn read_place_in_chain(from: &mut Reader<'_>) -> Result<Header, Damage> {
    let (version, flags) = (from.byte()?, from.byte()?);
    if version != VERSION || flags & !(CARRY | HAS_PREVIOUS | HAS_BASE) != 0 {
        return damage(format!("no batch of a known version: {version:#x} {flags:#x}"));
    }
    let id = BatchId(from.u128_raw()?);
    let previous = match flags & HAS_PREVIOUS {
        0 => None,
        _ => Some(BatchId(from.u128_raw()?)),
    };
    let start = from.signed()?;
    let Some(next) = start.checked_add_unsigned(from.varint()?) else {
        return damage("offsets out of range");
    };
    let clock = EventMs(from.signed()?);
    let base = if flags & HAS_BASE == 0 { None } else { Some(from.u32()?) };
    Ok(Header {
        id,
        previous,
        carry: flags & CARRY != 0,
        start: Offset(start),
        next: Offset(next),
        clock,
        blocks: Vec::new(),
        base,
        chunks: Vec::new(),
        spans: Vec::new(),
    })
}

fn read_blocks(from: &mut Reader<'_>, base: Option<u32>) -> Result<Vec<Block>, Damage> {
    let count = from.u32()?;
    let mut blocks = Vec::with_capacity((count as usize).min(from.left() / 10));
    for number in 0..count {
        let (stored, raw_bytes) = (from.varint()?, from.u32()?);
        let on_base = stored & 1 == 1;
        let Ok(stored_bytes) = u32::try_from(stored >> 1) else {
            return damage("a block of more than 4 GiB");
        };
        if on_base && base.is_none_or(|base| base >= number) {
            return damage(format!("block {number} stands before its base"));
        }
        blocks.push(Block { at: 0, stored_bytes, raw_bytes, on_base, checksum: from.u64_raw()? });
    }
    if base.is_some_and(|base| base >= count || blocks[base as usize].on_base) {
        return damage("a base that is none");
    }
    Ok(blocks)
}

/// Reads a chunk's body from its decompressed block.
pub fn parse_body<'b>(head: &ChunkHead, block: &'b [u8]) -> Result<super::chunk::Body<'b>, Damage> {
    body::read(head, block)
}
