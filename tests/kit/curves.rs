//! What a span costs the index as everything around it grows: a cost that is linear shows the same
//! figure in every row of a table.
//!
//! No Kafka, no Redis: the index is the one part whose costs could grow with what it holds. Each
//! row is one run; CPU microseconds a span.

use crate::stages::{BATCH, Line, batches, followed, rebuilt};
use crate::{Fallible, cpu_s};
use spanbufd::segment::batch::{self, Compression, Header};
use spanbufd::segment::index::{ChunkRef, Index, Limits};
use spanbufd::segment::{EventMs, Offset};
use std::fmt::Write as _;

const LIMITS: Limits = Limits {
    timeout_ms: 60_000,
    root_timeout_ms: 10_000,
    max_age_ms: 3_600_000,
    max_bytes: 1 << 40,
};
/// A segment a round at least, five hundred at most, as a flusher takes them.
const ROUND: usize = 500;
/// So often, to see what one costs.
const GLANCES: usize = 1000;

/// A span to be: when it comes, its trace, itself and its parent (0: it is a root).
#[derive(Clone, Copy)]
struct Plan {
    at_ms: i64,
    trace: usize,
    id: usize,
    parent: usize,
}

/// All tables, with at most `most` spans each.
pub fn curves(most: &str) -> Fallible<String> {
    let most: usize = most.parse()?;
    let mut out = String::new();
    table(&mut out, "spans buffered", [most / 100, most / 10, most], |count| {
        vec![headers(&many(count, 10))]
    })?;
    let sizes = [10, 100, 1000, 10_000, 100_000].map(|size: usize| size.min(most / 10));
    table(&mut out, "spans a trace", sizes, |size| vec![headers(&many(most / 10, size))])?;
    table(&mut out, "shards", [1, 4, 16, 64], |shards| {
        let share = (most / 10 / shards).max(1);
        (0..shards).map(|_| headers(&many(share, 10))).collect()
    })?;
    busy(&mut out, most)?;
    Ok(out)
}

/// Traces of `size` spans side by side, ten at a time; each a chain, children first.
fn many(count: usize, size: usize) -> Vec<Plan> {
    let plan = |number: usize| {
        let (group, place) = (number / (size * 10), number % (size * 10));
        let (trace, left) = (group * 10 + place % 10, size - place / 10);
        let parent = if left == 1 { 0 } else { left - 1 };
        Plan { at_ms: number as i64 / 10, trace, id: left, parent }
    };
    (0..count).map(plan).collect()
}

fn headers(plans: &[Plan]) -> Vec<Header> {
    let line = |plan: &Plan| Line { at: EventMs(plan.at_ms), payload: json(plan) };
    let lines: Vec<Line> = plans.iter().map(line).collect();
    batches(&lines, BATCH, |draft, place| batch::pack(draft, place, Compression::None).header)
}

fn json(plan: &Plan) -> String {
    let Plan { trace, id, parent, .. } = plan;
    let parent = if *parent == 0 { "null".to_owned() } else { format!("\"{parent:016x}\"") };
    let ids =
        format!(r#""trace_id":"{trace:032x}","span_id":"{id:016x}","parent_span_id":{parent}"#);
    format!(r#"{{"project_id":1,{ids}}}"#)
}

/// One row for each of `sizes`: the shards that `make` gives are filled, built again, and emptied.
fn table<const N: usize>(
    out: &mut String,
    title: &str,
    sizes: [usize; N],
    make: impl Fn(usize) -> Vec<Vec<Header>>,
) -> Fallible<()> {
    writeln!(out, "{title:>15}   follow  rebuild  a look    flush   bytes")?;
    for size in sizes {
        let shards = make(size);
        let spans: usize = shards.iter().flatten().map(|header| header.spans.len()).sum();
        let (mut indexes, follow) =
            timed(|| shards.iter().map(|all| followed(LIMITS, all)).collect::<Vec<Index>>());
        let (_, rebuild) =
            timed(|| shards.iter().map(|all| rebuilt(LIMITS, all)).collect::<Vec<_>>());
        let bytes: u64 = indexes.iter().map(Index::bytes).sum();
        let ((), look) = timed(|| indexes.iter().for_each(glance));
        let ((), flush) = timed(|| indexes.iter_mut().for_each(empty));
        let us = |seconds: f64| seconds * 1e6 / spans as f64;
        writeln!(
            out,
            "{size:>15} {:>8.3} {:>8.3} {:>7.1} {:>8.3} {:>7}",
            us(follow),
            us(rebuild),
            look * 1e6 / (shards.len() * GLANCES) as f64,
            us(flush),
            bytes / spans as u64
        )?;
    }
    writeln!(out)?;
    Ok(())
}

/// A trace that stays busy for ten minutes among others that come and go: what a minute costs.
fn busy(out: &mut String, count: usize) -> Fallible<()> {
    let minutes = 10;
    let plan = |number: usize| {
        let at_ms = (number as i64 * minutes * 60_000) / count as i64;
        match number % 10 {
            0 => Plan { at_ms, trace: 0, id: number + 2, parent: 1 },
            nth => Plan { at_ms, trace: number / 10 + 1, id: nth, parent: nth - 1 },
        }
    };
    let plans: Vec<Plan> = (0..count).map(plan).collect();
    let headers = headers(&plans);
    let mut index = Index::new(LIMITS, Offset(0), None);
    writeln!(out, "busy for minutes  a span")?;
    for (minute, part) in headers.chunks(headers.len().div_ceil(minutes as usize)).enumerate() {
        let ((), seconds) = timed(|| {
            for header in part {
                let _ = index.follow(header, 0);
                let now = header.spans.iter().map(|span| span.at).max();
                flush(&mut index, now.unwrap_or(EventMs(0)));
            }
        });
        let spans: usize = part.iter().map(|header| header.spans.len()).sum();
        writeln!(out, "{:>15} {:>8.3}", minute + 1, seconds * 1e6 / spans as f64)?;
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = cpu_s();
    let done = work();
    (done, cpu_s() - before)
}

/// What a flusher asks of each shard every second, whether anything is due or not.
fn glance(index: &Index) {
    for _ in 0..GLANCES {
        let index = std::hint::black_box(index);
        let sums = (index.marked_batches(), index.stored_bytes(), index.bytes());
        std::hint::black_box((
            index.sparse(1 << 20, 100),
            sums,
            index.floor_ms(),
            index.next_due(),
        ));
    }
}

fn empty(index: &mut Index) {
    flush(index, EventMs(i64::MAX / 2));
}

/// Takes all that is due, a round at a time, and settles it.
fn flush(index: &mut Index, now: EventMs) {
    loop {
        let due = index.due(now, ROUND, 64 << 20);
        if due.is_empty() {
            return;
        }
        let chunks: Vec<ChunkRef> = due.into_iter().flat_map(|segment| segment.chunks).collect();
        std::hint::black_box(index.settle(&chunks));
    }
}
