//! What both stories share: words in shared memory, one writer each (P4).
//!
//! A board is made anew at every start; one left by a crash is unlinked first, so that a
//! straggler writes into its orphan. No lock lives here: a process can die at any instruction
//! and the board stays readable. What the words mean is in `words`, nowhere else.
#![forbid(unsafe_code)]

pub mod report;
pub mod words;

use crate::error::{Error, Result};
use crate::segment::{Offset, ShardId};
use crate::sys::shm::{self, CreateError, Lock, SharedWords};
use std::sync::atomic::{AtomicU64, Ordering};
use words::{DaemonWord, LATENESS_BOUNDS_MS, OwnershipWord, ShardWord, WorkerWord};

/// Words of a cache line: no two writers share one.
const LINE: usize = 8;

const MAGIC: u64 = u64::from_be_bytes(*b"spanbufd");
const HEADER_WORDS: usize = LINE;
/// Header: magic, version, ingests, flushers, max shards, and, written last, ready.
const READY_AT: usize = 5;

const fn lines(words: usize) -> usize {
    words.div_ceil(LINE) * LINE
}

const DAEMON_WORDS: usize = lines(DaemonWord::TABLE.len());
const WORKER_WORDS: usize = lines(WorkerWord::TABLE.len() + LATENESS_BOUNDS_MS.len());
const ROW_WORDS: usize = OwnershipWord::TABLE.len();
const SHARD_WORDS: usize = lines(ShardWord::TABLE.len());

/// How many slots a board has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub ingests: usize,
    pub flushers: usize,
    pub max_shards: u32,
}

impl Shape {
    fn workers_at(&self) -> usize {
        HEADER_WORDS + DAEMON_WORDS
    }

    fn rows_at(&self) -> usize {
        self.workers_at() + (self.ingests + self.flushers) * WORKER_WORDS
    }

    fn rows_of_one(&self) -> usize {
        lines(self.max_shards as usize * ROW_WORDS)
    }

    fn shards_at(&self) -> usize {
        self.rows_at() + self.ingests * self.rows_of_one()
    }

    fn words(&self) -> usize {
        self.shards_at() + self.max_shards as usize * SHARD_WORDS
    }
}

/// The board as this process maps it.
pub struct Board {
    words: SharedWords,
    shape: Shape,
}

/// A slot: the words of one worker, shard or row, named by their enum.
#[derive(Clone, Copy)]
struct Slot<'b>(&'b [AtomicU64]);

impl Slot<'_> {
    fn get(&self, word: usize) -> u64 {
        self.0[word].load(Ordering::Acquire)
    }

    fn set(&self, word: usize, value: u64) {
        self.0[word].store(value, Ordering::Release);
    }

    fn add(&self, word: usize, more: u64) {
        self.0[word].fetch_add(more, Ordering::AcqRel);
    }
}

/// One worker's slot.
#[derive(Clone, Copy)]
pub struct WorkerSlot<'b>(Slot<'b>);

/// One shard's slot.
#[derive(Clone, Copy)]
pub struct ShardSlot<'b>(Slot<'b>);

/// What one ingest worker says of one shard.
#[derive(Clone, Copy)]
pub struct OwnershipRow<'b>(Slot<'b>);

/// The name of an instance's shared memory object.
pub fn object_name(instance: &str) -> String {
    format!("spanbufd-{instance}")
}

impl Board {
    /// Makes the board of an instance and locks it; the lock ends with this process.
    pub fn create(instance: &str, shape: Shape) -> Result<(Board, Lock)> {
        let name = object_name(instance);
        let made = SharedWords::create(&name, shape.words());
        let (words, lock) = made.map_err(|why| create_error(instance, shape, &why))?;
        for (at, value) in [
            (0, MAGIC),
            (1, version()),
            (2, shape.ingests as u64),
            (3, shape.flushers as u64),
            (4, u64::from(shape.max_shards)),
            // Published last: a reader that sees it sees all of the above.
            (READY_AT, 1),
        ] {
            words[at].store(value, Ordering::Release);
        }
        Ok((Board { words, shape }, lock))
    }

    /// Maps the board of a running instance for reading; `None` when there is none.
    pub fn open_readonly(instance: &str) -> Result<Option<Board>> {
        let failed = |why: String| {
            Error::temporary(format!("cannot read the board of instance {instance}: {why}"))
        };
        let opened = SharedWords::open_readonly(&object_name(instance));
        let Some(words) = opened.map_err(|why| failed(why.to_string()))? else { return Ok(None) };
        let word = |at: usize| words.get(at).map_or(0, |word| word.load(Ordering::Acquire));
        if word(READY_AT) != 1 || word(0) != MAGIC {
            return Err(failed("it is not ready".to_owned()));
        }
        if word(1) != version() {
            return Err(failed("another version of spanbufd made it; use that one".to_owned()));
        }
        let shape = Shape {
            ingests: word(2) as usize,
            flushers: word(3) as usize,
            max_shards: word(4) as u32,
        };
        if shape.words() > words.len() {
            return Err(failed("it is shorter than it says".to_owned()));
        }
        Ok(Some(Board { words, shape }))
    }

