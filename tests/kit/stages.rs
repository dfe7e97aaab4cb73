//! What the pure steps of the path cost, each by itself: no Kafka, no Redis, one thread.
//!
//! Each step runs over all spans of the file several times; the quickest turn counts, because
//! others may use the machine. CPU microseconds a span.

use crate::{Fallible, cpu_s, lines, timed};
use serde_json::{Value, json};
use spanbufd::segment::batch::{self, Batch, Compression, Header, Place};
use spanbufd::segment::chunk::Draft;
use spanbufd::segment::index::{Index, Limits, Marks};
use spanbufd::segment::span::{self, Validate};
use spanbufd::segment::{BatchId, EventMs, Offset};
use std::hint::black_box;

const TURNS: usize = 5;
const BATCH: usize = 1000;
const COMPRESSION: Compression = Compression::Zstd(1);

/// A span as it comes: event time and payload.
struct Line {
    at: EventMs,
    payload: String,
}

pub fn stages(file: &str) -> Fallible<Value> {
    let spans = read(file)?;
    let count = spans.len();
    let quick = cost(count, || spans.iter().for_each(|line| parse(line, span::parse)));
    let careful = cost(count, || spans.iter().for_each(|line| parse(line, careful)));
    let draft = cost(count, || drop(batches(&spans, |_, _| ())));
    let packed = batches(&spans, pack);
    let pack = cost(count, || drop(batches(&spans, pack))) - draft;
    let unpack = cost(count, || packed.iter().for_each(unpack));
    let header = cost(count, || packed.iter().for_each(|batch| drop(parse_header(batch))));
    let headers: Vec<Header> = packed.iter().filter_map(parse_header).collect();
    let follow = cost(count, || drop(black_box(followed(&headers))));
    let rebuild = cost(count, || drop(black_box(rebuilt(&headers))));
    let bytes = |of: fn(&Batch) -> usize| packed.iter().map(of).sum::<usize>() / count;
    Ok(json!({
        "count": count,
        "parse_us": quick,
        "parse_by_serde_json_us": careful,
        "parse_and_draft_us": draft,
        "pack_us": pack,
        "unpack_us": unpack,
        "read_headers_us": header,
        "index_us": follow,
        "index_rebuild_us": rebuild,
        "index_bytes": followed(&headers).bytes() / count as u64,
        "stored_bytes": bytes(|batch| batch.value.len()),
        "header_bytes": bytes(|batch| batch.header_bytes as usize),
    }))
}

fn read(file: &str) -> Fallible<Vec<Line>> {
    let mut spans = Vec::new();
    for line in lines(file)? {
        let line = line?;
        let (at_ms, _, span) = timed(&line)?;
        spans.push(Line { at: EventMs(at_ms), payload: span.to_owned() });
    }
    Ok(spans)
}

/// CPU microseconds a span of the quickest turn.
fn cost(count: usize, mut work: impl FnMut()) -> f64 {
    let mut turn = || {
        let before = cpu_s();
        work();
        cpu_s() - before
    };
    let quickest = (0..TURNS).map(|_| turn()).fold(f64::INFINITY, f64::min);
    (quickest * 1e9 / count as f64).round() / 1e3
}

fn parse<'m>(
    line: &'m Line,
    by: impl Fn(&'m [u8], Validate) -> Result<span::Span<'m>, span::Reject>,
) {
    black_box(by(line.payload.as_bytes(), Validate::Ids).is_ok());
}

fn careful(payload: &[u8], validate: Validate) -> Result<span::Span<'_>, span::Reject> {
    span::parse_carefully(std::str::from_utf8(payload).unwrap_or_default(), validate)
}

/// Drafts of a thousand spans, as ingest makes them, and what becomes of each.
fn batches<T>(spans: &[Line], mut made: impl FnMut(&mut Draft, usize) -> T) -> Vec<T> {
    let mut draft = Draft::new(limits().spread_ms());
    let mut all = Vec::new();
    for (number, part) in spans.chunks(BATCH).enumerate() {
        for (nth, line) in part.iter().enumerate() {
            let offset = Offset((number * BATCH + nth) as i64);
            if let Ok(span) = span::parse(line.payload.as_bytes(), Validate::Ids) {
                draft.add(&span, offset, line.at);
            }
        }
        all.push(made(&mut draft, number));
        draft.clear();
    }
    all
}

fn pack(draft: &mut Draft, number: usize) -> Batch {
    let start = (number * BATCH) as i64;
    let place = Place {
        id: BatchId(number as u128 + 1),
        previous: (number > 0).then_some(BatchId(number as u128)),
        start: Offset(start),
        next: Offset(start + draft.len() as i64),
        clock: EventMs(0),
    };
    batch::pack(draft, place, COMPRESSION)
}

fn unpack(batch: &Batch) {
    for block in &batch.header.blocks {
        let at = block.at as usize;
        let stored = &batch.value[at..at + block.stored_bytes as usize];
        black_box(batch::unpack_block(block, stored).is_ok());
    }
}

fn parse_header(batch: &Batch) -> Option<Header> {
    batch::parse_header(&batch.value).ok()
}

fn limits() -> Limits {
    let hour = 3_600_000;
    Limits { timeout_ms: hour, root_timeout_ms: hour, max_age_ms: hour, max_bytes: u64::MAX }
}

fn followed(headers: &[Header]) -> Index {
    let mut index = Index::new(limits(), Offset(0), None);
    for header in headers {
        black_box(index.follow(header, 0).is_ok());
    }
    index
}

fn rebuilt(headers: &[Header]) -> Index {
    let mut index = Index::new(limits(), Offset(0), None);
    headers.iter().for_each(|header| index.restore(header, 0, &Marks::default()));
    index.restored();
    index
}
