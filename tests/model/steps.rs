//! What may happen next: the steps of the daemons, and the faults.

use crate::protocol::{Batch, Head, Index, Mutation, Place, Redis, Rules, Set, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    // The first number is the daemon.
    NoticesLoss(u8),
    Finds(u8),
    Appends(u8, u8),
    ComparesIngest(u8),
    Takes(u8),
    ComparesIndex(u8),
    Indexes(u8),
    Fetches(u8, Set),
    IsAcknowledged(u8),
    Settles(u8),
    Cleans(u8),
    Commits(u8),
    // Faults.
    ReplyLostToAppend(u8, u8),
    ReplyLostToSettle(u8),
    ReplyLostToClean(u8),
    IngestDies(u8),
    FlusherDies(u8),
    Moves,
    RedisLost,
    KeyLost(char),
    ValueLost(u8),
    SnapshotTaken,
    RolledBack,
}

impl Step {
    pub fn is_fault(self) -> bool {
        use Step::*;
        matches!(
            self,
            ReplyLostToAppend(..)
                | ReplyLostToSettle(_)
                | ReplyLostToClean(_)
                | IngestDies(_)
                | FlusherDies(_)
                | Moves
                | RedisLost
                | KeyLost(_)
                | ValueLost(_)
                | SnapshotTaken
                | RolledBack
        )
    }
}

/// Every step from here with the state that it leads to.
pub fn steps(state: &State, rules: Rules) -> Vec<(Step, State)> {
    let mut next = Next { state, rules, found: Vec::new() };
    for nth in 0..2 {
        next.ingest(nth);
        next.flusher(nth);
    }
    if state.faults > 0 {
        next.faults();
    }
    next.found
}

struct Next<'s> {
    state: &'s State,
    rules: Rules,
    found: Vec<(Step, State)>,
}

