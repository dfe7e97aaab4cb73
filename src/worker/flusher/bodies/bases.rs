//! The bases of batches, decompressed: kept while they are wanted.
//!
//! In two halves: what was wanted since they changed places, and what was before. So what nobody
//! has wanted for a while goes, and nothing goes while a page is read.

use crate::error::Result;
use crate::segment::batch::{self, Block};
use crate::segment::hash::QuickMap;
use crate::segment::{BatchId, ShardId};
use crate::store::Store;

/// What is kept, twice; a page of blocks may pass it.
const KEPT_BYTES: usize = 4 << 20;

#[derive(Default)]
pub struct Bases {
    wanted: QuickMap<BatchId, Vec<u8>>,
    wanted_bytes: usize,
    before: QuickMap<BatchId, Vec<u8>>,
}

impl Bases {
    /// Makes sure that these are here; false when one is missing or damaged.
    pub fn read<S: Store>(
        &mut self,
        store: &mut S,
        bases: impl Iterator<Item = (ShardId, BatchId, Block)>,
    ) -> Result<bool> {
        if self.wanted_bytes > KEPT_BYTES {
            self.before = std::mem::take(&mut self.wanted);
            self.wanted_bytes = 0;
        }
        let missing = self.missing(bases);
        if missing.is_empty() {
            return Ok(true);
        }
        let mut whole = true;
        store.fetch(&missing, &mut |place, stored| {
            let (shard, id, block) = &missing[place];
            match stored.map(|stored| batch::unpack_block(block, None, stored)) {
                Some(Ok(raw)) => self.keep(*id, raw),
                Some(Err(damage)) => {
                    log::error!("shard {shard}: a base cannot be read: {}", damage.what);
                    whole = false;
                }
                None => whole = false,
            }
        })?;
        Ok(whole)
    }

    /// Those that are not here, each once: those of one batch stand next to each other.
    fn missing(
        &mut self,
        bases: impl Iterator<Item = (ShardId, BatchId, Block)>,
    ) -> Vec<(ShardId, BatchId, Block)> {
        let mut missing: Vec<(ShardId, BatchId, Block)> = Vec::new();
        for base in bases {
            let id = base.1;
            if self.wanted.contains_key(&id) || missing.last().is_some_and(|last| last.1 == id) {
                continue;
            }
            match self.before.remove(&id) {
                Some(raw) => self.keep(id, raw),
                None => missing.push(base),
            }
        }
        missing
    }

    fn keep(&mut self, id: BatchId, raw: Vec<u8>) {
        self.wanted_bytes += raw.len();
        self.wanted.insert(id, raw);
    }

    pub fn get(&self, id: BatchId) -> Option<&[u8]> {
        self.wanted.get(&id).map(Vec::as_slice)
    }
}
