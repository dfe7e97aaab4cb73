//! A due segment to output messages: splice, deduplicate, split, derive `flush_id`.
//!
//! Every span keeps its bytes except for the two fields that are set here: `is_segment` and a
//! missing `attributes."sentry.segment.id"`. Spans with the same id and the same bytes count
//! once. The order is input order, the root first. Nothing is parsed.

use super::chunk::{SpansBody, StoredSpan};
use super::hash::QuickMap;
use super::index::Reason;
use super::span::{FlagSplice, IdSplice};
use super::{IdKey, Offset, ShardId};
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The bound of the header `source`.
const SOURCE_BYTES_MAX: usize = 1024;

/// What encoding is given: one segment with the bodies of all its chunks.
pub struct Segment<'b> {
    pub shard: ShardId,
    /// The segment's id; its text is the attach point of at least one of the bodies.
    pub id: IdKey,
    pub has_root: bool,
    pub reason: Reason,
    pub bodies: Vec<SpansBody<'b>>,
}

/// One output message.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub payload: Vec<u8>,
    /// 32 hex digits, derived from the spans it carries: equal content, equal id.
    pub flush_id: String,
    /// Where its spans came from.
    pub offsets: Vec<Offset>,
    /// Kafka headers: name and value, bounded in size.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
}

/// What became of a segment.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub messages: Vec<Outgoing>,
    /// Repeated spans (same id, same bytes) that were left out.
    pub duplicates: u32,
}

/// Encodes one segment into messages of at most `max_bytes` of spans each; more than one
/// message carries `skip_enrichment`. A single span over the limit goes alone, flagged as well.
pub fn encode(segment: &Segment<'_>, max_bytes: usize) -> Encoded {
    let id = segment_id(segment);
    let (spans, duplicates) = in_order(segment, id);
    let splices = Splices::of(id);
    let sizes: Vec<usize> = spans.iter().map(|span| splices.size(span.stored)).collect();
    let parts = split(&sizes, max_bytes);
    let skip_enrichment = parts.len() > 1 || sizes.first().is_some_and(|size| *size > max_bytes);
    let messages = parts
        .into_iter()
        .map(|part| {
            let bytes = sizes[part.clone()].iter().map(|size| size + 1).sum();
            message(segment, &splices, &spans[part], bytes, skip_enrichment)
        })
        .collect();
    Encoded { messages, duplicates }
}

/// The text of the segment's id: the attach point that the index chose.
fn segment_id<'b>(segment: &Segment<'b>) -> &'b str {
    let named = segment.bodies.iter().find(|body| IdKey::of(body.attach) == segment.id);
    named.or(segment.bodies.first()).map_or("", |body| body.attach)
}

/// A span with the hash of its payload, which both finding copies and naming the flush need.
#[derive(Clone, Copy)]
struct Hashed<'s> {
    stored: &'s StoredSpan<'s>,
    hash: u128,
}

/// All spans once, in input order, those that are the segment first.
fn in_order<'s>(segment: &'s Segment<'_>, id: &str) -> (Vec<Hashed<'s>>, u32) {
    let all = segment.bodies.iter().flat_map(|body| &body.spans);
    let mut spans: Vec<Hashed<'_>> =
        all.map(|stored| Hashed { stored, hash: xxh3_128(stored.payload) }).collect();
    spans.sort_by_key(|span| (span.stored.span_id != id, span.stored.offset));
    let all = spans.len();
    if all < 2 {
        return (spans, 0);
    }
    // Equal hashes only point at a copy; the bytes decide.
    let mut seen: QuickMap<u128, &StoredSpan<'_>> = QuickMap::default();
    seen.reserve(all);
    spans.retain(|span| match seen.entry(span.hash) {
        Entry::Vacant(first) => {
            first.insert(span.stored);
            true
        }
        Entry::Occupied(first) => {
            let (first, span) = (first.get(), span.stored);
            (first.span_id, first.payload) != (span.span_id, span.payload)
        }
    });
    let duplicates = (all - spans.len()) as u32;
    (spans, duplicates)
}

/// Greedy ranges of spans whose sizes sum up to at most `max_bytes`; one span at least.
fn split(sizes: &[usize], max_bytes: usize) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, size) in sizes.iter().enumerate() {
        if at > start && bytes + size > max_bytes {
            parts.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        parts.push(start..sizes.len());
    }
    parts
}

/// What is written into the spans of one segment, made once.
struct Splices<'i> {
    id: &'i str,
    /// `{"type":"string","value":ID}`
    value: String,
    /// `"sentry.segment.id":VALUE,`
    member: String,
    /// `"attributes":{MEMBER},`
    attributes: String,
}

/// One edit of a payload: this text in place of that range.
type Edit<'e> = (u32, u32, &'e str);