impl Next<'_> {
    fn to(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let named = |name: &&str| format!("{step:?}").starts_with(*name);
        if step.is_fault() && !self.rules.only.is_empty() && !self.rules.only.iter().any(named) {
            return;
        }
        let mut state = self.state.clone();
        state.faults -= u8::from(step.is_fault());
        change(&mut state);
        self.found.push((step, state));
    }

    // --- ingest ---

    fn ingest(&mut self, nth: u8) {
        let (state, rules) = (self.state, self.rules);
        let daemon = &state.daemons[nth as usize];
        if daemon.owns && state.owner != nth {
            self.to(Step::NoticesLoss(nth), |s| s.daemons[nth as usize] = Default::default());
        }
        let Some(at) = daemon.ingest else {
            if daemon.owns {
                self.to(Step::Finds(nth), |s| find(s, nth));
            }
            return;
        };
        let sizes = if daemon.pending.is_some() { 1..=1 } else { 1..=2 };
        for size in
            sizes.filter(|size| daemon.pending.is_some() || at.position + size <= rules.spans)
        {
            self.to(Step::Appends(nth, size), |s| append(s, rules, nth, size, false));
            if state.faults > 0 {
                let step = Step::ReplyLostToAppend(nth, size);
                self.to(step, |s| append(s, rules, nth, size, true));
            }
        }
        let there = state.redis.p.as_ref().map(place);
        if daemon.pending.is_none() && there != Some(at) && !rules.is(Mutation::NoCompare) {
            self.to(Step::ComparesIngest(nth), |s| s.daemons[nth as usize].ingest = None);
        }
    }

    // --- the flusher ---

    fn flusher(&mut self, nth: u8) {
        let (state, rules) = (self.state, self.rules);
        let daemon = &state.daemons[nth as usize];
        let Some(index) = &daemon.index else {
            if daemon.owns && daemon.ingest.is_some() && state.redis.p.is_some() {
                self.to(Step::Takes(nth), |s| take(s, rules, nth));
            }
            return;
        };
        if nth == state.owner && daemon.owns && daemon.ingest.is_some() {
            self.commit(nth, index);
        }
        if index.cleaning.is_some() {
            return self.clean(nth);
        }
        if index.flight != 0 {
            return self.to(Step::IsAcknowledged(nth), |s| acknowledge(s, nth));
        }
        if index.unsettled {
            self.to(Step::Settles(nth), |s| settle(s, rules, nth, false));
            if state.faults > 0 {
                self.to(Step::ReplyLostToSettle(nth), |s| settle(s, rules, nth, true));
            }
            return;
        }
        if !agrees(&state.redis, index) {
            self.to(Step::ComparesIndex(nth), |s| s.daemons[nth as usize].index = None);
        }
        if state.redis.p.as_ref().is_some_and(|p| p.position > index.position) {
            self.to(Step::Indexes(nth), |s| follow(s, rules, nth));
        }
        for part in parts(rules) {
            if index.open() & part != 0 {
                self.to(Step::Fetches(nth, part), |s| fetch(s, rules, nth, part));
            }
        }
        if index.marked() > 0 {
            self.clean(nth);
        }
    }

    fn clean(&mut self, nth: u8) {
        let rules = self.rules;
        self.to(Step::Cleans(nth), |s| clean(s, rules, nth, false));
        if self.state.faults > 0 {
            self.to(Step::ReplyLostToClean(nth), |s| clean(s, rules, nth, true));
        }
    }

    fn commit(&mut self, nth: u8, index: &Index) {
        let floor = match self.rules.is(Mutation::CommitPosition) {
            true => index.position,
            false => index.floor(),
        };
        let above: Set = (floor..index.position).map(|at| 1 << at).fold(0, |all, bit| all | bit);
        let map = if self.rules.is(Mutation::MapNamesOpen) { above } else { above & !index.open() };
        // Unsent flights are open: what is in them is not in the map.
        if floor > self.state.floor || (floor == self.state.floor && map & !self.state.map != 0) {
            self.to(Step::Commits(nth), |s| (s.floor, s.map) = (floor, map));
        }
    }

    // --- faults ---

    fn faults(&mut self) {
        let state = self.state;
        for nth in 0..2 {
            if state.daemons[nth as usize].ingest.is_some() {
                self.to(Step::IngestDies(nth), |s| {
                    (s.daemons[nth as usize].ingest, s.daemons[nth as usize].pending) =
                        (None, None);
                });
            }
            if state.daemons[nth as usize].index.is_some() {
                self.to(Step::FlusherDies(nth), |s| s.daemons[nth as usize].index = None);
            }
        }
        self.to(Step::Moves, |s| {
            s.owner = 1 - s.owner;
            let new = &mut s.daemons[s.owner as usize];
            (new.owns, new.ingest, new.pending) = (true, None, None);
        });
        if state.redis != Redis::default() {
            self.to(Step::RedisLost, |s| s.redis = Redis::default());
        }
        if state.redis.p.is_some() {
            self.to(Step::KeyLost('p'), |s| s.redis.p = None);
        }
        if !state.redis.l.is_empty() {
            self.to(Step::KeyLost('l'), |s| s.redis.l.clear());
        }
        if !state.redis.d.is_empty() {
            self.to(Step::KeyLost('d'), |s| s.redis.d.clear());
        }
        for batch in &state.redis.b {
            let id = batch.id;
            self.to(Step::ValueLost(id), |s| s.redis.b.retain(|batch| batch.id != id));
        }
        match &state.snapshot {
            None if state.redis.p.is_some() && state.faults > 1 => {
                self.to(Step::SnapshotTaken, |s| s.snapshot = Some(s.redis.clone()));
            }
            Some(older) if *older != state.redis => {
                self.to(Step::RolledBack, |s| s.redis = s.snapshot.take().unwrap());
            }
            _ => {}
        }
    }
}

/// What is flushed together: a trace, the other one, or the dead letter.
fn parts(rules: Rules) -> [Set; 3] {
    let letter = 1 << (rules.spans - 1);
    [0b0101_0101 & !letter, 0b1010_1010 & !letter, letter]
}

fn place(p: &Head) -> Place {
    Place { life: p.life, position: p.position, tip: p.tip }
}

/// The look of every second: same life and owner, and the counts once caught up.
fn agrees(redis: &Redis, index: &Index) -> bool {
    let Some(p) = &redis.p else { return false };
    if p.life != index.life || p.epoch != index.epoch || p.position < index.position {
        return false;
    }
    let counts = p.tip == index.tip
        && usize::from(p.batches) == index.batches.len()
        && usize::from(p.marked) == index.marked();
    p.position > index.position || counts
}

