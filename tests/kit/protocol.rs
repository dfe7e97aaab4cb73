//! A small ingest and small flushers over any store, one step at a time.
//!
//! They do what the workers do, in the workers' order, with the real index and the real batches;
//! what the workers add (time, memory, many shards, many flights) is left out. Everything that went
//! wrong is told with the path that led to it.

use spanbufd::segment::batch::{self, CarriedChunk, Compression, Place};
use spanbufd::segment::body;
use spanbufd::segment::chunk::Draft;
use spanbufd::segment::index::{BatchMarks, ChunkRef, DueSegment, Index, Limits, Marks};
use spanbufd::segment::offset_map::OffsetMap;
use spanbufd::segment::span::{Validate, parse};
use spanbufd::segment::{BatchId, EventMs, Offset, ShardId};
use spanbufd::store::books::Settled;
use spanbufd::store::{
    Append, Appended, Begun, Clean, Epoch, Fenced, Identity, Life, Listed, Store,
};
use std::collections::BTreeMap;
use std::rc::Rc;

const SHARD: ShardId = ShardId(1);
/// Two traces by turns, in batches of two: settling one trace marks a part of each batch.
const SPANS: i64 = 6;
const BATCH: i64 = 2;
const LIMITS: Limits =
    Limits { timeout_ms: 10, root_timeout_ms: 10, max_age_ms: 1000, max_bytes: 1 << 20 };

const INGEST: usize = 0;
const RIVAL: usize = 2;

/// What goes wrong with one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The step's call has reached the store; its answer is lost.
    ReplyLost,
    /// Whoever took the step dies right after it.
    Crash,
    /// Another flusher takes the shard, while the first goes on.
    Rival,
    /// The store is empty after the step.
    StoreLost,
}

#[derive(Default)]
struct Ingest {
    /// Life, position and tip as the store and we agree on them.
    at: Option<(Life, Offset, Option<BatchId>)>,
    pending: Option<Append>,
}

/// What a flusher does next when nothing keeps it from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Follow,
    Fetch,
    Produce,
    Settle,
    Clean,
}

struct Flusher {
    life: Life,
    epoch: Epoch,
    index: Index,
    next: Next,
    flight: Vec<(DueSegment, Vec<Offset>)>,
    unsettled: BTreeMap<BatchId, BatchMarks>,
    /// What a settle tells: again as it was, until it is answered.
    page: Option<(Vec<BatchMarks>, Settled)>,
    /// The sums that the store has acknowledged.
    told: Settled,
    /// A cleaning whose answer is not known, with the chunks that it moves.
    cleaning: Option<(Clean, Vec<ChunkRef>)>,
}

impl Flusher {
    fn note(&mut self, mut marks: BatchMarks) {
        marks.spans += self.unsettled.get(&marks.batch).map_or(0, |before| before.spans);
        self.unsettled.insert(marks.batch, marks);
    }

    /// What to tell the store, with the sums that it then has.
    fn page(&mut self) -> (Vec<BatchMarks>, Settled) {
        let page = self.page.take().unwrap_or_else(|| {
            let marks: Vec<BatchMarks> =
                std::mem::take(&mut self.unsettled).into_values().collect();
            let delivered = marks.iter().map(|marks| marks.spans).sum();
            let sums = self.told.plus(&Settled { delivered, ..Settled::default() });
            (marks, sums)
        });
        self.page.insert(page).clone()
    }

    fn has_told_all(&self) -> bool {
        self.unsettled.is_empty() && self.page.is_none()
    }
}

pub struct World {
    store: Box<dyn Store>,
    payloads: Vec<Vec<u8>>,
    delivered: BTreeMap<Offset, u32>,
    committed: Offset,
    /// The board's word.
    floor: Option<Offset>,
    ingest: Ingest,
    flushers: [Option<Flusher>; 2],
    /// A flusher that lost the shard takes it again only when there is no rival.
    has_rival: bool,
    numbers: u128,
    faults: Vec<Fault>,
    path: Vec<String>,
}

/// The outcome of a call whose answer may be lost.
type Answer<T> = Option<T>;

