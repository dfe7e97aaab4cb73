//! Message bytes to [`Span`]: only the needed fields, borrowed from the message.
//!
//! The payload's bytes are never changed. What flushing has to set (`is_segment` and
//! `attributes."sentry.segment.id"`) is remembered as [`Splice`] positions, so that
//! encoding never parses JSON again.

use std::borrow::Cow;

/// Which fields are checked: option `validate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validate {
    /// Only what assembly needs.
    Ids,
    /// Everything that the published schema requires.
    Strict,
}

/// A span as assembly sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span<'m> {
    pub project_id: u64,
    pub trace_id: Cow<'m, str>,
    pub span_id: Cow<'m, str>,
    /// The id that this span hangs under; its own `span_id` for a segment span.
    pub attach: Cow<'m, str>,
    /// No parent, or `is_segment`: this span starts a segment of its own.
    pub is_segment_span: bool,
    pub splice: Splice,
    pub payload: &'m [u8],
}

/// Where encoding writes into the payload: byte ranges of it, `start == end` inserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    pub is_segment: FlagSplice,
    pub segment_id: IdSplice,
}

/// How `is_segment` gets its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagSplice {
    /// The member is there: replace the value in this range.
    Replace { start: u32, end: u32 },
    /// The member is missing: insert it behind the span's opening brace, at `at`.
    Insert { at: u32 },
}

/// How `attributes."sentry.segment.id"` gets its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdSplice {
    /// It has a non-empty value already: left alone.
    Keep,
    /// `attributes` is missing: insert the whole member behind the span's opening brace.
    InsertAttributes { at: u32 },
    /// `attributes` is null or no object: replace its value.
    ReplaceAttributes { start: u32, end: u32 },
    /// `attributes` is an object without the key: insert it behind its opening brace.
    InsertMember { at: u32, empty: bool },
    /// The key is there with null or an empty value: replace its value.
    ReplaceMember { start: u32, end: u32 },
}

/// Why a message cannot be a span; its text goes to the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub reason: String,
}

/// Parses one message.
pub fn parse<'m>(_payload: &'m [u8], _validate: Validate) -> Result<Span<'m>, Reject> {
    todo!()
}