    /// Removes the board's name; done last at an orderly end.
    pub fn remove(instance: &str) {
        if let Err(why) = shm::unlink(&object_name(instance)) {
            log::warn!("cannot remove the board of instance {instance}: {why}");
        }
    }

    /// Shards that have a slot: numbers below this.
    pub fn max_shards(&self) -> u32 {
        self.shape.max_shards
    }

    pub fn ingests(&self) -> usize {
        self.shape.ingests
    }

    pub fn flushers(&self) -> usize {
        self.shape.flushers
    }

    pub fn ingest(&self, number: usize) -> WorkerSlot<'_> {
        debug_assert!(number < self.shape.ingests);
        self.worker(number)
    }

    pub fn flusher(&self, number: usize) -> WorkerSlot<'_> {
        debug_assert!(number < self.shape.flushers);
        self.worker(self.shape.ingests + number)
    }

    /// Slots in the order of the supervisor's children: ingests, then flushers.
    pub fn worker(&self, slot: usize) -> WorkerSlot<'_> {
        WorkerSlot(self.slot(self.shape.workers_at() + slot * WORKER_WORDS, WORKER_WORDS))
    }

    pub fn workers(&self) -> usize {
        self.shape.ingests + self.shape.flushers
    }

    /// `None` when the shard's number has no slot on this board.
    pub fn shard(&self, shard: ShardId) -> Option<ShardSlot<'_>> {
        if shard.0 >= self.shape.max_shards {
            return None;
        }
        let at = self.shape.shards_at() + shard.0 as usize * SHARD_WORDS;
        Some(ShardSlot(self.slot(at, SHARD_WORDS)))
    }

    pub fn ownership(&self, ingest: usize, shard: ShardId) -> Option<OwnershipRow<'_>> {
        if shard.0 >= self.shape.max_shards || ingest >= self.shape.ingests {
            return None;
        }
        let at =
            self.shape.rows_at() + ingest * self.shape.rows_of_one() + shard.0 as usize * ROW_WORDS;
        Some(OwnershipRow(self.slot(at, ROW_WORDS)))
    }

    pub fn get(&self, word: DaemonWord) -> u64 {
        self.slot(HEADER_WORDS, DAEMON_WORDS).get(word as usize)
    }

    pub fn set(&self, word: DaemonWord, value: u64) {
        self.slot(HEADER_WORDS, DAEMON_WORDS).set(word as usize, value);
    }

    pub fn add(&self, word: DaemonWord, more: u64) {
        self.slot(HEADER_WORDS, DAEMON_WORDS).add(word as usize, more);
    }

    /// Whether the supervisor is winding down.
    pub fn stopping(&self) -> bool {
        self.get(DaemonWord::State) == words::STOPPING
    }

    fn slot(&self, at: usize, count: usize) -> Slot<'_> {
        Slot(&self.words[at..at + count])
    }
}

impl WorkerSlot<'_> {
    pub fn get(&self, word: WorkerWord) -> u64 {
        self.0.get(word as usize)
    }

    pub fn set(&self, word: WorkerWord, value: u64) {
        self.0.set(word as usize, value);
    }

    pub fn add(&self, word: WorkerWord, more: u64) {
        self.0.add(word as usize, more);
    }

    /// Counts one lateness in ms (acknowledged minus due) in the worker's histogram.
    pub fn late(&self, ms: u64) {
        let bucket = LATENESS_BOUNDS_MS.iter().position(|bound| ms <= *bound).unwrap_or(0);
        self.0.add(WorkerWord::TABLE.len() + bucket, 1);
    }

    /// The histogram's counts, bucket by bucket.
    pub fn lateness(&self) -> [u64; LATENESS_BOUNDS_MS.len()] {
        std::array::from_fn(|bucket| self.0.get(WorkerWord::TABLE.len() + bucket))
    }
}

impl ShardSlot<'_> {
    pub fn get(&self, word: ShardWord) -> u64 {
        self.0.get(word as usize)
    }

    pub fn set(&self, word: ShardWord, value: u64) {
        self.0.set(word as usize, value);
    }

    pub fn add(&self, word: ShardWord, more: u64) {
        self.0.add(word as usize, more);
    }

    /// An offset word, `None` when not known.
    pub fn offset(&self, word: ShardWord) -> Option<Offset> {
        match self.get(word) {
            0 => None,
            plus_one => Some(Offset(plus_one as i64 - 1)),
        }
    }

    pub fn set_offset(&self, word: ShardWord, offset: Option<Offset>) {
        self.set(word, offset.map_or(0, |offset| offset.0 as u64 + 1));
    }

    /// The flusher that holds the shard.
    pub fn holder(&self) -> Option<usize> {
        match self.get(ShardWord::Holder) {
            0 => None,
            plus_one => Some(plus_one as usize - 1),
        }
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
        let holder = &self.0.0[ShardWord::Holder as usize];
        holder.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl OwnershipRow<'_> {
    pub fn get(&self, word: OwnershipWord) -> u64 {
        self.0.get(word as usize)
    }

    pub fn set(&self, word: OwnershipWord, value: u64) {
        self.0.set(word as usize, value);
    }
}

