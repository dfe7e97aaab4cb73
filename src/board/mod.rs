//! What both stories share: words in shared memory, one writer each (P4).
//!
//! A board is made anew at every start; one left by a crash is unlinked first, so that a
//! straggler writes into its orphan. No lock lives here: a process can die at any instruction
//! and the board stays readable. Only the supervisor's own opening of the object is locked.
#![forbid(unsafe_code)]

mod area;
mod object;
pub mod report;
mod shape;
pub mod words;

pub use area::{Area, Told};
pub use object::{Found, create, find, is_foreign};
pub use shape::Shape;

pub use crate::segment::{Offset, ShardId};

use crate::sys::shm::SharedWords;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use words::{
    DaemonState, DaemonWord, LATENESS_BOUNDS_MS, OwnershipWord, Paused, ShardWord, WorkerKind,
    WorkerWord,
};

/// The board as this process sees it: the shared words, or a copy of them.
pub struct Board {
    words: Words,
    /// Floors and offset maps. Empty in a copy.
    areas: Words,
    shape: Shape,
}

enum Words {
    Shared(SharedWords),
    Private(Vec<AtomicU64>),
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        match self {
            Words::Shared(words) => words,
            Words::Private(words) => words,
        }
    }
}

/// The supervisor's slot.
#[derive(Clone, Copy)]
pub struct DaemonSlot<'b>(&'b [AtomicU64]);

/// One worker's slot.
#[derive(Clone, Copy)]
pub struct WorkerSlot<'b>(&'b [AtomicU64]);

/// One shard's slot.
#[derive(Clone, Copy)]
pub struct ShardSlot<'b>(&'b [AtomicU64]);

/// What one ingest worker says of one shard.
#[derive(Clone, Copy)]
pub struct OwnershipRow<'b>(&'b [AtomicU64]);

impl Board {
    /// A board of this process alone: for tests, and for commands that run one worker's work.
    pub fn private(shape: Shape) -> Board {
        let zeros = |count| Words::Private((0..count).map(|_| AtomicU64::new(0)).collect());
        Board { words: zeros(shape.words()), areas: zeros(shape.area_words()), shape }
    }

    /// Shards that have a slot: numbers below this.
    pub fn max_shards(&self) -> u32 {
        self.shape.max_shards
    }

    pub fn daemon(&self) -> DaemonSlot<'_> {
        DaemonSlot(&self.words[self.shape.daemon()])
    }

    pub fn ingest(&self, number: usize) -> WorkerSlot<'_> {
        self.worker(WorkerKind::Ingest, number)
    }

    pub fn flusher(&self, number: usize) -> WorkerSlot<'_> {
        self.worker(WorkerKind::Flusher, number)
    }

    /// The slot of a worker. The number must be below the count of its kind.
    pub fn worker(&self, kind: WorkerKind, number: usize) -> WorkerSlot<'_> {
        WorkerSlot(&self.words[self.shape.worker(kind, number)])
    }

    pub fn ingests(&self) -> usize {
        self.shape.ingests
    }

    pub fn flushers(&self) -> usize {
        self.shape.flushers
    }

    /// `None` when the shard's number has no slot on this board.
    pub fn shard(&self, shard: ShardId) -> Option<ShardSlot<'_>> {
        let range = self.shape.shard(shard.0)?;
        Some(ShardSlot(&self.words[range]))
    }

    /// What the shard's flusher has delivered, by its index; its holder writes it.
    pub fn delivered(&self, shard: ShardId) -> Option<Area<'_>> {
        self.area(shard, 0)
    }

    /// What ingest has found committed, and believes; whoever reads the shard writes it.
    pub fn found(&self, shard: ShardId) -> Option<Area<'_>> {
        self.area(shard, 1)
    }

    fn area(&self, shard: ShardId, nth: usize) -> Option<Area<'_>> {
        self.areas.get(self.shape.area_of(shard.0, nth)?).map(Area)
    }

    pub fn ownership(&self, ingest: usize, shard: ShardId) -> Option<OwnershipRow<'_>> {
        let range = self.shape.ownership(ingest, shard.0)?;
        Some(OwnershipRow(&self.words[range]))
    }

    /// Whether the supervisor is winding down.
    pub fn stopping(&self) -> bool {
        self.daemon().state() == DaemonState::Stopping
    }
}

impl DaemonSlot<'_> {
    pub fn get(&self, word: DaemonWord) -> u64 {
        self.0[word as usize].load(Ordering::Acquire)
    }

    pub fn set(&self, word: DaemonWord, value: u64) {
        self.0[word as usize].store(value, Ordering::Release);
    }

    pub fn state(&self) -> DaemonState {
        DaemonState::from_word(self.get(DaemonWord::State))
    }

    /// A word by its place in the table.
    fn word(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::Acquire)
    }
}

impl WorkerSlot<'_> {
    pub fn get(&self, word: WorkerWord) -> u64 {
        self.0[word as usize].load(Ordering::Acquire)
    }

    pub fn set(&self, word: WorkerWord, value: u64) {
        self.0[word as usize].store(value, Ordering::Release);
    }

    /// Adds to a word that the caller alone writes: a load and a store, no locked instruction.
    pub fn add(&self, word: WorkerWord, more: u64) {
        add(&self.0[word as usize], more);
    }

    /// Counts one lateness in ms (acknowledged minus due) in the worker's histogram.
    pub fn late(&self, ms: u64) {
        let bucket = LATENESS_BOUNDS_MS.partition_point(|bound| *bound < ms);
        add(&self.0[WorkerWord::TABLE.len() + bucket], 1);
    }

    /// How often a lateness fell into each bucket of `LATENESS_BOUNDS_MS`.
    pub fn lateness(&self) -> [u64; LATENESS_BOUNDS_MS.len()] {
        let first = WorkerWord::TABLE.len();
        std::array::from_fn(|bucket| self.0[first + bucket].load(Ordering::Acquire))
    }

    /// A word by its place in the table.
    fn word(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::Acquire)
    }
}

