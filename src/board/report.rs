//! The board for readers: health, text, JSON, Prometheus. Loops over the tables, so that a new word
//! shows up everywhere by itself.
//!
//! Reads a copy or the living board alike and writes nothing. Sums and ages are made here;
//! the words stay what their one writer wrote (P4).

mod json;
mod prometheus;
mod text;

pub use json::json;
pub use prometheus::{prometheus, status_of};
pub use text::text;

use super::words::{
    DaemonState, DaemonWord, LATENESS_BOUNDS_MS, Paused, ShardWord, WaitingFor, WorkerKind,
    WorkerState, WorkerWord,
};
use super::{Board, ShardId, ShardSlot, WorkerSlot};
use crate::sys::process::Ended;
use std::time::Duration;

/// A supervisor whose last turn is older than this does not turn.
const SUPERVISOR_SILENT: Duration = Duration::from_secs(5);

/// A heart that is silent for this long is shown as a flaw, long before anybody kills for it.
const WORKER_SILENT: Duration = Duration::from_secs(10);

/// From so many recent restarts on, a worker that is healthy just now is none.
const RESTARTS: u64 = 3;

/// A shard that is not read for this long is one: it takes a moment to start each.
const SHARD_PAUSED: Duration = Duration::from_secs(5);

/// Books that do not balance for this long do not by a bug: what is on its way takes less.
const UNBALANCED: Duration = Duration::from_secs(5);

/// A loss is a flaw for this long: it cannot be mended, only noticed.
const LOSS_SHOWN: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Healthy,
    Degraded,
}

impl Health {
    pub fn name(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
        }
    }
}

/// Whether all that should run runs, and nobody waits or is behind.
pub fn health(board: &Board, now: Duration) -> Health {
    if flaws(board, now).is_empty() { Health::Healthy } else { Health::Degraded }
}

/// What is not as it should be, in words; nothing for a healthy daemon.
pub fn flaws(board: &Board, now: Duration) -> Vec<String> {
    let mut flaws = Vec::new();
    let daemon = board.daemon();
    let beat = age(daemon.get(DaemonWord::BeatMs), now);
    if beat.is_none_or(|age| age > SUPERVISOR_SILENT) {
        flaws.push(format!("the supervisor's last turn is {} ago", seconds(beat)));
    }
    if daemon.state() != DaemonState::Running {
        flaws.push(format!("the daemon is {}", daemon.state().name()));
    }
    flaws.extend(workers(board).filter_map(|worker| worker.flaw(now)));
    flaws.extend(workers(board).filter_map(|worker| worker.restarted()));
    flaws.extend(workers(board).filter_map(|worker| worker.unserved(board.max_shards())));
    flaws.extend(shards(board).filter_map(|shard| shard.paused_flaw(now)));
    flaws.extend(shards(board).filter_map(|shard| shard.unbalanced(now)));
    flaws.extend(shards(board).filter_map(|shard| shard.loss(now)));
    flaws
}

/// One worker that has a process, or had one.
struct Worker<'b> {
    kind: WorkerKind,
    number: usize,
    slot: WorkerSlot<'b>,
}

impl Worker<'_> {
    fn state(&self) -> WorkerState {
        WorkerState::from_word(self.slot.get(WorkerWord::State))
    }

    fn flaw(&self, now: Duration) -> Option<String> {
        let name = self.name();
        let beat = self.age_of(WorkerWord::BeatMs, now);
        let waits = WaitingFor::from_word(self.slot.get(WorkerWord::WaitingFor));
        match self.state() {
            WorkerState::Gone => None,
            WorkerState::Healthy if beat.is_none_or(|age| age > WORKER_SILENT) => {
                Some(format!("{name} has not turned its loop for {}", seconds(beat)))
            }
            WorkerState::Healthy if waits == WaitingFor::Nothing => None,
            WorkerState::Healthy => Some(format!("{name} waits for {}", waits.name())),
            state => Some(format!("{name} is {}", state.name())),
        }
    }

    fn restarted(&self) -> Option<String> {
        let (name, count) = (self.name(), self.slot.get(WorkerWord::RecentRestarts));
        let text = || format!("{name} was restarted {count} times within restart-window");
        (count >= RESTARTS).then(text)
    }

    fn unserved(&self, max_shards: u32) -> Option<String> {
        let (name, count) = (self.name(), self.slot.get(WorkerWord::Unserved));
        let text = || {
            format!(
                "{name} does not consume {count} partitions, whose numbers are {max_shards} or \
                 more: set max-shards to the number of partitions and restart"
            )
        };
        (count > 0).then(text)
    }

    fn age_of(&self, word: WorkerWord, now: Duration) -> Option<Duration> {
        age(self.slot.get(word), now)
    }

    fn name(&self) -> String {
        self.kind.label(self.number)
    }

    /// `None` for one that has not ended yet.
    fn last_exit(&self) -> Option<String> {
        let status = self.slot.get(WorkerWord::LastExit).checked_sub(1)?;
        Some(match Ended::from_wait(status as i32) {
            Ended::Exit(status) => format!("status {status}"),
            Ended::Signal(signal) => format!("signal {signal}"),
        })
    }

    /// Resident memory; `None` where /proc does not say.
    fn resident_bytes(&self) -> Option<u64> {
        let pid = self.slot.get(WorkerWord::Pid);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }
}

/// One shard that somebody should hold or holds.
struct Shard<'b> {
    number: u32,
    slot: ShardSlot<'b>,
}

