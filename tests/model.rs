//! The protocol as a model, explored exhaustively: append, index, deliver, settle, clean, commit
//! and recover, by two daemons that may both believe that they own the shard.
//!
//! An own explorer and no crate: breadth first over hashed states is forty lines, and what the
//! checkers of the trade bring along is a web server and its dependencies. `SPANBUFD_MODEL_FAULTS`
//! and `SPANBUFD_MODEL_STATES` give larger bounds than CI has time for.
//!
//! Invariants carry the promises' names. Every guard of the protocol is left out once, and that is
//! caught: so each is needed, and the model is rich enough to tell. Two guards are not in it: that
//! a value is there at full length before a batch counts (a SET that was refused), and that a life
//! which is replaced is the one that was looked at.
#![allow(clippy::unwrap_used)]

#[path = "model/explore.rs"]
mod explore;
#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/steps.rs"]
mod steps;

use explore::{Found, explore};
use protocol::{Mutation, Rules};

fn bound(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The protocol as it is: no state within the bounds breaks a promise, and none is stuck. Also
/// where something is left out because it is known to be delivered.
#[test]
fn no_promise_breaks() {
    let faults = bound("SPANBUFD_MODEL_FAULTS", 2) as u8;
    let limit = bound("SPANBUFD_MODEL_STATES", 100_000);
    for known in [0, KNOWN] {
        let rules = Rules { faults, spans: 3, mutation: None, only: &[], known };
        match explore(rules, limit) {
            Found::Nothing { states, whole } => {
                assert!(whole || states >= limit, "{states} states");
            }
            Found::Broken { why, path } => panic!("{why}\n{}", path.join("\n")),
        }
    }
}

/// Two owners, and a Redis that is lost or goes back in time between them: the kinds of faults that
/// the guards are for, in larger numbers.
#[test]
fn no_promise_breaks_between_two_owners() {
    let limit = bound("SPANBUFD_MODEL_STATES", 100_000);
    for only in [BACK_TO_ANOTHER, &["RedisLost", "Moves", "ValueLost"]] {
        let rules = Rules { faults: 3, spans: 3, mutation: None, only, known: 0 };
        if let Found::Broken { why, path } = explore(rules, limit) {
            panic!("{why}\n{}", path.join("\n"));
        }
    }
}

/// A guard that is left out, in how many faults of which kinds that shows, and what breaks.
type Guard = (Mutation, u8, &'static [&'static str], &'static str);

/// Where an index has delivered the second of three spans, and Redis was lost.
const KNOWN: u8 = 0b010;

const BACK: &[&str] = &["SnapshotTaken", "RolledBack"];
const BACK_TO_ANOTHER: &[&str] = &["SnapshotTaken", "RolledBack", "Moves"];

const GUARDS: [Guard; 16] = [
    (Mutation::IdsFromOffsets, 2, BACK, "P6"),
    (Mutation::AppendAnyLife, 2, &["RedisLost", "Moves"], "P5"),
    (Mutation::AppendAnyPosition, 1, &["Moves"], "P5"),
    (Mutation::AppendAnyTip, 3, BACK_TO_ANOTHER, "P5"),
    (Mutation::NoChain, 2, BACK, "P6"),
    (Mutation::NoCompare, 1, &[], "standstill"),
    (Mutation::CommitPosition, 1, &[], "P6"),
    (Mutation::MapNamesOpen, 1, &[], "P6"),
    (Mutation::TakeKeepsEpoch, 1, &["Moves"], "P7"),
    (Mutation::NoCounts, 1, &[], "P6"),
    (Mutation::SettleUnacknowledged, 1, &[], "P6"),
    (Mutation::SettleAnyEpoch, 1, &["Moves"], "P7"),
    (Mutation::SettleUnlisted, 2, BACK, "P7"),
    (Mutation::CleanAnyEpoch, 1, &["Moves"], "P7"),
    (Mutation::CleanAnyMarks, 2, BACK, "P7"),
    (Mutation::DropAnyEpoch, 2, &["Moves", "ValueLost"], "P7"),
];

#[test]
fn every_guard_is_needed() {
    let mut uncaught = Vec::new();
    for (mutation, faults, only, promise) in GUARDS {
        let known = if mutation == Mutation::AppendAnyPosition { KNOWN } else { 0 };
        let rules = Rules { faults, spans: 3, mutation: Some(mutation), only, known };
        match explore(rules, 300_000) {
            Found::Broken { why, path } if why.starts_with(promise) && path.len() > 1 => {
                println!("{mutation:?}: {why}: {}", path.join(", "));
            }
            Found::Broken { why, path } => uncaught.push(format!("{mutation:?}: {why}: {path:?}")),
            Found::Nothing { states, .. } => {
                uncaught.push(format!("{mutation:?}: nothing in {states} states"));
            }
        }
    }
    assert!(uncaught.is_empty(), "{}", uncaught.join("\n"));
}
