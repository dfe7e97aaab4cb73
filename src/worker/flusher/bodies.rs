//! The bodies of chunks: read from the store, each block once, decompressed, kept side by side.
//!
//! Of a block only what is wanted is kept, so they take the memory of what is due and no more. It
//! is used again: fresh memory costs more than what is done in it. The base of a batch, which its
//! small blocks are packed on, is kept as long as there is room: it is wanted again in a moment.

mod bases;

use super::Desk;
use super::pages::pages;
use crate::error::Result;
use crate::segment::batch::{self, Block, Damage};
use crate::segment::index::ChunkRef;
use crate::segment::{BatchId, ShardId};
use crate::store::Store;
use bases::Bases;
use std::ops::Range;

/// What is read and decompressed between two beats, bases included. A block holds a few KiB of many
/// segments, or one larger chunk.
const PAGE_BYTES: u64 = 8 << 20;

/// After a segment larger than this its memory is given back.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// The bodies of a list of chunks, in its order.
#[derive(Default)]
pub struct Bodies {
    bytes: Vec<u8>,
    /// By the chunk's place in the list.
    at: Vec<Range<usize>>,
    /// The block that is being read.
    block: Vec<u8>,
    bases: Bases,
}

/// A block, and the places of the chunks that are wanted of it.
struct Wanted<'o> {
    block: (ShardId, BatchId, Block),
    base: Option<Block>,
    places: &'o [usize],
}

impl Wanted<'_> {
    fn base(&self) -> Option<(ShardId, BatchId, Block)> {
        let (shard, batch, _) = self.block;
        Some((shard, batch, self.base?))
    }
}

impl Bodies {
    /// Reads the bodies of these chunks, in place of what was here; false when something is
    /// missing or damaged: the store has a hole.
    pub fn read(
        &mut self,
        desk: &mut Desk<'_>,
        shard: ShardId,
        chunks: &[ChunkRef],
    ) -> Result<bool> {
        let bytes: usize = chunks.iter().map(|chunk| chunk.body_bytes as usize).sum();
        if self.bytes.capacity() > KEPT_BYTES_MAX.max(bytes) {
            (self.bytes, self.block) = (Vec::new(), Vec::new());
        }
        self.bytes.clear();
        self.bytes.reserve(bytes);
        self.at.clear();
        self.at.resize(chunks.len(), 0..0);
        let order = by_block(chunks);
        for page in block_pages(&wanted(shard, chunks, &order)) {
            let bases = page.iter().filter_map(Wanted::base);
            if !self.bases.read(&mut desk.store, bases)? {
                return Ok(false);
            }
            // Each of the two may take as long as a call of the store, and there may be many.
            desk.berth.beat();
            let blocks: Vec<_> = page.iter().map(|wanted| wanted.block).collect();
            let mut whole = true;
            desk.store.fetch(&blocks, &mut |place, stored| {
                let kept = stored.map(|stored| self.keep(chunks, &page[place], stored));
                if let Some(Err(damage)) = &kept {
                    log::error!("shard {shard}: a block cannot be read: {}", damage.what);
                }
                whole &= matches!(kept, Some(Ok(())));
            })?;
            if !whole {
                return Ok(false);
            }
            desk.berth.beat();
        }
        Ok(true)
    }

    fn keep(
        &mut self,
        chunks: &[ChunkRef],
        wanted: &Wanted<'_>,
        stored: &[u8],
    ) -> std::result::Result<(), Damage> {
        let (_, id, block) = &wanted.block;
        let base = wanted.base.and_then(|_| self.bases.get(*id));
        batch::unpack_block_into(block, base, stored, &mut self.block)?;
        for &place in wanted.places {
            let start = chunks[place].body_at as usize;
            let end = start.saturating_add(chunks[place].body_bytes as usize);
            let Some(body) = self.block.get(start..end) else {
                return Err(Damage { what: format!("a body ends at {end}, beyond its block") });
            };
            let at = self.bytes.len();
            self.bytes.extend_from_slice(body);
            self.at[place] = at..self.bytes.len();
        }
        Ok(())
    }

    /// The body of a chunk, by its place in the list.
    pub fn get(&self, place: usize) -> Option<&[u8]> {
        self.bytes.get(self.at.get(place)?.clone())
    }

    /// Gives the memory back, for when nothing is due.
    pub fn free(&mut self) {
        *self = Bodies::default();
    }
}

/// Places in `chunks`, those of one block next to each other, blocks as they lie in the batch.
fn by_block(chunks: &[ChunkRef]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..chunks.len()).collect();
    order.sort_unstable_by_key(|&place| {
        let chunk = &chunks[place];
        (chunk.batch, chunk.block_no, chunk.ordinal)
    });
    order
}

