//! Reloading: a forked probe tries the new configuration, then the workers are replaced one at a
//! time. What the probe refuses changes nothing; what a worker rejects after all is taken back.

use super::policy::Limits;
use super::{Child, Supervisor};
use crate::board::words::{DaemonWord, ReloadState};
use crate::error::Result;
use crate::sys::process::{self, Ended, Pid, Send};
use crate::sys::signal;
use std::ops::RangeInclusive;
use std::time::Duration;

/// So long after a reload a worker that ends with 78 still means the new configuration: some
/// things show only when Redis and Kafka have answered.
const PROBATION: Duration = Duration::from_secs(10);

/// What the supervisor asks of whoever reads the configuration.
pub trait Front {
    /// In a process of its own: reads and validates, clients' properties included; the status
    /// says whether it would do.
    fn probe(&self) -> i32;

    /// After a probe that would do: workers that are forked from now on get the new one.
    fn reload(&self) -> Result<Limits>;

    /// What is in force has proven itself, at the first readiness or after a reload: from now on
    /// `restore` goes back to it.
    fn prove(&self);

    /// After a worker that rejected it: workers get the last proven one again, or the first.
    fn restore(&self) -> Limits;
}

/// What the supervisor knows of its reloads.
#[derive(Default)]
pub(super) struct Reloads {
    pub asked: bool,
    /// The last one was refused or taken back.
    pub refused: bool,
    step: Option<Step>,
    trial: Option<Trial>,
    /// The generations of what was taken back last.
    rejected: Option<RangeInclusive<u64>>,
    /// The number of the last one that was begun, and of the one that is in force.
    number: u64,
    in_force: u64,
}

/// The step under way.
enum Step {
    Probing {
        probe: Pid,
        since: Duration,
        killed: bool,
    },
    /// Workers that still run with another configuration, by their place in the list; the one
    /// that is being replaced now, and the process that it was.
    Replacing {
        left: Vec<usize>,
        now: Option<(usize, Option<Pid>)>,
        to: To,
    },
}

/// What runs and may still be rejected. It outlives the step: another reload may be asked for,
/// and refused, in the meantime.
struct Trial {
    /// Its first generation.
    since: u64,
    /// When it has proven itself; `None` while workers are replaced.
    until: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    TheNew,
    TheOld,
}

