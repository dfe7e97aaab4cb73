//! What fuzzing asks of the four places where bytes from outside are read.
//!
//! Each function takes any bytes and panics only if a rule is broken. `cargo fuzz` feeds them
//! without end (README.md beside this file), tests/corpora.rs replays what was kept.

use serde_json::Value;
use spanbufd::config::table::TABLE;
use spanbufd::config::{Config, file, secret};
use spanbufd::segment::batch::{self, Compression, Place};
use spanbufd::segment::chunk::{Body, ChunkHead, ChunkKind, Draft};
use spanbufd::segment::encode::{self, Segment};
use spanbufd::segment::index::{Index, Limits, Marks, Reason};
use spanbufd::segment::span::{self, Span, Validate};
use spanbufd::segment::{BatchId, EventMs, IdKey, Offset, ShardId, TraceKey};
use xxhash_rust::xxh3::xxh3_64;

/// A message: what is taken as a span comes out as it was, but for the two fields that are set.
pub fn span(data: &[u8]) {
    let Ok(span) = span::parse(data, Validate::Ids) else {
        assert!(span::parse(data, Validate::Strict).is_err(), "strict allows more than ids");
        return;
    };
    if let Ok(strict) = span::parse(data, Validate::Strict) {
        assert_eq!(strict, span);
    }
    let out = through(&span);
    // Some that is skipped unread is no number or text for a reader that keeps it.
    let Ok(before) = serde_json::from_slice::<Value>(data) else { return };
    let message: Value = serde_json::from_slice(&out).expect("the output is JSON");
    let mut after = message["spans"][0].clone();
    assert_eq!(after["is_segment"], Value::Bool(span.span_id == span.attach), "the flag");
    let id = after["attributes"]["sentry.segment.id"]["value"].as_str();
    assert!(id.is_some_and(|id| !id.is_empty()), "the segment id");
    let mut before = before;
    for value in [&mut before, &mut after] {
        bare(value);
    }
    assert_eq!(before, after, "another span");
}

/// Packed, unpacked and encoded: the bytes of the output message.
fn through(span: &Span<'_>) -> Vec<u8> {
    let mut draft = Draft::new(1_000);
    draft.add(span, Offset(7), EventMs(5));
    let place = Place {
        id: BatchId(1),
        previous: None,
        start: Offset(7),
        next: Offset(8),
        clock: EventMs(5),
    };
    let made = batch::pack(&mut draft, place, Compression::Zstd(1));
    let header = batch::parse_header(&made.value).expect("our own header");
    assert_eq!(header, made.header);
    let raw = header.read_block(0, &made.value).expect("our own block");
    let Ok(Body::Spans(body)) = batch::parse_body(&header.chunks[0], &raw) else {
        panic!("our own body")
    };
    let segment = Segment {
        shard: ShardId(0),
        id: IdKey::of(&span.attach),
        has_root: span.is_segment_span,
        reason: Reason::Age,
        bodies: vec![body],
    };
    let mut encoded = encode::encode(&segment, usize::MAX);
    assert_eq!(encoded.messages.len(), 1);
    encoded.messages.remove(0).payload
}

/// The span without what is set in it.
fn bare(span: &mut Value) {
    let Some(span) = span.as_object_mut() else { return };
    span.remove("is_segment");
    let attributes = span.remove("attributes");
    let mut attributes = match attributes {
        Some(Value::Object(attributes)) => attributes,
        _ => serde_json::Map::new(),
    };
    attributes.remove("sentry.segment.id");
    span.insert("attributes".to_owned(), Value::Object(attributes));
}

const LIMITS: Limits =
    Limits { timeout_ms: 60_000, root_timeout_ms: 10_000, max_age_ms: 600_000, max_bytes: 1 << 20 };

/// A batch as somebody else may have written it to Redis: as it is, and with a right checksum
/// where its header ends.
pub fn batch(data: &[u8]) {
    read_batch(data);
    let Some(end) = header_end(data) else { return };
    let checksum = xxh3_64(&data[..end]).to_be_bytes();
    let sealed = [&data[..end], &checksum, &data[end..]].concat();
    assert!(!says(&sealed, CHECKSUM), "no right checksum at {end}");
    read_batch(&sealed);
}

const CHECKSUM: &str = "checksum is wrong";
const TOO_SHORT: &str = "bytes wanted at";

