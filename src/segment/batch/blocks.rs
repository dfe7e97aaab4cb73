//! Bodies of chunks to blocks and back: closed by size, compressed, checksummed.
//!
//! A due segment that wants one chunk of a block fetches and decompresses all of it. What falls due
//! together lies in large blocks, which are quick to pack and pack well. Where each trace may fall
//! due at a time of its own, a block holds a chunk or two, and would pack badly by itself: so the
//! first of these blocks is a larger one, the base, and the others are packed on it, as if they
//! stood right behind it. Whoever keeps the base of a batch reads of the others what he wants and
//! no more.

use super::{Block, Compression, Damage};
use crate::segment::chunk::ChunkHead;
use crate::segment::wire::damage;
use std::cell::RefCell;
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{DCtx, get_error_name};

/// A block closes at this size: one of single chunks, their base, and one of what falls due
/// together. `benchkit sweep` shows what other sizes cost.
const BLOCK_BYTES: usize = 2 * 1024;
const BASE_BYTES: usize = 8 * 1024;
const TOGETHER_BLOCK_BYTES: usize = 64 * 1024;

/// First byte of a stored block.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
const ZSTD_ON_BASE: u8 = 2;
/// zstd packs at best 128 KiB into 4 bytes; what claims more is damaged.
const MAX_RATIO: u64 = 32 * 1024;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    /// This one has a base.
    static COMPRESSOR_ON_BASE: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// How bodies are packed. Only the compression is the user's to choose.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    pub compression: Compression,
    /// Where a block closes between two traces, and where their base does, if there is to be one.
    pub block_bytes: usize,
    pub base_bytes: Option<usize>,
    /// Where a block closes else.
    pub together_bytes: usize,
}

impl From<Compression> for Packing {
    fn from(compression: Compression) -> Packing {
        let base_bytes = (compression != Compression::None).then_some(BASE_BYTES);
        let (block_bytes, together_bytes) = (BLOCK_BYTES, TOGETHER_BLOCK_BYTES);
        Packing { compression, block_bytes, base_bytes, together_bytes }
    }
}

/// Bodies in, blocks out.
pub struct Packer {
    packing: Packing,
    raw: Vec<u8>,
    stored: Vec<u8>,
    blocks: Vec<Block>,
    /// The number of the base.
    base: Option<u32>,
}

/// What a packer has made: blocks, each at its place behind those before it, and their bytes.
pub struct Packed {
    pub blocks: Vec<Block>,
    pub base: Option<u32>,
    pub stored: Vec<u8>,
}

impl Packer {
    pub fn new(packing: Packing) -> Packer {
        let (raw, stored) = (Vec::new(), Vec::new());
        Packer { packing, raw, stored, blocks: Vec::new(), base: None }
    }

    /// Gives a chunk its place in a block; `together`: with what stands before it, it falls due.
    pub fn place(
        &mut self,
        mut head: ChunkHead,
        together: bool,
        put_body: impl FnOnce(&mut Vec<u8>),
    ) -> ChunkHead {
        let Packing { block_bytes, base_bytes, together_bytes, .. } = self.packing;
        let alone_bytes = match self.base {
            None => base_bytes.unwrap_or(block_bytes),
            Some(_) => block_bytes,
        };
        let most = if together { together_bytes } else { alone_bytes };
        let mut at = self.raw.len();
        put_body(&mut self.raw);
        if at > 0 && self.raw.len() > most {
            self.close(at);
            self.next(at);
            at = 0;
        }
        head.block = self.blocks.len() as u32;
        head.body_at = at as u32;
        head.body_bytes = (self.raw.len() - at) as u32;
        head
    }

    /// What is left behind a block of `len` bytes begins the next one; the first small one is the
    /// base of those that follow.
    fn next(&mut self, len: usize) {
        let raw = &self.raw[..len];
        if self.base.is_none() && self.fits_base(len) && set_base(raw, self.packing.compression) {
            self.base = Some(self.blocks.len() as u32 - 1);
        }
        self.raw.drain(..len);
    }

    fn fits_base(&self, len: usize) -> bool {
        self.packing.base_bytes.is_some_and(|bytes| len <= bytes)
    }

    /// Makes a block of the first `len` bytes.
    fn close(&mut self, len: usize) {
        let at = self.stored.len();
        let raw = &self.raw[..len];
        let on_base = self.base.is_some() && self.fits_base(len);
        let packed = match self.packing.compression {
            Compression::None => false,
            Compression::Zstd(_) if on_base => compress_on_base(raw, &mut self.stored),
            Compression::Zstd(level) => compress(raw, level, &mut self.stored),
        };
        if !packed {
            self.stored.push(PLAIN);
            self.stored.extend_from_slice(raw);
        }
        self.blocks.push(Block {
            at: at as u32,
            stored_bytes: (self.stored.len() - at) as u32,
            raw_bytes: len as u32,
            on_base: on_base && packed,
            checksum: xxh3_64(&self.stored[at..]),
        });
    }

