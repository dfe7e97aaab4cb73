//! Both stores under the same calls: the map and a real redis-server answer alike, step by step.
//!
//! The redis-server is the test's own, on a unix socket in a temporary folder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "kit/random.rs"]
mod random;
#[path = "kit/redis.rs"]
#[allow(dead_code)]
mod redis;

use random::Random;
use redis::Redis;
use spanbufd::segment::batch::{self, Batch, Compression, Place};
use spanbufd::segment::chunk::Draft;
use spanbufd::segment::index::{BatchMarks, Marks};
use spanbufd::segment::span::{Validate, parse};
use spanbufd::segment::{BatchId, EventMs, Offset, ShardId};
use spanbufd::store::books::Settled;
use spanbufd::store::memory::MemoryStore;
use spanbufd::store::{
    Append, Appended, Begun, Clean, Epoch, Fenced, Identity, Life, Listed, Store,
};
use std::rc::Rc;
use std::time::{Duration, Instant};

const SHARD: ShardId = ShardId(3);

fn identity() -> Identity {
    Identity { cluster: "c".into(), topic: "t".into(), group: "g".into() }
}

/// A batch of two spans in two chunks.
fn made(id: u128, previous: Option<BatchId>, start: i64) -> Batch {
    let mut draft = Draft::new(1000);
    for nth in 0..2 {
        let text = format!(r#"{{"project_id":1,"trace_id":"t","span_id":"{id}-{nth}"}}"#);
        let span = parse(text.as_bytes(), Validate::Ids).unwrap();
        draft.add(&span, Offset(start + nth), EventMs(start));
    }
    let (start, next) = (Offset(start), Offset(start + 2));
    let place = Place { id: BatchId(id), previous, start, next, clock: EventMs(start.0) };
    batch::pack(&mut draft, place, Compression::None)
}

fn append(life: Life, position: i64, tip: Option<BatchId>, batch: Option<Batch>) -> Append {
    Append {
        shard: SHARD,
        life,
        position: Offset(position),
        tip,
        next: Offset(position + 2),
        clock: EventMs(position),
        batch: batch.map(Rc::new),
    }
}

fn marks(batch: &Batch, settled: &[u32]) -> BatchMarks {
    let mut marks = Marks::default();
    settled.iter().for_each(|ordinal| marks.set(*ordinal));
    let done = settled.len() == batch.header.chunks.len();
    let (batch_id, header_bytes) = (batch.header.id, batch.header_bytes);
    BatchMarks { batch: batch_id, header_bytes, marks, done, spans: settled.len() as u64 }
}

/// What the random calls know: enough to be right most of the time, and wrong in every way.
struct Walk {
    random: Random,
    next_id: u128,
    life: Life,
    epochs: [Epoch; 2],
    position: i64,
    tip: Option<BatchId>,
    batches: Vec<Batch>,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        Walk {
            random: Random(seed),
            next_id: 1,
            life: Life(7),
            epochs: [Epoch(1), Epoch(2)],
            position: 10,
            tip: None,
            batches: Vec::new(),
        }
    }

    fn id(&mut self) -> u128 {
        self.next_id += 1;
        self.next_id
    }

    fn any(&mut self) -> Option<Batch> {
        let count = self.batches.len() as u64;
        (count > 0).then(|| self.batches[self.random.below(count) as usize].clone())
    }

    /// One call to both stores; their answers as text.
    fn step(&mut self, one: &mut dyn Store, two: &mut dyn Store) -> (String, String) {
        let epoch = self.epochs[self.random.below(2) as usize];
        match self.random.below(12) {
            0 => {
                let life = Life(self.id());
                let replaces = (self.random.below(2) == 0).then_some(self.life);
                let (identity, at) = (identity(), Offset(self.position));
                let begun = one.begin(SHARD, &identity, life, at, replaces);
                if let Ok(Begun::New(state) | Begun::Found(state)) = &begun {
                    (self.life, self.position, self.tip) =
                        (state.life, state.position.0, state.tip);
                }
                both(begun, two.begin(SHARD, &identity, life, at, replaces))
            }
            1..=4 => self.append(one, two),
            5 => both(one.take(SHARD, epoch), two.take(SHARD, epoch)),
            6 | 7 => match self.any() {
                Some(batch) => {
                    let settled: &[u32] = [&[0][..], &[1], &[0, 1]][self.random.below(3) as usize];
                    let marks = [marks(&batch, settled)];
                    let sums = Settled::from_values([0; 5].map(|_| self.random.below(9)));
                    both(
                        one.settle(SHARD, epoch, &marks, &sums),
                        two.settle(SHARD, epoch, &marks, &sums),
                    )
                }
                None => Default::default(),
            },
            8 => self.clean(epoch, one, two),
            9 => {
                let from = Offset(self.random.below(30) as i64);
                both(one.list(SHARD, from), two.list(SHARD, from))
            }
            10 => self.read(one, two),
            _ if self.random.below(8) == 0 => both(
                one.drop_life(SHARD, epoch, self.life, &[]),
                two.drop_life(SHARD, epoch, self.life, &[]),
            ),
            _ => both(one.look(&[SHARD]), two.look(&[SHARD])),
        }
    }

    /// Mostly the right next batch; sometimes a stale one, a move over a gap, or a repeat.
    fn append(&mut self, one: &mut dyn Store, two: &mut dyn Store) -> (String, String) {
        let id = self.id();
        let off = if self.random.below(5) == 0 { 2 } else { 0 };
        let batch = made(id, self.tip, self.position + off);
        let gap = self.random.below(6) == 0;
        let call = append(self.life, self.position + off, self.tip, (!gap).then(|| batch.clone()));
        let calls = vec![call; 1 + self.random.below(2) as usize];
        let answers = one.append(&calls);
        if answers.as_ref().is_ok_and(|answers| answers[0] == Appended::Done) {
            self.position += 2 + off;
            if !gap {
                self.tip = Some(batch.header.id);
                self.batches.push(batch);
            }
        }
        both(answers, two.append(&calls))
    }

    fn clean(
        &mut self,
        epoch: Epoch,
        one: &mut dyn Store,
        two: &mut dyn Store,
    ) -> (String, String) {
        let (Some(a), Some(b)) = (self.any(), self.any()) else { return Default::default() };
        if a.header.id == b.header.id {
            return Default::default();
        }
        let carry = made(self.id(), None, a.header.start.0.min(b.header.start.0));
        let from = [a, b].map(|batch| {
            let settled: &[u32] = [&[][..], &[0], &[1]][self.random.below(3) as usize];
            let marks = marks(&batch, settled).marks;
            let first = batch.header.start;
            (Listed { id: batch.header.id, header_bytes: batch.header_bytes, first }, marks)
        });
        let clean = Clean { shard: SHARD, epoch, from: from.to_vec(), carry: carry.clone() };
        let answer = one.clean(&clean);
        if matches!(answer, Ok(Fenced::Done)) {
            self.batches.push(carry);
        }
        both(answer, two.clean(&clean))
    }

    fn read(&mut self, one: &mut dyn Store, two: &mut dyn Store) -> (String, String) {
        let Some(batch) = self.any() else { return Default::default() };
        let (id, header_bytes) = (batch.header.id, batch.header_bytes);
        let listed = [Listed { id, header_bytes, first: batch.header.start }];
        let wanted = [(SHARD, id, batch.header.blocks[0])];
        let (a, b) = both(one.headers(SHARD, &listed), two.headers(SHARD, &listed));
        let fetched = |store: &mut dyn Store| {
            let mut found = Vec::new();
            let mut keep = |place, one: Option<&[u8]>| found.push((place, one.map(<[u8]>::to_vec)));
            store.fetch(&wanted, &mut keep).map(|()| found)
        };
        let (c, d) = both(fetched(one), fetched(two));
        (a + &c, b + &d)
    }
}

