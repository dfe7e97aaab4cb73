//! Spans read together become chunks: the unit that is delivered and settled.
//!
//! A chunk holds the spans of one batch that share (project, trace, attach point), so
//! they certainly belong to the same segment, and that lie closer together in event time
//! than the shortest timeout, so no deadline can fall between two of them. That is why the
//! index may take a chunk as a whole and still decide as if it had read span by span.

use super::span::{Span, Splice};
use super::{EventMs, IdKey, Offset, TraceKey};

/// What one chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// Spans; `has_root` when a segment span is among them (its id is the attach point).
    Spans { has_root: bool },
    /// One message that could not be parsed, bound for the dead-letter topic, due at once.
    Reject,
}

/// A chunk in a batch's header: all that the index has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    pub kind: ChunkKind,
    /// Zero for a reject.
    pub trace: TraceKey,
    /// Zero for a reject.
    pub attach: IdKey,
    /// Shard clock at the arrival of its first and last span.
    pub first_ms: EventMs,
    pub last_ms: EventMs,
    /// Its spans in `Header::spans`, in input order: `spans_start .. spans_start + spans_count`.
    pub spans_start: u32,
    pub spans_count: u32,
    /// Bytes of its body in the decompressed block, and where it starts there.
    pub block: u32,
    pub body_at: u32,
    pub body_bytes: u32,
}

/// A span in a batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanHead {
    pub id: IdKey,
    pub offset: Offset,
}

/// A chunk's body, read back from a block: what encoding needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'b> {
    Spans(SpansBody<'b>),
    Reject(RejectBody<'b>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpansBody<'b> {
    pub project_id: u64,
    pub trace_id: &'b str,
    /// The attach point that all its spans share.
    pub attach: &'b str,
    /// In input order.
    pub spans: Vec<StoredSpan<'b>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSpan<'b> {
    pub offset: Offset,
    pub span_id: &'b str,
    pub splice: Splice,
    pub payload: &'b [u8],
}

/// A rejected message with everything the dead-letter topic gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectBody<'b> {
    pub offset: Offset,
    /// The message's own time stamp in ms, `None` when it had none.
    pub timestamp_ms: Option<i64>,
    pub reason: &'b str,
    /// `None` for a tombstone.
    pub payload: Option<&'b [u8]>,
    pub key: Option<&'b [u8]>,
    pub headers: Vec<(&'b str, Option<&'b [u8]>)>,
}

/// What was read of one shard and is not yet in the store: the batch in the making.
///
/// Copies what it is given, so the messages can be let go at once.
pub struct Draft {}

impl Draft {
    /// `spread_ms`: the shortest of the timeouts; a chunk spans less event time than that.
    pub fn new(_spread_ms: i64) -> Draft {
        todo!()
    }

    /// Adds a span that arrived at `offset` with the shard's clock at `at`.
    pub fn add(&mut self, _span: &Span<'_>, _offset: Offset, _at: EventMs) {
        todo!()
    }

    /// Adds a message that is no span.
    pub fn reject(&mut self, _reject: &RejectBody<'_>, _at: EventMs) {
        todo!()
    }

    /// Number of messages held.
    pub fn len(&self) -> usize {
        todo!()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, as counted against `max-batch-bytes`.
    pub fn bytes(&self) -> usize {
        todo!()
    }

    /// Forgets everything, keeps its memory.
    pub fn clear(&mut self) {
        todo!()
    }
}
