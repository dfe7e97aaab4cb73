//! Bodies of chunks to blocks and back: closed by size, compressed, checksummed.

use super::{Block, Compression, Damage};
use crate::segment::chunk::ChunkHead;
use crate::segment::wire::damage;
use std::cell::RefCell;
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::{Compressor, Decompressor};

/// A block closes at this size. A due segment that wants one chunk of a block fetches and
/// decompresses all of it: blocks are small where each trace may fall due at a time of its own, and
/// larger, which is quicker to pack and packs better, where all of it is wanted at once.
/// `benchkit sweep` shows what other sizes cost.
const BLOCK_BYTES: usize = 8 * 1024;
const TOGETHER_BLOCK_BYTES: usize = 64 * 1024;

/// First byte of a stored block.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// zstd packs at best 128 KiB into 4 bytes; what claims more is damaged.
const MAX_RATIO: u64 = 32 * 1024;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// How bodies are packed. Only the compression is the user's to choose.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    pub compression: Compression,
    /// Where a block closes between two traces, and where it closes else.
    pub block_bytes: usize,
    pub together_bytes: usize,
}

impl From<Compression> for Packing {
    fn from(compression: Compression) -> Packing {
        let (block_bytes, together_bytes) = (BLOCK_BYTES, TOGETHER_BLOCK_BYTES);
        Packing { compression, block_bytes, together_bytes }
    }
}

/// Bodies in, blocks out.
pub struct Packer {
    packing: Packing,
    raw: Vec<u8>,
    stored: Vec<u8>,
    blocks: Vec<Block>,
}

impl Packer {
    pub fn new(packing: Packing) -> Packer {
        Packer { packing, raw: Vec::new(), stored: Vec::new(), blocks: Vec::new() }
    }

    /// Gives a chunk its place in a block; `together`: with what stands before it, it falls due.
    pub fn place(
        &mut self,
        mut head: ChunkHead,
        together: bool,
        put_body: impl FnOnce(&mut Vec<u8>),
    ) -> ChunkHead {
        let Packing { block_bytes, together_bytes, .. } = self.packing;
        let most = if together { together_bytes } else { block_bytes };
        let mut at = self.raw.len();
        put_body(&mut self.raw);
        if at > 0 && self.raw.len() > most {
            self.close(at);
            at = 0;
        }
        head.block = self.blocks.len() as u32;
        head.body_at = at as u32;
        head.body_bytes = (self.raw.len() - at) as u32;
        head
    }

    /// Makes a block of the first `len` bytes; the others begin the next one.
    fn close(&mut self, len: usize) {
        let at = self.stored.len();
        let raw = &self.raw[..len];
        self.stored.push(ZSTD);
        if !compress(raw, self.packing.compression, &mut self.stored) {
            self.stored.truncate(at);
            self.stored.push(PLAIN);
            self.stored.extend_from_slice(raw);
        }
        self.blocks.push(Block {
            at: at as u32,
            stored_bytes: (self.stored.len() - at) as u32,
            raw_bytes: len as u32,
            checksum: xxh3_64(&self.stored[at..]),
        });
        self.raw.drain(..len);
    }

    /// The blocks, each at its place behind those before it, and their bytes.
    pub fn finish(mut self) -> (Vec<Block>, Vec<u8>) {
        if !self.raw.is_empty() {
            self.close(self.raw.len());
        }
        (self.blocks, self.stored)
    }
}

/// Appends to `out`; false where compression is off, fails, or gains nothing.
fn compress(raw: &[u8], compression: Compression, out: &mut Vec<u8>) -> bool {
    let Compression::Zstd(level) = compression else { return false };
    let start = out.len();
    // What would not be smaller is not wanted.
    out.resize(start + raw.len(), 0);
    let packed = COMPRESSOR.with_borrow_mut(|slot| {
        *slot = slot.take().or_else(|| Compressor::new(level).ok());
        let compressor = slot.as_mut()?;
        compressor.set_compression_level(level).ok()?;
        compressor.compress_to_buffer(raw, &mut out[start..]).ok()
    });
    out.truncate(start + packed.unwrap_or(0));
    packed.is_some()
}

/// Checks and decompresses one block.
pub fn unpack_block(block: &Block, stored: &[u8]) -> Result<Vec<u8>, Damage> {
    let mut raw = Vec::new();
    unpack_block_into(block, stored, &mut raw).map(|()| raw)
}

/// The same, in place of what is in `raw`.
pub fn unpack_block_into(block: &Block, stored: &[u8], raw: &mut Vec<u8>) -> Result<(), Damage> {
    raw.clear();
    if stored.len() != block.stored_bytes as usize || xxh3_64(stored) != block.checksum {
        return damage(format!("a block of {} bytes has a wrong checksum", stored.len()));
    }
    match stored.split_first() {
        Some((&PLAIN, plain)) => raw.extend_from_slice(plain),
        Some((&ZSTD, packed)) => decompress(packed, block.raw_bytes, raw)?,
        _ => return damage("a block of unknown kind"),
    }
    match raw.len() == block.raw_bytes as usize {
        true => Ok(()),
        false => damage(format!("a block of {} bytes, not {}", raw.len(), block.raw_bytes)),
    }
}

fn decompress(packed: &[u8], raw_bytes: u32, raw: &mut Vec<u8>) -> Result<(), Damage> {
    if u64::from(raw_bytes) > packed.len() as u64 * MAX_RATIO {
        return damage(format!("{} bytes cannot hold {raw_bytes}", packed.len()));
    }
    raw.reserve(raw_bytes as usize);
    DECOMPRESSOR.with_borrow_mut(|slot| {
        *slot = slot.take().or_else(|| Decompressor::new().ok());
        match slot.as_mut().map(|zstd| zstd.decompress_to_buffer(packed, raw)) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => damage(format!("cannot decompress a block: {error}")),
            None => damage("no memory to decompress a block"),
        }
    })
}
