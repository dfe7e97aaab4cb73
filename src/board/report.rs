//! A snapshot of the board for people and programs: text, JSON, and one verdict.
//!
//! Everything here is read, nothing computed that the words do not say: it works while the
//! daemon is stuck, and as another user if permitted.

use super::Board;
use super::words::{
    DaemonWord, LATENESS_BOUNDS_MS, OwnershipWord, RUNNING, STOPPING, ShardWord, WorkerWord,
};
use crate::segment::ShardId;
use crate::sys::process::{self, Pid, WaitStatus};
use crate::sys::time;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// A worker that has not turned for this long is shown as silent.
const SILENT: Duration = Duration::from_secs(5);

/// The verdict, as monitoring plug-ins count: the exit status of `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Healthy = 0,
    Degraded = 1,
    NotRunning = 2,
}

const STATES: [&str; 3] = ["starting", "running", "stopping"];
const WORKER_STATES: [&str; 6] = ["unborn", "starting", "healthy", "killed", "dead", "gone"];
const KINDS: [&str; 3] = ["none", "ingest", "flusher"];
const WAITING: [&str; 3] = ["nothing", "Kafka", "Redis"];
const PAUSED: [&str; 6] =
    ["flowing", "starting", "store refuses", "no holder", "backpressure", "memory"];

