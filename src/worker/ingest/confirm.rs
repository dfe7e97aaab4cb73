//! Asking the group whether a shard is still ours, when another flusher has taken it.
//!
//! A daemon that was stopped and woken up believes in shards that are another's by now. Its
//! flusher finds that out by the epoch, and takes the shard again only after the group has
//! accepted a commit that was sent since then: a commit of one who is no member is refused.

use super::desk::Desk;
use super::floor::COMMITTING;
use crate::board::words::ShardWord;
use crate::segment::ShardId;

/// A flusher of ours lost the shard's epoch to another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contest {
    /// What the flusher has counted; confirmed by the same number.
    pub count: u64,
    /// The number of the commit that asks.
    pub asked: Option<u64>,
}

impl Desk<'_> {
    /// Sees which shards are contested, and has each of them committed again. Fixed partitions
    /// have no group that could tell: they are taken back, later each time.
    pub(super) fn notice_contests(&mut self) {
        for shard in self.shards.values_mut() {
            let Some(slot) = self.berth.board.shard(shard.id) else { continue };
            let count = slot.get(ShardWord::Contested);
            if count <= slot.get(ShardWord::Confirmed) {
                shard.contest = None;
            } else if !self.config.partitions.is_empty() {
                slot.set(ShardWord::Confirmed, count);
            } else if shard.contest.is_none_or(|contest| contest.count != count) {
                shard.contest = Some(Contest { count, asked: None });
            }
        }
    }

    /// The commit with this number was sent for these shards.
    pub(super) fn asked(&mut self, id: ShardId, number: u64) {
        let contest = self.shards.get_mut(&id).and_then(|shard| shard.contest.as_mut());
        if let Some(contest) = contest {
            contest.asked.get_or_insert(number);
        }
    }

    /// The group has taken a commit: what it was sent for is ours.
    pub fn confirmed(&mut self, number: u64, shards: &[ShardId]) {
        self.troubles.works(COMMITTING);
        for id in shards {
            let Some(shard) = self.shards.get_mut(id) else { continue };
            let Some(Contest { count, asked: Some(asked) }) = shard.contest else { continue };
            if number >= asked {
                shard.contest = None;
                self.slot(*id).set(ShardWord::Confirmed, count);
            }
        }
    }
}