fn find(s: &mut State, nth: u8) {
    let found = s.redis.p.as_ref().filter(|p| p.position >= s.floor).map(place);
    let at = found.unwrap_or_else(|| {
        let life = s.number();
        let p = Head {
            life,
            position: s.floor,
            tip: 0,
            epoch: 0,
            batches: 0,
            marked: 0,
            entered: 0,
            taken: 0,
        };
        (s.redis.l, s.redis.d) = (Vec::new(), Vec::new());
        s.redis.p = Some(p.clone());
        place(&p)
    });
    s.daemons[nth as usize].ingest = Some(at);
}

/// P5: the batch counts only when life, position and tip are the ones it follows.
fn append(s: &mut State, rules: Rules, nth: u8, size: u8, lost: bool) {
    let daemon = s.daemons[nth as usize].clone();
    let Some(at) = daemon.ingest else { return };
    let batch = daemon.pending.unwrap_or_else(|| {
        let id = match rules.is(Mutation::IdsFromOffsets) {
            true => 100 + at.position,
            false => s.number(),
        };
        let next = at.position + size;
        let range: Set = (at.position..next).fold(0, |all, offset| all | 1 << offset);
        // What the map names is delivered: it is read again and not buffered again. Where nothing
        // is left, the position alone moves.
        let spans = range & !s.map;
        let id = if spans == 0 { 0 } else { id };
        Batch { id, previous: at.tip, start: at.position, next, spans, carry: false }
    });
    let counted = count(s, rules, at, batch);
    let tip = if batch.id == 0 { at.tip } else { batch.id };
    let daemon = &mut s.daemons[nth as usize];
    (daemon.ingest, daemon.pending) = match (lost, counted) {
        (true, _) => (Some(at), Some(batch)),
        (false, true) => (Some(Place { life: at.life, position: batch.next, tip }), None),
        (false, false) => (None, None),
    };
}

/// The script; true when the batch counts, now or since an earlier try.
fn count(s: &mut State, rules: Rules, at: Place, batch: Batch) -> bool {
    let Some(p) = s.redis.p.clone() else { return false };
    if p.life != at.life && !rules.is(Mutation::AppendAnyLife) {
        return false;
    }
    let tip = if batch.id == 0 { at.tip } else { batch.id };
    if (p.position, p.tip) == (batch.next, tip) {
        return true;
    }
    let follows = (p.position == at.position || rules.is(Mutation::AppendAnyPosition))
        && (p.tip == at.tip || rules.is(Mutation::AppendAnyTip));
    if !follows {
        return false;
    }
    s.breaks(p.life != at.life, "P5: a batch enters a life that it was not made for");
    s.breaks(p.position != batch.start, "P5: a batch does not begin where the buffer ends");
    s.breaks(p.tip != batch.previous, "P5: a batch follows another one than it names");
    s.breaks(p.entered & batch.spans != 0, "P5: a span enters the buffer twice in one life");
    let redis = &mut s.redis;
    let mut batches = p.batches;
    if batch.id != 0 {
        redis.b.retain(|value| value.id != batch.id);
        redis.b.push(batch);
        if !redis.l.contains(&batch.id) {
            redis.l.push(batch.id);
            batches += 1;
        }
    }
    let (position, entered) = (batch.next, p.entered | batch.spans);
    redis.p = Some(Head { position, tip, batches, entered, ..p });
    true
}

fn take(s: &mut State, rules: Rules, nth: u8) {
    let taken = s.number();
    let redis = &mut s.redis;
    let Some(p) = &mut redis.p else { return };
    let epoch = if rules.is(Mutation::TakeKeepsEpoch) { p.epoch } else { taken };
    (p.epoch, p.taken) = (epoch, taken);
    let counts = usize::from(p.batches) == redis.l.len() && usize::from(p.marked) == redis.d.len();
    let whole = (counts || rules.is(Mutation::NoCounts))
        && redis.l.iter().all(|id| redis.b.iter().any(|batch| batch.id == *id));
    if !whole {
        return drop_life(redis);
    }
    let (life, position, tip) = (p.life, p.position, p.tip);
    let below: Set = (0..s.floor).fold(0, |all, offset| all | 1 << offset);
    let held = |id: &u8| {
        let spans = redis.value(*id).map_or(0, |batch| batch.spans);
        (*id, spans, spans & !redis.marks(*id) & !below)
    };
    let batches: Vec<_> = redis.l.iter().map(held).collect();
    let unsettled = batches.iter().any(|(id, held, open)| held & !open != redis.marks(*id))
        || batches.iter().any(|(_, _, open)| *open == 0);
    let index =
        Index { life, epoch, taken, position, tip, batches, flight: 0, unsettled, cleaning: None };
    s.daemons[nth as usize].index = Some(index);
}