fn both<T: std::fmt::Debug>(
    one: spanbufd::error::Result<T>,
    two: spanbufd::error::Result<T>,
) -> (String, String) {
    (format!("{one:?}"), format!("{two:?}"))
}

#[test]
fn both_stores_answer_alike_and_their_counters_are_true() {
    let redis = Redis::start("alike");
    let mut real = redis.store();
    for seed in 1..150 {
        redis.cli(&["flushall"]);
        let mut map = MemoryStore::new();
        let mut walk = Walk::new(seed);
        for step in 0..60 {
            let (one, two) = walk.step(&mut map, &mut real);
            assert_eq!(one, two, "seed {seed}, step {step}");
        }
        if let Some(taken) = real.take(SHARD, Epoch(9)).unwrap() {
            assert!(taken.whole(), "seed {seed}: {:?}", taken.state);
            let values = real.headers(SHARD, &taken.listed).unwrap();
            assert!(values.iter().all(Option::is_some), "seed {seed}: a listed value is missing");
            let keys = redis.cli(&["keys", "*:b:*"]).lines().count();
            assert!(keys >= taken.listed.len(), "seed {seed}");
        }
    }
}

fn delivered(delivered: u64) -> Settled {
    Settled { delivered, ..Settled::default() }
}

/// A life with one batch, taken by `Epoch(1)`.
fn stocked(store: &mut dyn Store) -> (Life, Batch) {
    let life = Life(7);
    store.begin(SHARD, &identity(), life, Offset(10), None).unwrap();
    let batch = made(1, None, 10);
    let appended = store.append(&[append(life, 10, None, Some(batch.clone()))]).unwrap();
    assert_eq!(appended, [Appended::Done]);
    assert!(store.take(SHARD, Epoch(1)).unwrap().is_some());
    (life, batch)
}

