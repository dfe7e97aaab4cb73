//! The board for readers: health, text, JSON. Loops over the tables, so that a new word shows
//! up everywhere by itself.
//!
//! Reads a copy or the living board alike and writes nothing. Sums and ages are made here;
//! the words stay what their one writer wrote (P4).

use super::words::{
    DaemonState, DaemonWord, Kind, LATENESS_BOUNDS_MS, Paused, ShardWord, WaitingFor, Word,
    WorkerState, WorkerWord,
};
use super::{Board, ShardId, ShardSlot, WorkerSlot};
use crate::sys::process::Ended;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::Duration;

/// A supervisor whose last turn is older than this does not turn.
const SUPERVISOR_SILENT: Duration = Duration::from_secs(5);

/// A heart that is silent for this long is shown as a flaw, long before anybody kills for it.
const WORKER_SILENT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Healthy,
    Degraded,
}

/// One worker that has a process, or had one.
struct Worker<'b> {
    kind: Kind,
    number: usize,
    slot: WorkerSlot<'b>,
}

/// Whether all that should run runs, and nobody waits or is behind.
pub fn health(board: &Board, now: Duration) -> Health {
    let daemon = board.daemon();
    let turning =
        age(daemon.get(DaemonWord::BeatMs), now).is_some_and(|age| age <= SUPERVISOR_SILENT);
    let running = daemon.state() == DaemonState::Running;
    let well = turning && running && workers(board).all(|worker| worker.is_well(now));
    if well { Health::Healthy } else { Health::Degraded }
}

/// For people: a line for the daemon, one a worker, one a shard, one of totals.
pub fn text(board: &Board, now: Duration) -> String {
    let daemon = board.daemon();
    let mut out = format!(
        "spanbufd (pid {}) {}, {}; last turn {} ago\n",
        daemon.get(DaemonWord::Pid),
        daemon.state().name(),
        health(board, now).name(),
        seconds(age(daemon.get(DaemonWord::BeatMs), now)),
    );
    out.push_str(
        "WORKER            PID STATE      AGE RESTARTS LAST-EXIT    HEARTBEAT PROGRESS   RSS \
         WAITING-FOR\n",
    );
    for worker in workers(board) {
        out.push_str(&worker.line(now));
    }
    out.push_str(
        "SHARD DESIRED HOLDER   POSITION    INDEXED      FLOOR        LAG OPEN-SEGMENTS \
         UNACCOUNTED STATE\n",
    );
    for (number, slot) in shards(board) {
        out.push_str(&shard_line(number, slot));
    }
    if shards(board).next().is_none() {
        out.push_str("(no shards are assigned: idling)\n");
    }
    out.push_str(&totals_line(board));
    out
}

/// The same for programs: every word of every slot in use, under its name.
pub fn json(board: &Board, now: Duration) -> String {
    let daemon = words(DaemonWord::TABLE, |at| board.daemon().0[at].load(super::Ordering::Acquire));
    let shards = shards(board).map(|(number, slot)| {
        let mut row = words(ShardWord::TABLE, |at| slot.0[at].load(super::Ordering::Acquire));
        row.insert("shard".into(), number.into());
        Value::Object(row)
    });
    let value = json!({
        "health": health(board, now).name(),
        "state": board.daemon().state().name(),
        "daemon": daemon,
        "workers": workers(board).map(|worker| worker.json(now)).collect::<Vec<_>>(),
        "shards": shards.collect::<Vec<_>>(),
        "totals": totals(board),
    });
    value.to_string()
}

impl Health {
    pub fn name(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
        }
    }
}