fn drop_life(redis: &mut Redis) {
    for id in std::mem::take(&mut redis.l) {
        redis.remove(id);
    }
    (redis.p, redis.d) = (None, Vec::new());
}

/// Follows the chain; where it is broken the index is built again.
fn follow(s: &mut State, rules: Rules, nth: u8) {
    let redis = &s.redis;
    let Some(index) = &mut s.daemons[nth as usize].index else { return };
    let mut listed: Vec<Option<Batch>> = redis.l.iter().map(|id| redis.value(*id)).collect();
    listed.sort_by_key(|batch| batch.map(|batch| batch.start));
    let mut whole = listed.iter().all(Option::is_some);
    let from = index.position;
    for batch in listed.into_iter().flatten().filter(|batch| batch.start >= from) {
        whole &= rules.is(Mutation::NoChain)
            || !batch.carry && batch.previous == index.tip && batch.start >= index.position;
        (index.position, index.tip) = (batch.next, batch.id);
        index.batches.push((batch.id, batch.spans, batch.spans));
    }
    // Behind the tip there may be offsets without a batch.
    if let Some(p) = redis.p.as_ref().filter(|p| p.tip == index.tip) {
        index.position = index.position.max(p.position);
    }
    if let (true, Some(p)) = (rules.is(Mutation::NoChain), &redis.p) {
        (index.position, index.tip) = (p.position, p.tip);
    }
    let ends = |p: &Head| (p.position, p.tip) == (index.position, index.tip);
    if !whole || !redis.p.as_ref().is_some_and(ends) {
        s.daemons[nth as usize].index = None;
    }
}

/// Reads the blocks of one segment and produces it.
fn fetch(s: &mut State, rules: Rules, nth: u8, part: Set) {
    let redis = &mut s.redis;
    let Some(index) = &mut s.daemons[nth as usize].index else { return };
    let wanted = |(_, _, open): &&(u8, Set, Set)| open & part != 0;
    if index.batches.iter().filter(wanted).all(|(id, _, _)| redis.value(*id).is_some()) {
        index.flight = index.open() & part;
        if rules.is(Mutation::SettleUnacknowledged) {
            index.unsettled = true;
            let flight = std::mem::take(&mut index.flight);
            index.batches.iter_mut().for_each(|(_, _, open)| *open &= !flight);
        }
        return;
    }
    hole(s, rules, nth);
}

/// Bytes are missing. Where the store lists other batches the index is out of date and built again;
/// else the store has a hole, and the life is dropped (fenced).
fn hole(s: &mut State, rules: Rules, nth: u8) {
    let redis = &s.redis;
    let Some(index) = s.daemons[nth as usize].index.take() else { return };
    let listed = |(id, _, _): &(u8, Set, Set)| redis.l.contains(id);
    let ours = redis.p.as_ref().is_some_and(|p| p.epoch == index.epoch && p.life == index.life);
    let may = ours || rules.is(Mutation::DropAnyEpoch);
    if may && index.batches.iter().all(listed) {
        let last = redis.p.as_ref().is_none_or(|p| p.taken == index.taken);
        s.breaks(!last, "P7: a life is dropped by who is not its last taker");
        drop_life(&mut s.redis);
    }
}

/// P8: only now is it settled, first in the index.
fn acknowledge(s: &mut State, nth: u8) {
    let Some(index) = &mut s.daemons[nth as usize].index else { return };
    let flight = std::mem::take(&mut index.flight);
    s.out |= flight;
    index.batches.iter_mut().for_each(|(_, _, open)| *open &= !flight);
    index.unsettled = true;
}