    pub fn finish(mut self) -> Packed {
        if !self.raw.is_empty() {
            self.close(self.raw.len());
        }
        let Packer { blocks, base, stored, .. } = self;
        Packed { blocks, base, stored }
    }
}

/// What is packed from now on with [`compress_on_base`] is packed on this; false where nothing can
/// be.
fn set_base(raw: &[u8], compression: Compression) -> bool {
    let Compression::Zstd(level) = compression else { return false };
    // Tables of its own cost a small block more time, on both sides, than they save bytes: a
    // negative level makes none. Whoever asks for more than the usual level wants the bytes.
    let level = if level == 1 { -1 } else { level };
    COMPRESSOR_ON_BASE.with_borrow_mut(|slot| {
        *slot = slot.take().or_else(|| Compressor::new(level).ok());
        slot.as_mut().is_some_and(|zstd| zstd.set_dictionary(level, raw).is_ok())
    })
}

/// Appends to `out`; false, and nothing appended, where that fails or gains nothing.
fn compress_on_base(raw: &[u8], out: &mut Vec<u8>) -> bool {
    append(ZSTD_ON_BASE, raw, out, |room| {
        COMPRESSOR_ON_BASE.with_borrow_mut(|slot| slot.as_mut()?.compress_to_buffer(raw, room).ok())
    })
}

/// The same without a base.
fn compress(raw: &[u8], level: i32, out: &mut Vec<u8>) -> bool {
    append(ZSTD, raw, out, |room| {
        COMPRESSOR.with_borrow_mut(|slot| {
            *slot = slot.take().or_else(|| Compressor::new(level).ok());
            let zstd = slot.as_mut()?;
            zstd.set_compression_level(level).ok()?;
            zstd.compress_to_buffer(raw, room).ok()
        })
    })
}

/// Appends a block of this kind; what would be larger than `raw` is not wanted.
fn append(
    kind: u8,
    raw: &[u8],
    out: &mut Vec<u8>,
    pack: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> bool {
    let start = out.len();
    out.push(kind);
    out.resize(start + 1 + raw.len(), 0);
    let packed = pack(&mut out[start + 1..]);
    out.truncate(packed.map_or(start, |bytes| start + 1 + bytes));
    packed.is_some()
}

/// Checks and decompresses one block. `base`: that of its batch, decompressed; who reads a block
/// that is not [`Block::on_base`] needs none.
pub fn unpack_block(block: &Block, base: Option<&[u8]>, stored: &[u8]) -> Result<Vec<u8>, Damage> {
    let mut raw = Vec::new();
    unpack_block_into(block, base, stored, &mut raw).map(|()| raw)
}

/// The same, in place of what is in `raw`.
pub fn unpack_block_into(
    block: &Block,
    base: Option<&[u8]>,
    stored: &[u8],
    raw: &mut Vec<u8>,
) -> Result<(), Damage> {
    raw.clear();
    if stored.len() != block.stored_bytes as usize || xxh3_64(stored) != block.checksum {
        return damage(format!("a block of {} bytes has a wrong checksum", stored.len()));
    }
    match (stored.split_first(), base) {
        (Some((&PLAIN, plain)), _) => raw.extend_from_slice(plain),
        (Some((&ZSTD, packed)), _) => decompress(packed, &[], block.raw_bytes, raw)?,
        (Some((&ZSTD_ON_BASE, packed)), Some(base)) => {
            decompress(packed, base, block.raw_bytes, raw)?;
        }
        (Some((&ZSTD_ON_BASE, _)), None) => return damage("a block without its base"),
        _ => return damage("a block of unknown kind"),
    }
    match raw.len() == block.raw_bytes as usize {
        true => Ok(()),
        false => damage(format!("a block of {} bytes, not {}", raw.len(), block.raw_bytes)),
    }
}

fn decompress(packed: &[u8], base: &[u8], raw_bytes: u32, raw: &mut Vec<u8>) -> Result<(), Damage> {
    if u64::from(raw_bytes) > packed.len() as u64 * MAX_RATIO {
        return damage(format!("{} bytes cannot hold {raw_bytes}", packed.len()));
    }
    raw.reserve(raw_bytes as usize);
    DECOMPRESSOR.with_borrow_mut(|slot| {
        *slot = slot.take().or_else(DCtx::try_create);
        match slot.as_mut().map(|zstd| zstd.decompress_using_dict(raw, packed, base)) {
            Some(Ok(_)) => Ok(()),
            Some(Err(code)) => {
                damage(format!("cannot decompress a block: {}", get_error_name(code)))
            }
            None => damage("no memory to decompress a block"),
        }
    })
}
