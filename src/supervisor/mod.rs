//! Story 2: the loop that keeps the workers alive.
//!
//! One thread, no client of anything, so it may fork at any moment (P1). A turn is a list: wait
//! → reap → read the facts → decide → act → assign → report. `policy` decides, this file acts.
//! A replacement is forked only after the old worker was reaped and what it held is freed,
//! so there are never two workers for one duty (P2). Nothing here waits for a worker.
#![forbid(unsafe_code)]

mod assign;
mod child;
pub mod policy;
mod stop;
mod systemd;

pub use child::{Duty, State};

use crate::board::Board;
use crate::board::words::{self, DaemonWord, OwnershipWord, ShardWord, WorkerWord};
use crate::error::{Error, Kind, Result};
use crate::segment::ShardId;
use crate::sys::process::{self, Pid, Reap, WaitStatus};
use crate::sys::shm::Lock;
use crate::sys::signal::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1, Signals};
use crate::sys::{poll, time};
use child::Child;
use policy::{Decision, Limits, Why};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;
use stop::Stop;
use systemd::Systemd;

/// The longest sleep of the loop: how late a silence or a new shard is seen at most.
const TURN: Duration = Duration::from_millis(50);

/// A turn that is this late means that we were stopped or suspended ourselves.
const LATE: Duration = Duration::from_secs(1);

/// The kernel takes a worker before its supervisor when memory runs out.
const WORKER_OOM_SCORE: i32 = 500;

/// What the supervisor asks of the daemon's front door.
pub trait Front {
    /// SIGUSR1: writes the status to the log.
    fn log_status(&self, board: &Board);

    /// SIGHUP, in a forked probe: reads and validates the configuration; exit status.
    fn probe(&self) -> i32;

    /// SIGHUP, after a probe that ended well: workers forked from now on use the new one.
    fn reload(&self) -> Result<Limits>;
}

/// The daemon's life, from the first fork to the last reap; returns the exit status.
pub fn run(
    board: &Board,
    lock: Lock,
    duties: Vec<Duty<'_>>,
    limits: Limits,
    front: &dyn Front,
) -> Result<i32> {
    let caught = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD];
    let signals = Signals::catch(&caught)
        .map_err(|why| Error::temporary(format!("cannot catch signals: {why}")))?;
    let children = duties.into_iter().enumerate().map(|(slot, duty)| Child::new(duty, slot));
    let now = time::monotonic();
    let mut supervisor = Supervisor {
        board,
        lock: Some(lock),
        children: children.collect(),
        limits,
        front,
        signals,
        systemd: Systemd::from_environment(),
        stop: None,
        reload: None,
        turned_at: now,
        awake_since: now,
        said_no_shards: false,
    };
    board.set(DaemonWord::Pid, u64::from(std::process::id()));
    board.set(DaemonWord::StartedMs, time::wall_ms() as u64);
    board.set(DaemonWord::Generation, 1);
    loop {
        if let Some(status) = supervisor.turn() {
            return Ok(status);
        }
    }
}

struct Supervisor<'a> {
    board: &'a Board,
    lock: Option<Lock>,
    children: Vec<Child<'a>>,
    limits: Limits,
    front: &'a dyn Front,
    signals: Signals,
    systemd: Systemd,
    stop: Option<Stop>,
    reload: Option<Reload>,
    turned_at: Duration,
    awake_since: Duration,
    said_no_shards: bool,
}

/// A reload under way: first the probe, then the workers one at a time.
enum Reload {
    Probing(Pid),
    /// Children not yet replaced, and the one that is being replaced now.
    Replacing {
        left: Vec<usize>,
        now: Option<usize>,
    },
}

