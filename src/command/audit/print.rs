//! What was found, for people and for programs.

use super::Choice;
use super::judge::{Finding, Open, Range};
use crate::segment::TraceKey;
use crate::store::books::SETTLED_FIELDS;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Writing into a String cannot fail, so the results of `write!` are dropped here.
pub fn text(findings: &[Finding], choice: &Choice) -> String {
    let mut out = String::from(
        "SHARD      FLOOR   POSITION        END  BATCHES SEGMENTS       READ  DELIVERED DUPLICATES \
         DEAD-LETTERS DROPPED SKIPPED   BUFFERED UNACCOUNTED\n",
    );
    for finding in findings {
        out.push_str(&row(finding));
    }
    for finding in findings {
        let shard = finding.shard;
        for fault in &finding.faults {
            let _ = writeln!(out, "shard {shard}: FAULT: {fault}");
        }
        for note in &finding.notes {
            let _ = writeln!(out, "shard {shard}: note: {note}");
        }
        if !finding.unsettled.is_empty() && choice.trace.is_none() {
            let ranges = ranges(&finding.unsettled, choice.limit);
            let _ = writeln!(out, "shard {shard}: not settled: {ranges}");
        }
        let chosen: Vec<&Open> = chosen(finding, choice).collect();
        for open in chosen.iter().take(choice.limit) {
            let _ = writeln!(out, "shard {shard}: {}", segment(open, choice.limit));
        }
        if chosen.len() > choice.limit {
            let _ = writeln!(out, "shard {shard}: and {} more", chosen.len() - choice.limit);
        }
    }
    out + &verdict(findings)
}

fn row(finding: &Finding) -> String {
    let text = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
    let books = finding.books();
    let [delivered, duplicates, dead_letters, dropped, skipped] = books.settled.values();
    format!(
        "{:>5} {:>10} {:>10} {:>10} {:>8} {:>8} {:>10} {delivered:>10} {duplicates:>10} \
         {dead_letters:>12} {dropped:>7} {skipped:>7} {:>10} {:>11}\n",
        finding.shard.0,
        text(finding.committed.map(|floor| floor.0)),
        text(finding.state.as_ref().map(|state| state.position.0)),
        text(finding.end.map(|end| end.0)),
        finding.batches,
        finding.open.len(),
        books.read,
        finding.buffered,
        finding.unaccounted(),
    )
}

fn chosen<'f>(finding: &'f Finding, choice: &Choice) -> impl Iterator<Item = &'f Open> {
    let trace = choice.trace.as_ref().map(|id| TraceKey::of(0, id).trace);
    finding.open.iter().filter(move |open| match (trace, open.name) {
        (None, _) => true,
        (Some(trace), Some((key, _))) => key.trace == trace,
        (Some(_), None) => false,
    })
}

fn segment(open: &Open, limit: usize) -> String {
    let offsets = ranges(&open.ranges, limit);
    let Some((trace, id)) = open.name else {
        return format!("a message that is no span, offset {offsets}");
    };
    format!(
        "trace {:032x} of project {}, segment {:016x}: {} spans, {} bytes, {} its root, due at {} \
         ms, offsets {offsets}",
        trace.trace,
        trace.project,
        id.0,
        open.spans,
        open.bytes,
        if open.has_root { "with" } else { "without" },
        open.due_ms.0,
    )
}

/// `100-105,107-108 and 3 ranges more`: half-open.
fn ranges(ranges: &[Range], limit: usize) -> String {
    let shown: Vec<String> =
        ranges.iter().take(limit).map(|(first, end)| format!("{first}-{end}")).collect();
    match ranges.len().saturating_sub(limit) {
        0 => shown.join(","),
        more => format!("{} and {more} ranges more", shown.join(",")),
    }
}

fn verdict(findings: &[Finding]) -> String {
    let read: u64 = findings.iter().map(|finding| finding.books().read).sum();
    let settled: u64 = findings.iter().map(|finding| finding.books().settled.total()).sum();
    let buffered: u64 = findings.iter().map(|finding| finding.buffered).sum();
    let faults: usize = findings.iter().map(|finding| finding.faults.len()).sum();
    let word = if faults == 0 { "balanced" } else { "OFF" };
    let sums = format!("{read} read, {settled} settled, {buffered} buffered");
    format!("{word}: {} shards, {sums}, {faults} faults\n", findings.len())
}

pub fn json(findings: &[Finding], choice: &Choice) -> String {
    let shards: Vec<Value> = findings.iter().map(|finding| shard(finding, choice)).collect();
    let balanced = findings.iter().all(Finding::is_sound);
    json!({ "balanced": balanced, "shards": shards }).to_string() + "\n"
}

fn shard(finding: &Finding, choice: &Choice) -> Value {
    let chosen: Vec<&Open> = chosen(finding, choice).collect();
    let listed = chosen.iter().take(choice.limit).map(|open| open_json(open, choice.limit));
    json!({
        "shard": finding.shard.0,
        "floor": finding.committed.map(|floor| floor.0),
        "position": finding.state.as_ref().map(|state| state.position.0),
        "end": finding.end.map(|end| end.0),
        "life": finding.state.as_ref().map(|state| format!("{:032x}", state.life.0)),
        "batches": finding.batches,
        "books": books(finding),
        "unaccounted": finding.unaccounted(),
        "open_segments": finding.open.len(),
        "unsettled_ranges": finding.unsettled.len(),
        "unsettled": ranges_json(&finding.unsettled, choice.limit),
        "segments": listed.collect::<Vec<_>>(),
        "faults": finding.faults,
        "notes": finding.notes,
    })
}

fn books(finding: &Finding) -> Map<String, Value> {
    let books = finding.books();
    let settled = SETTLED_FIELDS.into_iter().zip(books.settled.values());
    let mut map: Map<String, Value> =
        settled.map(|(name, sum)| (name.to_owned(), sum.into())).collect();
    map.insert("read".to_owned(), books.read.into());
    map.insert("buffered".to_owned(), finding.buffered.into());
    map
}

fn open_json(open: &Open, limit: usize) -> Value {
    json!({
        "project": open.name.map(|(trace, _)| trace.project),
        "trace": open.name.map(|(trace, _)| format!("{:032x}", trace.trace)),
        "segment": open.name.map(|(_, id)| format!("{:016x}", id.0)),
        "root": open.has_root,
        "due_ms": open.due_ms.0,
        "spans": open.spans,
        "bytes": open.bytes,
        "offsets": ranges_json(&open.ranges, limit),
    })
}

fn ranges_json(ranges: &[Range], limit: usize) -> Value {
    ranges.iter().take(limit).map(|(first, end)| json!([first.0, end.0])).collect()
}
