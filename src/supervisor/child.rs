//! One worker's life: its process, its budget of restarts, its obituary.
//!
//! The books are changed where the thing happens: a restart counts when the fork succeeded,
//! a death when it was reaped. A fork that failed leaves no trace but a pause.

use super::policy::{Facts, Limits, backoff};
use super::{Duty, MISCONFIGURED};
use crate::board::ShardId;
use crate::board::words::{DaemonWord, WorkerState, WorkerWord};
use crate::board::{Board, WorkerSlot};
use crate::sys::process::{self, Ended, Pid, Send};
use crate::sys::random;
use std::time::Duration;

pub struct Child {
    pub duty: Duty,
    pub pid: Option<Pid>,
    pub wanted: bool,
    /// The configuration generation that it was forked with.
    pub generation: u64,
    killed_at: Option<Duration>,
    leaving_since: Option<Duration>,
    born: Duration,
    healthy_since: Option<Duration>,
    died: bool,
    /// Forks that failed since one that did not.
    failed_forks: u32,
    /// When each restart that still counts happened.
    restarts: Vec<Duration>,
    not_before: Duration,
}

impl Child {
    pub fn new(duty: Duty) -> Child {
        Child {
            duty,
            pid: None,
            wanted: true,
            generation: 0,
            killed_at: None,
            leaving_since: None,
            born: Duration::ZERO,
            healthy_since: None,
            died: false,
            failed_forks: 0,
            restarts: Vec::new(),
            not_before: Duration::ZERO,
        }
    }

    pub fn name(&self) -> String {
        self.duty.kind.label(self.duty.number)
    }