/// What `l` lists and the books say of a taken shard.
fn books(store: &mut dyn Store) -> (usize, Settled) {
    let taken = store.take(SHARD, Epoch(1)).unwrap().expect("a life");
    assert!(taken.whole());
    (taken.listed.len(), taken.state.books.settled)
}

fn refuses_what_is_late_or_knows_no_cleaning(store: &mut dyn Store) {
    let (life, first) = stocked(store);
    let second = made(2, Some(first.header.id), 12);
    let call = append(life, 12, Some(first.header.id), Some(second.clone()));
    assert_eq!(store.append(&[call]).unwrap(), [Appended::Done]);
    let late = [marks(&first, &[0])];
    let all = [marks(&first, &[0, 1])];
    for (told, sum) in [(&late, 1), (&all, 2), (&all, 2)] {
        assert_eq!(store.settle(SHARD, Epoch(1), told, &delivered(sum)).unwrap(), Fenced::Done);
    }
    let refused = store.settle(SHARD, Epoch(1), &late, &delivered(1)).unwrap();
    assert_eq!((refused, books(store)), (Fenced::Refused, (1, delivered(2))));
    let (id, header_bytes) = (second.header.id, second.header_bytes);
    let from = vec![(Listed { id, header_bytes, first: Offset(12) }, Marks::default())];
    let clean = Clean { shard: SHARD, epoch: Epoch(1), from, carry: made(3, None, 12) };
    assert_eq!(store.clean(&clean).unwrap(), Fenced::Done);
    let moved = [marks(&second, &[0])];
    let refused = store.settle(SHARD, Epoch(1), &moved, &delivered(3)).unwrap();
    assert_eq!((refused, books(store)), (Fenced::Refused, (1, delivered(2))));
}

#[test]
fn a_settle_that_is_late_or_knows_no_cleaning_changes_nothing() {
    refuses_what_is_late_or_knows_no_cleaning(&mut MemoryStore::new());
    let redis = Redis::start("late");
    refuses_what_is_late_or_knows_no_cleaning(&mut redis.store());
}

#[test]
fn a_repeat_after_the_chain_has_moved_on_leaves_the_listed_value_alone() {
    let redis = Redis::start("repeat");
    let mut store = redis.store();
    let (life, first) = stocked(&mut store);
    let second = made(2, Some(first.header.id), 12);
    let call = append(life, 12, Some(first.header.id), Some(second));
    assert_eq!(store.append(&[call]).unwrap(), [Appended::Done]);
    let again = append(life, 10, None, Some(first.clone()));
    assert_eq!(store.append(&[again]).unwrap(), [Appended::Stale]);
    let (id, header_bytes) = (first.header.id, first.header_bytes);
    let listed = [Listed { id, header_bytes, first: Offset(10) }];
    assert!(store.headers(SHARD, &listed).unwrap()[0].is_some());
}

#[test]
fn a_full_redis_refuses_append_and_clean_begins_a_life_and_still_drains() {
    let redis = Redis::start("full");
    let mut store = redis.store();
    let (life, batch) = stocked(&mut store);
    redis.cli(&["config", "set", "maxmemory", "1"]);
    let more = append(life, 12, Some(batch.header.id), Some(made(2, None, 12)));
    let answers = store.append(&[more]).unwrap();
    assert!(matches!(&answers[..], [Appended::Refused(why)] if why.contains("OOM")), "{answers:?}");
    let (id, header_bytes) = (batch.header.id, batch.header_bytes);
    let from = vec![(Listed { id, header_bytes, first: Offset(10) }, Marks::default())];
    let clean = Clean { shard: SHARD, epoch: Epoch(1), from, carry: made(3, None, 10) };
    let refused = store.clean(&clean).unwrap_err().to_string();
    assert!(refused.contains("OOM"), "{refused}");
    let settled = store.settle(SHARD, Epoch(1), &[marks(&batch, &[0])], &delivered(1));
    assert_eq!(settled.unwrap(), Fenced::Done);
    let taken = store.take(SHARD, Epoch(2)).unwrap().expect("a life");
    assert_eq!((taken.whole(), taken.marks.len()), (true, 1));
    assert_eq!(taken.state.books.unaccounted(1), 0);
    let settled = store.settle(SHARD, Epoch(2), &[marks(&batch, &[0, 1])], &delivered(2));
    assert_eq!(settled.unwrap(), Fenced::Done);
    assert_eq!(store.drop_life(SHARD, Epoch(2), life, &[]).unwrap(), Fenced::Done);
    assert_eq!(redis.cli(&["keys", "*"]), "");
    let begun = store.begin(ShardId(4), &identity(), Life(8), Offset(0), None).unwrap();
    assert!(matches!(begun, Begun::New(state) if state.life == Life(8)));
}

