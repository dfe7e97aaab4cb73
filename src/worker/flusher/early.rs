//! Early flushes: the oldest segments leave before their time to make room, torn if need be, where
//! the index is over its bound or the store short of memory, and where that helps.

use super::Flusher;
use super::held::Held;
use crate::board::words::{Paused, ShardWord};
use crate::error::{Error, Result};
use crate::segment::index::{Index, Share};
use crate::worker::is_above;
use std::time::Duration;

/// Between two early flushes, or two questions whether one would help: what was flushed must have
/// time to land.
const ROOM_INTERVAL: Duration = Duration::from_millis(100);

/// Early flushes help only when at least one part in this many of the store's memory is ours.
const OUR_SHARE_MIN: u64 = 4;

const INDEX_FILLED: &str = "dead letters fill the index; no segment is flushed early";
const STORE_FILLED: &str = "dead letters fill Redis; no segment is flushed early";

impl Flusher<'_> {
    pub(super) fn make_room(&mut self, now: Duration) -> Result<()> {
        let busy = self.flights.moving_bytes() > 0 || !self.round.is_over();
        if busy || now.saturating_sub(self.made_room_at) < ROOM_INTERVAL {
            return Ok(());
        }
        if !self.is_index_full() && !self.is_store_full(now)? {
            return Ok(());
        }
        self.made_room_at = now;
        self.begin_round(Held::oldest)?;
        self.flush()
    }

    /// Over its bound; or while ingest waits, until it reads on: clocks stand, nothing falls due.
    fn is_index_full(&mut self) -> bool {
        let share = self.share(Index::memory_share);
        let max = self.desk.config.max_index_bytes;
        let is_full = is_above(max, max, share.all, self.is_paused(Paused::Backpressure));
        self.helps(is_full, share, INDEX_FILLED)
    }

    /// Whether memory is short, and a good part of it is ours. Where others fill the store, early
    /// flushes would not help.
    fn is_store_full(&mut self, now: Duration) -> Result<bool> {
        let is_short = self.is_paused(Paused::Memory);
        if is_short {
            self.made_room_at = now;
            self.settle_all(now)?;
        }
        let is_full = is_short && self.store_is_ours()?;
        let share = self.share(Index::live_share);
        Ok(self.helps(is_full, share, STORE_FILLED))
    }

    /// Ingest has paused one of the shards, and that is why.
    fn is_paused(&self, why: Paused) -> bool {
        let slots = self.held.iter().filter_map(|held| self.desk.berth.board.shard(held.shard));
        slots.map(|slot| slot.get(ShardWord::Paused)).any(|paused| paused == why as u64)
    }

    fn share(&self, of: impl Fn(&Index) -> Share) -> Share {
        self.held.iter().filter_map(Held::index).map(of).fold(Share::default(), Share::and)
    }

    /// Not where most waits as dead letters: what is left would be torn, as would all that comes,
    /// and there would still be no room. Reading pauses until their topic takes them.
    fn helps(&mut self, is_full: bool, share: Share, filled: &str) -> bool {
        let troubles = &mut self.desk.troubles;
        if !is_full || share.letters <= share.all / 2 {
            troubles.works(filled);
            return is_full;
        }
        let why = "their topic takes none, or too few; see to its rights, leader and limits";
        troubles.warn(filled, &Error::temporary(why));
        false
    }

    /// What was flushed before has to be told before the store is asked: else its memory is counted
    /// still, and others are torn for it.
    fn settle_all(&mut self, now: Duration) -> Result<()> {
        for held in self.held.iter_mut().filter(|held| held.alone.may_work(now)) {
            let told = held.settle(&mut self.desk, now);
            held.contain(&mut self.desk, told)?;
        }
        Ok(())
    }

    /// Asked here, since ingest's word for it may be a second old.
    fn store_is_ours(&mut self) -> Result<bool> {
        let ours: u64 = self.held.iter().filter_map(Held::index).map(Index::stored_bytes).sum();
        let memory = self.desk.store.memory()?;
        let percentage = self.desk.config.max_memory_percentage.into();
        if !is_above(percentage, 100, memory.used_percentage(), true) {
            return Ok(false);
        }
        let used = memory.used_bytes;
        let is_ours = ours.saturating_mul(OUR_SHARE_MIN) >= used;
        if !is_ours {
            let why = Error::temporary(format!("we hold {ours} of {used} bytes"));
            self.desk.troubles.warn("Redis is filled by others; nothing is flushed early", &why);
        }
        Ok(is_ours)
    }
}
