//! A chunk's body as bytes: what encoding needs of its spans, or a reject as it came.
//!
//! The format belongs to the version in the batch's header. Splice positions are checked
//! against their payload when read, so that encoding may slice without asking.

use super::Offset;
use super::batch::Damage;
use super::chunk::{Body, ChunkHead, ChunkKind, RejectBody, SpansBody, StoredSpan};
use super::span::{FlagSplice, IdSplice, Splice};
use super::wire::{Reader, damage, put_bytes, put_optional, put_signed, put_varint};

/// What all spans of the chunk share comes first.
pub fn put_shared(out: &mut Vec<u8>, project_id: u64, trace_id: &[u8], attach: &[u8]) {
    put_varint(out, project_id);
    put_bytes(out, trace_id);
    put_bytes(out, attach);
}

/// One span; `delta` is its offset less the one before it in the chunk (first: absolute).
pub fn put_span(out: &mut Vec<u8>, delta: i64, id: &[u8], splice: Splice, payload: &[u8]) {
    put_signed(out, delta);
    put_bytes(out, id);
    put_splice(out, splice);
    put_bytes(out, payload);
}

fn put_splice(out: &mut Vec<u8>, splice: Splice) {
    let (flag, flag_at, flag_end) = match splice.is_segment {
        FlagSplice::Replace { start, end } => (0, start, Some(end)),
        FlagSplice::Insert { at } => (8, at, None),
    };
    let (tag, range) = match splice.segment_id {
        IdSplice::Keep => (0, None),
        IdSplice::InsertAttributes { at } => (1, Some((at, at))),
        IdSplice::ReplaceAttributes { start, end } => (2, Some((start, end))),
        IdSplice::InsertMember { at, empty: false } => (3, Some((at, at))),
        IdSplice::InsertMember { at, empty: true } => (4, Some((at, at))),
        IdSplice::ReplaceMember { start, end } => (5, Some((start, end))),
    };
    out.push(flag | tag);
    put_varint(out, flag_at.into());
    if let Some(end) = flag_end {
        put_varint(out, end.into());
    }
    if let Some((start, end)) = range {
        put_varint(out, start.into());
        put_varint(out, end.into());
    }
}

fn read_splice(from: &mut Reader<'_>) -> Result<Splice, Damage> {
    let tag = from.byte()?;
    let at = from.u32()?;
    let is_segment = match tag >> 3 {
        0 => FlagSplice::Replace { start: at, end: from.u32()? },
        1 => FlagSplice::Insert { at },
        _ => return damage(format!("splice tag {tag}")),
    };
    if tag & 7 == 0 {
        return Ok(Splice { is_segment, segment_id: IdSplice::Keep });
    }
    let (start, end) = (from.u32()?, from.u32()?);
    let segment_id = match tag & 7 {
        1 => IdSplice::InsertAttributes { at: start },
        2 => IdSplice::ReplaceAttributes { start, end },
        3 => IdSplice::InsertMember { at: start, empty: false },
        4 => IdSplice::InsertMember { at: start, empty: true },
        5 => IdSplice::ReplaceMember { start, end },
        _ => return damage(format!("splice tag {tag}")),
    };
    Ok(Splice { is_segment, segment_id })
}

/// Whether both edits lie inside the payload and neither reaches into the other.
fn fits(splice: Splice, payload: &[u8]) -> bool {
    let flag = match splice.is_segment {
        FlagSplice::Replace { start, end } => (start, end),
        FlagSplice::Insert { at } => (at, at),
    };
    let id = match splice.segment_id {
        IdSplice::Keep => (0, 0),
        IdSplice::InsertAttributes { at } | IdSplice::InsertMember { at, .. } => (at, at),
        IdSplice::ReplaceAttributes { start, end } | IdSplice::ReplaceMember { start, end } => {
            (start, end)
        }
    };
    let inside = |(start, end): (u32, u32)| start <= end && end as usize <= payload.len();
    inside(flag) && inside(id) && (flag.1 <= id.0 || id.1 <= flag.0)
}

pub fn put_reject(out: &mut Vec<u8>, reject: &RejectBody<'_>) {
    put_signed(out, reject.offset.0);
    out.push(reject.timestamp_ms.is_some().into());
    put_signed(out, reject.timestamp_ms.unwrap_or(0));
    put_bytes(out, reject.reason.as_bytes());
    put_optional(out, reject.payload);
    put_optional(out, reject.key);
    put_varint(out, reject.headers.len() as u64);
    for (name, value) in &reject.headers {
        put_bytes(out, name);
        put_optional(out, *value);
    }
}

/// Reads the body that `head` points at in its decompressed block.
pub fn read<'b>(head: &ChunkHead, block: &'b [u8]) -> Result<Body<'b>, Damage> {
    let mut from = Reader::new(block);
    from.take(head.body_at as usize)?;
    let body = from.take(head.body_bytes as usize)?;
    match head.kind {
        ChunkKind::Spans { .. } => spans(body, head.spans_count).map(Body::Spans),
        ChunkKind::Reject => reject(body).map(Body::Reject),
    }
}

/// Reads the body of a chunk of `count` spans.
pub fn spans(body: &[u8], count: u32) -> Result<SpansBody<'_>, Damage> {
    whole(body, |from| read_spans(from, count))
}

/// Reads the body of a reject.
pub fn reject(body: &[u8]) -> Result<RejectBody<'_>, Damage> {
    whole(body, read_reject)
}

fn whole<'b, T>(
    body: &'b [u8],
    read: impl FnOnce(&mut Reader<'b>) -> Result<T, Damage>,
) -> Result<T, Damage> {
    let mut from = Reader::new(body);
    let found = read(&mut from)?;
    match from.left() {
        0 => Ok(found),
        left => damage(format!("{left} bytes behind a chunk's body")),
    }
}

fn read_spans<'b>(from: &mut Reader<'b>, count: u32) -> Result<SpansBody<'b>, Damage> {
    let project_id = from.varint()?;
    let (trace_id, attach) = (from.text()?, from.text()?);
    let mut spans = Vec::with_capacity((count as usize).min(from.left() / 4));
    let mut offset = 0i64;
    for _ in 0..count {
        offset = offset.wrapping_add(from.signed()?);
        let span_id = from.text()?;
        let splice = read_splice(from)?;
        let payload = from.bytes()?;
        if !fits(splice, payload) {
            return damage(format!("splice outside of the payload of offset {offset}"));
        }
        spans.push(StoredSpan { offset: Offset(offset), span_id, splice, payload });
    }
    Ok(SpansBody { project_id, trace_id, attach, spans })
}

fn read_reject<'b>(from: &mut Reader<'b>) -> Result<RejectBody<'b>, Damage> {
    let offset = Offset(from.signed()?);
    let stamped = from.byte()? != 0;
    let timestamp = from.signed()?;
    let reason = from.text()?;
    let (payload, key) = (from.optional()?, from.optional()?);
    let count = from.u32()? as usize;
    let mut headers = Vec::with_capacity(count.min(from.left() / 2));
    for _ in 0..count {
        headers.push((from.bytes()?, from.optional()?));
    }
    let timestamp_ms = stamped.then_some(timestamp);
    Ok(RejectBody { offset, timestamp_ms, reason, payload, key, headers })
}