impl Worker<'_> {
    fn state(&self) -> WorkerState {
        WorkerState::from_word(self.slot.get(WorkerWord::State))
    }

    fn is_well(&self, now: Duration) -> bool {
        match self.state() {
            WorkerState::Gone => true,
            WorkerState::Healthy => {
                self.age_of(WorkerWord::BeatMs, now).is_some_and(|age| age <= WORKER_SILENT)
                    && self.slot.get(WorkerWord::WaitingFor) == 0
                    && self.slot.get(WorkerWord::BackpressureMs) == 0
            }
            _ => false,
        }
    }

    fn age_of(&self, word: WorkerWord, now: Duration) -> Option<Duration> {
        age(self.slot.get(word), now)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.kind.name(), self.number)
    }

    fn last_exit(&self) -> String {
        match self.slot.get(WorkerWord::LastExit).checked_sub(1) {
            None => "-".to_string(),
            Some(status) => match Ended::from_wait(status as i32) {
                Ended::Exit(status) => format!("status {status}"),
                Ended::Signal(signal) => format!("signal {signal}"),
            },
        }
    }

    fn line(&self, now: Duration) -> String {
        let pid = self.slot.get(WorkerWord::Pid);
        format!(
            "{:<12} {:>8} {:<8} {:>5} {:>8} {:<12} {:>9} {:>8} {:>5} {}\n",
            self.name(),
            pid,
            self.state().name(),
            seconds(self.age_of(WorkerWord::StartedMs, now)),
            self.slot.get(WorkerWord::Restarts),
            self.last_exit(),
            seconds(self.age_of(WorkerWord::BeatMs, now)),
            seconds(self.age_of(WorkerWord::MovedMs, now)),
            resident_bytes(pid).map_or("-".into(), |bytes| format!("{}M", bytes >> 20)),
            WaitingFor::from_word(self.slot.get(WorkerWord::WaitingFor)).name(),
        )
    }

    fn json(&self, now: Duration) -> Value {
        let read = |at: usize| self.slot.0[at].load(super::Ordering::Acquire);
        let mut row = words(WorkerWord::TABLE, read);
        let ms = |word| self.age_of(word, now).map(|age| age.as_millis() as u64);
        let lateness = self.slot.lateness();
        row.insert("worker".into(), self.name().into());
        row.insert("state".into(), self.state().name().into());
        row.insert("last_exit".into(), self.last_exit().into());
        row.insert("age_ms".into(), ms(WorkerWord::StartedMs).into());
        row.insert("heartbeat_age_ms".into(), ms(WorkerWord::BeatMs).into());
        row.insert("progress_age_ms".into(), ms(WorkerWord::MovedMs).into());
        row.insert("rss_bytes".into(), resident_bytes(self.slot.get(WorkerWord::Pid)).into());
        row.insert("lateness_p50_ms".into(), percentile(&lateness, 50).into());
        row.insert("lateness_p99_ms".into(), percentile(&lateness, 99).into());
        row.insert("lateness_max_ms".into(), percentile(&lateness, 100).into());
        Value::Object(row)
    }
}

/// The bucket bound below which `percent` of what was counted lies; `None` with no counts.
pub fn percentile(counts: &[u64; LATENESS_BOUNDS_MS.len()], percent: u64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    let rank = (total * percent).div_ceil(100);
    let mut seen = 0;
    let bucket = counts.iter().position(|count| {
        seen += count;
        total > 0 && seen >= rank
    });
    bucket.map(|bucket| LATENESS_BOUNDS_MS[bucket])
}

fn workers(board: &Board) -> impl Iterator<Item = Worker<'_>> {
    let ingests = (0..board.ingests()).map(|number| (Kind::Ingest, number));
    let flushers = (0..board.flushers()).map(|number| (Kind::Flusher, number));
    ingests
        .chain(flushers)
        .chain([(Kind::Exporter, 0)])
        .map(|(kind, number)| Worker { kind, number, slot: board.worker(kind, number) })
        .filter(|worker| worker.state() != WorkerState::Vacant)
}

/// Shards that somebody should hold or holds.
fn shards(board: &Board) -> impl Iterator<Item = (u32, ShardSlot<'_>)> {
    (0..board.max_shards())
        .filter_map(|number| Some((number, board.shard(ShardId(number))?)))
        .filter(|(_, slot)| slot.desired().is_some() || slot.holder().is_some())
}

fn shard_line(number: u32, slot: ShardSlot<'_>) -> String {
    let text = |value: Option<i64>| value.map_or("-".to_string(), |value| value.to_string());
    let offset = |word| slot.offset(word).map(|offset| offset.0);
    let (end, position) = (offset(ShardWord::HighWatermark), offset(ShardWord::Position));
    let lag = end.zip(position).map(|(end, position)| end - position);
    format!(
        "{number:>5} {:>7} {:>6} {:>10} {:>10} {:>10} {:>10} {:>13} {:>11} {}\n",
        text(slot.desired().map(|flusher| flusher as i64)),
        text(slot.holder().map(|flusher| flusher as i64)),
        text(position),
        text(offset(ShardWord::Indexed)),
        text(offset(ShardWord::Floor)),
        text(lag),
        slot.get(ShardWord::OpenSegments),
        slot.get(ShardWord::Unaccounted) as i64,
        Paused::from_word(slot.get(ShardWord::Paused)).name(),
    )
}