impl<'i> Splices<'i> {
    fn of(id: &'i str) -> Splices<'i> {
        let text = serde_json::Value::from(id);
        let value = format!("{{\"type\":\"string\",\"value\":{text}}}");
        let member = format!("\"sentry.segment.id\":{value},");
        let attributes = format!("\"attributes\":{{\"sentry.segment.id\":{value}}},");
        Splices { id, value, member, attributes }
    }

    fn size(&self, span: &StoredSpan<'_>) -> usize {
        let added: usize = self.edits(span).iter().map(|(.., text)| text.len()).sum();
        let removed: u32 = self.edits(span).iter().map(|(start, end, _)| end - start).sum();
        span.payload.len() + added - removed as usize
    }

    /// Appends the span with its two fields set.
    fn write(&self, span: &StoredSpan<'_>, out: &mut Vec<u8>) {
        let mut at = 0;
        for (start, end, text) in self.edits(span) {
            out.extend_from_slice(&span.payload[at..start as usize]);
            out.extend_from_slice(text.as_bytes());
            at = end as usize;
        }
        out.extend_from_slice(&span.payload[at..]);
    }

    /// The two edits by position, an insertion ahead of the range that it touches; where both
    /// insert at the same place either order is right.
    fn edits(&self, span: &StoredSpan<'_>) -> [Edit<'_>; 2] {
        let (flag, attribute) = (self.flag(span), self.attribute(span));
        let flag_first = (flag.0, flag.1) <= (attribute.0, attribute.1);
        if flag_first { [flag, attribute] } else { [attribute, flag] }
    }

    fn flag(&self, span: &StoredSpan<'_>) -> Edit<'_> {
        let is_segment = span.span_id == self.id;
        match (span.splice.is_segment, is_segment) {
            (FlagSplice::Replace { start, end }, true) => (start, end, "true"),
            (FlagSplice::Replace { start, end }, false) => (start, end, "false"),
            (FlagSplice::Insert { at }, true) => (at, at, "\"is_segment\":true,"),
            (FlagSplice::Insert { at }, false) => (at, at, "\"is_segment\":false,"),
        }
    }

    fn attribute(&self, span: &StoredSpan<'_>) -> Edit<'_> {
        let without_comma = &self.member[..self.member.len() - 1];
        let object = &self.attributes["\"attributes\":".len()..self.attributes.len() - 1];
        match span.splice.segment_id {
            IdSplice::Keep => (0, 0, ""),
            IdSplice::InsertAttributes { at } => (at, at, &self.attributes),
            IdSplice::ReplaceAttributes { start, end } => (start, end, object),
            IdSplice::InsertMember { at, empty: true } => (at, at, without_comma),
            IdSplice::InsertMember { at, empty: false } => (at, at, &self.member),
            IdSplice::ReplaceMember { start, end } => (start, end, &self.value),
        }
    }
}

fn message(
    segment: &Segment<'_>,
    splices: &Splices<'_>,
    spans: &[Hashed<'_>],
    bytes: usize,
    skip_enrichment: bool,
) -> Outgoing {
    let flush_id = flush_id(segment, splices.id, spans);
    let mut payload = Vec::with_capacity(bytes + 96);
    payload.extend_from_slice(b"{\"flush_id\":\"");
    payload.extend_from_slice(flush_id.as_bytes());
    payload.extend_from_slice(b"\",");
    if skip_enrichment {
        payload.extend_from_slice(b"\"skip_enrichment\":true,");
    }
    payload.extend_from_slice(b"\"spans\":[");
    for (at, span) in spans.iter().enumerate() {
        if at > 0 {
            payload.push(b',');
        }
        splices.write(span.stored, &mut payload);
    }
    payload.extend_from_slice(b"]}");
    let offsets: Vec<Offset> = spans.iter().map(|span| span.stored.offset).collect();
    let headers = vec![
        ("flush_id", flush_id.clone().into()),
        ("reason", reason(segment.reason).into()),
        ("root", if segment.has_root { "true" } else { "false" }.into()),
        ("source", source(segment.shard, &offsets, SOURCE_BYTES_MAX).into()),
    ];
    Outgoing { payload, flush_id, offsets, headers }
}

/// Of scope, segment id, span ids and payloads, in order; not of offsets, so that a copy of the
/// same spans elsewhere carries the same id.
fn flush_id(segment: &Segment<'_>, id: &str, spans: &[Hashed<'_>]) -> String {
    let mut hash = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    if let Some(body) = segment.bodies.first() {
        part(&body.project_id.to_le_bytes());
        part(body.trace_id.as_bytes());
    }
    part(id.as_bytes());
    for span in spans {
        part(span.stored.span_id.as_bytes());
        part(&span.hash.to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}

/// The word for a reason, as it stands in the header `reason`.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::IdleWithRoot => "idle-with-root",
        Reason::IdleWithoutRoot => "idle-without-root",
        Reason::Age => "age",
        Reason::Size => "size",
        Reason::Pressure => "pressure",
    }
}

/// The half-open ranges that `offsets` make in their order, for a header: `3:107-108,100-105`. So
/// a reader knows the offset of each span. What does not fit into `max_bytes` is left out from the
/// end, and `…` stands for it.
pub fn source(shard: ShardId, offsets: &[Offset], max_bytes: usize) -> String {
    let mut text = format!("{shard}:");
    let mut ranges = offsets.chunk_by(|one, next| one.0.checked_add(1) == Some(next.0)).peekable();
    while let Some(range) = ranges.next() {
        let (Some(first), Some(last)) = (range.first(), range.last()) else { continue };
        let comma = if text.ends_with(':') { "" } else { "," };
        let next = format!("{comma}{first}-{}", last.0.saturating_add(1));
        if text.len() + next.len() + '…'.len_utf8() > max_bytes && ranges.peek().is_some()
            || text.len() + next.len() > max_bytes
        {
            text.push('…');
            break;
        }
        // Writing into a String cannot fail.
        let _ = write!(text, "{next}");
    }
    text
}

#[cfg(test)]
mod tests;
