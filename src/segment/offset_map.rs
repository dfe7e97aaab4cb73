//! The offset map: which offsets are settled, as runs; small enough to travel with a commit.
//!
//! It names absolute offsets. It may name fewer than are settled, never more: a reader skips
//! what it names. What does not fit is left out, the shortest runs first, because they cost the
//! most for each offset that they name.
//!
//! Stored as the lengths of the holes, then of the runs, compressed. Of 50,000 open spans, traces
//! of ten behind a pinned floor take 0.7 KB, scattered ones 4 KB at nine in ten offsets, 17 KB at
//! every other and 39 KB at one in twenty, where no code can do with less than 3, 12 and 36. A
//! compressed bitmap takes 4, 13 and 49, and grows with the distance to the floor.

use super::Offset;
use super::batch::Damage;
use super::wire::{Reader, damage, put_varint};

/// What the first byte of a stored map says.
const FORM: u8 = 1;

/// Numbers of a stored map before compression, at most: what claims more is damaged.
const RAW_BYTES_MAX: usize = 4 << 20;

/// Runs that are encoded at most; beyond it the short ones are left out at once.
const RUNS_MAX: usize = 200_000;

const LEVEL: i32 = 3;

const SUM_BYTES: usize = 4;

/// Offsets `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: i64,
    end: i64,
}

/// OffsetMap offsets: runs in order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetMap {
    runs: Vec<Run>,
}

impl OffsetMap {
    /// All of `from..upto` but the `open` ones (in any order).
    pub fn all_but(from: Offset, upto: Offset, mut open: Vec<Offset>) -> OffsetMap {
        open.sort_unstable();
        let mut map = OffsetMap::default();
        let mut at = from.0;
        for offset in open {
            map.push(at, offset.0.min(upto.0));
            at = at.max(offset.0 + 1);
        }
        map.push(at, upto.0);
        map
    }

    /// Adds a run that begins nowhere before the last one.
    fn push(&mut self, start: i64, end: i64) {
        if start >= end {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ => self.runs.push(Run { start, end }),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many offsets it names.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.end.abs_diff(run.start)).sum()
    }

    pub fn has(&self, offset: Offset) -> bool {
        let before = self.runs.partition_point(|run| run.start <= offset.0);
        before > 0 && offset.0 < self.runs[before - 1].end
    }

    /// The offset behind the last one that it names.
    pub fn end(&self) -> Option<Offset> {
        self.runs.last().map(|run| Offset(run.end))
    }

    /// What either of the two names.
    pub fn and(&self, other: &OffsetMap) -> OffsetMap {
        let mut runs: Vec<Run> = self.runs.iter().chain(&other.runs).copied().collect();
        runs.sort_unstable_by_key(|run| run.start);
        let mut both = OffsetMap::default();
        runs.iter().for_each(|run| both.push(run.start, run.end));
        both
    }

    /// What it names from `floor` on.
    pub fn above(&self, floor: Offset) -> OffsetMap {
        let mut above = OffsetMap::default();
        self.runs.iter().for_each(|run| above.push(run.start.max(floor.0), run.end));
        above
    }

    /// Only the runs of at least this length.
    fn long(&self, shortest: i64) -> OffsetMap {
        let long = self.runs.iter().filter(|run| run.end - run.start >= shortest);
        OffsetMap { runs: long.copied().collect() }
    }

    /// Stores it in at most `limit` bytes; what does not fit is not named. Empty when nothing is.
    pub fn encode(&self, limit: usize) -> Vec<u8> {
        let mut shortest = 1;
        loop {
            let named = self.long(shortest);
            if named.is_empty() {
                return Vec::new();
            }
            if named.runs.len() <= RUNS_MAX {
                let stored = named.pack();
                if stored.len() <= limit {
                    return stored;
                }
            }
            shortest += (shortest + 1) / 2;
        }
    }

    fn pack(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(2 * self.runs.len() + 16);
        put_varint(&mut raw, self.runs.len() as u64);
        let mut before = 0;
        for run in &self.runs {
            put_varint(&mut raw, run.start.abs_diff(before));
            before = run.end;
        }
        self.runs.iter().for_each(|run| put_varint(&mut raw, run.end.abs_diff(run.start)));
        // Fails only without memory; then nothing is named.
        let Ok(packed) = zstd::bulk::compress(&raw, LEVEL) else { return Vec::new() };
        let mut stored = vec![FORM];
        stored.extend_from_slice(&checksum(&packed));
        stored.extend_from_slice(&packed);
        stored
    }

    /// Reads what `encode` wrote; no bytes are a map that names nothing.
    pub fn decode(stored: &[u8]) -> Result<OffsetMap, Damage> {
        let Some((form, packed)) = stored.split_first() else { return Ok(OffsetMap::default()) };
        if *form != FORM {
            return damage(format!("an offset map of form {form}"));
        }
        let (sum, packed) = packed.split_at_checked(SUM_BYTES).unwrap_or_default();
        if sum != checksum(packed) {
            return damage("an offset map with a wrong checksum");
        }
        let Ok(raw) = zstd::bulk::decompress(packed, RAW_BYTES_MAX) else {
            return damage("an offset map that cannot be unpacked");
        };
        let mut reader = Reader::new(&raw);
        let mut holes = Vec::new();
        for _ in 0..reader.varint()? {
            holes.push(reader.varint()?);
        }
        let mut map = OffsetMap::default();
        let mut at = 0i64;
        for hole in holes {
            let start = later(at, hole)?;
            at = later(start, reader.varint()?)?;
            map.push(start, at);
        }
        if reader.left() > 0 {
            return damage("an offset map with something behind it");
        }
        Ok(map)
    }
}

/// What is skipped is never looked at again, so a bit that flipped must not pass for a map.
fn checksum(packed: &[u8]) -> [u8; SUM_BYTES] {
    (xxhash_rust::xxh3::xxh3_64(packed) as u32).to_be_bytes()
}

fn later(at: i64, by: u64) -> Result<i64, Damage> {
    let later = i64::try_from(by).ok().and_then(|by| at.checked_add(by));
    later.map_or_else(|| damage("an offset map beyond all offsets"), Ok)
}

#[cfg(test)]
mod tests;