    pub fn slot<'b>(&self, board: &'b Board) -> WorkerSlot<'b> {
        board.worker(self.duty.kind, self.duty.number)
    }

    /// Books what a look at the board shows: the first sign of health, restarts that are forgiven,
    /// and those that do not count any more.
    pub fn observe(&mut self, board: &Board, now: Duration, limits: &Limits) {
        let slot = self.slot(board);
        if let (Some(_), Some(beat)) = (self.pid, self.last_beat(board)) {
            self.note_healthy(slot, beat, now, limits);
        }
        let alive = now.saturating_sub(self.silence(board, now));
        self.restarts.retain(|then| alive.saturating_sub(*then) < limits.restart_window);
        slot.set(WorkerWord::RecentRestarts, self.restarts.len() as u64);
    }

    /// `None` before the first one of this life.
    fn last_beat(&self, board: &Board) -> Option<Duration> {
        let beat = Duration::from_millis(self.slot(board).get(WorkerWord::BeatMs));
        (beat > Duration::ZERO).then_some(beat)
    }

    /// For how long the process has not turned its loop. No time of the window of restarts, which
    /// else passes by itself while workers hang.
    fn silence(&self, board: &Board, now: Duration) -> Duration {
        let since = self.last_beat(board).unwrap_or(self.born);
        if self.pid.is_some() { now.saturating_sub(since) } else { Duration::ZERO }
    }

    /// Collects what the policy needs. Ages count from `judged_from` at the earliest: before
    /// that the supervisor itself did not run and cannot tell.
    pub fn facts(&self, board: &Board, now: Duration, judged_from: Duration) -> Facts {
        let heartbeat = self.last_beat(board).map(|beat| beat.max(judged_from).max(self.born));
        Facts {
            wanted: self.wanted,
            running: self.pid.is_some(),
            killed: self.killed_at.map(|at| now.saturating_sub(at)),
            leaving: self.leaving_since.map(|since| now.saturating_sub(since)),
            // Looked at only where it decides: a look costs a walk over all shards.
            holds_shards: !self.wanted && self.pid.is_some() && self.holds(board).next().is_some(),
            heartbeat_age: heartbeat.map(|beat| now.saturating_sub(beat)),
            age: now.saturating_sub(self.born.max(judged_from)),
            restarts_in_window: self.restarts.len() as u32,
            backoff_left: self.not_before.saturating_sub(now),
            died: self.died,
        }
    }

    fn note_healthy(
        &mut self,
        slot: WorkerSlot<'_>,
        beat: Duration,
        now: Duration,
        limits: &Limits,
    ) {
        if self.killed_at.is_some() {
            return;
        }
        let since = *self.healthy_since.get_or_insert(now);
        if since == now {
            slot.set(WorkerWord::State, WorkerState::Healthy as u64);
        }
        // Up to its last beat: one that hangs is not healthy meanwhile.
        if beat.saturating_sub(since) >= limits.forgive_after() && !self.restarts.is_empty() {
            log::info!("{} is healthy: its restarts are forgiven", self.name());
            self.restarts.clear();
        }
    }

    pub fn is_healthy(&self) -> bool {
        self.pid.is_some() && self.healthy_since.is_some() && self.killed_at.is_none()
    }

    /// How old a worker is that has not shown a sign of health.
    pub fn starting_for(&self, now: Duration) -> Option<Duration> {
        let starts = self.pid.is_some() && self.healthy_since.is_none() && self.killed_at.is_none();
        starts.then(|| now.saturating_sub(self.born))
    }

    /// Forks the worker. Either all books say that it runs, or none does.
    pub fn start(&mut self, board: &Board, now: Duration) {
        let slot = self.slot(board);
        for word in [
            WorkerWord::BeatMs,
            WorkerWord::MovedMs,
            WorkerWord::LeaveBy,
            WorkerWord::WaitingFor,
            WorkerWord::InFlightBytes,
            WorkerWord::IndexBytes,
            WorkerWord::Unserved,
        ] {
            // The slot's own writer is reaped, or was never born.
            slot.set(word, 0);
        }
        let duty = &self.duty;
        let pid = match process::spawn(|| (duty.main)(board, duty.number)) {
            Ok(pid) => pid,
            Err(why) => return self.not_started(&why, board, now),
        };
        self.pid = Some(pid);
        self.generation = board.daemon().get(DaemonWord::Generation);
        self.failed_forks = 0;
        self.born = now;
        if self.died {
            self.restarts.push(now);
            slot.add(WorkerWord::Restarts, 1);
        }
        self.died = false;
        slot.set(WorkerWord::Pid, pid.number().into());
        slot.set(WorkerWord::Kind, self.duty.kind as u64);
        slot.set(WorkerWord::StartedMs, now.as_millis() as u64);
        slot.set(WorkerWord::State, WorkerState::Starting as u64);
        log::debug!("{} (pid {pid}) started", self.name());
    }

    /// There is no process: nothing but the pause before the next try, and the count.
    fn not_started(&mut self, why: &std::io::Error, board: &Board, now: Duration) {
        self.failed_forks += 1;
        let pause = pause(self.failed_forks);
        self.not_before = now + pause;
        self.slot(board).add(WorkerWord::FailedStarts, 1);
        let (name, pause) = (self.name(), pause.as_secs_f64());
        log::error!("cannot start {name}: fork: {why}; trying again in {pause:.1} s");
    }

    /// Sends SIGKILL; the death is noticed when it is reaped.
    pub fn kill(&mut self, board: &Board, now: Duration) {
        self.signal(Send::Kill);
        self.killed_at = Some(now);
        self.slot(board).set(WorkerWord::State, WorkerState::Killed as u64);
    }

    /// Lets the worker know how long it may take to leave: no longer than it was told before.
    pub fn leaves_within(&self, board: &Board, now: Duration, within: Duration) {
        let slot = self.slot(board);
        let by = (now + within).as_millis() as u64;
        let earlier = Some(slot.get(WorkerWord::LeaveBy)).filter(|before| (1..by).contains(before));
        slot.set(WorkerWord::LeaveBy, earlier.unwrap_or(by));
    }

    /// Asks the worker to leave in order, and lets it know how long it may take.
    pub fn ask_to_leave(&mut self, board: &Board, now: Duration, within: Duration) {
        self.leaves_within(board, now, within);
        self.signal(Send::Terminate);
        self.leaving_since.get_or_insert(now);
    }

    fn signal(&self, what: Send) {
        let Some(pid) = self.pid else { return };
        if let Err(why) = process::kill(pid, what) {
            log::error!("cannot signal {} (pid {pid}): {why}", self.name());
        }
    }

    /// Books a death: frees what the dead one held, writes its obituary, plans the restart.
    /// An end that was asked for is no death.
    pub fn bury(&mut self, death: Death, board: &Board, now: Duration, limits: &Limits) {
        let ended = death.ended;
        let silent = self.silence(board, now);
        self.restarts.iter_mut().for_each(|then| *then += silent);
        let leaving = self.leaving_since.take().is_some();
        let asked = leaving && ended == Ended::Exit(0);
        let pause = if asked { Duration::ZERO } else { pause(self.restarts.len() as u32) };
        let mut line = self.obituary(death, board, now, asked);
        if !leaving {
            line.push_str(&self.outlook(ended, pause, limits));
        }
        if !asked {
            line.push_str(&last_lines(&(self.duty.last_lines)()));
        }
        let level = if asked { log::Level::Info } else { log::Level::Warn };
        log::log!(level, "{line}");
        for shard in self.holds(board).collect::<Vec<_>>() {
            if let Some(slot) = board.shard(ShardId(shard)) {
                slot.give_back(self.duty.number);
            }
        }
        let slot = self.slot(board);
        slot.set(WorkerWord::Pid, 0);
        slot.set(WorkerWord::LastExit, ended.to_wait() as u64 + 1);
        let state = if asked { WorkerState::Gone } else { WorkerState::Dead };
        slot.set(WorkerWord::State, state as u64);
        self.pid = None;
        self.killed_at = None;
        self.healthy_since = None;
        self.died = !asked;
        self.not_before = now + pause;
    }

    fn obituary(&self, death: Death, board: &Board, now: Duration, asked: bool) -> String {
        let pid = self.pid.map_or(0, Pid::number);
        let how = match death.ended {
            Ended::Exit(0) if asked => "left".to_string(),
            Ended::Exit(status) => format!("ended with status {status}"),
            Ended::Signal(9) if self.killed_at.is_none() => foreign_kill(death.for_memory).into(),
            Ended::Signal(signal) => format!("died of signal {signal}"),
        };
        let age = now.saturating_sub(self.born).as_secs_f64();
        let held: Vec<String> = self.holds(board).map(|shard| shard.to_string()).collect();
        let held = if held.is_empty() { "none".to_string() } else { held.join(",") };
        let name = self.name();
        format!("{name} (pid {pid}) {how} after {age:.1} s; held shards {held}")
    }

    /// What follows a death that nobody asked for.
    fn outlook(&self, ended: Ended, pause: Duration, limits: &Limits) -> String {
        if ended == Ended::Exit(MISCONFIGURED) {
            return "; no restart mends that".to_string();
        }
        let (next, max) = (self.restarts.len() + 1, limits.restarts_max);
        if next as u32 > max {
            return format!("; all {max} restarts are used");
        }
        format!("; restart {next} of {max} in {:.1} s", pause.as_secs_f64())
    }

    /// The shards that this worker holds.
    fn holds<'b>(&self, board: &'b Board) -> impl Iterator<Item = u32> + use<'b> {
        let flusher = self.duty.kind == crate::board::words::WorkerKind::Flusher;
        let number = self.duty.number;
        (0..board.max_shards()).filter(move |shard| {
            flusher && board.shard(ShardId(*shard)).and_then(|slot| slot.holder()) == Some(number)
        })
    }
}

/// How a worker ended, as far as the kernel tells.
#[derive(Clone, Copy)]
pub struct Death {
    pub ended: Ended,
    /// The kernel has killed for want of memory meanwhile; `None` where it does not say.
    pub for_memory: Option<bool>,
}

fn foreign_kill(for_memory: Option<bool>) -> &'static str {
    match for_memory {
        Some(true) => {
            "died of signal 9 (for want of memory: the kernel's count of such kills has grown)"
        }
        Some(false) => "died of signal 9 (not ours, and not for want of memory)",
        None => "died of signal 9 (not ours; for want of memory?)",
    }
}

/// What follows the obituary of one that did not end as it was asked to.
fn last_lines(lines: &[String]) -> String {
    if lines.is_empty() {
        return "; it had logged nothing".to_string();
    }
    format!("; it had logged: {}", lines.join(" | "))
}

/// A backoff with a die of its own.
fn pause(tries: u32) -> Duration {
    let dice = random::bits128().map_or(0.0, |bits| (bits as u32) as f64 / u32::MAX as f64);
    backoff(tries, dice)
}
