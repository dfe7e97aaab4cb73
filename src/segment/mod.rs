//! Story 1, pure: what is true of spans without Kafka, Redis, time or processes.
//!
//! ```text
//! message ─► span ─► chunk ─► batch ─► (store) ─► header ─► index ─► due segment
//! message ◄─ encode ◄───────────────── (store) ◄─ blocks ◄────────────────┘
//! ```
//!
//! No clock is read here and no byte leaves the process: `now` is always an argument.
#![forbid(unsafe_code)]

pub mod batch;
pub mod body;
pub mod chunk;
pub mod clock;
pub mod encode;
pub mod hash;
pub mod index;
pub mod offset_map;
pub mod span;
mod wire;

use std::fmt;

/// A partition of the input topic: the unit of ownership, clock and backpressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Kafka offset of the input topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Event time on a shard's clock, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventMs(pub i64);

impl EventMs {
    /// This time plus `ms` milliseconds, without overflow.
    pub fn plus(self, ms: i64) -> EventMs {
        EventMs(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; negative when it is later.
    pub fn since(self, earlier: EventMs) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A batch's id: 128 random bits, its own for ever (P7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u128);

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl BatchId {
    /// Reads the 32 hex digits that `Display` writes.
    pub fn parse(text: &str) -> Option<BatchId> {
        if text.len() != 32 {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(BatchId)
    }
}

/// A span or segment id as the index knows it: 64 bits.
///
/// 16 lower-case hex digits are their own value; any other text is hashed. A collision
/// needs two ids of one trace and so can never reach beyond the producer of that trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdKey(pub u64);

impl IdKey {
    pub fn of(id: &str) -> IdKey {
        match hex_value(id, 16) {
            Some(value) => IdKey(value as u64),
            None => IdKey(xxhash_rust::xxh3::xxh3_64(id.as_bytes())),
        }
    }
}

/// The scope of a segment as the index knows it: the project, exact, and the trace.
///
/// 32 lower-case hex digits are their own value; any other trace id is hashed. Since
/// the project is exact, no collision can join the traces of two projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceKey {
    pub project: u64,
    pub trace: u128,
}

impl TraceKey {
    pub fn of(project: u64, trace_id: &str) -> TraceKey {
        let trace = match hex_value(trace_id, 32) {
            Some(value) => value,
            None => xxhash_rust::xxh3::xxh3_128(trace_id.as_bytes()),
        };
        TraceKey { project, trace }
    }
}

/// The value of exactly `digits` lower-case hex digits, `None` for any other text.
fn hex_value(text: &str, digits: usize) -> Option<u128> {
    if text.len() != digits {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}