#[test]
fn forgotten_scripts_are_loaded_again() {
    let redis = Redis::start("noscript");
    let mut store = redis.store();
    let (life, batch) = stocked(&mut store);
    redis.cli(&["script", "flush"]);
    let more = append(life, 12, Some(batch.header.id), Some(made(2, None, 12)));
    assert_eq!(store.append(&[more]).unwrap(), [Appended::Done]);
}

/// A master that is demoted keeps its clients, and its successor has the name.
#[test]
fn a_replica_is_left_for_whoever_has_its_address_by_now() {
    let redis = Redis::start("demoted");
    let mut store = redis.store();
    let (life, batch) = stocked(&mut store);
    let before = store.connection().expect("a connection");
    redis.cli(&["replicaof", "127.0.0.1", "1"]);
    let more = [append(life, 12, Some(batch.header.id), Some(made(2, None, 12)))];
    let answers = store.append(&more).unwrap();
    let says = |why: &str| why.contains("READONLY");
    assert!(matches!(&answers[..], [Appended::Refused(why)] if says(why)), "{answers:?}");
    assert_eq!(store.connection(), None);
    redis.cli(&["replicaof", "no", "one"]);
    assert_eq!(store.append(&more).unwrap(), [Appended::Done]);
    assert_eq!(store.connection(), Some(before + 1));
    // One that has lost its own master may not even be asked.
    redis.cli(&["config", "set", "replica-serve-stale-data", "no"]);
    redis.cli(&["replicaof", "127.0.0.1", "1"]);
    let refused = store.look(&[SHARD]).unwrap_err().to_string();
    assert!(refused.contains("MASTERDOWN"), "{refused}");
    assert_eq!(store.connection(), None);
}

#[test]
fn a_stopped_server_costs_one_deadline_for_all_shards() {
    let redis = Redis::start("stopped");
    let mut store = redis.store();
    stocked(&mut store);
    redis.signal("-STOP");
    let shards: Vec<ShardId> = (0..64).map(ShardId).collect();
    let began = Instant::now();
    assert!(store.look(&shards).is_err());
    let waited = began.elapsed();
    redis.signal("-CONT");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.look(&shards).is_err() {
        assert!(Instant::now() < deadline, "no reconnect");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_that_evicts_is_a_configuration_error() {
    let redis = Redis::start("evicts");
    redis.cli(&["config", "set", "maxmemory", "100mb"]);
    redis.cli(&["config", "set", "maxmemory-policy", "allkeys-lru"]);
    let refused = redis.store().look(&[SHARD]).unwrap_err();
    assert_eq!(refused.exit_status(), 78);
    assert!(refused.to_string().contains("CONFIG SET maxmemory-policy noeviction"));
}

#[test]
fn somebody_elses_key_under_our_name_is_never_overwritten() {
    let redis = Redis::start("wrongtype");
    redis.cli(&["set", "spanbuf:{3}:p", "mine"]);
    let mut store = redis.store();
    let refused = store.look(&[SHARD]).unwrap_err();
    assert!(refused.to_string().contains("somebody else"), "{refused}");
    assert!(store.begin(SHARD, &identity(), Life(1), Offset(0), None).is_err());
    assert_eq!(redis.cli(&["get", "spanbuf:{3}:p"]), "mine");
}

#[test]
fn a_lost_reply_can_always_be_asked_again() {
    let mut store = MemoryStore::new();
    let (life, batch) = stocked(&mut store);
    let call = append(life, 12, Some(batch.header.id), Some(made(2, None, 12)));
    store.lose_replies(1);
    assert!(store.append(std::slice::from_ref(&call)).is_err());
    assert_eq!(store.append(&[call]).unwrap(), [Appended::Done]);
    let settle = [marks(&batch, &[0, 1])];
    store.lose_replies(1);
    assert!(store.settle(SHARD, Epoch(1), &settle, &delivered(2)).is_err());
    assert_eq!(store.settle(SHARD, Epoch(1), &settle, &delivered(2)).unwrap(), Fenced::Done);
    let taken = store.take(SHARD, Epoch(2)).unwrap().expect("a life");
    assert!(taken.whole());
    // The second batch, of two spans, is all that is left; each repeat counted once.
    assert_eq!((taken.state.books.read, taken.state.books.unaccounted(2)), (4, 0));
}