impl ShardSlot<'_> {
    pub fn get(&self, word: ShardWord) -> u64 {
        self.0[word as usize].load(Ordering::Acquire)
    }

    pub fn set(&self, word: ShardWord, value: u64) {
        self.0[word as usize].store(value, Ordering::Release);
    }

    pub fn add(&self, word: ShardWord, more: u64) {
        add(&self.0[word as usize], more);
    }

    /// An offset word, `None` when not known.
    pub fn offset(&self, word: ShardWord) -> Option<Offset> {
        self.get(word).checked_sub(1).map(|offset| Offset(offset as i64))
    }

    pub fn set_offset(&self, word: ShardWord, offset: Option<Offset>) {
        self.set(word, offset.map_or(0, |offset| (offset.0 as u64).wrapping_add(1)));
    }

    /// Says why the shard is not read, or that it is; remembers since when it is not.
    pub fn pause(&self, why: Paused, now_ms: u64) {
        let since = match (why, self.get(ShardWord::PausedMs)) {
            (Paused::Flowing, _) => 0,
            (_, 0) => now_ms,
            (_, since) => since,
        };
        self.set(ShardWord::Paused, why as u64);
        self.set(ShardWord::PausedMs, since);
    }

    /// Says how many messages the books leave unaccounted for; remembers since when they do.
    pub fn set_unaccounted(&self, messages: i64, now_ms: u64) {
        let since = match (messages, self.get(ShardWord::UnaccountedMs)) {
            (0, _) => 0,
            (_, 0) => now_ms,
            (_, since) => since,
        };
        self.set(ShardWord::Unaccounted, messages as u64);
        self.set(ShardWord::UnaccountedMs, since);
    }

    /// Counts offsets that were lost.
    pub fn lose(&self, offsets: u64, now_ms: u64) {
        if offsets > 0 {
            self.add(ShardWord::Lost, offsets);
            self.set(ShardWord::LostMs, now_ms);
        }
    }

    /// A word by its place in the table.
    fn word(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::Acquire)
    }

    /// The flusher that should hold the shard.
    pub fn desired(&self) -> Option<usize> {
        self.get(ShardWord::Desired).checked_sub(1).map(|flusher| flusher as usize)
    }

    /// The flusher that holds the shard.
    pub fn holder(&self) -> Option<usize> {
        self.get(ShardWord::Holder).checked_sub(1).map(|flusher| flusher as usize)
    }

    /// Takes the shard for `flusher` if it is free; says whether it did.
    pub fn take(&self, flusher: usize) -> bool {
        self.hand_over(0, flusher as u64 + 1)
    }

    /// Gives the shard back if `flusher` holds it.
    pub fn give_back(&self, flusher: usize) -> bool {
        self.hand_over(flusher as u64 + 1, 0)
    }

    fn hand_over(&self, from: u64, to: u64) -> bool {
        self.0[ShardWord::Holder as usize]
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl OwnershipRow<'_> {
    pub fn get(&self, word: OwnershipWord) -> u64 {
        self.0[word as usize].load(Ordering::Acquire)
    }

    pub fn set(&self, word: OwnershipWord, value: u64) {
        self.0[word as usize].store(value, Ordering::Release);
    }
}

/// P4: one writer, so nothing can come between the load and the store.
fn add(word: &AtomicU64, more: u64) {
    word.store(word.load(Ordering::Relaxed).wrapping_add(more), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::private(Shape { ingests: 2, flushers: 3, max_shards: 5 })
    }

    #[test]
    fn slots_do_not_overlap() {
        let board = board();
        for number in 0..3 {
            board.flusher(number).set(WorkerWord::Pid, 100 + number as u64);
            board.flusher(number).late(u64::MAX);
        }
        for shard in 0..5 {
            board.shard(ShardId(shard)).unwrap().set(ShardWord::Clock, 7 + u64::from(shard));
        }
        for number in 0..3 {
            let slot = board.flusher(number);
            assert_eq!(slot.get(WorkerWord::Pid), 100 + number as u64);
            assert_eq!(slot.lateness().iter().sum::<u64>(), 1);
        }
        assert_eq!(board.shard(ShardId(4)).unwrap().get(ShardWord::Clock), 11);
        assert!(board.shard(ShardId(5)).is_none());
        assert!(board.ownership(2, ShardId(0)).is_none());
    }

    #[test]
    fn a_shard_has_one_holder() {
        let board = board();
        let shard = board.shard(ShardId(1)).unwrap();
        assert!(shard.take(2));
        assert!(!shard.take(1));
        assert!(!shard.give_back(1));
        assert_eq!(shard.holder(), Some(2));
        assert!(shard.give_back(2));
        assert_eq!(shard.holder(), None);
    }

    #[test]
    fn offsets_distinguish_zero_from_unknown() {
        let board = board();
        let shard = board.shard(ShardId(0)).unwrap();
        assert_eq!(shard.offset(ShardWord::Floor), None);
        shard.set_offset(ShardWord::Floor, Some(Offset(0)));
        assert_eq!(shard.offset(ShardWord::Floor), Some(Offset(0)));
    }
}