fn identity() -> Identity {
    Identity { cluster: "c".into(), topic: "t".into(), group: "g".into() }
}

impl World {
    pub fn new(store: Box<dyn Store>) -> World {
        let payload = |at: i64| {
            let (trace, id) = (at % 2 + 1, at + 1);
            let ids = format!(r#""trace_id":"{trace:032x}","span_id":"{id:016x}""#);
            format!(r#"{{"project_id":1,{ids},"parent_span_id":"{trace:016x}"}}"#).into_bytes()
        };
        World {
            store,
            payloads: (0..SPANS).map(payload).collect(),
            delivered: BTreeMap::new(),
            committed: Offset(0),
            floor: None,
            ingest: Ingest::default(),
            flushers: [None, None],
            has_rival: false,
            numbers: 0,
            faults: Vec::new(),
            path: Vec::new(),
        }
    }

    fn number(&mut self) -> u128 {
        self.numbers += 1;
        self.numbers
    }

    /// Actors that have something to do: ingest, the flusher, its rival.
    pub fn ready(&self) -> Vec<usize> {
        let mut ready = Vec::new();
        let ingest = &self.ingest;
        if ingest.at.is_none_or(|(_, position, _)| position.0 < SPANS) || ingest.pending.is_some() {
            ready.push(INGEST);
        }
        for nth in 0..2 {
            let idle = match &self.flushers[nth] {
                None => nth + 1 == RIVAL || self.has_rival || self.ingest.at.is_none(),
                Some(flusher) => self.is_idle(flusher),
            };
            if !idle {
                ready.push(nth + 1);
            }
        }
        ready
    }

    fn is_idle(&self, flusher: &Flusher) -> bool {
        let behind = self.ingest.at.is_some_and(|at| at.1 > flusher.index.position());
        !behind
            && flusher.flight.is_empty()
            && flusher.has_told_all()
            && flusher.cleaning.is_none()
            && flusher.index.open_segments() == 0
    }

    /// Whether this fault makes a difference to the actor's next step.
    pub fn can(&self, actor: usize, fault: Fault) -> bool {
        let produces = actor != INGEST
            && self.flushers[actor - 1]
                .as_ref()
                .is_some_and(|flusher| flusher.next == Next::Produce);
        match fault {
            Fault::ReplyLost => !produces,
            Fault::Crash | Fault::StoreLost => true,
            Fault::Rival => actor != INGEST && !self.has_rival && self.flushers[0].is_some(),
        }
    }

    /// One step of one actor, and what goes wrong with it.
    pub fn step(&mut self, actor: usize, fault: Option<Fault>) {
        let lost = fault == Some(Fault::ReplyLost);
        let what = match actor {
            INGEST => self.ingest_step(lost),
            _ => self.flusher_step(actor - 1, lost),
        };
        self.path.push(format!("{actor} {what} {fault:?}"));
        self.faults.extend(fault);
        match fault {
            Some(Fault::Crash) if actor == INGEST => self.ingest = Ingest::default(),
            Some(Fault::Crash) => self.flushers[actor - 1] = None,
            Some(Fault::Rival) => {
                self.has_rival = true;
                self.take(1, false);
            }
            Some(Fault::StoreLost) => {
                let epoch = Epoch(self.number());
                if let Some(taken) = self.store.take(SHARD, epoch).unwrap() {
                    let ids: Vec<BatchId> = taken.listed.iter().map(|listed| listed.id).collect();
                    self.store.drop_life(SHARD, epoch, taken.state.life, &ids).unwrap();
                }
            }
            Some(Fault::ReplyLost) | None => {}
        }
        self.check_floor();
    }

    /// P6: nothing below the committed offset is undelivered.
    fn check_floor(&self) {
        let mut below = (0..self.committed.0).map(Offset);
        if let Some(offset) = below.find(|offset| !self.delivered.contains_key(offset)) {
            panic!("P6: {offset} is committed and not delivered\n{}", self.path.join("\n"));
        }
    }

    /// No more faults: everything comes out, and the store ends empty.
    pub fn finish(&mut self) {
        self.has_rival = false;
        self.flushers[1] = None;
        for _ in 0..60 {
            self.compare_ingest();
            self.ingest_step(false);
            self.compare_flusher(0);
            self.flusher_step(0, false);
            self.check_floor();
            let all = self.delivered.len() as i64 == SPANS && self.committed.0 == SPANS;
            if all && self.flushers[0].as_ref().is_some_and(|flusher| self.is_idle(flusher)) {
                return self.check_end();
            }
        }
        panic!("standstill: {:?} delivered\n{}", self.delivered, self.path.join("\n"));
    }

    fn check_end(&mut self) {
        let state = self.store.look(&[SHARD]).unwrap().pop().flatten().unwrap();
        assert_eq!((state.batches, state.marked), (0, 0), "P7\n{}", self.path.join("\n"));
        let forgives = self.faults.iter().any(|fault| *fault != Fault::ReplyLost);
        let doubled = self.delivered.values().any(|times| *times > 1);
        assert!(forgives || !doubled, "P8: doubled {:?}\n{}", self.delivered, self.path.join("\n"));
    }

    // --- ingest ---

    fn ingest_step(&mut self, lost: bool) -> &'static str {
        self.commit();
        let Some((life, position, tip)) = self.ingest.at else {
            self.find(lost);
            return "finds its position";
        };
        if self.ingest.pending.is_none() {
            if position.0 >= SPANS {
                return "has nothing to read";
            }
            self.ingest.pending = Some(self.pack(life, position, tip));
        }
        let append = self.ingest.pending.clone().unwrap();
        let answer = self.store.append(std::slice::from_ref(&append)).unwrap();
        match answer[0] {
            _ if lost => {}
            Appended::Done => {
                let tip = append.batch.map(|batch| batch.header.id);
                self.ingest = Ingest { at: Some((life, append.next, tip)), pending: None };
            }
            Appended::Stale | Appended::Lost => self.ingest = Ingest::default(),
            Appended::Refused(ref why) => panic!("{why}"),
        }
        "appends"
    }

    fn pack(&mut self, life: Life, position: Offset, tip: Option<BatchId>) -> Append {
        let next = Offset((position.0 + BATCH).min(SPANS));
        let mut draft = Draft::new(LIMITS.spread_ms());
        for at in position.0..next.0 {
            let span = parse(&self.payloads[at as usize], Validate::Ids).unwrap();
            draft.add(&span, Offset(at), EventMs(at));
        }
        let (id, clock) = (BatchId(self.number()), EventMs(next.0));
        let place = Place { id, previous: tip, start: position, next, clock };
        let batch = Some(Rc::new(batch::pack(&mut draft, place, Compression::None)));
        Append { shard: SHARD, life, position, tip, next, clock, batch }
    }

    fn find(&mut self, lost: bool) {
        let state = self.store.look(&[SHARD]).unwrap().pop().flatten();
        let state = match state {
            Some(state) if state.position >= self.committed => state,
            state => {
                let life = Life(self.number());
                let replaces = state.map(|state| state.life);
                let floor = self.committed;
                match self.store.begin(SHARD, &identity(), life, floor, replaces).unwrap() {
                    Begun::New(state) | Begun::Found(state) => state,
                }
            }
        };
        if !lost {
            self.ingest.at = Some((state.life, state.position, state.tip));
        }
    }

    /// The look of every second: also a quiet shard notices that the store went elsewhere.
    fn compare_ingest(&mut self) {
        let state = self.store.look(&[SHARD]).unwrap().pop().flatten();
        let there = state.map(|state| (state.life, state.position, state.tip));
        if self.ingest.pending.is_none() && self.ingest.at != there {
            self.ingest = Ingest::default();
        }
    }

    fn commit(&mut self) {
        if let (Some(floor), Some((_, position, _))) = (self.floor, self.ingest.at)
            && floor <= position
        {
            self.committed = self.committed.max(floor);
        }
    }

    // --- flushers ---

    fn flusher_step(&mut self, nth: usize, lost: bool) -> &'static str {
        if self.flushers[nth].is_none() {
            self.take(nth, lost);
            return "takes the shard";
        }
        let mut flusher = self.flushers[nth].take().unwrap();
        let (what, kept) = self.turn(&mut flusher, lost);
        if kept {
            self.floor = Some(flusher.index.floor());
            self.flushers[nth] = Some(flusher);
        }
        what
    }