/// Sums of the counters over all shards, those that left included.
fn totals(board: &Board) -> Map<String, Value> {
    let mut sums = Map::new();
    for (at, word) in ShardWord::TABLE.iter().enumerate().filter(|(_, word)| word.counter) {
        let slots = (0..board.max_shards()).filter_map(|number| board.shard(ShardId(number)));
        let sum: u64 = slots.map(|slot| slot.0[at].load(super::Ordering::Acquire)).sum();
        sums.insert(word.name.into(), sum.into());
    }
    sums
}

fn totals_line(board: &Board) -> String {
    let mut line = "total".to_string();
    for (name, sum) in totals(board) {
        let _ = write!(line, " {name} {sum}");
    }
    line + "\n"
}

fn words(table: &[Word], read: impl Fn(usize) -> u64) -> Map<String, Value> {
    let row = |(at, word): (usize, &Word)| (word.name.to_string(), known(word, read(at)));
    table.iter().enumerate().map(row).collect()
}

/// Undoes the "plus one": readers see offsets, and null for what is not known.
fn known(word: &Word, value: u64) -> Value {
    match word.unit {
        "offset" | "flusher" => value.checked_sub(1).into(),
        "difference" => (value as i64).into(),
        _ => value.into(),
    }
}

/// Age of a monotonic time in ms, `None` for a time that never was.
fn age(ms: u64, now: Duration) -> Option<Duration> {
    (ms > 0).then(|| now.saturating_sub(Duration::from_millis(ms)))
}

fn seconds(age: Option<Duration>) -> String {
    age.map_or("-".to_string(), |age| format!("{:.1}s", age.as_secs_f64()))
}

/// Resident memory of a process; `None` where /proc does not say.
fn resident_bytes(pid: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Shape;

    const NOW: Duration = Duration::from_secs(100);

    fn board() -> Board {
        let board = Board::private(Shape { ingests: 1, flushers: 1, max_shards: 2 });
        board.daemon().set(DaemonWord::BeatMs, 99_000);
        board.daemon().set(DaemonWord::State, DaemonState::Running as u64);
        for slot in [board.ingest(0), board.flusher(0)] {
            slot.set(WorkerWord::State, WorkerState::Healthy as u64);
            slot.set(WorkerWord::BeatMs, 99_500);
        }
        board
    }

    #[test]
    fn each_flaw_degrades() {
        assert_eq!(health(&board(), NOW), Health::Healthy);
        let flaws: [fn(&Board); 6] = [
            |board| board.daemon().set(DaemonWord::BeatMs, 94_000),
            |board| board.daemon().set(DaemonWord::BeatMs, 0),
            |board| board.flusher(0).set(WorkerWord::State, WorkerState::Dead as u64),
            |board| board.flusher(0).set(WorkerWord::BeatMs, 89_000),
            |board| board.ingest(0).set(WorkerWord::WaitingFor, 1),
            |board| board.flusher(0).set(WorkerWord::BackpressureMs, 98_000),
        ];
        for (at, flaw) in flaws.iter().enumerate() {
            let board = board();
            flaw(&board);
            assert_eq!(health(&board, NOW), Health::Degraded, "flaw {at}");
        }
    }

    #[test]
    fn percentiles_come_from_the_buckets() {
        let board = board();
        let slot = board.flusher(0);
        assert_eq!(percentile(&slot.lateness(), 50), None);
        (0..98).for_each(|_| slot.late(3));
        (0..2).for_each(|_| slot.late(900));
        assert_eq!(percentile(&slot.lateness(), 50), Some(5));
        assert_eq!(percentile(&slot.lateness(), 98), Some(5));
        assert_eq!(percentile(&slot.lateness(), 99), Some(1000));
    }

    #[test]
    fn json_shows_offsets_as_they_are() {
        let board = board();
        let shard = board.shard(ShardId(1)).unwrap();
        assert!(shard.take(0));
        shard.set_offset(ShardWord::Floor, Some(crate::board::Offset(0)));
        let value: Value = serde_json::from_str(&json(&board, NOW)).unwrap();
        assert_eq!(value["shards"][0]["shard"], 1);
        assert_eq!(value["shards"][0]["floor"], 0);
        assert_eq!(value["shards"][0]["holder"], 0);
        assert_eq!(value["shards"][0]["position"], Value::Null);
    }
}
