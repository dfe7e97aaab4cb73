//! The protocol as a model, explored exhaustively: append, index, deliver, settle, clean, commit
//! and recover, by two daemons that may both believe that they own the shard.
//!
//! An own explorer and no crate: breadth first over hashed states is forty lines, and what the
//! checkers of the trade bring along is a web server and its dependencies. `SPANBUFD_MODEL_FAULTS`
//! and `SPANBUFD_MODEL_STATES` give larger bounds than CI has time for.
//!
//! Invariants carry the promises' names. That they can fail is tested: each known mutation of the
//! protocol is caught. Two guards are not among them: within the bounds tried, no loss was found
//! for an append that compares no tip, nor for a settle that checks no epoch. That is no proof that
//! they could be left out.
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

/// The protocol as it is: no state within the bounds breaks a promise, and none is stuck.
#[test]
fn no_promise_breaks() {
    let faults = bound("SPANBUFD_MODEL_FAULTS", 2) as u8;
    let limit = bound("SPANBUFD_MODEL_STATES", 100_000);
    let rules = Rules { faults, spans: 3, mutation: None, only: &[] };
    match explore(rules, limit) {
        Found::Nothing { states, whole } => {
            assert!(whole || states >= limit, "{states} states");
        }
        Found::Broken { why, path } => panic!("{why}\n{}", path.join("\n")),
    }
}

fn catches(mutation: Mutation, faults: u8, only: &'static [&'static str]) {
    let rules = Rules { faults, spans: 3, mutation: Some(mutation), only };
    match explore(rules, 1_000_000) {
        Found::Broken { path, .. } => assert!(path.len() > 1, "{mutation:?} needs no steps"),
        Found::Nothing { states, .. } => panic!("{mutation:?} was not caught in {states} states"),
    }
}

#[test]
fn ids_from_offsets_are_caught() {
    catches(Mutation::IdsFromOffsets, 2, &["SnapshotTaken", "RolledBack"]);
}

#[test]
fn positions_instead_of_a_chain_are_caught() {
    catches(Mutation::NoChain, 2, &["SnapshotTaken", "RolledBack"]);
}

#[test]
fn settling_before_the_acknowledgement_is_caught() {
    catches(Mutation::SettleUnacknowledged, 1, &[]);
}

#[test]
fn committing_the_position_is_caught() {
    catches(Mutation::CommitPosition, 1, &[]);
}

#[test]
fn a_cleaning_that_reads_no_marks_is_caught() {
    catches(Mutation::CleanUnchecked, 2, &[]);
}

#[test]
fn a_take_that_counts_nothing_is_caught() {
    catches(Mutation::NoCounts, 1, &[]);
}

#[test]
fn an_ingest_that_compares_only_when_it_appends_is_caught() {
    catches(Mutation::NoCompare, 1, &[]);
}
