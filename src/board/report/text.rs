//! The board for people: the daemon, a line a worker, a line a shard, rates and totals.

use super::{Shard, Totals, Worker, age, flaws, seconds, shards, up_ms, workers};
use crate::board::Board;
use crate::board::words::{DaemonWord, ShardWord, WaitingFor, WorkerWord};
use crate::sys::time;
use std::fmt::Write;
use std::time::Duration;

const WORKER_HEAD: &str = "WORKER            PID STATE        AGE RESTARTS LAST-EXIT  HEARTBEAT \
                           PROGRESS    RSS WAITING-FOR\n";

const SHARD_HEAD: &str = "SHARD HOLDER CLOCK-LAG OPEN-SEGMENTS OLDEST-DUE  INDEX        LAG \
                          FLOOR-LAG FLOOR-AGE UNACCOUNTED STATE\n";

/// All of it. Rates count since `before`, or since the start.
pub fn text(board: &Board, now: Duration, before: Option<&Totals>) -> String {
    let wall_ms = time::wall_ms();
    let mut out = head(board, now, wall_ms);
    out.push_str(WORKER_HEAD);
    out.extend(workers(board).map(|worker| worker_line(&worker, now)));
    out.push_str(SHARD_HEAD);
    out.extend(shards(board).map(|shard| shard_line(&shard, now, wall_ms)));
    if shards(board).next().is_none() {
        out.push_str("(no shards are assigned: idling)\n");
    }
    out.push_str(&sums(board, &Totals::read(board, wall_ms), before));
    out
}

/// The verdict first: a monitoring system shows one line.
fn head(board: &Board, now: Duration, wall_ms: i64) -> String {
    let daemon = board.daemon();
    let flaws = flaws(board, now);
    let health = if flaws.is_empty() { "healthy".into() } else { degraded(&flaws) };
    format!(
        "{health}\nspanbufd (pid {}) {}, up {}, last turn {} ago, generation {}\n",
        daemon.get(DaemonWord::Pid),
        daemon.state().name(),
        span(up_ms(board, wall_ms)),
        seconds(age(daemon.get(DaemonWord::BeatMs), now)),
        daemon.get(DaemonWord::Generation),
    )
}

/// The first flaws; a daemon of a thousand shards can have a thousand.
fn degraded(flaws: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = format!("degraded: {}", flaws[..flaws.len().min(SHOWN)].join("; "));
    if flaws.len() > SHOWN {
        let _ = write!(text, "; and {} more", flaws.len() - SHOWN);
    }
    text
}

fn worker_line(worker: &Worker<'_>, now: Duration) -> String {
    format!(
        "{:<12} {:>8} {:<8} {:>7} {:>8} {:<10} {:>9} {:>8} {:>6} {}\n",
        worker.name(),
        worker.slot.get(WorkerWord::Pid),
        worker.state().name(),
        ms_span(worker.age_of(WorkerWord::StartedMs, now)),
        worker.slot.get(WorkerWord::Restarts),
        worker.last_exit().unwrap_or("-".to_string()),
        seconds(worker.age_of(WorkerWord::BeatMs, now)),
        ms_span(worker.age_of(WorkerWord::MovedMs, now)),
        bytes(worker.resident_bytes()),
        WaitingFor::from_word(worker.slot.get(WorkerWord::WaitingFor)).name(),
    )
}

fn shard_line(shard: &Shard<'_>, now: Duration, wall_ms: i64) -> String {
    let slot = shard.slot;
    let number = |value: Option<i64>| value.map_or("-".to_string(), |value| value.to_string());
    let ms = |value: Option<i64>| value.map_or("-".to_string(), span);
    let mut state = shard.paused().name().to_string();
    if let Some(since) = age(slot.get(ShardWord::PausedMs), now) {
        let _ = write!(state, " for {}", ms_span(Some(since)));
    }
    format!(
        "{:>5} {:>6} {:>9} {:>13} {:>10} {:>6} {:>10} {:>9} {:>9} {:>11} {state}\n",
        shard.number,
        number(slot.holder().map(|flusher| flusher as i64)),
        ms(shard.clock_lag_ms(wall_ms)),
        slot.get(ShardWord::OpenSegments),
        // Positive is overdue; what is still to come counts down.
        ms(shard.behind_clock(ShardWord::NextDueMs)),
        bytes(Some(slot.get(ShardWord::IndexBytes))),
        number(shard.lag(ShardWord::Position)),
        number(shard.floor_lag()),
        ms(shard.behind_clock(ShardWord::FloorMs)),
        slot.get(ShardWord::Unaccounted) as i64,
    )
}

fn sums(board: &Board, totals: &Totals, before: Option<&Totals>) -> String {
    let start = Totals::at_start(board);
    let (before, since) = match before {
        Some(before) => (before, "now"),
        None => (&start, "since the start"),
    };
    let rate = |word| totals.rate(before, word);
    let mut text = format!(
        "a second, {since}: read {:.1} spans ({}), delivered {:.1} spans, {:.1} segments ({})\n",
        rate(ShardWord::Read),
        bytes(Some(rate(ShardWord::ReadBytes) as u64)),
        rate(ShardWord::Delivered),
        rate(ShardWord::Segments),
        bytes(Some(rate(ShardWord::OutBytes) as u64)),
    );
    text.push_str("total:");
    for (name, sum) in totals.counters() {
        let _ = write!(text, " {name} {sum}");
    }
    text + "\n"
}

fn ms_span(age: Option<Duration>) -> String {
    age.map_or("-".to_string(), |age| span(age.as_millis() as i64))
}

/// A time of any length in few characters.
fn span(ms: i64) -> String {
    let size = ms.unsigned_abs();
    match size {
        0..100_000 => format!("{:.1}s", ms as f64 / 1000.0),
        100_000..6_000_000 => format!("{}m", ms / 60_000),
        6_000_000..360_000_000 => format!("{}h", ms / 3_600_000),
        _ => format!("{}d", ms / 86_400_000),
    }
}

fn bytes(count: Option<u64>) -> String {
    match count {
        None => "-".to_string(),
        Some(count @ 0..10_000) => format!("{count}B"),
        Some(count @ 10_000..10_240_000) => format!("{}K", count >> 10),
        Some(count) => format!("{}M", count >> 20),
    }
}
