//! The store in a map: for properties and models.
//!
//! Keeps the contract of `store/mod.rs` exactly, step by step like the scripts, and can be told
//! to lose replies, to lose everything, and to go back in time.

use super::{
    Append, Appended, Begun, Clean, Epoch, Fenced, FoundEach, Identity, Life, Listed, Settled,
    State, Store, Taken,
};
use crate::error::{Error, Result};
use crate::segment::batch::{Batch, Block};
use crate::segment::index::{BatchMarks, Marks};
use crate::segment::{BatchId, Offset, ShardId};
use std::collections::BTreeMap;

/// One shard's keys.
#[derive(Clone, Default)]
struct Shard {
    state: Option<State>,
    live: BTreeMap<BatchId, Listed>,
    done: BTreeMap<BatchId, Marks>,
    values: BTreeMap<BatchId, Vec<u8>>,
}

#[derive(Clone, Default)]
pub struct MemoryStore {
    shards: BTreeMap<ShardId, Shard>,
    lose_replies: u32,
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// The replies of the next `count` calls are lost: done, but answered with an error.
    pub fn lose_replies(&mut self, count: u32) {
        self.lose_replies = count;
    }

    /// Everything is gone, as after FLUSHALL or a restart without persistence.
    pub fn lose_everything(&mut self) {
        self.shards.clear();
    }

    /// The value of one batch is gone: expired, evicted, deleted by hand.
    pub fn lose_value(&mut self, shard: ShardId, id: BatchId) {
        self.shard(shard).values.remove(&id);
    }

    /// Goes back to an earlier state, as a failover to a replica that lags may.
    pub fn go_back(&mut self, earlier: &MemoryStore) {
        self.shards = earlier.shards.clone();
    }

    fn shard(&mut self, shard: ShardId) -> &mut Shard {
        self.shards.entry(shard).or_default()
    }

    fn answer<T>(&mut self, answer: T) -> Result<T> {
        if self.lose_replies == 0 {
            return Ok(answer);
        }
        self.lose_replies -= 1;
        Err(Error::temporary("the reply was lost"))
    }
}

impl Shard {
    /// See append.lua.
    fn append(&mut self, append: &Append) -> Appended {
        let id = append.batch.as_ref().map(|batch| batch.header.id);
        if let Some(batch) = &append.batch {
            self.values.insert(batch.header.id, batch.value.clone());
        }
        let Some(state) = &mut self.state else {
            self.refuse(id);
            return Appended::Lost;
        };
        let follows = state.position == append.position && state.tip == append.tip;
        let is_ours = state.life == append.life;
        let moved = id.is_none() && state.position == append.next && state.tip == append.tip;
        if is_ours && (moved || (id.is_some() && state.tip == id)) {
            return Appended::Done;
        }
        if !is_ours || !follows {
            self.refuse(id);
            return Appended::Stale;
        }
        (state.position, state.clock) = (append.next, Some(append.clock));
        if let Some(batch) = &append.batch {
            state.tip = id;
            let first = append.position;
            state.books.read += batch.header.spans.len() as u64;
            state.batches +=
                u64::from(self.live.insert(batch.header.id, listed(batch, first)).is_none());
        }
        Appended::Done
    }

    /// The life is over; values that nobody names are left to their time to live.
    fn forget(&mut self) {
        let values = std::mem::take(&mut self.values);
        *self = Shard { values, ..Shard::default() };
    }

    /// What does not count is removed, but never what is listed.
    fn refuse(&mut self, id: Option<BatchId>) {
        if let Some(id) = id
            && !self.live.contains_key(&id)
        {
            self.values.remove(&id);
        }
    }

    fn epoch(&self) -> Option<Epoch> {
        self.state.as_ref().and_then(|state| state.epoch)
    }

    /// See settle.lua.
    fn settle(&mut self, epoch: Epoch, marks: &[&BatchMarks], settled: &Settled) -> Fenced {
        let Some(state) = self.state.as_mut().filter(|state| state.epoch == Some(epoch)) else {
            return Fenced::Refused;
        };
        let (before, now) = (state.books.settled.total(), settled.total());
        let all_listed = marks.iter().all(|marks| self.live.contains_key(&marks.batch));
        if now < before || (now > before && !all_listed) {
            return Fenced::Refused;
        }
        state.books.settled = *settled;
        marks.iter().for_each(|marks| self.mark(marks));
        Fenced::Done
    }

    fn mark(&mut self, marks: &BatchMarks) {
        if !self.live.contains_key(&marks.batch) {
            return;
        }
        if marks.done {
            self.remove(marks.batch);
        } else {
            self.done.insert(marks.batch, marks.marks.clone());
        }
        self.count();
    }

    fn remove(&mut self, id: BatchId) {
        self.live.remove(&id);
        self.done.remove(&id);
        self.values.remove(&id);
    }

    /// The counters as the scripts keep them.
    fn count(&mut self) {
        if let Some(state) = &mut self.state {
            (state.batches, state.marked) = (self.live.len() as u64, self.done.len() as u64);
        }
    }