/// P7: what is settled stays settled, whoever still believes to own the shard.
fn settle(s: &mut State, rules: Rules, nth: u8, lost: bool) {
    let redis = &mut s.redis;
    let before = redis.live();
    let Some(index) = &mut s.daemons[nth as usize].index else { return };
    let ours = |p: &Head| p.epoch == index.epoch || rules.is(Mutation::SettleAnyEpoch);
    // The sums show it: no repeat, and a cleaning has moved what it names.
    let moved = |(id, held, open): &(u8, Set, Set)| {
        !redis.l.contains(id) && held & !open & redis.live() != 0
    };
    let knows_all = !index.batches.iter().any(moved) || rules.is(Mutation::SettleUnlisted);
    if !redis.p.as_ref().is_some_and(ours) || !knows_all {
        if !lost {
            s.daemons[nth as usize].index = None;
        }
        return;
    }
    let (mut batches, mut marked) = (0, 0);
    for (id, held, open) in index.batches.iter().filter(|(_, held, open)| held != open) {
        if !redis.l.contains(id) && !rules.is(Mutation::SettleUnlisted) {
            continue;
        }
        if redis.value(*id).is_some_and(|batch| batch.spans & !open & !s.out != 0) {
            s.broke.get_or_insert("P8: settled what Kafka has not acknowledged");
        }
        if *open == 0 {
            let (listed, done) = redis.remove(*id);
            (batches, marked) = (batches - listed as i8, marked - done as i8);
        } else {
            marked += i8::from(!redis.d.iter().any(|(batch, _)| batch == id));
            redis.d.retain(|(batch, _)| batch != id);
            redis.d.push((*id, held & !open));
            redis.d.sort_unstable();
            if !redis.l.contains(id) {
                s.broke.get_or_insert("P7: a settle marks what is not listed");
            }
        }
    }
    if let Some(p) = &mut redis.p {
        p.batches = p.batches.wrapping_add_signed(batches);
        p.marked = p.marked.wrapping_add_signed(marked);
    }
    if redis.live() & !before != 0 {
        s.broke.get_or_insert("P7: a settle brings back what was settled");
    }
    if !lost {
        index.batches.retain(|(_, _, open)| *open != 0);
        index.unsettled = false;
    }
}

/// P7: batches of which a part is left become one carry, if their marks are still those.
fn clean(s: &mut State, rules: Rules, nth: u8, lost: bool) {
    let number = s.number();
    let redis = &mut s.redis;
    let Some(index) = &mut s.daemons[nth as usize].index else { return };
    let sparse: Vec<(u8, Set, Set)> =
        index.batches.iter().filter(|(_, held, open)| held != open).copied().collect();
    let missing = sparse.iter().any(|(id, _, _)| redis.value(*id).is_none());
    if missing && index.cleaning.is_none() {
        return hole(s, rules, nth);
    }
    let spans = sparse.iter().fold(0, |all, (_, _, open)| all | open);
    let start = spans.trailing_zeros() as u8;
    let carry = index.cleaning.unwrap_or(Batch {
        id: number,
        previous: 0,
        start,
        next: 8 - spans.leading_zeros() as u8,
        spans,
        carry: true,
    });
    let before = redis.live();
    let unchanged = |(id, held, open): &(u8, Set, Set)| {
        redis.l.contains(id)
            && (rules.is(Mutation::CleanAnyMarks) || redis.marks(*id) == held & !open)
    };
    let done = redis.l.contains(&carry.id);
    let epoch = redis.p.as_ref().is_some_and(|p| p.epoch == index.epoch);
    let fenced = epoch || (rules.is(Mutation::CleanAnyEpoch) && redis.p.is_some());
    let may = fenced && sparse.iter().all(unchanged);
    if may && !done {
        let (mut batches, mut marked) = (1, 0);
        for (id, _, _) in &sparse {
            let (listed, marks) = redis.remove(*id);
            (batches, marked) = (batches - listed as i8, marked - marks as i8);
        }
        redis.l.push(carry.id);
        redis.b.push(carry);
        if let Some(p) = &mut redis.p {
            p.batches = p.batches.wrapping_add_signed(batches);
            p.marked = p.marked.wrapping_add_signed(marked);
        }
        // A value that is already gone has nothing live: cleaning would not have read it.
        let after = redis.live();
        if after & !before & !s.out == 0 && before & !after != 0 {
            s.broke.get_or_insert("P7: cleaning loses what was not settled");
        }
        if after & !before != 0 {
            s.broke.get_or_insert("P7: cleaning brings back what was settled");
        }
        if redis.p.as_ref().is_some_and(|p| p.taken != index.taken) {
            s.broke.get_or_insert("P7: a shard is cleaned by who is not its last taker");
        }
    }
    index.cleaning = if lost { Some(carry) } else { None };
    if lost {
        return;
    }
    if !may && !done {
        s.daemons[nth as usize].index = None;
        return;
    }
    index.batches.retain(|(_, held, open)| held == open);
    index.batches.push((carry.id, carry.spans, carry.spans));
}