    /// One step of the flusher's round; false when it has lost the shard or its index.
    fn turn(&mut self, flusher: &mut Flusher, lost: bool) -> (&'static str, bool) {
        if flusher.cleaning.is_some() {
            return ("cleans again", self.clean(flusher, lost));
        }
        match flusher.next {
            Next::Follow => ("indexes", self.follow(flusher, lost)),
            Next::Fetch => ("fetches", self.fetch(flusher, lost)),
            Next::Produce => {
                for (due, offsets) in std::mem::take(&mut flusher.flight) {
                    offsets.iter().for_each(|at| *self.delivered.entry(*at).or_default() += 1);
                    for marks in flusher.index.settle(&due.chunks) {
                        flusher.note(marks);
                    }
                }
                flusher.next = Next::Settle;
                ("produces", true)
            }
            Next::Settle => {
                let (marks, sums) = flusher.page();
                let answer = self.store.settle(SHARD, flusher.epoch, &marks, &sums).unwrap();
                if !lost {
                    (flusher.page, flusher.told) = (None, sums);
                    flusher.next = Next::Clean;
                }
                ("settles", lost || answer == Fenced::Done)
            }
            Next::Clean => {
                flusher.next = Next::Follow;
                ("cleans", self.clean(flusher, lost))
            }
        }
    }