fn wanted<'o>(shard: ShardId, chunks: &[ChunkRef], order: &'o [usize]) -> Vec<Wanted<'o>> {
    let block_of = |place: usize| (chunks[place].batch, chunks[place].block_no);
    let of_one_block = order.chunk_by(|&one, &next| block_of(one) == block_of(next));
    let first = |places: &[usize]| &chunks[places[0]];
    of_one_block
        .map(|places| {
            let ChunkRef { batch, block, base, .. } = *first(places);
            Wanted { block: (shard, batch, block), base, places }
        })
        .collect()
}

/// Runs of blocks of at most [`PAGE_BYTES`] when decompressed, bases included; one block at least.
fn block_pages<'w, 'o>(wanted: &'w [Wanted<'o>]) -> Vec<&'w [Wanted<'o>]> {
    pages(wanted, page_length)
}

/// How many of these blocks fit. A base counts once, where it is first wanted of its batch.
fn page_length(wanted: &[Wanted<'_>]) -> usize {
    let (mut bytes, mut counted) = (0, None);
    for (place, one) in wanted.iter().enumerate() {
        let (_, batch, block) = &one.block;
        bytes += u64::from(block.raw_bytes);
        if let Some(base) = one.base
            && counted != Some(*batch)
        {
            bytes += u64::from(base.raw_bytes);
            counted = Some(*batch);
        }
        if bytes > PAGE_BYTES {
            return place;
        }
    }
    wanted.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(raw_bytes: u32) -> Block {
        Block { at: 0, stored_bytes: 0, raw_bytes, on_base: false, checksum: 0 }
    }

    fn chunk(batch: u128, block_no: u32, ordinal: u32) -> ChunkRef {
        let (batch, block, base) = (BatchId(batch), block(100), None);
        ChunkRef { batch, ordinal, block_no, block, base, body_at: 0, body_bytes: 1, spans: 1 }
    }

    #[test]
    fn each_block_is_wanted_once_and_in_its_place() {
        let chunks = [chunk(2, 0, 1), chunk(1, 3, 9), chunk(2, 0, 0), chunk(1, 2, 5)];
        let order = by_block(&chunks);
        let found: Vec<_> = wanted(ShardId(7), &chunks, &order)
            .into_iter()
            .map(|wanted| (wanted.block.1.0, wanted.places.to_vec()))
            .collect();
        assert_eq!(found, [(1, vec![3]), (1, vec![1]), (2, vec![2, 0])]);
    }

    const PAGE: u32 = PAGE_BYTES as u32;

    /// How many blocks are read together, of these: batch, size, and size of the base if on one.
    fn page_lengths(blocks: &[(u128, u32, Option<u32>)]) -> Vec<usize> {
        let one = |&(batch, size, base): &(u128, u32, Option<u32>)| Wanted {
            block: (ShardId(0), BatchId(batch), block(size)),
            base: base.map(block),
            places: &[],
        };
        let wanted: Vec<Wanted<'_>> = blocks.iter().map(one).collect();
        block_pages(&wanted).iter().map(|page| page.len()).collect()
    }

    #[test]
    fn pages_are_bounded_and_leave_nothing_out() {
        let blocks = [PAGE / 2, PAGE / 2, 1, PAGE * 3, PAGE].map(|size| (0, size, None));
        assert_eq!(page_lengths(&blocks), [2, 1, 1, 1]);
        assert!(page_lengths(&[]).is_empty());
    }

    #[test]
    fn a_base_counts_once_where_it_is_first_wanted_of_its_batch() {
        let base = Some(PAGE / 2);
        assert_eq!(page_lengths(&[(0, 1, base), (0, 1, base), (0, PAGE / 4, base)]), [3]);
        // Also where what is not packed on it stands before.
        assert_eq!(page_lengths(&[(0, PAGE / 2, None), (0, 1, base), (0, 1, base)]), [1, 2]);
    }

    #[test]
    fn a_base_counts_in_each_page_also_where_that_begins_with_its_batch() {
        let base = Some(PAGE / 2);
        // The second batch does not fit, and a third not with it.
        let three = [(0, PAGE / 4, base), (1, PAGE / 4, base), (2, PAGE / 4, base)];
        assert_eq!(page_lengths(&three), [1, 1, 1]);
        assert_eq!(page_lengths(&[(0, PAGE / 2, base), (0, PAGE / 2, base)]), [1, 1]);
    }
}