/// The version of a board is what its tables say: another table is another version.
fn version() -> u64 {
    let tables =
        [DaemonWord::TABLE, WorkerWord::TABLE, OwnershipWord::TABLE, ShardWord::TABLE].concat();
    let names: Vec<String> =
        tables.iter().map(|word| format!("{} {}", word.name, word.unit)).collect();
    xxhash_rust::xxh3::xxh3_64(format!("{names:?}{LATENESS_BOUNDS_MS:?}").as_bytes())
}

fn create_error(instance: &str, shape: Shape, why: &CreateError) -> Error {
    match why {
        CreateError::InUse => Error::config(format!(
            "instance {instance} is running already; stop it, or give this one another name with \
             --instance"
        )),
        CreateError::Io(why) => Error::temporary(format!(
            "cannot make the board of instance {instance} ({} KiB in /dev/shm): {why}; make room \
             there or lower max-shards",
            shape.words() * 8 / 1024
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { ingests: 2, flushers: 3, max_shards: 5 };

    fn with_board(name: &str, test: impl FnOnce(&Board)) {
        let instance = format!("test-{name}-{}", std::process::id());
        let (board, _lock) = Board::create(&instance, SHAPE).expect("created");
        test(&board);
        Board::remove(&instance);
    }

    #[test]
    fn no_slot_overlaps_another() {
        with_board("slots", |board| {
            for number in 0..board.workers() {
                board.worker(number).late(u64::MAX);
                board.worker(number).add(WorkerWord::Pid, 1);
            }
            for shard in 0..5 {
                let slot = board.shard(ShardId(shard)).expect("has a slot");
                slot.add(ShardWord::Desired, 1);
                slot.add(ShardWord::LiveBatches, 1);
                for ingest in 0..2 {
                    let row = board.ownership(ingest, ShardId(shard)).expect("has a row");
                    row.set(OwnershipWord::Wanted, row.get(OwnershipWord::Wanted) + 1);
                }
            }
            let sum: u64 =
                board.words[HEADER_WORDS..].iter().map(|w| w.load(Ordering::SeqCst)).sum();
            assert_eq!(sum, 5 * 2 + 5 * 2 + 5 * 2);
            assert!(board.words[HEADER_WORDS..].iter().all(|w| w.load(Ordering::SeqCst) <= 1));
            assert!(board.shard(ShardId(5)).is_none());
            assert!(board.ownership(0, ShardId(5)).is_none());
        });
    }

    #[test]
    fn a_holder_changes_only_by_its_own_hand() {
        with_board("holder", |board| {
            let slot = board.shard(ShardId(4)).expect("has a slot");
            assert_eq!(slot.holder(), None);
            assert!(slot.take(0));
            assert!(!slot.take(1));
            assert!(!slot.give_back(1));
            assert_eq!(slot.holder(), Some(0));
            assert!(slot.give_back(0));
            assert_eq!(slot.holder(), None);
        });
    }

    #[test]
    fn offsets_have_a_word_for_not_known() {
        with_board("offsets", |board| {
            let slot = board.shard(ShardId(0)).expect("has a slot");
            assert_eq!(slot.offset(ShardWord::Floor), None);
            slot.set_offset(ShardWord::Floor, Some(Offset(0)));
            assert_eq!(slot.offset(ShardWord::Floor), Some(Offset(0)));
            slot.set_offset(ShardWord::Floor, None);
            assert_eq!(slot.offset(ShardWord::Floor), None);
        });
    }

    #[test]
    fn a_second_instance_is_refused_and_a_reader_sees_the_first() {
        let instance = format!("test-second-{}", std::process::id());
        let (board, lock) = Board::create(&instance, SHAPE).expect("created");
        let second = Board::create(&instance, SHAPE).err().map(|error| error.exit_status());
        assert_eq!(second, Some(78));
        board.set(DaemonWord::Pid, 7);
        let reader = Board::open_readonly(&instance).expect("opened").expect("is there");
        assert_eq!((reader.shape, reader.get(DaemonWord::Pid)), (SHAPE, 7));
        drop(lock);
        assert!(Board::create(&instance, SHAPE).is_ok(), "what a crash left is taken over");
        Board::remove(&instance);
    }
}
