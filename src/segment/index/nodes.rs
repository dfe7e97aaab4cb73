//! The ids of all open sets, in many small tables instead of a large one.
//!
//! A table that is full moves into one of twice its size, and both are there meanwhile: a large one
//! would stop the flusher for a good part of a second, and take half as much again as all it has.

use crate::segment::hash::{Quick, QuickMap};
use crate::segment::{IdKey, TraceKey};
use std::hash::BuildHasher;

/// Log2 of their number. Of a million ids each table has 16,000, which move within a millisecond.
const TABLES_LOG: u32 = 6;

pub type Key = (TraceKey, IdKey);

/// An id: the set that it is in, and what is known of it.
#[derive(Clone, Copy)]
pub struct Node {
    pub set: u32,
    pub flags: u8,
}

pub struct Nodes {
    tables: Vec<QuickMap<Key, Node>>,
    /// Hashes ids to tables.
    choice: Quick,
    len: usize,
}

impl Nodes {
    pub fn new() -> Nodes {
        let tables = (0..1 << TABLES_LOG).map(|_| QuickMap::default()).collect();
        Nodes { tables, choice: Quick::default(), len: 0 }
    }

    /// By trace and id: a trace of millions of spans has its ids in all tables, too. Seeded, as the
    /// tables themselves are.
    fn table(&self, (trace, id): &Key) -> usize {
        let hash = self.choice.hash_one((trace.trace as u64, id.0));
        (hash >> (u64::BITS - TABLES_LOG)) as usize
    }

    pub fn get(&self, key: &Key) -> Option<&Node> {
        self.tables[self.table(key)].get(key)
    }

    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Node> {
        let table = self.table(key);
        self.tables[table].get_mut(key)
    }

    pub fn insert(&mut self, key: Key, node: Node) {
        let table = self.table(&key);
        self.len += usize::from(self.tables[table].insert(key, node).is_none());
    }

    pub fn remove(&mut self, key: &Key) -> Option<Node> {
        let table = self.table(key);
        let gone = self.tables[table].remove(key);
        self.len -= usize::from(gone.is_some());
        gone
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_all_tables_whatever_their_pattern() {
        for (step, one_trace) in [1, 64, 1 << 32, 1 << 50, 0x0101_0101_0101_0101]
            .into_iter()
            .flat_map(|step| [(step, true), (step, false)])
        {
            let mut nodes = Nodes::new();
            // A root often has the lower half of its trace's id.
            let key = |id: u64| {
                let trace = if one_trace { 7 } else { id.into() };
                (TraceKey { project: 1, trace }, IdKey(id))
            };
            let keys: Vec<Key> = (0..6400u64).map(|n| key(n.wrapping_mul(step))).collect();
            keys.iter().for_each(|&key| nodes.insert(key, Node { set: 0, flags: 0 }));
            let sizes: Vec<usize> = nodes.tables.iter().map(QuickMap::len).collect();
            assert!(sizes.iter().all(|size| (50..200).contains(size)), "{step:x}: {sizes:?}");
            assert_eq!(nodes.len(), keys.iter().filter(|key| nodes.get(key).is_some()).count());
        }
    }

    #[test]
    fn what_is_put_in_twice_or_taken_out_twice_counts_once() {
        let key = (TraceKey { project: 1, trace: 7 }, IdKey(9));
        let mut nodes = Nodes::new();
        (1..3).for_each(|set| nodes.insert(key, Node { set, flags: 0 }));
        assert_eq!((nodes.len(), nodes.get(&key).map(|node| node.set)), (1, Some(2)));
        assert_eq!((nodes.remove(&key).is_some(), nodes.remove(&key).is_some()), (true, false));
        assert_eq!(nodes.len(), 0);
    }
}