    /// See clean.lua.
    fn clean(&mut self, clean: &Clean) -> Fenced {
        let id = clean.carry.header.id;
        if self.live.contains_key(&id) {
            return Fenced::Done;
        }
        let unchanged = |(listed, marks): &(Listed, Marks)| {
            let now = self.done.get(&listed.id).cloned().unwrap_or_default();
            self.live.contains_key(&listed.id) && now == *marks
        };
        if self.epoch() != Some(clean.epoch) || !clean.from.iter().all(unchanged) {
            return Fenced::Refused;
        }
        self.values.insert(id, clean.carry.value.clone());
        self.live.insert(id, listed(&clean.carry, clean.carry.header.start));
        for (listed, _) in &clean.from {
            self.remove(listed.id);
        }
        self.count();
        Fenced::Done
    }

    fn range(&self, id: BatchId, at: u32, bytes: u32) -> Option<Vec<u8>> {
        let value = self.values.get(&id)?;
        value.get(at as usize..at as usize + bytes as usize).map(<[u8]>::to_vec)
    }
}

fn listed(batch: &Batch, first: Offset) -> Listed {
    Listed { id: batch.header.id, header_bytes: batch.header_bytes, first }
}

impl Store for MemoryStore {
    fn look(&mut self, shards: &[ShardId]) -> Result<Vec<Option<State>>> {
        let states = shards.iter().map(|shard| self.shard(*shard).state.clone()).collect();
        self.answer(states)
    }

    fn begin(
        &mut self,
        shard: ShardId,
        identity: &Identity,
        life: Life,
        position: Offset,
        replaces: Option<Life>,
    ) -> Result<Begun> {
        let kept = self.shard(shard);
        let begun = match &kept.state {
            Some(state) if state.life == life => Begun::New(state.clone()),
            Some(state) if Some(state.life) != replaces => Begun::Found(state.clone()),
            _ => {
                let state = State::begun(identity.clone(), life, position);
                kept.forget();
                kept.state = Some(state.clone());
                Begun::New(state)
            }
        };
        self.answer(begun)
    }

    fn append(&mut self, appends: &[Append]) -> Result<Vec<Appended>> {
        let answers =
            appends.iter().map(|append| self.shard(append.shard).append(append)).collect();
        self.answer(answers)
    }

    fn take(&mut self, shard: ShardId, epoch: Epoch) -> Result<Option<Taken>> {
        let kept = self.shard(shard);
        let taken = kept.state.as_mut().map(|state| {
            state.epoch = Some(epoch);
            let mut listed: Vec<Listed> = kept.live.values().copied().collect();
            listed.sort_by_key(|listed| (listed.first, listed.id));
            let marks = kept.done.iter().map(|(id, marks)| (*id, marks.clone())).collect();
            Taken { state: state.clone(), listed, marks }
        });
        self.answer(taken)
    }

    fn list(&mut self, shard: ShardId, from: Offset) -> Result<Vec<Listed>> {
        let live = self.shard(shard).live.values();
        let mut listed: Vec<Listed> = live.filter(|listed| listed.first >= from).copied().collect();
        listed.sort_by_key(|listed| (listed.first, listed.id));
        self.answer(listed)
    }

    fn headers(&mut self, shard: ShardId, listed: &[Listed]) -> Result<Vec<Option<Vec<u8>>>> {
        let kept = self.shard(shard);
        let found = listed.iter().map(|one| kept.range(one.id, 0, one.header_bytes)).collect();
        self.answer(found)
    }

    fn fetch(&mut self, wanted: &[(ShardId, BatchId, Block)], each: FoundEach<'_>) -> Result<()> {
        for (place, (shard, id, block)) in wanted.iter().enumerate() {
            let shard = self.shards.get(shard);
            let found = shard.and_then(|shard| shard.range(*id, block.at, block.stored_bytes));
            each(place, found.as_deref());
        }
        self.answer(())
    }

    fn settle(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        marks: &[BatchMarks],
        settled: &Settled,
    ) -> Result<Fenced> {
        // As in Redis, a batch without marks is not told of.
        let told = |marks: &&BatchMarks| marks.done || !marks.marks.0.is_empty();
        let marks: Vec<&BatchMarks> = marks.iter().filter(told).collect();
        let fenced = self.shard(shard).settle(epoch, &marks, settled);
        self.answer(fenced)
    }

    fn clean(&mut self, clean: &Clean) -> Result<Fenced> {
        let fenced = self.shard(clean.shard).clean(clean);
        self.answer(fenced)
    }

    fn renew(&mut self, _: ShardId, _: &[BatchId]) -> Result<()> {
        self.answer(())
    }

    fn drop_life(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        life: Life,
        batches: &[BatchId],
    ) -> Result<Fenced> {
        let kept = self.shard(shard);
        let fenced = match &kept.state {
            Some(state) if state.epoch != Some(epoch) || state.life != life => Fenced::Refused,
            _ => {
                if kept.state.is_some() {
                    batches.iter().for_each(|id| drop(kept.values.remove(id)));
                }
                kept.forget();
                Fenced::Done
            }
        };
        self.answer(fenced)
    }
}
