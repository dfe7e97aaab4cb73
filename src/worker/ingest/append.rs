//! Drafts on their way into the store: packed, appended, answered, counted (P5).

use super::desk::Desk;
use super::shard::Phase;
use crate::board::words::ShardWord;
use crate::error::{Error, Kind, Result};
use crate::segment::ShardId;
use crate::store::{Append, Appended, Store};
use crate::sys::time;
use crate::worker::now_ms;
use std::time::Duration;

/// What is said not to work, and once to work again.
const SILENT: &str = "the store does not answer; all is paused";
const REFUSED: &str = "the store refuses appends; paused";

/// How many batches one call appends. A call that fails fails whole, and may fail for its size
/// (too slow for the call's deadline, or cut off on its way each time): until one passes, each try
/// is half as large.
#[derive(Debug, Default)]
pub(super) struct AppendBound {
    most: Option<usize>,
}

impl AppendBound {
    /// How many of so many go together; one at least.
    fn of(&self, waiting: usize) -> usize {
        self.most.map_or(waiting, |most| most.clamp(1, waiting))
    }

    fn failed(&mut self, batches: usize) {
        self.most = Some((batches / 2).max(1));
    }

    fn worked(&mut self) {
        const UNBOUNDED: usize = 1 << 10;
        self.most = self.most.map(|most| most * 2).filter(|most| *most < UNBOUNDED);
    }
}

impl Desk<'_> {
    /// Appends every ripe draft (`all`: every draft) and every batch that was refused before, in
    /// one round trip; in several, of fewer batches, while calls fail.
    pub fn append_ripe(&mut self, all: bool) -> Result<()> {
        let now = time::monotonic();
        if !self.store_backoff.is_over(now) {
            return self.set_full_aside();
        }
        let appends = self.pending(all, now)?;
        let mut rest = appends.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.append_bound.of(rest.len()));
            if let Err(error) = self.append_together(part) {
                self.append_bound.failed(part.len());
                let ids: Vec<ShardId> = rest.iter().map(|append| append.shard).collect();
                return self.store_failed(&ids, error);
            }
            self.berth.beat();
            rest = later;
        }
        Ok(())
    }

    /// While the store may not be asked, a draft grows to its bound and no further.
    fn set_full_aside(&mut self) -> Result<()> {
        let config = self.config;
        let mut full = self.shards.values_mut().filter(|shard| shard.is_full(config));
        full.try_for_each(|shard| shard.set_aside(config))
    }

    /// Where one shard fails for itself, each is appended alone: what has been done before is
    /// recognized.
    fn append_together(&mut self, part: &[Append]) -> Result<()> {
        match (self.store.append(part), part) {
            (Ok(answers), _) => {
                self.append_bound.worked();
                for (append, answer) in part.iter().zip(answers) {
                    self.answered(append.shard, answer);
                }
                self.berth.moved();
                Ok(())
            }
            (Err(error), [one]) if error.is_of_one_shard() => {
                self.stop_alone(one.shard, &error);
                self.refuse(one.shard);
                Ok(())
            }
            (Err(error), _) if error.is_of_one_shard() => part.iter().try_for_each(|one| {
                self.berth.beat();
                self.append_together(std::slice::from_ref(one))
            }),
            (Err(error), _) => Err(error),
        }
    }

    /// Packs what is ripe; everything that waits to be appended.
    pub(super) fn pending(&mut self, all: bool, now: Duration) -> Result<Vec<Append>> {
        let mut appends = Vec::new();
        for shard in self.shards.values_mut().filter(|shard| shard.alone.may_work(now)) {
            let leaving = shard.phase == Phase::Leaving && shard.has_draft();
            if all || leaving || shard.is_ripe(self.config, now) {
                shard.pack(self.config)?;
            }
            appends.extend(shard.pending.as_ref().map(|pending| pending.append.clone()));
        }
        Ok(appends)
    }

    fn answered(&mut self, id: ShardId, answer: Appended) {
        match answer {
            Appended::Done => self.count_appended(id),
            Appended::Stale => {
                log::info!("shard {id}: the store stands elsewhere, reading again from there");
                self.slot(id).add(ShardWord::Stale, 1);
                self.find_again(id);
            }
            Appended::Lost => {
                log::warn!("shard {id}: its buffer is gone from the store");
                self.find_again(id);
            }
            Appended::Refused(why) => {
                self.refuse(id);
                self.store_backoff.failed(time::monotonic());
                // Said at once: the flusher makes room only for who waits for memory.
                self.memory_short |= why.starts_with("OOM");
                self.troubles.warn(REFUSED, &Error::temporary(format!("shard {id}: {why}")));
            }
        }
    }

    pub(super) fn find_again(&mut self, id: ShardId) {
        self.slot(id).set_offset(ShardWord::Position, None);
        match self.shards.get_mut(&id) {
            // A leaving shard has nothing more to find: Kafka still has what was not appended.
            Some(shard) if shard.phase == Phase::Leaving => {
                shard.find_again();
                shard.phase = Phase::Leaving;
            }
            Some(shard) => shard.find_again(),
            None => {}
        }
    }

    fn count_appended(&mut self, id: ShardId) {
        self.store_works();
        self.troubles.works(REFUSED);
        self.works_alone(id);
        let slot = self.slot(id);
        let Some(shard) = self.shards.get_mut(&id) else { return };
        let Some(pending) = shard.appended() else { return };
        slot.add(ShardWord::Read, pending.tally.read);
        slot.add(ShardWord::ReadBytes, pending.tally.bytes);
        slot.add(ShardWord::Rejected, pending.tally.rejected);
        slot.add(ShardWord::Gaps, pending.tally.gaps);
        slot.add(ShardWord::Skipped, pending.tally.skipped);
        slot.lose(pending.tally.lost, now_ms());
        if let Some(batch) = &pending.append.batch {
            self.strays.look(id, &batch.header);
            slot.add(ShardWord::Batches, 1);
            slot.add(ShardWord::StoredBytes, batch.value.len() as u64);
        }
        slot.set_offset(ShardWord::Position, Some(shard.position));
    }

    /// Its batch is kept, and tried again as it is.
    fn refuse(&mut self, id: ShardId) {
        if let Some(shard) = self.shards.get_mut(&id)
            && shard.phase != Phase::Leaving
        {
            shard.phase = Phase::Refused;
        }
    }

    /// No answer is known: each shard keeps its batch and tries the same again.
    pub(super) fn store_failed(&mut self, ids: &[ShardId], error: Error) -> Result<()> {
        if error.kind() == Kind::Config {
            return Err(error);
        }
        ids.iter().for_each(|id| self.refuse(*id));
        self.store_backoff.failed(time::monotonic());
        self.troubles.warn(SILENT, &error);
        Ok(())
    }

    pub(super) fn store_works(&mut self) {
        self.store_backoff.worked();
        self.troubles.works(SILENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_fail_become_smaller_until_one_passes() {
        let mut bound = AppendBound::default();
        assert_eq!(bound.of(7), 7);
        for rest in [3, 1, 1] {
            bound.failed(bound.of(7));
            assert_eq!(bound.of(7), rest);
        }
        bound.worked();
        assert_eq!((bound.of(7), bound.of(1)), (2, 1));
        (0..10).for_each(|_| bound.worked());
        assert_eq!(bound.of(5000), 5000);
    }
}
