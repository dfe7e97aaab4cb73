//! Story 2: the loop that keeps the workers alive.
//!
//! wait → reap all → read facts from the board → decide → act → report, in one thread (P1).
//! The loop reads the board and waits for nothing in it. What a worker does is none of its
//! business: it is handed duties, and cannot spell Kafka, Redis or a span.
#![forbid(unsafe_code)]

pub mod assign;
mod child;
pub mod policy;
mod reload;
mod shards;
mod stop;
pub mod systemd;

use crate::board::Board;
use crate::board::report;
use crate::board::words::{DaemonState, DaemonWord, WaitingFor, WorkerKind, WorkerWord};
use crate::error::{Error, Kind, Result};
use crate::sys::oom::OomKills;
use crate::sys::process::{self, Ended, Pid};
use crate::sys::signal::{self, Arrived, Wake};
use crate::sys::{poll, time};
use child::{Child, Death};
use policy::{Decision, Hung, Limits};
pub use reload::Front;
use reload::Reloads;
use shards::Shards;
use std::time::Duration;
use systemd::Systemd;

/// The loop looks at everything this often; deaths and signals wake it at once.
const TICK: Duration = Duration::from_millis(50);

/// A turn this late means that this process did not run: heartbeats count from now.
const LATE: Duration = Duration::from_secs(1);

/// Exit statuses: gave up, and "will not work as configured".
const GAVE_UP: i32 = Kind::Software as i32;
const MISCONFIGURED: i32 = Kind::Config as i32;

/// A worker's whole life: what it answers is its exit status.
pub type Main = Box<dyn Fn(&Board, usize) -> i32>;

/// What one worker process is to do. `main` runs in the child, on the board, with its number.
pub struct Duty {
    pub kind: WorkerKind,
    pub number: usize,
    pub main: Main,
    /// Asked by the parent when the child is dead: what it logged last, for its obituary.
    pub last_lines: Box<dyn Fn() -> Vec<String>>,
}

/// How many flushers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// All that there are duties for.
    All,
    /// One per assigned shard, at least one, as far as duties go.
    PerShard,
}

/// Runs the duties until a signal, a spent budget or a hopeless worker ends the daemon.
/// The answer is the daemon's exit status.
pub fn run(
    board: &Board,
    duties: Vec<Duty>,
    limits: Limits,
    pool: Pool,
    front: &dyn Front,
) -> Result<i32> {
    let wake = signal::listen_as_supervisor()
        .map_err(|why| Error::temporary(format!("cannot listen to signals: {why}")))?;
    let mut supervisor = Supervisor::new(board, duties, limits, pool, wake, front);
    supervisor.announce();
    let status = loop {
        match supervisor.turn() {
            Ok(None) => {}
            Ok(Some(status)) => break status,
            Err(error) => {
                log::error!("{error}: stopping");
                break GAVE_UP;
            }
        }
    };
    Ok(supervisor.stop(status))
}

struct Supervisor<'b> {
    board: &'b Board,
    children: Vec<Child>,
    limits: Limits,
    pool: Pool,
    shards: Shards,
    wake: Wake,
    systemd: Systemd,
    ready: bool,
    /// When the last turn began; a late turn moves `judged_from`.
    turned: Duration,
    judged_from: Duration,
    /// Some worker is past all help: systemd's watchdog is to know.
    beyond_help: bool,
    oom_kills: OomKills,
    front: &'b dyn Front,
    reload: Reloads,
}

/// One worker's end, and the configuration generation it had.
struct End {
    ended: Ended,
    generation: u64,
}