fn says(data: &[u8], what: &str) -> bool {
    batch::parse_header(data).err().is_some_and(|damage| damage.what.contains(what))
}

/// Where the checksum of a header belongs that is whole but for it. A header is read from its
/// beginning: where a length is too short for it, so are all below.
fn header_end(data: &[u8]) -> Option<usize> {
    let padded = [data, &[0; 8]].concat();
    let (mut short, mut enough) = (0, padded.len());
    while enough - short > 1 {
        let middle = short.midpoint(enough);
        if says(&padded[..middle], TOO_SHORT) { short = middle } else { enough = middle }
    }
    says(&padded[..enough], CHECKSUM).then(|| enough - 8)
}

fn read_batch(data: &[u8]) {
    let Ok(header) = batch::parse_header(data) else { return };
    let mut index = Index::new(LIMITS, header.start, header.previous);
    let followed = index.follow(&header, 1).is_ok();
    assert!(followed || header.carry, "what follows is followed");
    if !followed {
        index.restore(&header, 1, &Marks(vec![0b101]));
        index.restored();
    }
    let due = index.due(EventMs(i64::MAX), 100, u64::MAX);
    let oldest = index.oldest(100, u64::MAX);
    let letters = index.letters(100, u64::MAX);
    let _ = (index.floor(), index.next_due(), index.bytes(), index.sparse(1 << 20, 100));
    for one in due.into_iter().chain(oldest).chain(letters) {
        let chunks = one.chunks.clone();
        index.give_back(one);
        let _ = index.settle(&chunks);
    }
    for block in &header.blocks {
        let stored = data.get(block.at as usize..).unwrap_or_default();
        let stored = &stored[..stored.len().min(block.stored_bytes as usize)];
        let honest =
            batch::Block { checksum: xxh3_64(stored), stored_bytes: stored.len() as u32, ..*block };
        let base = header.base.and_then(|base| header.read_block(base, data).ok());
        let Ok(raw) = batch::unpack_block(&honest, base.as_deref(), stored) else { continue };
        for head in &header.chunks {
            let _ = batch::parse_body(head, &raw);
        }
    }
}

/// The body of a chunk as somebody else may have written it: what can be read can be encoded,
/// whole and split.
pub fn splice(data: &[u8]) {
    let Some((&count, body)) = data.split_first() else { return };
    let head = |kind, spans_count| ChunkHead {
        kind,
        trace: TraceKey { project: 0, trace: 0 },
        attach: IdKey(0),
        first_ms: EventMs(0),
        last_ms: EventMs(0),
        spans_start: 0,
        spans_count,
        block: 0,
        body_at: 0,
        body_bytes: body.len() as u32,
    };
    let _ = batch::parse_body(&head(ChunkKind::Reject, 1), body);
    let kind = ChunkKind::Spans { has_root: true };
    let Ok(Body::Spans(read)) = batch::parse_body(&head(kind, count.into()), body) else { return };
    let segment = Segment {
        shard: ShardId(0),
        id: IdKey::of(read.attach),
        has_root: true,
        reason: Reason::Size,
        bodies: vec![read.clone(), read],
    };
    for max_bytes in [usize::MAX, 16, 0] {
        let encoded = encode::encode(&segment, max_bytes);
        let spans: usize = encoded.messages.iter().map(|message| message.offsets.len()).sum();
        assert_eq!(spans + encoded.duplicates as usize, 2 * usize::from(count));
    }
}

/// A configuration file: a value that is taken prints as a value that is taken, and the same.
pub fn config(data: &[u8]) {
    let Ok(lines) = file::parse(data) else { return };
    for line in lines {
        for row in TABLE.iter().filter(|row| row.name == line.key) {
            let mut config = Config::default();
            let shown = secret::mask(row.name, &line.value);
            assert_eq!(secret::mask(row.name, &shown), shown, "masked twice");
            if row.kind.set(&mut config, &line.value).is_err() {
                continue;
            }
            let printed = row.kind.print(&config);
            let mut again = Config::default();
            for text in printed.lines() {
                row.kind.set(&mut again, text).unwrap_or_else(|why| panic!("{printed}: {why}"));
            }
            assert_eq!(row.kind.print(&again), printed);
            let _ = (config.redis_url_masked(), format!("{config:?}"), config.limits());
        }
    }
}
