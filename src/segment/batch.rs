//! Chunks to bytes and back: what one append stores for one shard.
//!
//! A batch is a header (the directory of its chunks) and blocks (their bodies, compressed
//! together). It is versioned, checksummed and length-checked: bytes from outside never
//! reach an assert, they give a [`Damage`].

use super::chunk::{ChunkHead, Draft, SpanHead};
use super::{BatchId, EventMs, Offset};

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
    pub chunks: Vec<ChunkHead>,
    pub spans: Vec<SpanHead>,
}

/// One block: a range of the batch's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it starts in the batch's value, and how many bytes it has there.
    pub at: u32,
    pub stored_bytes: u32,
    /// Bytes when decompressed.
    pub raw_bytes: u32,
    /// Checksum of the stored bytes.
    pub checksum: u64,
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
pub fn pack(_draft: &mut Draft, _place: Place, _compression: Compression) -> Batch {
    todo!()
}

/// Packs a carry: live chunks of older batches, as they are, under a new id.
///
/// `chunks` are the heads with their spans and decompressed bodies; order does not matter.
pub fn pack_carry(
    _id: BatchId,
    _clock: EventMs,
    _chunks: &[CarriedChunk<'_>],
    _compression: Compression,
) -> Batch {
    todo!()
}

/// A live chunk on its way into a carry.
#[derive(Clone, Debug)]
pub struct CarriedChunk<'b> {
    pub head: &'b ChunkHead,
    pub spans: &'b [SpanHead],
    pub body: &'b [u8],
}

/// Reads a header from the first bytes of a batch's value.
pub fn parse_header(_bytes: &[u8]) -> Result<Header, Damage> {
    todo!()
}

/// Checks and decompresses one block.
pub fn unpack_block(_block: &Block, _stored: &[u8]) -> Result<Vec<u8>, Damage> {
    todo!()
}

/// Reads a chunk's body from its decompressed block.
pub fn parse_body<'b>(
    _head: &ChunkHead,
    _block: &'b [u8],
) -> Result<super::chunk::Body<'b>, Damage> {
    todo!()
}
