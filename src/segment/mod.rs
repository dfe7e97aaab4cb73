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
        let value = if id.len() == 16 { hex_value(id.as_bytes()) } else { None };
        IdKey(value.unwrap_or_else(|| xxhash_rust::xxh3::xxh3_64(id.as_bytes())))
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
        let hashed = || xxhash_rust::xxh3::xxh3_128(trace_id.as_bytes());
        let trace = hex_u128(trace_id).unwrap_or_else(hashed);
        TraceKey { project, trace }
    }
}

/// The value of exactly 32 lower-case hex digits, `None` for any other text.
fn hex_u128(text: &str) -> Option<u128> {
    let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let (high, low) = (hex_value(&digits[..16])?, hex_value(&digits[16..])?);
    Some(u128::from(high) << 64 | u128::from(low))
}

/// The value of at most 16 lower-case hex digits; looked at as a whole, without a branch for each.
fn hex_value(digits: &[u8]) -> Option<u64> {
    let (mut value, mut seen) = (0, 0);
    for &digit in digits {
        let digit = HEX[digit as usize];
        seen |= digit;
        value = value << 4 | u64::from(digit & 15);
    }
    (seen < 16).then_some(value)
}

/// What each byte is worth as a hex digit; more than 15 where it is none.
const HEX: [u8; 256] = {
    let mut worth = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 16 {
        worth[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    worth
};