impl Supervisor<'_> {
    /// One turn; the exit status when it was the last.
    fn turn(&mut self) -> Option<i32> {
        self.wait();
        let now = time::monotonic();
        if now.saturating_sub(self.turned_at) > LATE {
            log::warn!("the supervisor itself stood still; every worker's silence counts from now");
            self.awake_since = now;
        }
        self.turned_at = now;
        self.board.set(DaemonWord::BeatMs, now.as_millis() as u64);
        self.answer_signals(now);
        self.reap(now);
        match &self.stop {
            None => {
                self.supervise(now);
                self.replace_next();
                self.assign();
            }
            Some(_) => {
                if let Some(status) = self.wind_down(now) {
                    return Some(status);
                }
            }
        }
        self.report(now);
        None
    }

    fn wait(&mut self) {
        let wait = match &self.stop {
            Some(stop) => stop.until_deadline(time::monotonic()).min(TURN),
            None => TURN,
        };
        if let Err(why) = poll::readable(self.signals.as_fd(), wait) {
            log::error!("cannot wait for signals: {why}");
        }
        self.signals.drain();
    }

    fn answer_signals(&mut self, now: Duration) {
        let asked = self.signals.take(SIGTERM) + self.signals.take(SIGINT);
        for _ in 0..asked {
            self.begin_stop(0, "asked to stop", now);
        }
        self.signals.take(SIGCHLD);
        if self.signals.take(SIGUSR1) > 0 {
            self.front.log_status(self.board);
        }
        if self.signals.take(SIGHUP) > 0 && self.stop.is_none() {
            self.begin_reload();
        }
    }

    // --- births ---

    /// Forks a worker: one step that either commits or leaves no trace.
    fn start(&mut self, at: usize, now: Duration) {
        let restart = self.children[at].state != State::Unborn;
        let forked = self.fork(at);
        let child = &mut self.children[at];
        match forked {
            Ok(pid) => {
                child.born(pid, now);
                let slot = self.board.worker(at);
                if restart {
                    slot.add(WorkerWord::Restarts, 1);
                }
                child.publish(self.board);
                log::info!("{} started (pid {pid})", child.duty.name());
            }
            Err(why) => {
                child.failed_to_start(now);
                log::error!("cannot fork {}: {why}; trying again", child.duty.name());
            }
        }
    }

    /// After the fork, in this order: die with the parent (in `spawn`), take the inherited
    /// signal actions away, close what is the supervisor's, name the process, then work.
    fn fork(&mut self, at: usize) -> std::io::Result<Pid> {
        self.clean(at);
        process::spawn(|| {
            self.signals.release();
            drop(self.lock.take());
            self.systemd.close();
            let duty = &self.children[at].duty;
            process::set_name(&duty.name());
            if let Err(why) = process::raise_oom_score(WORKER_OOM_SCORE) {
                log::debug!("cannot raise oom_score_adj: {why}");
            }
            (duty.main)()
        })
    }

    /// Frees what a dead worker held and forgets what it said.
    fn clean(&self, at: usize) {
        let duty = &self.children[at].duty;
        let slot = self.board.worker(at);
        for word in [WorkerWord::BeatMs, WorkerWord::WaitingFor, WorkerWord::BackpressureMs] {
            slot.set(word, 0);
        }
        for word in [WorkerWord::InFlightBytes, WorkerWord::IndexBytes] {
            slot.set(word, 0);
        }
        for number in 0..self.board.max_shards() {
            let shard = ShardId(number);
            if duty.kind == words::FLUSHER
                && let Some(slot) = self.board.shard(shard)
            {
                slot.give_back(duty.number);
            }
            if duty.kind == words::INGEST
                && let Some(row) = self.board.ownership(duty.number, shard)
            {
                row.set(OwnershipWord::Wanted, 0);
                row.set(OwnershipWord::Assigned, 0);
            }
        }
    }

    // --- deaths ---

    fn reap(&mut self, now: Duration) {
        loop {
            match process::reap() {
                Ok(Reap::Dead(pid, status)) => self.bury(pid, status, now),
                Ok(Reap::NoneDead | Reap::NoChildren) => return,
                Err(why) => {
                    log::error!("cannot reap: {why}");
                    return;
                }
            }
        }
    }

    fn bury(&mut self, pid: Pid, status: WaitStatus, now: Duration) {
        if let Some(Reload::Probing(probe)) = self.reload
            && probe == pid
        {
            self.reload = None;
            self.probed(status);
            return;
        }
        let Some(at) = self.children.iter().position(|child| child.pid == Some(pid)) else {
            log::debug!("reaped pid {pid}, which is no worker");
            return;
        };
        let held = self.held_by(at);
        self.clean(at);
        let child = &mut self.children[at];
        let state = child.state;
        let lived = child.died(now);
        self.board.worker(at).set(WorkerWord::LastExit, status.raw() as u64 + 1);
        if self.stop.is_some() {
            child.state = State::Gone;
            log::info!("{} (pid {pid}) {status}", child.duty.name());
        } else {
            child.state = state;
            log::warn!("{}", child.obituary(pid, status, lived, &held, &self.limits, now));
            child.state = State::Dead;
        }
        child.publish(self.board);
        if status.exit_status() == Some(Kind::Config as i32) {
            self.begin_stop(Kind::Config as i32, "a worker cannot work as configured", now);
        }
    }

    fn held_by(&self, at: usize) -> Vec<u32> {
        let duty = &self.children[at].duty;
        if duty.kind != words::FLUSHER {
            return Vec::new();
        }
        let holds = |number: &u32| {
            self.board.shard(ShardId(*number)).and_then(|slot| slot.holder()) == Some(duty.number)
        };
        (0..self.board.max_shards()).filter(holds).collect()
    }

    // --- decisions ---

    fn supervise(&mut self, now: Duration) {
        for at in 0..self.children.len() {
            let slot = self.board.worker(at);
            self.children[at].look(slot, &self.limits, now);
            let decision = if self.children[at].state == State::Unborn {
                Decision::Restart
            } else {
                let facts = self.children[at].facts(slot, self.awake_since, now);
                policy::decide(&facts, &self.limits)
            };
            match decision {
                Decision::Leave => {}
                Decision::Kill(why) => self.kill(at, why),
                Decision::Restart => self.start(at, now),
                Decision::GiveUp => {
                    let name = self.children[at].duty.name();
                    let why = format!("{name} died too often within restart-window");
                    self.begin_stop(Kind::Software as i32, &why, now);
                    return;
                }
            }
            self.children[at].publish(self.board);
        }
    }

    fn kill(&mut self, at: usize, why: Why) {
        let child = &mut self.children[at];
        let Some(pid) = child.pid else { return };
        let because = match why {
            Why::NeverStarted => "it gave no sign of health within start-timeout",
            Why::Silent => "its loop has not turned for max-unhealthy-seconds",
        };
        log::error!("killing {} (pid {pid}): {because}", child.duty.name());
        if let Err(error) = process::kill(pid, SIGKILL) {
            log::error!("cannot kill pid {pid}: {error}");
            return;
        }
        child.state = State::Killed;
    }

    /// Which flusher should hold which shard, moving as few as possible.
    fn assign(&mut self) {
        let mut shards = Vec::new();
        let mut today = BTreeMap::new();
        for number in 0..self.board.max_shards() {
            let Some(slot) = self.board.shard(ShardId(number)) else { continue };
            if let desired @ 1.. = slot.get(ShardWord::Desired) {
                today.insert(number, desired as usize - 1);
            }
            if self.is_wanted(ShardId(number)) {
                shards.push(number);
            }
        }
        let plan = assign::plan(&shards, &today, self.board.flushers());
        for number in today.keys().chain(plan.keys()) {
            if let Some(slot) = self.board.shard(ShardId(*number)) {
                let desired = plan.get(number).map_or(0, |flusher| *flusher as u64 + 1);
                slot.set(ShardWord::Desired, desired);
            }
        }
        self.say_no_shards(shards.is_empty());
    }

    fn is_wanted(&self, shard: ShardId) -> bool {
        (0..self.board.ingests()).any(|ingest| {
            self.board.ownership(ingest, shard).is_some_and(|row| {
                row.get(OwnershipWord::Assigned) > 0 && row.get(OwnershipWord::Wanted) == 1
            })
        })
    }

    /// No shards is a normal state (a rebalance, more daemons than partitions): said once.
    fn say_no_shards(&mut self, none: bool) {
        let healthy = self.children.iter().all(|child| child.state == State::Healthy);
        if none && healthy && !self.said_no_shards {
            log::info!("no shards are assigned; idle until the group assigns some");
            self.said_no_shards = true;
        } else if !none {
            self.said_no_shards = false;
        }
    }

    // --- reloading ---

    fn begin_reload(&mut self) {
        if self.reload.is_some() {
            log::warn!("a reload is under way already");
            return;
        }
        self.systemd.reloading();
        let front = self.front;
        let forked = process::spawn(|| {
            self.signals.release();
            drop(self.lock.take());
            process::set_name("probe");
            front.probe()
        });
        match forked {
            Ok(pid) => self.reload = Some(Reload::Probing(pid)),
            Err(why) => self.refuse_reload(&format!("cannot fork the probe: {why}")),
        }
    }

    fn refuse_reload(&mut self, why: &str) {
        log::error!("the configuration is not reloaded, nothing changes: {why}");
        self.board.add(DaemonWord::ReloadFailed, 1);
        self.systemd.ready(&format!("reload refused: {why}"));
    }

    fn probed(&mut self, status: WaitStatus) {
        if status.exit_status() != Some(0) {
            self.refuse_reload(&format!("the probe {status}"));
            return;
        }
        match self.front.reload() {
            Ok(limits) => {
                self.limits = limits;
                self.board.add(DaemonWord::Generation, 1);
                let left = (0..self.children.len()).rev().collect();
                self.reload = Some(Reload::Replacing { left, now: None });
                log::info!("the configuration is read; replacing the workers one at a time");
            }
            Err(error) => self.refuse_reload(&error.to_string()),
        }
    }

    /// Replaces the next worker once the last one is healthy again.
    fn replace_next(&mut self) {
        let Some(Reload::Replacing { left, now }) = &mut self.reload else { return };
        let generation = self.board.get(DaemonWord::Generation);
        if let Some(at) = *now {
            let runs_new = self.board.worker(at).get(WorkerWord::Generation) == generation;
            if !runs_new || self.children[at].state != State::Healthy {
                return;
            }
            *now = None;
        }
        let Some(at) = left.pop() else {
            self.reload = None;
            log::info!("reloaded: all workers run with configuration generation {generation}");
            self.systemd.ready("reloaded");
            return;
        };
        *now = Some(at);
        if let Some(pid) = self.children[at].pid
            && let Err(why) = process::kill(pid, SIGTERM)
        {
            log::error!("cannot signal pid {pid}: {why}");
        }
    }

    // --- the end ---

    /// The first call begins the orderly stop, a second one means now.
    fn begin_stop(&mut self, status: i32, why: &str, now: Duration) {
        if let Some(stop) = &mut self.stop {
            stop.again(status, now);
            return;
        }
        log::info!("stopping: {why}");
        self.systemd.stopping();
        self.board.set(DaemonWord::State, words::STOPPING);
        self.stop = Some(Stop::new(status, now + self.limits.stop_max));
        self.signal_all(SIGTERM);
    }

    fn signal_all(&self, signal: i32) {
        for pid in self.children.iter().filter_map(|child| child.pid) {
            if let Err(why) = process::kill(pid, signal) {
                log::error!("cannot signal pid {pid}: {why}");
            }
        }
    }

    /// All wind down at once against one deadline; at the deadline the rest is killed.
    fn wind_down(&mut self, now: Duration) -> Option<i32> {
        let running = self.children.iter().filter(|child| child.pid.is_some()).count();
        let stop = self.stop.as_mut()?;
        if running == 0 {
            log::info!("stopped");
            return Some(stop.status());
        }
        if stop.is_over(now) {
            stop.kill(running);
            log::error!("{running} workers did not end within shutdown-timeout; killing them");
            self.board.add(DaemonWord::Stragglers, running as u64);
            self.signal_all(SIGKILL);
        }
        None
    }

    fn report(&mut self, now: Duration) {
        let healthy = self.children.iter().all(|child| child.state == State::Healthy);
        if self.stop.is_none() && healthy && self.board.get(DaemonWord::State) == words::STARTING {
            self.board.set(DaemonWord::State, words::RUNNING);
            self.systemd.ready("running");
        }
        self.systemd.pet(now);
    }
}
