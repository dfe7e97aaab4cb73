//! Breadth first over every state, so that the first path found is a shortest one.

use crate::protocol::{Rules, State};
use crate::steps::{Step, steps};
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

pub enum Found {
    /// `whole`: there are no more states within the rules.
    Nothing {
        states: usize,
        whole: bool,
    },
    Broken {
        why: String,
        path: Vec<String>,
    },
}

fn print_of(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Explores at most `limit` states.
pub fn explore(rules: Rules, limit: usize) -> Found {
    let start = State::start(rules);
    let mut came_by: HashMap<u64, Option<(u64, Step)>> = HashMap::new();
    came_by.insert(print_of(&start), None);
    let mut todo = VecDeque::from([start]);
    let mut states = 0;
    while let Some(state) = todo.pop_front() {
        states += 1;
        let here = print_of(&state);
        let mut moves = false;
        for (step, next) in steps(&state, rules) {
            let there = print_of(&next);
            moves |= there != here && !step.is_fault();
            if let Entry::Vacant(entry) = came_by.entry(there) {
                entry.insert(Some((here, step)));
                if let Some(why) = next.broken(rules) {
                    return Found::Broken { why, path: path(&came_by, there) };
                }
                todo.push_back(next);
            }
        }
        if !moves && !state.is_done(rules) {
            return Found::Broken { why: "standstill".to_owned(), path: path(&came_by, here) };
        }
        if states >= limit {
            return Found::Nothing { states, whole: false };
        }
    }
    Found::Nothing { states, whole: true }
}

fn path(came_by: &HashMap<u64, Option<(u64, Step)>>, end: u64) -> Vec<String> {
    let mut steps = Vec::new();
    let mut at = end;
    while let Some(Some((before, step))) = came_by.get(&at) {
        steps.push(format!("{step:?}"));
        at = *before;
    }
    steps.reverse();
    steps
}
