//! P5, P6, P7 and P8 step by step: append, index, fetch, produce, settle, clean and commit in every
//! order, with a crash, a lost reply, a rival or the loss of the store after every step.
//!
//! Ingest and flusher are small here, but the parts that must hold are the real ones: the index,
//! the batches, the scripts on a redis-server, and the store in a map. Each runs its own program;
//! which of them goes next, and what goes wrong, is chosen, and every choice is tried. After the
//! chosen part the rest runs without faults, and everything must have been delivered.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "kit/paths.rs"]
mod paths;
#[path = "kit/protocol.rs"]
mod protocol;
#[path = "kit/redis.rs"]
#[allow(dead_code)]
mod redis;

use paths::Paths;
use protocol::{Fault, World};
use spanbufd::store::Store;
use spanbufd::store::memory::MemoryStore;

/// How far the choices go: turns with a choice, and faults in one run.
#[derive(Clone, Copy)]
struct Bounds {
    choices: usize,
    faults: usize,
    turns: usize,
}

/// Runs every path within the bounds; `fresh` gives an empty store for each. Returns how many.
fn explore(bounds: Bounds, faults: &[Fault], mut fresh: impl FnMut() -> Box<dyn Store>) -> u64 {
    let mut paths = Paths::new(bounds.choices);
    let mut count = 0;
    while paths.next() {
        let mut world = World::new(fresh());
        let mut left = bounds.faults;
        for _ in 0..bounds.turns {
            let mut options: Vec<(usize, Option<Fault>)> = Vec::new();
            for actor in world.ready() {
                options.push((actor, None));
                let possible = faults.iter().filter(|fault| world.can(actor, **fault));
                if left > 0 {
                    options.extend(possible.map(|fault| (actor, Some(*fault))));
                }
            }
            if options.is_empty() {
                break;
            }
            let (actor, fault) = options[paths.choose(options.len())];
            left -= usize::from(fault.is_some());
            world.step(actor, fault);
        }
        world.finish();
        count += 1;
    }
    count
}

const REPLIES: &[Fault] = &[Fault::ReplyLost];
const ALL: &[Fault] = &[Fault::ReplyLost, Fault::Crash, Fault::Rival, Fault::StoreLost];

#[test]
fn every_order_with_one_fault_in_the_map() {
    let bounds = Bounds { choices: 12, faults: 1, turns: 40 };
    let count = explore(bounds, ALL, || Box::new(MemoryStore::new()));
    assert!(count > 2_000, "{count}");
}

#[test]
fn two_faults_in_the_map() {
    let bounds = Bounds { choices: 7, faults: 2, turns: 40 };
    let count = explore(bounds, ALL, || Box::new(MemoryStore::new()));
    assert!(count > 2_000, "{count}");
}

#[test]
fn lost_replies_double_nothing_in_the_map() {
    let bounds = Bounds { choices: 8, faults: 3, turns: 40 };
    let count = explore(bounds, REPLIES, || Box::new(MemoryStore::new()));
    assert!(count > 2_000, "{count}");
}

#[test]
fn every_order_with_one_fault_in_redis() {
    let redis = redis::Redis::start("interleavings");
    let mut number = 0;
    let bounds = Bounds { choices: 8, faults: 1, turns: 40 };
    let faults = [Fault::ReplyLost, Fault::Crash, Fault::Rival];
    // Each path has keys of its own; opening a store loads nothing but six tiny scripts.
    let count = explore(bounds, &faults, || {
        number += 1;
        Box::new(redis.store_under(&format!("path{number}")))
    });
    assert!(count > 500, "{count}");
}