fn name(names: &[&'static str], value: u64) -> &'static str {
    names.get(value as usize).copied().unwrap_or("unknown")
}

/// Shards that some ingest worker says are assigned, or that some flusher holds.
pub fn shards(board: &Board) -> Vec<ShardId> {
    (0..board.max_shards())
        .map(ShardId)
        .filter(|shard| {
            let assigned = (0..board.ingests()).any(|ingest| {
                board
                    .ownership(ingest, *shard)
                    .is_some_and(|row| row.get(OwnershipWord::Assigned) > 0)
            });
            assigned || board.shard(*shard).is_some_and(|slot| slot.holder().is_some())
        })
        .collect()
}

/// Whether the daemon does what it should.
pub fn verdict(board: &Board) -> Verdict {
    let alive = Pid::new(board.get(DaemonWord::Pid) as i32).is_some_and(process::is_alive);
    if !alive && board.get(DaemonWord::Pid) != 1 {
        return Verdict::NotRunning;
    }
    let fine = |number: usize| {
        let slot = board.worker(number);
        slot.get(WorkerWord::State) == 2
            && slot.get(WorkerWord::WaitingFor) == 0
            && beat_age(board, number) < SILENT
    };
    let flowing =
        |shard: &ShardId| board.shard(*shard).is_some_and(|slot| slot.get(ShardWord::Paused) <= 1);
    let workers = (0..board.workers()).all(fine);
    let running = board.get(DaemonWord::State) == RUNNING;
    if workers && running && shards(board).iter().all(flowing) {
        Verdict::Healthy
    } else {
        Verdict::Degraded
    }
}

fn beat_age(board: &Board, number: usize) -> Duration {
    age(board.worker(number).get(WorkerWord::BeatMs))
}

/// Since a monotonic time in ms; the whole uptime for one that never was.
fn age(monotonic_ms: u64) -> Duration {
    time::monotonic().saturating_sub(Duration::from_millis(monotonic_ms))
}

/// `flusher/3`.
fn worker_name(board: &Board, number: usize) -> String {
    let kind = name(&KINDS, board.worker(number).get(WorkerWord::Kind));
    let number = if number < board.ingests() { number } else { number - board.ingests() };
    format!("{kind}/{number}")
}

/// The whole board as JSON: `daemon`, `worker` by name, `shard` by number, `lateness_ms`.
pub fn json(board: &Board) -> Value {
    let workers: Map<String, Value> = (0..board.workers())
        .map(|number| (worker_name(board, number), worker_json(board, number)))
        .collect();
    let shards: Map<String, Value> = shards(board)
        .into_iter()
        .filter_map(|shard| Some((shard.to_string(), shard_json(board, shard)?)))
        .collect();
    let (p50, p99) = lateness(board);
    json!({
        "daemon": {
            "pid": board.get(DaemonWord::Pid),
            "state": name(&STATES, board.get(DaemonWord::State)),
            "started_ms": board.get(DaemonWord::StartedMs),
            "generation": board.get(DaemonWord::Generation),
            "reload_failed": board.get(DaemonWord::ReloadFailed),
            "stragglers": board.get(DaemonWord::Stragglers),
        },
        "verdict": format!("{:?}", verdict(board)).to_lowercase(),
        "worker": workers,
        "shard": shards,
        "lateness_ms": {"p50": p50, "p99": p99},
    })
}

fn worker_json(board: &Board, number: usize) -> Value {
    let slot = board.worker(number);
    let mut words: Map<String, Value> = WorkerWord::TABLE
        .iter()
        .zip(WorkerWord::ALL)
        .map(|(row, word)| (row.name.to_owned(), json!(slot.get(*word))))
        .collect();
    let pid = Pid::new(slot.get(WorkerWord::Pid) as i32);
    words.insert("state".to_owned(), json!(name(&WORKER_STATES, slot.get(WorkerWord::State))));
    words.insert("heartbeat_age_ms".to_owned(), json!(beat_age(board, number).as_millis() as u64));
    words.insert("resident_bytes".to_owned(), json!(pid.and_then(process::resident_bytes)));
    Value::Object(words)
}

fn shard_json(board: &Board, shard: ShardId) -> Option<Value> {
    let slot = board.shard(shard)?;
    let mut words: Map<String, Value> = Map::new();
    for (row, word) in ShardWord::TABLE.iter().zip(ShardWord::ALL) {
        let value = match row.unit {
            "offset" => json!(slot.offset(*word).map(|offset| offset.0)),
            "flusher" => json!(slot.get(*word).checked_sub(1)),
            _ => json!(slot.get(*word)),
        };
        words.insert(row.name.to_owned(), value);
    }
    words.insert("paused".to_owned(), json!(name(&PAUSED, slot.get(ShardWord::Paused))));
    Some(Value::Object(words))
}

/// Median and 99th percentile of the lateness of all flushers, as the upper bound of the
/// bucket; `None` without a sample.
pub fn lateness(board: &Board) -> (Option<u64>, Option<u64>) {
    let mut sums = [0u64; LATENESS_BOUNDS_MS.len()];
    for number in 0..board.flushers() {
        for (sum, count) in sums.iter_mut().zip(board.flusher(number).lateness()) {
            *sum += count;
        }
    }
    (percentile(&sums, 50), percentile(&sums, 99))
}

fn percentile(counts: &[u64], percent: u64) -> Option<u64> {
    let all: u64 = counts.iter().sum();
    let mut seen = 0;
    counts.iter().zip(LATENESS_BOUNDS_MS).find_map(|(count, bound)| {
        seen += count;
        (all > 0 && seen * 100 >= all * percent).then_some(bound)
    })
}

/// Sum of a shard word over all slots, also of shards that are not assigned any more.
pub fn total(board: &Board, word: ShardWord) -> u64 {
    let slots = (0..board.max_shards()).filter_map(|number| board.shard(ShardId(number)));
    slots.map(|slot| slot.get(word)).sum()
}

/// The status for people.
pub fn text(board: &Board) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write_daemon(&mut text, board);
    let _ = write_workers(&mut text, board);
    let _ = write_shards(&mut text, board);
    text
}

fn write_daemon(text: &mut String, board: &Board) -> std::fmt::Result {
    let state = board.get(DaemonWord::State);
    let stopping = if state == STOPPING { " (winding down)" } else { "" };
    writeln!(
        text,
        "spanbufd pid {}, {}{stopping}, configuration generation {}",
        board.get(DaemonWord::Pid),
        name(&STATES, state),
        board.get(DaemonWord::Generation)
    )?;
    let show = |value: Option<u64>| value.map_or("-".to_owned(), |ms| format!("{ms} ms"));
    let (p50, p99) = lateness(board);
    writeln!(
        text,
        "read {} spans, delivered {} in {} segments, lateness p50 <= {}, p99 <= {}",
        total(board, ShardWord::Read),
        total(board, ShardWord::Delivered),
        total(board, ShardWord::Segments),
        show(p50),
        show(p99)
    )
}

fn write_workers(text: &mut String, board: &Board) -> std::fmt::Result {
    writeln!(
        text,
        "\n{:<12} {:>8} {:<9} {:>8} {:>9} {:>9} {:>8} {:<8} LAST EXIT",
        "WORKER", "PID", "STATE", "RESTARTS", "BEAT", "PROGRESS", "RSS MIB", "WAITS"
    )?;
    for number in 0..board.workers() {
        let slot = board.worker(number);
        let resident = Pid::new(slot.get(WorkerWord::Pid) as i32).and_then(process::resident_bytes);
        let moved = slot.get(WorkerWord::MovedMs);
        let last_exit = match slot.get(WorkerWord::LastExit) {
            0 => "-".to_owned(),
            raw => WaitStatus::from_raw(raw as i32 - 1).to_string(),
        };
        writeln!(
            text,
            "{:<12} {:>8} {:<9} {:>8} {:>7.1} s {:>9} {:>8} {:<8} {last_exit}",
            worker_name(board, number),
            slot.get(WorkerWord::Pid),
            name(&WORKER_STATES, slot.get(WorkerWord::State)),
            slot.get(WorkerWord::Restarts),
            beat_age(board, number).as_secs_f64(),
            if moved == 0 { "-".to_owned() } else { format!("{:.1} s", age(moved).as_secs_f64()) },
            resident.map_or("-".to_owned(), |bytes| (bytes >> 20).to_string()),
            name(&WAITING, slot.get(WorkerWord::WaitingFor)),
        )?;
    }
    Ok(())
}

fn write_shards(text: &mut String, board: &Board) -> std::fmt::Result {
    let shards = shards(board);
    if shards.is_empty() {
        return writeln!(text, "\nno shards are assigned");
    }
    writeln!(
        text,
        "\n{:<6} {:<12} {:<13} {:>10} {:>10} {:>9} {:>8} {:>10} {:>9} {:>8}",
        "SHARD",
        "HOLDER",
        "STATE",
        "POSITION",
        "FLOOR",
        "SEGMENTS",
        "SPANS",
        "READ",
        "DELIVERED",
        "REJECTED"
    )?;
    for shard in shards {
        let Some(slot) = board.shard(shard) else { continue };
        let offset = |word| slot.offset(word).map_or("-".to_owned(), |offset| offset.to_string());
        writeln!(
            text,
            "{shard:<6} {:<12} {:<13} {:>10} {:>10} {:>9} {:>8} {:>10} {:>9} {:>8}",
            slot.holder().map_or("-".to_owned(), |flusher| format!("flusher/{flusher}")),
            name(&PAUSED, slot.get(ShardWord::Paused)),
            offset(ShardWord::Position),
            offset(ShardWord::Floor),
            slot.get(ShardWord::OpenSegments),
            slot.get(ShardWord::OpenSpans),
            slot.get(ShardWord::Read),
            slot.get(ShardWord::Delivered),
            slot.get(ShardWord::Rejected),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_bound_of_their_bucket() {
        let mut counts = [0u64; LATENESS_BOUNDS_MS.len()];
        assert_eq!(percentile(&counts, 50), None);
        counts[0] = 98;
        counts[3] = 2;
        assert_eq!(percentile(&counts, 50), Some(1));
        assert_eq!(percentile(&counts, 98), Some(1));
        assert_eq!(percentile(&counts, 99), Some(10));
    }
}
