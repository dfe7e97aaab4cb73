//! Which shards are ours, and whose they are to be: from the board's rows to its desired words.
//!
//! What ingest says stands in rows; the newest generation wins. The pool of flushers grows at
//! once and shrinks only when it was too large for a while: a rebalance must not cost it.

use super::Pool;
use super::assign::plan;
use crate::board::ShardId;
use crate::board::words::{OwnershipWord, ShardWord};
use crate::board::{Board, ShardSlot};
use std::time::Duration;

#[derive(Default)]
pub struct Shards {
    shrink_after: Duration,
    /// The shards of the last look, `None` before the first.
    known: Option<Vec<u32>>,
    size: usize,
    too_large_since: Option<Duration>,
}

impl Shards {
    /// A pool that is too large is kept for `shrink_after`.
    pub fn new(shrink_after: Duration) -> Shards {
        Shards { shrink_after, ..Shards::default() }
    }

    pub fn count(&self) -> usize {
        self.known.as_ref().map_or(0, Vec::len)
    }

    /// Writes the desired flusher of every shard and returns how many flushers are wanted.
    pub fn assign(&mut self, board: &Board, pool: Pool, flushers: usize, now: Duration) -> usize {
        let shards = assigned(board);
        let size = match pool {
            Pool::All => flushers,
            Pool::PerShard => self.resize(shards.len().clamp(1, flushers.max(1)), now),
        };
        if self.known.as_ref() == Some(&shards) && self.size == size {
            return size;
        }
        if !shards.is_empty() {
            log::info!("{} shards on {size} flushers", shards.len());
        } else if self.known.as_ref() != Some(&shards) {
            log::info!("no shards are assigned: idling");
        }
        write(board, &shards, size);
        self.known = Some(shards);
        self.size = size;
        size
    }

    fn resize(&mut self, needed: usize, now: Duration) -> usize {
        if needed >= self.size {
            self.too_large_since = None;
            return needed;
        }
        let since = *self.too_large_since.get_or_insert(now);
        if now.saturating_sub(since) < self.shrink_after {
            return self.size;
        }
        self.too_large_since = None;
        needed
    }
}

/// The shards for which the newest row wants a flusher.
fn assigned(board: &Board) -> Vec<u32> {
    (0..board.max_shards()).filter(|shard| is_wanted(board, ShardId(*shard))).collect()
}

fn is_wanted(board: &Board, shard: ShardId) -> bool {
    (0..board.ingests())
        .filter_map(|ingest| board.ownership(ingest, shard))
        .map(|row| (row.get(OwnershipWord::Assigned), row.get(OwnershipWord::Wanted)))
        .filter(|(assigned, _)| *assigned > 0)
        .max()
        .is_some_and(|(_, wanted)| wanted == 1)
}

fn write(board: &Board, shards: &[u32], flushers: usize) {
    let slots = || (0..board.max_shards()).filter_map(|n| Some((n, board.shard(ShardId(n))?)));
    let present: Vec<(u32, Option<usize>)> = slots()
        .filter(|(shard, _)| shards.binary_search(shard).is_ok())
        .map(|(shard, slot)| (shard, slot.desired().or(slot.holder())))
        .collect();
    let placed = plan(&present, flushers);
    for (shard, slot) in slots() {
        let found = placed.binary_search_by_key(&shard, |placed| placed.shard);
        set_desired(slot, found.ok().map(|at| placed[at].flusher));
    }
}

fn set_desired(slot: ShardSlot<'_>, flusher: Option<usize>) {
    if slot.desired() != flusher {
        slot.set(ShardWord::Desired, flusher.map_or(0, |flusher| flusher as u64 + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Shape;

    fn own(board: &Board, ingest: usize, shard: u32, generation: u64, wanted: u64) {
        let row = board.ownership(ingest, ShardId(shard)).unwrap();
        row.set(OwnershipWord::Wanted, wanted);
        row.set(OwnershipWord::Assigned, generation + 1);
    }

    #[test]
    fn the_newest_generation_wins() {
        let board = Board::private(Shape { ingests: 2, flushers: 2, max_shards: 4 });
        own(&board, 0, 1, 5, 1);
        own(&board, 1, 1, 6, 0);
        own(&board, 0, 2, 7, 1);
        own(&board, 1, 2, 6, 0);
        assert_eq!(assigned(&board), [2]);
    }

    #[test]
    fn a_pool_grows_at_once_and_shrinks_late() {
        let mut shards = Shards { size: 4, ..Shards::new(Duration::from_secs(60)) };
        assert_eq!(shards.resize(6, Duration::ZERO), 6);
        shards.size = 6;
        assert_eq!(shards.resize(1, Duration::from_secs(1)), 6);
        assert_eq!(shards.resize(1, Duration::from_secs(60)), 6);
        assert_eq!(shards.resize(1, Duration::from_secs(61)), 1);
    }

    #[test]
    fn shards_without_an_owner_are_desired_by_nobody() {
        let board = Board::private(Shape { ingests: 1, flushers: 2, max_shards: 4 });
        own(&board, 0, 3, 1, 1);
        let mut shards = Shards::default();
        shards.assign(&board, Pool::All, 2, Duration::ZERO);
        assert_eq!(board.shard(ShardId(3)).unwrap().desired(), Some(0));
        own(&board, 0, 3, 1, 0);
        shards.assign(&board, Pool::All, 2, Duration::ZERO);
        assert_eq!(board.shard(ShardId(3)).unwrap().desired(), None);
    }
}
