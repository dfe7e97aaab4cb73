//! When a shard's sparse batches are rewritten, and how much at a time; `carry.rs` does it.

use super::Held;
use crate::board::words::ShardWord;
use crate::error::Result;
use crate::segment::index::Sparse;
use crate::store::{Clean, Fenced, Store};
use crate::worker::flusher::Desk;
use crate::worker::flusher::carry::Carry;
use std::time::Duration;

/// How often sparse batches are looked for.
pub(super) const CLEAN_INTERVAL: Duration = Duration::from_secs(1);

/// The same where one cleaning was not enough: one that is not done as fast as batches come, and
/// leaves the flusher time for its other shards.
const CLEAN_MORE_INTERVAL: Duration = Duration::from_millis(200);

/// Raw bytes that one cleaning moves at most (one batch may pass it).
const CLEAN_BYTES_MAX: u64 = 4 << 20;

/// Batches that one cleaning removes at most.
const CLEAN_BATCHES_MAX: usize = 100;

impl Held {
    /// Rewrites batches of which little is left, so that a few long-open traces do not keep
    /// everybody's bytes in the store.
    pub fn clean(&mut self, desk: &mut Desk<'_>, now: Duration) -> Result<()> {
        if now.saturating_sub(self.cleaned_at) < CLEAN_INTERVAL || self.has_unsettled() {
            return Ok(());
        }
        self.cleaned_at = now;
        let Some(owned) = &mut self.owned else { return Ok(()) };
        let Sparse { batches: sparse, more } =
            owned.index.sparse(CLEAN_BYTES_MAX, CLEAN_BATCHES_MAX);
        if sparse.is_empty() {
            return Ok(());
        }
        if more {
            self.cleaned_at = now.saturating_sub(CLEAN_INTERVAL - CLEAN_MORE_INTERVAL);
        }
        let Some(carry) = Carry::plan(&owned.index, &sparse) else { return Ok(()) };
        let Some(batch) = carry.pack(desk, self.shard, &owned.index)? else {
            log::warn!("shard {}: a batch that was to be cleaned is not whole", self.shard);
            return self.hole(desk);
        };
        let header = batch.header.clone();
        let header_bytes = batch.header_bytes;
        let from = carry.from;
        let clean = Clean { shard: self.shard, epoch: owned.epoch, from, carry: batch };
        match desk.store.clean(&clean) {
            Err(error) => {
                // Without an answer it may have been done, and what the index names is gone. The
                // refusal of a full Redis, which comes each time, leaves the connection.
                if desk.store.connection().is_none() {
                    self.lose();
                }
                return Err(error);
            }
            Ok(Fenced::Done) => {
                owned.index.moved(&sparse, &header, header_bytes, &carry.chunks);
                if let Some(slot) = desk.berth.board.shard(self.shard) {
                    slot.add(ShardWord::Cleaned, sparse.len() as u64);
                }
            }
            Ok(Fenced::Refused) => self.lose_or_wait(desk)?,
        }
        Ok(())
    }
}
