//! Where each slot of the board lies: a pure function of three numbers.
//!
//! Every slot starts on a cache line of its own, so that one worker's heartbeat never slows
//! another's counters. The version covers the tables of words: two builds that would read
//! each other's words wrongly have different versions.

use super::words::{
    DaemonWord, LATENESS_BOUNDS_MS, OwnershipWord, ShardWord, Word, WorkerKind, WorkerWord,
};
use std::ops::Range;

/// Words of a cache line.
const LINE: usize = 8;

/// Words before the first slot: magic, version, three numbers, ready.
pub const HEADER: usize = LINE;

/// How many slots of each sort a board has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub ingests: usize,
    pub flushers: usize,
    pub max_shards: u32,
}

/// What the options allow: ingest-workers, flusher-processes, max-shards.
const INGESTS_MAX: u64 = 64;
const FLUSHERS_MAX: u64 = SHARDS_MAX;
const SHARDS_MAX: u64 = 65_536;

const fn lines(words: usize) -> usize {
    words.div_ceil(LINE) * LINE
}

const DAEMON: usize = lines(DaemonWord::TABLE.len());
const WORKER: usize = lines(WorkerWord::TABLE.len() + LATENESS_BOUNDS_MS.len());
const SHARD: usize = lines(ShardWord::TABLE.len());
const ROW: usize = OwnershipWord::TABLE.len();

/// Areas of a shard: what its flusher has delivered, what ingest has found committed.
const AREAS: usize = 2;
/// Words of an area: a map of 50,000 open spans takes at most some 39 KiB.
const AREA_MAX: usize = 8192;
const AREA_MIN: usize = 512;
/// All areas together take at most this many words of address space, or each the least.
const AREAS_MAX: usize = 32 << 20;

impl Shape {
    /// The shape that these numbers say, if a board can have it: then no sum of them overflows.
    pub fn believed(ingests: u64, flushers: u64, shards: u64) -> Option<Shape> {
        let fits = ingests <= INGESTS_MAX && flushers <= FLUSHERS_MAX && shards <= SHARDS_MAX;
        fits.then_some(Shape {
            ingests: ingests as usize,
            flushers: flushers as usize,
            max_shards: shards as u32,
        })
    }

    pub fn words(&self) -> usize {
        self.rows(self.ingests)
    }

    pub fn daemon(&self) -> Range<usize> {
        HEADER..HEADER + DAEMON
    }

    pub fn worker(&self, kind: WorkerKind, number: usize) -> Range<usize> {
        let (before, count) = match kind {
            WorkerKind::Ingest => (0, self.ingests),
            WorkerKind::Flusher => (self.ingests, self.flushers),
        };
        assert!(number < count, "{} has no slot", kind.label(number));
        let start = HEADER + DAEMON + (before + number) * WORKER;
        start..start + WORKER
    }

    pub fn shard(&self, shard: u32) -> Option<Range<usize>> {
        let start = self.shards() + shard as usize * SHARD;
        (shard < self.max_shards).then_some(start..start + SHARD)
    }

    pub fn ownership(&self, ingest: usize, shard: u32) -> Option<Range<usize>> {
        let start = self.rows(ingest) + shard as usize * ROW;
        (ingest < self.ingests && shard < self.max_shards).then_some(start..start + ROW)
    }

    /// Words of all areas, which lie in memory of their own.
    pub fn area_words(&self) -> usize {
        self.max_shards as usize * AREAS * self.area()
    }

    fn area(&self) -> usize {
        let share = AREAS_MAX / (AREAS * self.max_shards.max(1) as usize);
        share.clamp(AREA_MIN, AREA_MAX)
    }

    /// One of a shard's areas.
    pub fn area_of(&self, shard: u32, nth: usize) -> Option<Range<usize>> {
        let start = (shard as usize * AREAS + nth) * self.area();
        (shard < self.max_shards && nth < AREAS).then_some(start..start + self.area())
    }

    fn shards(&self) -> usize {
        HEADER + DAEMON + (self.ingests + self.flushers) * WORKER
    }

    /// Where the rows of one ingest worker begin; rows of one writer may share cache lines.
    fn rows(&self, ingest: usize) -> usize {
        let shards = self.max_shards as usize;
        self.shards() + shards * SHARD + ingest * lines(shards * ROW)
    }
}

/// What two builds must have in common to read each other's boards.
pub fn version() -> u64 {
    let tables = [DaemonWord::TABLE, WorkerWord::TABLE, OwnershipWord::TABLE, ShardWord::TABLE];
    let mut hash = Fnv::new();
    for table in tables {
        hash.add(&(table.len() as u64).to_le_bytes());
        for Word { name, unit, .. } in table {
            hash.add(name.as_bytes());
            hash.add(unit.as_bytes());
        }
    }
    hash.add(&(LATENESS_BOUNDS_MS.len() as u64).to_le_bytes());
    hash.0
}

/// FNV-1a: a few lines, the same everywhere.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        // A byte that ends no name keeps "ab","c" apart from "a","bc".
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