    fn take(&mut self, nth: usize, lost: bool) {
        let epoch = Epoch(self.number());
        let Some(taken) = self.store.take(SHARD, epoch).unwrap() else { return };
        if lost {
            return;
        }
        assert!(taken.whole(), "P7: the counters are wrong\n{}", self.path.join("\n"));
        let mut index = Index::new(LIMITS, taken.state.position, taken.state.tip);
        let headers = self.store.headers(SHARD, &taken.listed).unwrap();
        for (listed, bytes) in taken.listed.iter().zip(headers) {
            let header = batch::parse_header(&bytes.expect("a listed value is there")).unwrap();
            let marks = taken.marks.iter().find(|(id, _)| *id == header.id);
            let marks = marks.map_or_else(Marks::default, |(_, marks)| marks.clone());
            index.restore(&header, listed.header_bytes, &marks);
        }
        index.restored();
        let settled = index.settle_known(self.committed, &OffsetMap::default());
        self.flushers[nth] = Some(Flusher {
            life: taken.state.life,
            epoch,
            index,
            next: Next::Follow,
            flight: Vec::new(),
            unsettled: settled.into_iter().map(|marks| (marks.batch, marks)).collect(),
            page: None,
            told: taken.state.books.settled,
            cleaning: None,
        });
    }

    fn follow(&mut self, flusher: &mut Flusher, lost: bool) -> bool {
        let listed = self.store.list(SHARD, flusher.index.position()).unwrap();
        let headers = self.store.headers(SHARD, &listed).unwrap();
        if lost {
            return true;
        }
        flusher.next = Next::Fetch;
        listed.iter().zip(headers).all(|(listed, bytes)| {
            let header = bytes.and_then(|bytes| batch::parse_header(&bytes).ok());
            header.is_some_and(|header| flusher.index.follow(&header, listed.header_bytes).is_ok())
        })
    }

    fn fetch(&mut self, flusher: &mut Flusher, lost: bool) -> bool {
        flusher.next = Next::Produce;
        for due in flusher.index.oldest(1, u64::MAX) {
            match self.offsets(&due) {
                Some(_) if lost => flusher.index.give_back(due),
                Some(offsets) => flusher.flight.push((due, offsets)),
                None => return false,
            }
        }
        true
    }

