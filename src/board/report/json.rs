//! The board for programs: every word of every slot in use, under its name, and what is
//! reckoned from them.

use super::{Shard, Totals, Worker, age, flaws, health, percentile, shards, up_ms, workers};
use crate::board::Board;
use crate::board::words::{DaemonWord, ReloadState, ShardWord, Word, WorkerWord};
use crate::sys::time;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// One object. Rates count since `before`, or since the start.
pub fn json(board: &Board, now: Duration, before: Option<&Totals>) -> String {
    let wall_ms = time::wall_ms();
    let totals = Totals::read(board, wall_ms);
    let value = json!({
        "health": health(board, now).name(),
        "flaws": flaws(board, now),
        "state": board.daemon().state().name(),
        "daemon": daemon_row(board, now, wall_ms),
        "workers": workers(board).map(|worker| worker_row(&worker, now)).collect::<Vec<_>>(),
        "shards": shards(board).map(|shard| shard_row(&shard, wall_ms)).collect::<Vec<_>>(),
        "rates": rates(board, &totals, before),
        "totals": totals.counters().collect::<std::collections::BTreeMap<_, _>>(),
    });
    value.to_string()
}

pub(super) fn daemon_row(board: &Board, now: Duration, wall_ms: i64) -> Value {
    let daemon = board.daemon();
    let mut row = words(DaemonWord::TABLE, |at| daemon.word(at));
    let beat = age(daemon.get(DaemonWord::BeatMs), now).map(|age| age.as_millis() as u64);
    row.insert("state".into(), daemon.state().name().into());
    let reload = ReloadState::from_word(daemon.get(DaemonWord::Reload));
    row.insert("reload".into(), reload.name().into());
    row.insert("age_ms".into(), up_ms(board, wall_ms).into());
    row.insert("heartbeat_age_ms".into(), beat.into());
    Value::Object(row)
}

pub(super) fn worker_row(worker: &Worker<'_>, now: Duration) -> Value {
    let mut row = words(WorkerWord::TABLE, |at| worker.slot.word(at));
    let ms = |word| worker.age_of(word, now).map(|age| age.as_millis() as u64);
    let lateness = worker.slot.lateness();
    row.insert("worker".into(), worker.name().into());
    row.insert("state".into(), worker.state().name().into());
    row.insert("last_exit".into(), worker.last_exit().into());
    row.insert("age_ms".into(), ms(WorkerWord::StartedMs).into());
    row.insert("heartbeat_age_ms".into(), ms(WorkerWord::BeatMs).into());
    row.insert("progress_age_ms".into(), ms(WorkerWord::MovedMs).into());
    row.insert("rss_bytes".into(), worker.resident_bytes().into());
    row.insert("lateness".into(), lateness.as_slice().into());
    row.insert("lateness_p50_ms".into(), percentile(&lateness, 50).into());
    row.insert("lateness_p99_ms".into(), percentile(&lateness, 99).into());
    row.insert("lateness_max_ms".into(), percentile(&lateness, 100).into());
    Value::Object(row)
}

pub(super) fn shard_row(shard: &Shard<'_>, wall_ms: i64) -> Value {
    let mut row = words(ShardWord::TABLE, |at| shard.slot.word(at));
    row.insert("shard".into(), shard.number.into());
    row.insert("clock_lag_ms".into(), shard.clock_lag_ms(wall_ms).into());
    row.insert("overdue_ms".into(), shard.behind_clock(ShardWord::NextDueMs).into());
    row.insert("position_lag".into(), shard.lag(ShardWord::Position).into());
    row.insert("floor_lag".into(), shard.floor_lag().into());
    row.insert("floor_age_ms".into(), shard.behind_clock(ShardWord::FloorMs).into());
    Value::Object(row)
}

fn rates(board: &Board, totals: &Totals, before: Option<&Totals>) -> Value {
    let start = Totals::at_start(board);
    let before = before.unwrap_or(&start);
    let rate = |word| totals.rate(before, word);
    json!({
        "read": rate(ShardWord::Read),
        "read_bytes": rate(ShardWord::ReadBytes),
        "delivered": rate(ShardWord::Delivered),
        "segments": rate(ShardWord::Segments),
        "out_bytes": rate(ShardWord::OutBytes),
    })
}

fn words(table: &[Word], read: impl Fn(usize) -> u64) -> Map<String, Value> {
    let row = |(at, word): (usize, &Word)| (word.name.to_string(), known(word, read(at)));
    table.iter().enumerate().map(row).collect()
}

/// Undoes the "plus one": readers see offsets and times, and null for what is not known or has not
/// been.
fn known(word: &Word, value: u64) -> Value {
    match word.unit {
        "offset" | "flusher" => value.checked_sub(1).into(),
        "ms" => (value > 0).then_some(value).into(),
        "difference" => (value as i64).into(),
        _ => value.into(),
    }
}
