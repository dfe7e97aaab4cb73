//! Shards whose position is not in their partition any more: which they are, and what is lost.
//!
//! The client says that there is one, not which, and gives up the fetcher of the one that it
//! means: unless the worker starts that shard anew, it is never read again. So whatever may be the
//! one stays in doubt until Kafka has answered for it.

use super::desk::{Desk, KAFKA_WAIT};
use super::patience::WAIT_MAX;
use super::shard::Phase;
use crate::error::{Error, Result};
use crate::kafka::consumer::Consumer;
use crate::segment::{Offset, ShardId};
use crate::sys::time;

impl Desk<'_> {
    /// Some position is out of its partition's range. What was read before is appended first: it
    /// is not there to be read again.
    pub fn out_of_range(&mut self, consumer: &Consumer) -> Result<()> {
        self.append_ripe(true)?;
        for shard in self.shards.values_mut() {
            match shard.phase {
                Phase::Flowing => shard.doubted = true,
                // It may be the one: when it can be appended to again, it takes a new fetcher.
                _ => shard.stranded = true,
            }
        }
        self.compare_ranges(consumer)
    }

    /// Asks for the ranges of the shards in doubt; again later for whom nobody answers.
    pub(super) fn compare_ranges(&mut self, consumer: &Consumer) -> Result<()> {
        let doubted = self.shards.values().filter(|shard| shard.doubted);
        let ids: Vec<ShardId> = doubted.map(|shard| shard.id).collect();
        let (mut found, mut sound) = (false, Vec::new());
        for id in ids {
            let now = time::monotonic();
            if self.shards.get(&id).is_none_or(|shard| !shard.patience.may_hold_up(now)) {
                continue;
            }
            match consumer.watermarks(id, KAFKA_WAIT) {
                Ok((low, high)) if self.compare_range(id, low, high)? => sound.push(id),
                Ok(_) => found = true,
                Err(error) => {
                    self.unanswered_range(id, &error);
                    break;
                }
            }
            self.berth.beat();
        }
        // Who was out of range is back in it (or the range was not what it seemed): any of them.
        let lost = if found { Vec::new() } else { sound };
        lost.into_iter().try_for_each(|id| self.strand(id))
    }

    fn unanswered_range(&mut self, id: ShardId, error: &Error) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.patience.keep_apart(time::monotonic(), WAIT_MAX);
        }
        self.troubles.warn(&format!("cannot ask for the range of partition {id}"), error);
    }

    /// Whether the shard stands in its range. Where it does not, retention has eaten what stood at
    /// its position: that is loss, it is counted and said.
    pub(super) fn compare_range(&mut self, id: ShardId, low: Offset, high: Offset) -> Result<bool> {
        let Some(shard) = self.shards.get_mut(&id) else { return Ok(true) };
        shard.doubted = false;
        if shard.next > high {
            return Err(Error::config(format!(
                "partition {id} ends at offset {high}, before our position {}: the topic was \
                 truncated or made anew; reset the group's offsets to start over",
                shard.next
            )));
        }
        if shard.next >= low {
            return Ok(true);
        }
        if !shard.is_idle() {
            // What is read waits for the store and is appended first; then it is found again.
            self.strand(id)?;
            return Ok(false);
        }
        log::error!(
            "partition {id}: offsets {} to {low} are lost: retention removed them before they \
             were read; reading goes on at {low}; give the topic more retention",
            shard.next
        );
        shard.skip_to(low);
        Ok(false)
    }

    /// It is read again from behind what was read, by a new fetcher.
    fn strand(&mut self, id: ShardId) -> Result<()> {
        let Some(shard) = self.shards.get_mut(&id) else { return Ok(()) };
        shard.stranded = true;
        shard.set_aside(self.config)
    }
}