    /// Reads the spans of a segment; each must be the one that went in. `None`: bytes are missing.
    fn offsets(&mut self, due: &DueSegment) -> Option<Vec<Offset>> {
        let mut offsets = Vec::new();
        for chunk in &due.chunks {
            let raw = self.block(chunk)?;
            let bytes = &raw[chunk.body_at as usize..][..chunk.body_bytes as usize];
            for span in body::spans(bytes, chunk.spans).unwrap().spans {
                assert_eq!(span.payload, self.payloads[span.offset.0 as usize], "changed");
                offsets.push(span.offset);
            }
        }
        Some(offsets)
    }

    fn block(&mut self, chunk: &ChunkRef) -> Option<Vec<u8>> {
        let mut fetch = |block| {
            let mut stored = None;
            let mut keep = |_, found: Option<&[u8]>| stored = found.map(<[u8]>::to_vec);
            self.store.fetch(&[(SHARD, chunk.batch, block)], &mut keep).unwrap();
            stored
        };
        let base = match chunk.base {
            Some(base) => Some(batch::unpack_block(&base, None, &fetch(base)?).unwrap()),
            None => None,
        };
        Some(batch::unpack_block(&chunk.block, base.as_deref(), &fetch(chunk.block)?).unwrap())
    }

    /// Begins a cleaning, or asks again for the answer of one; false when it was refused.
    fn clean(&mut self, flusher: &mut Flusher, lost: bool) -> bool {
        if flusher.cleaning.is_none() {
            flusher.cleaning = self.plan(flusher);
        }
        let Some((clean, chunks)) = flusher.cleaning.clone() else { return true };
        let answer = self.store.clean(&clean).unwrap();
        if lost {
            return true;
        }
        flusher.cleaning = None;
        let from: Vec<BatchId> = clean.from.iter().map(|(listed, _)| listed.id).collect();
        let carry = &clean.carry;
        flusher.index.moved(&from, &carry.header, carry.header_bytes, &chunks);
        answer == Fenced::Done
    }

    fn plan(&mut self, flusher: &Flusher) -> Answer<(Clean, Vec<ChunkRef>)> {
        let mut from = Vec::new();
        let mut chunks = Vec::new();
        for batch in flusher.index.sparse(1 << 20, 100).batches {
            let (live, marks) = flusher.index.live(batch)?;
            let listed = Listed { id: batch, header_bytes: marks.header_bytes, first: Offset(0) };
            from.push((listed, marks.marks));
            chunks.extend(live);
        }
        let mut read = Vec::new();
        for chunk in &chunks {
            let (listed, _) = from.iter().find(|(listed, _)| listed.id == chunk.batch)?;
            let bytes = self.store.headers(SHARD, &[*listed]).unwrap().pop()??;
            read.push((batch::parse_header(&bytes).unwrap(), self.block(chunk)?));
        }
        let carried: Vec<CarriedChunk<'_>> = chunks
            .iter()
            .zip(&read)
            .map(|(chunk, (header, raw))| CarriedChunk {
                head: &header.chunks[chunk.ordinal as usize],
                spans: header.spans_of(&header.chunks[chunk.ordinal as usize]),
                body: &raw[chunk.body_at as usize..][..chunk.body_bytes as usize],
            })
            .collect();
        if carried.is_empty() {
            return None;
        }
        let id = BatchId(self.number());
        let carry = batch::pack_carry(id, EventMs(0), &carried, Compression::None);
        Some((Clean { shard: SHARD, epoch: flusher.epoch, from, carry }, chunks))
    }

    /// The look of every second: another life, another owner, or other counts than our own.
    fn compare_flusher(&mut self, nth: usize) {
        let state = self.store.look(&[SHARD]).unwrap().pop().flatten();
        let Some(flusher) = &self.flushers[nth] else { return };
        if !flusher.flight.is_empty() || !flusher.has_told_all() || flusher.cleaning.is_some() {
            return;
        }
        let agrees = state.is_some_and(|state| {
            let index = &flusher.index;
            let here = state.life == flusher.life && state.epoch == Some(flusher.epoch);
            let counts = state.tip == index.tip()
                && state.batches == index.batches() as u64
                && state.marked == index.marked_batches() as u64;
            here && (state.position > index.position() || counts)
        });
        if !agrees {
            self.flushers[nth] = None;
        }
    }
}