impl<'b> Supervisor<'b> {
    fn new(
        board: &'b Board,
        duties: Vec<Duty>,
        limits: Limits,
        pool: Pool,
        wake: Wake,
        front: &'b dyn Front,
    ) -> Supervisor<'b> {
        let now = time::monotonic();
        Supervisor {
            board,
            children: duties.into_iter().map(Child::new).collect(),
            limits,
            pool,
            shards: Shards::new(limits.shrink_after),
            wake,
            systemd: Systemd::from_environment(),
            ready: false,
            turned: now,
            judged_from: now,
            beyond_help: false,
            oom_kills: OomKills::watch(),
            front,
            reload: Reloads::default(),
        }
    }

    fn announce(&self) {
        let daemon = self.board.daemon();
        daemon.set(DaemonWord::Pid, std::process::id().into());
        daemon.set(DaemonWord::StartedMs, time::wall_ms() as u64);
        daemon.set(DaemonWord::State, DaemonState::Starting as u64);
        daemon.set(DaemonWord::Generation, 1);
        self.systemd.starting(self.limits.start);
    }

    /// One turn of the loop; the exit status when the daemon is to end.
    fn turn(&mut self) -> Result<Option<i32>> {
        let now = self.begin_turn();
        let ends = self.reap(now)?;
        if !self.will_work(&ends) {
            log::error!("a worker says that this will not work as configured: stopping");
            return Ok(Some(MISCONFIGURED));
        }
        self.assign(now);
        self.begin_reload(now);
        self.go_on_reloading(now);
        if self.act(now) {
            return Ok(Some(GAVE_UP));
        }
        self.report(now);
        let arrived = self.wait(self.tick())?;
        if arrived.report {
            // A log line is one event: the control characters of a table would be escaped.
            report::text(self.board, now, None).lines().for_each(|line| log::info!("{line}"));
        }
        self.reload.asked |= arrived.reload;
        Ok(arrived.stop.then_some(0))
    }

    /// Notices that this process did not run for a while (SIGSTOP, suspend, overload).
    fn begin_turn(&mut self) -> Duration {
        let now = time::monotonic();
        if now.saturating_sub(self.turned) > TICK + LATE {
            let late = now.saturating_sub(self.turned).as_secs_f64();
            log::warn!("the supervisor did not run for {late:.1} s: heartbeats count from now");
            self.judged_from = now;
        }
        self.turned = now;
        self.board.daemon().set(DaemonWord::BeatMs, now.as_millis() as u64);
        now
    }

    /// While a worker starts, its first sign of health is seen soon.
    fn tick(&self) -> Duration {
        let now = time::monotonic();
        let ages = self.children.iter().filter_map(|child| child.starting_for(now));
        ages.map(policy::look_again).min().map_or(TICK, |pause| pause.min(TICK))
    }

    fn wait(&mut self, timeout: Duration) -> Result<Arrived> {
        poll::readable(&[self.wake.descriptor()], timeout)
            .map_err(|why| Error::software(format!("cannot wait for signals: {why}")))?;
        Ok(self.wake.take())
    }

    /// Whether to go on: no worker says that it cannot work as configured, or what it says is
    /// that of a configuration which is taken back.
    fn will_work(&mut self, ends: &[End]) -> bool {
        let mut hopeless = ends.iter().filter(|end| end.ended == Ended::Exit(MISCONFIGURED));
        hopeless.all(|end| self.take_back(end.generation))
    }

    /// Reaps all that have ended and says how they did.
    fn reap(&mut self, now: Duration) -> Result<Vec<End>> {
        let mut ends = Vec::new();
        let failed = |why| Error::software(format!("cannot reap workers: {why}"));
        while let Some((pid, ended)) = process::reap().map_err(failed)? {
            // How the probe of a reload ended is no worker's message.
            if !self.probed(pid, ended) {
                ends.extend(self.bury(pid, ended, now));
            }
        }
        Ok(ends)
    }

    fn bury(&mut self, pid: Pid, ended: Ended, now: Duration) -> Option<End> {
        let Some(child) = self.children.iter_mut().find(|child| child.pid == Some(pid)) else {
            log::debug!("process {pid} ended, which is none of the workers");
            return None;
        };
        let generation = child.generation;
        let death = Death { ended, for_memory: self.oom_kills.look() };
        child.bury(death, self.board, now, &self.limits);
        Some(End { ended, generation })
    }

    /// Says which flusher is to hold which shard, and which flushers are wanted at all.
    fn assign(&mut self, now: Duration) {
        let flushers = self.children.iter().filter(|c| c.duty.kind == WorkerKind::Flusher).count();
        let size = self.shards.assign(self.board, self.pool, flushers, now);
        for child in &mut self.children {
            child.wanted = child.duty.kind != WorkerKind::Flusher || child.duty.number < size;
        }
    }

    /// Decides for each worker and does it; says whether the daemon gives up.
    fn act(&mut self, now: Duration) -> bool {
        self.beyond_help = false;
        for child in &mut self.children {
            child.observe(self.board, now, &self.limits);
            let facts = child.facts(self.board, now, self.judged_from);
            self.beyond_help |= policy::is_beyond_help(&facts, &self.limits);
            match policy::decide(&facts, &self.limits) {
                Decision::Leave => {}
                Decision::Start => child.start(self.board, now),
                Decision::Retire => child.ask_to_leave(self.board, now, self.limits.leave),
                Decision::Kill(hung) => {
                    log::warn!("{} {}: killing it", child.name(), reason(hung));
                    child.kill(self.board, now);
                }
                Decision::GiveUp => {
                    let (name, max) = (child.name(), self.limits.restarts_max);
                    log::error!("{name} died again after {max} restarts: giving up, in order");
                    return true;
                }
            }
        }
        false
    }

    /// Tells systemd and the board how things are.
    fn report(&mut self, now: Duration) {
        let wanted = || self.children.iter().filter(|child| child.wanted);
        let (healthy, all) =
            (wanted().filter(|child| child.is_healthy()).count(), wanted().count());
        if healthy == all && !self.ready {
            self.ready = true;
            self.board.daemon().set(DaemonWord::State, DaemonState::Running as u64);
            self.systemd.ready();
            self.prove_the_first();
            log::info!("running: {all} workers");
        }
        let starting = if self.ready { "" } else { "starting: " };
        let shards = self.shards.count();
        let mut line = format!("{starting}{healthy} of {all} workers healthy, {shards} shards");
        if let Some(reason) = self.waiting_for() {
            line.push_str(&format!(", waiting for {}", reason.name()));
        }
        let unserved = self.unserved();
        if unserved > 0 {
            line.push_str(&format!(", {unserved} partitions beyond max-shards are not consumed"));
        }
        if self.reload.refused {
            line.push_str(", the last reload was refused");
        }
        self.systemd.status(&line, now);
        if !self.beyond_help {
            self.systemd.pet(now);
        }
    }

    /// Partitions for which the board has no room.
    fn unserved(&self) -> u64 {
        let slots = self.children.iter().map(|child| child.slot(self.board));
        slots.map(|slot| slot.get(WorkerWord::Unserved)).sum()
    }

    /// The first thing that a worker waits for.
    fn waiting_for(&self) -> Option<WaitingFor> {
        self.children
            .iter()
            .filter(|child| child.is_healthy())
            .map(|child| child.slot(self.board).get(WorkerWord::WaitingFor))
            .find(|word| *word != 0)
            .map(WaitingFor::from_word)
    }
}

fn reason(hung: Hung) -> &'static str {
    match hung {
        Hung::NeverHealthy => "showed no sign of health in start-timeout",
        Hung::HeartStopped => "has not turned its loop for max-unhealthy-seconds",
        Hung::WouldNotLeave => "was asked to leave and did not",
    }
}