impl Shard<'_> {
    fn paused(&self) -> Paused {
        Paused::from_word(self.slot.get(ShardWord::Paused))
    }

    fn paused_flaw(&self, now: Duration) -> Option<String> {
        let since = age(self.slot.get(ShardWord::PausedMs), now)?;
        let (number, why) = (self.number, self.paused().name());
        let text = || format!("shard {number} is not read for {}: {why}", seconds(Some(since)));
        (since > SHARD_PAUSED).then(text)
    }

    fn unbalanced(&self, now: Duration) -> Option<String> {
        let since = age(self.slot.get(ShardWord::UnaccountedMs), now)?;
        let (number, messages) = (self.number, self.slot.get(ShardWord::Unaccounted) as i64);
        let text = || {
            format!(
                "shard {number} has {messages} messages unaccounted for, since {}: run 'spanbufd \
                 audit'",
                seconds(Some(since))
            )
        };
        (since > UNBALANCED).then(text)
    }

    fn loss(&self, now: Duration) -> Option<String> {
        let ago = age(self.slot.get(ShardWord::LostMs), now)?;
        let (number, offsets) = (self.number, self.slot.get(ShardWord::Lost));
        let text = || {
            format!(
                "shard {number} has lost {offsets} offsets to retention, the last {} ago",
                seconds(Some(ago))
            )
        };
        (ago < LOSS_SHOWN).then(text)
    }

    fn offset(&self, word: ShardWord) -> Option<i64> {
        self.slot.offset(word).map(|offset| offset.0)
    }

    /// How much of the partition lies behind an offset of ours.
    fn lag(&self, behind: ShardWord) -> Option<i64> {
        let (end, at) = (self.offset(ShardWord::HighWatermark)?, self.offset(behind)?);
        Some((end - at).max(0))
    }

    /// What the floor stands at: the flusher's, or what is committed before there is one.
    fn floor_lag(&self) -> Option<i64> {
        self.lag(ShardWord::Floor).or_else(|| self.lag(ShardWord::Committed))
    }

    /// From the event time of that word to the shard's clock, in ms; negative before its time.
    fn behind_clock(&self, word: ShardWord) -> Option<i64> {
        let (clock, at) = (self.slot.get(ShardWord::Clock), self.slot.get(word));
        (clock > 0 && at > 0).then(|| clock as i64 - at as i64)
    }

    /// How far the clock trails the wall.
    fn clock_lag_ms(&self, wall_ms: i64) -> Option<i64> {
        let clock = self.slot.get(ShardWord::Clock);
        (clock > 0).then(|| wall_ms - clock as i64)
    }
}

/// The counters over all shards, those that left included, at one moment.
pub struct Totals {
    seconds: f64,
    sums: Vec<u64>,
}

impl Totals {
    /// Nothing yet, at the daemon's start.
    pub fn at_start(board: &Board) -> Totals {
        let started_ms = board.daemon().get(DaemonWord::StartedMs);
        Totals { seconds: started_ms as f64 / 1000.0, sums: vec![0; ShardWord::TABLE.len()] }
    }

    pub fn read(board: &Board, wall_ms: i64) -> Totals {
        let mut sums = vec![0u64; ShardWord::TABLE.len()];
        for slot in (0..board.max_shards()).filter_map(|number| board.shard(ShardId(number))) {
            for (at, sum) in sums.iter_mut().enumerate() {
                // Only counters are read back; the sum of other words means nothing.
                *sum = sum.wrapping_add(slot.word(at));
            }
        }
        Totals { seconds: wall_ms as f64 / 1000.0, sums }
    }

    fn sum(&self, word: ShardWord) -> u64 {
        self.sums[word as usize]
    }

    /// So many a second since `before`.
    fn rate(&self, before: &Totals, word: ShardWord) -> f64 {
        let more = self.sum(word).saturating_sub(before.sum(word));
        more as f64 / (self.seconds - before.seconds).max(0.001)
    }

    /// Names and sums of the counters.
    fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let rows = ShardWord::TABLE.iter().zip(&self.sums);
        rows.filter(|(word, _)| word.counter).map(|(word, sum)| (word.name, *sum))
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
    let ingests = (0..board.ingests()).map(|number| (WorkerKind::Ingest, number));
    let flushers = (0..board.flushers()).map(|number| (WorkerKind::Flusher, number));
    ingests
        .chain(flushers)
        .map(|(kind, number)| Worker { kind, number, slot: board.worker(kind, number) })
        .filter(|worker| worker.state() != WorkerState::Vacant)
}

fn shards(board: &Board) -> impl Iterator<Item = Shard<'_>> {
    (0..board.max_shards())
        .filter_map(|number| Some(Shard { number, slot: board.shard(ShardId(number))? }))
        .filter(|shard| shard.slot.desired().is_some() || shard.slot.holder().is_some())
}

/// Since the daemon's start.
fn up_ms(board: &Board, wall_ms: i64) -> i64 {
    (wall_ms - board.daemon().get(DaemonWord::StartedMs) as i64).max(0)
}

/// Age of a monotonic time in ms, `None` for a time that never was.
fn age(ms: u64, now: Duration) -> Option<Duration> {
    (ms > 0).then(|| now.saturating_sub(Duration::from_millis(ms)))
}

fn seconds(age: Option<Duration>) -> String {
    age.map_or("-".to_string(), |age| format!("{:.1}s", age.as_secs_f64()))
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