impl Supervisor<'_> {
    /// Begins a reload that was asked for, unless one is under way: then that one comes first.
    pub(super) fn begin_reload(&mut self, now: Duration) {
        if !self.reload.asked || self.reload.step.is_some() {
            return;
        }
        self.reload.asked = false;
        self.reload.number += 1;
        if self.ready {
            self.systemd.reloading(now);
        }
        let front = self.front;
        let probe = || match signal::listen_as_worker() {
            Ok(()) => front.probe(),
            Err(_) => 1,
        };
        match process::spawn(probe) {
            Ok(probe) => {
                self.reload.step = Some(Step::Probing { probe, since: now, killed: false });
            }
            Err(why) => self.refuse(&format!("cannot fork the probe: {why}")),
        }
        self.show_reload();
        self.board.daemon().set(DaemonWord::Reloads, self.reload.number);
    }

    /// The probe has ended; says whether that process was it.
    pub(super) fn probed(&mut self, pid: Pid, ended: Ended) -> bool {
        if !matches!(self.reload.step, Some(Step::Probing { probe, .. }) if probe == pid) {
            return false;
        }
        self.reload.step = None;
        match ended {
            Ended::Exit(0) => self.take_over(),
            Ended::Exit(_) => self.refuse("the probe does not accept it; it has logged why"),
            Ended::Signal(n) => self.refuse(&format!("the probe died of signal {n}")),
        }
        true
    }

    fn take_over(&mut self) {
        match self.front.reload() {
            Ok(limits) => {
                self.limits = limits;
                let left = (0..self.children.len()).rev().collect();
                let generation = self.next_generation();
                let since = self.reload.trial.as_ref().map_or(generation, |trial| trial.since);
                self.reload.trial = Some(Trial { since, until: None });
                self.reload.step = Some(Step::Replacing { left, now: None, to: To::TheNew });
                self.reload.in_force = self.reload.number;
                self.reload.refused = false;
                log::info!("a new configuration: replacing the workers one at a time");
            }
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn refuse(&mut self, why: &str) {
        log::error!("the configuration is not reloaded and nothing changes: {why}");
        self.count_refusal();
        self.tell_ready();
    }

    fn count_refusal(&mut self) {
        let daemon = self.board.daemon();
        daemon.set(DaemonWord::ReloadFailed, daemon.get(DaemonWord::ReloadFailed) + 1);
        self.reload.refused = true;
    }

    /// The end of a reload. One that comes before the first readiness does not stand for it.
    fn tell_ready(&mut self) {
        if self.ready {
            self.systemd.ready();
        }
    }

    fn generation(&self) -> u64 {
        self.board.daemon().get(DaemonWord::Generation)
    }

    fn next_generation(&self) -> u64 {
        let next = self.generation() + 1;
        self.board.daemon().set(DaemonWord::Generation, next);
        next
    }

    /// A worker of that generation said that it will not work as configured. After a reload
    /// that means its configuration, which goes; says whether that is the answer.
    pub(super) fn take_back(&mut self, generation: u64) -> bool {
        let current = self.generation();
        let Some(trial) = self.reload.trial.take_if(|trial| trial.since <= generation) else {
            return self.reload.rejected.as_ref().is_some_and(|gone| gone.contains(&generation));
        };
        if generation < current {
            // Another configuration has taken its place meanwhile: that one is to be judged.
            self.reload.trial = Some(trial);
            return true;
        }
        log::error!("a worker rejects the new configuration: the last proven one comes back");
        let rejected = trial.since..=current;
        self.abandon_probe();
        self.limits = self.front.restore();
        self.next_generation();
        self.count_refusal();
        let has_it = |at: &usize| rejected.contains(&self.children[*at].generation);
        let left = (0..self.children.len()).rev().filter(has_it).collect();
        self.reload.step = Some(Step::Replacing { left, now: None, to: To::TheOld });
        self.reload.rejected = Some(rejected);
        true
    }

    /// Bounds the probe, replaces the next worker, ends the probation.
    pub(super) fn go_on_reloading(&mut self, now: Duration) {
        self.bound_the_probe(now);
        self.replace_next(now);
        self.end_probation(now);
        self.show_reload();
    }

    fn bound_the_probe(&mut self, now: Duration) {
        let Some(Step::Probing { probe, since, killed }) = &mut self.reload.step else { return };
        if *killed || now <= *since + self.limits.start {
            return;
        }
        *killed = true;
        log::warn!("the probe of the new configuration hangs: killing it");
        kill(*probe);
    }

    /// A probe that is under way when its answer does not count any more.
    pub(super) fn abandon_probe(&mut self) {
        self.reload.asked = false;
        if let Some(Step::Probing { probe, .. }) = self.reload.step {
            self.reload.step = None;
            log::warn!("a reload that was under way goes no further");
            kill(probe);
        }
    }

    /// Replaces the next worker once the one before is healthy again.
    fn replace_next(&mut self, now: Duration) {
        let Some(Step::Replacing { left, now: under_way, to }) = &mut self.reload.step else {
            return;
        };
        if let Some((at, old)) = under_way {
            let child = &self.children[*at];
            if child.wanted && (child.pid == *old || !child.is_healthy()) {
                return;
            }
            *under_way = None;
        }
        // Who does not run and is not to run has nothing to be replaced.
        let children = &mut self.children;
        let is_idle = |at: &mut usize| children[*at].pid.is_none() && !children[*at].wanted;
        while left.pop_if(is_idle).is_some() {}
        match (left.pop(), *to) {
            (Some(at), _) => {
                let child = &mut children[at];
                *under_way = Some((at, child.pid));
                if child.pid.is_some() {
                    child.ask_to_leave(self.board, now, self.limits.leave);
                }
            }
            (None, To::TheNew) => self.finish(now),
            (None, To::TheOld) => {
                self.reload.step = None;
                log::info!("the old configuration is back");
                // Where the first readiness was that of the rejected one, nothing else proves it.
                if self.ready {
                    self.front.prove();
                }
                self.tell_ready();
            }
        }
    }

    fn finish(&mut self, now: Duration) {
        self.reload.step = None;
        if let Some(trial) = &mut self.reload.trial {
            trial.until = Some(now + PROBATION);
        }
        let generation = self.generation();
        let old = |child: &&Child| child.pid.is_some() && child.generation != generation;
        let old = self.children.iter().filter(old).count();
        log::info!("reloaded: configuration generation {generation}, {old} workers without it");
        self.tell_ready();
    }

    /// All workers run, for the first time; what is on trial has its own time to prove itself.
    pub(super) fn prove_the_first(&self) {
        if self.reload.trial.is_none() {
            self.front.prove();
        }
    }

    fn end_probation(&mut self, now: Duration) {
        let over = |trial: &mut Trial| trial.until.is_some_and(|until| now > until);
        if self.reload.trial.take_if(over).is_some() {
            self.front.prove();
            self.board.daemon().set(DaemonWord::ReloadProven, self.reload.in_force);
        }
    }

    fn show_reload(&self) {
        let state = match (&self.reload.step, &self.reload.trial) {
            (Some(Step::Probing { .. }), _) => ReloadState::Probing,
            (Some(Step::Replacing { to: To::TheNew, .. }), _) => ReloadState::Replacing,
            (Some(Step::Replacing { to: To::TheOld, .. }), _) => ReloadState::Restoring,
            (None, Some(_)) => ReloadState::Probation,
            (None, None) => ReloadState::Idle,
        };
        self.board.daemon().set(DaemonWord::Reload, state as u64);
    }
}

fn kill(probe: Pid) {
    if let Err(why) = process::kill(probe, Send::Kill) {
        log::error!("cannot kill the probe (pid {probe}): {why}");
    }
}
