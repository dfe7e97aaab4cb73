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
pub const BATCH: usize = 1000;
const COMPRESSION: Compression = Compression::Zstd(1);
const HOUR_MS: i64 = 3_600_000;
/// Nothing is ever due.
const LIMITS: Limits = Limits {
    timeout_ms: HOUR_MS,
    root_timeout_ms: HOUR_MS,
    max_age_ms: HOUR_MS,
    max_bytes: u64::MAX,
};

/// A span as it comes: event time and payload.
pub struct Line {
    pub at: EventMs,
    pub payload: String,
}

pub fn stages(file: &str) -> Fallible<Value> {
    spanbufd::sys::memory::tune_allocator();
    let spans = read(file)?;
    let count = spans.len();
    let quick = cost(count, || spans.iter().for_each(|line| parse(line, span::parse)));
    let careful = cost(count, || spans.iter().for_each(|line| parse(line, careful)));
    let draft = cost(count, || drop(batches(&spans, BATCH, |_, _| ())));
    let packed = batches(&spans, BATCH, pack);
    let pack = cost(count, || drop(batches(&spans, BATCH, pack))) - draft;
    let unpack = cost(count, || packed.iter().for_each(unpack));
    let header = cost(count, || packed.iter().for_each(|batch| drop(parse_header(batch))));
    let headers: Vec<Header> = packed.iter().filter_map(parse_header).collect();
    let follow = cost(count, || drop(black_box(followed(LIMITS, &headers))));
    let rebuild = cost(count, || drop(black_box(rebuilt(LIMITS, &headers))));
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
        "index_bytes": followed(LIMITS, &headers).bytes() / count as u64,
        "stored_bytes": bytes(|batch| batch.value.len()),
        "header_bytes": bytes(|batch| batch.header_bytes as usize),
    }))
}

pub fn read(file: &str) -> Fallible<Vec<Line>> {
    let mut spans = Vec::new();
    for line in lines(file)? {
        let line = line?;
        let (at_ms, _, span) = timed(&line)?;
        spans.push(Line { at: EventMs(at_ms), payload: span.to_owned() });
    }
    Ok(spans)
}

/// CPU microseconds a span of the quickest turn.
pub fn cost(count: usize, mut work: impl FnMut()) -> f64 {
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

/// Drafts of `size` spans, as ingest makes them, each with its place in the chain, and what becomes
/// of it.
pub fn batches<T>(
    spans: &[Line],
    size: usize,
    mut made: impl FnMut(&mut Draft, Place) -> T,
) -> Vec<T> {
    let mut draft = Draft::new(10_000);
    let mut all = Vec::new();
    let mut previous = None;
    for (number, part) in spans.chunks(size).enumerate() {
        let start = (number * size) as i64;
        for (offset, line) in (start..).zip(part) {
            if let Ok(span) = span::parse(line.payload.as_bytes(), Validate::Ids) {
                draft.add(&span, Offset(offset), line.at);
            }
        }
        let id = BatchId(number as u128 + 1);
        let next = Offset(start + part.len() as i64);
        let clock = part.last().map_or(EventMs(0), |line| line.at);
        all.push(made(&mut draft, Place { id, previous, start: Offset(start), next, clock }));
        previous = Some(id);
        draft.clear();
    }
    all
}

fn pack(draft: &mut Draft, place: Place) -> Batch {
    batch::pack(draft, place, COMPRESSION)
}

fn unpack(batch: &Batch) {
    let base = batch.header.base.map(|base| unpack_block(batch, base, None));
    (0..batch.header.blocks.len() as u32).for_each(|block| {
        black_box(unpack_block(batch, block, base.as_deref()));
    });
}

/// `base`: that of the batch, where the block is packed on it.
pub fn unpack_block(batch: &Batch, number: u32, base: Option<&[u8]>) -> Vec<u8> {
    let block = &batch.header.blocks[number as usize];
    let at = block.at as usize;
    let stored = &batch.value[at..at + block.stored_bytes as usize];
    batch::unpack_block(block, base, stored).unwrap_or_default()
}

fn parse_header(batch: &Batch) -> Option<Header> {
    batch::parse_header(&batch.value).ok()
}

pub fn followed(limits: Limits, headers: &[Header]) -> Index {
    let mut index = Index::new(limits, Offset(0), None);
    for header in headers {
        black_box(index.follow(header, 0).is_ok());
    }
    index
}

pub fn rebuilt(limits: Limits, headers: &[Header]) -> Index {
    let mut index = Index::new(limits, Offset(0), None);
    headers.iter().for_each(|header| index.restore(header, 0, &Marks::default()));
    index.restored();
    index
}
