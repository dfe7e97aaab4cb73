//! The board for a monitoring system: the text format of Prometheus.
//!
//! The figures of the JSON, under its names: one family a word, `spanbufd_`, then daemon, worker or
//! shard, the word, `_total` for a counter. Times are ages, and in seconds. What is a name there is
//! a label here, and what is null has no sample.

use super::json::{daemon_row, shard_row, worker_row};
use super::{shards, workers};
use crate::board::Board;
use crate::board::words::{DaemonWord, LATENESS_BOUNDS_MS, ShardWord, Word, WorkerWord};
use crate::sys::time;
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

/// Names of the JSON that are no words.
type Reckoned = &'static [(&'static str, &'static str)];

const OF_THE_DAEMON: Reckoned = &[
    ("age_ms", "since its start"),
    ("heartbeat_age_ms", "since the last turn of the supervisor's loop"),
];

const OF_WORKERS: Reckoned = &[
    ("age_ms", "since its birth"),
    ("heartbeat_age_ms", "since the last turn of its loop"),
    ("progress_age_ms", "since work last got done"),
    ("rss_bytes", "its resident memory"),
];

const OF_SHARDS: Reckoned = &[
    ("clock_lag_ms", "how far the shard's clock trails the wall clock"),
    ("overdue_ms", "how long the oldest deadline is over; negative while it lies ahead"),
    ("position_lag", "messages behind the position: not yet read"),
    ("floor_lag", "messages behind the floor: not yet delivered"),
    ("floor_age_ms", "age of the oldest span that is not delivered"),
];

/// All figures of a running daemon, behind its status.
pub fn prometheus(board: &Board, now: Duration, instance: &str, status: i32) -> String {
    let wall_ms = time::wall_ms();
    let mut out = Exposition { instance, text: status_of(instance, status) };
    let rows = [daemon_row(board, now, wall_ms)];
    out.group("daemon", DaemonWord::TABLE, OF_THE_DAEMON, &rows);
    let rows: Vec<Value> = workers(board).map(|worker| worker_row(&worker, now)).collect();
    out.group("worker", WorkerWord::TABLE, OF_WORKERS, &rows);
    out.lateness(&rows);
    let rows: Vec<Value> = shards(board).map(|shard| shard_row(&shard, wall_ms)).collect();
    out.group("shard", ShardWord::TABLE, OF_SHARDS, &rows);
    out.text
}

/// What can be said of any daemon, also of one that does not run: the exit status.
pub fn status_of(instance: &str, status: i32) -> String {
    let mut out = Exposition { instance, text: String::new() };
    let help = "0 healthy, 1 degraded, 2 not running, 3 cannot tell";
    out.family("spanbufd_status", "gauge", help);
    out.line("spanbufd_status", "", status);
    out.text
}

struct Exposition<'a> {
    instance: &'a str,
    text: String,
}

impl Exposition<'_> {
    /// The words and what is reckoned from them, of all rows of a kind.
    fn group(&mut self, kind: &str, table: &[Word], reckoned: Reckoned, rows: &[Value]) {
        // Numbers of processes count nothing, and times of the machine's clock are told as ages.
        for word in table.iter().filter(|word| !["pid", "kind", "ms"].contains(&word.unit)) {
            let unit = if word.unit == "bytes" { "_bytes" } else { "" };
            let (sort, end) = if word.counter { ("counter", "_total") } else { ("gauge", "") };
            let plain = word.name.strip_suffix(unit).unwrap_or(word.name);
            let name = format!("spanbufd_{kind}_{plain}{unit}{end}");
            // The JSON has undone it.
            self.family(&name, sort, word.help.trim_end_matches(", plus one"));
            rows.iter().for_each(|row| self.sample(&name, kind, row, word.name));
        }
        for (field, help) in reckoned {
            let name = format!("spanbufd_{kind}_{}", field.replace("_ms", "_seconds"));
            self.family(&name, "gauge", help);
            rows.iter().for_each(|row| self.sample(&name, kind, row, field));
        }
    }

    fn family(&mut self, name: &str, sort: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {sort}\n");
    }

    /// One field of a row.
    fn sample(&mut self, name: &str, kind: &str, row: &Value, field: &str) {
        let whose = whose(kind, row);
        match &row[field] {
            Value::Number(ms) if field.ends_with("_ms") => {
                self.line(name, &whose, ms.as_f64().unwrap_or_default() / 1000.0);
            }
            Value::Number(number) => self.line(name, &whose, number),
            Value::String(state) => self.line(name, &format!("{whose},{field}=\"{state}\""), 1),
            _ => {}
        }
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{name}{{daemon=\"{}\"{labels}}} {value}", self.instance);
    }

    /// The histogram, whose buckets hold what is below them, too. Nobody keeps the sum.
    fn lateness(&mut self, rows: &[Value]) {
        let name = "spanbufd_worker_lateness_seconds";
        self.family(name, "histogram", "acknowledged after the deadline");
        for row in rows {
            let (whose, mut below) = (whose("worker", row), 0);
            let counts = row["lateness"].as_array().into_iter().flatten();
            for (count, bound) in counts.zip(LATENESS_BOUNDS_MS) {
                below += count.as_u64().unwrap_or_default();
                let bound = match bound {
                    u64::MAX => "+Inf".to_owned(),
                    ms => (ms as f64 / 1000.0).to_string(),
                };
                self.line(&format!("{name}_bucket"), &format!("{whose},le=\"{bound}\""), below);
            }
            self.line(&format!("{name}_count"), &whose, below);
        }
    }
}

/// The label that tells a worker or a shard from the others, behind the daemon's.
fn whose(kind: &str, row: &Value) -> String {
    match &row[kind] {
        Value::String(name) => format!(",{kind}=\"{name}\""),
        Value::Number(number) => format!(",{kind}=\"{number}\""),
        _ => String::new(),
    }
}
