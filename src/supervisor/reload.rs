//! Reloading: a forked probe tries the new configuration, then the workers are replaced one at a
//! time. What the probe refuses changes nothing; what a worker rejects after all is taken back.

use super::policy::Limits;
use super::{Child, Supervisor};
use crate::board::words::DaemonWord;
use crate::error::Result;
use crate::sys::process::{self, Ended, Pid, Send};
use crate::sys::signal;
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

    /// After a worker that rejected it: workers get the one before the last reload again.
    fn restore(&self) -> Limits;
}

/// A reload under way.
pub(super) enum Reload {
    Probing {
        probe: Pid,
        since: Duration,
    },
    /// Workers that still run with another configuration, by their place in the list; the one
    /// that is being replaced now, and the process that it was.
    Replacing {
        left: Vec<usize>,
        now: Option<(usize, Option<Pid>)>,
        to: To,
    },
    /// All run with the new one, and may still reject it.
    OnProbation {
        until: Duration,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    TheNew,
    TheOld,
}

impl Supervisor<'_> {
    /// Begins a reload that was asked for, unless one is under way: then that one comes first.
    pub(super) fn begin_reload(&mut self, now: Duration) {
        if !self.reload_asked || !matches!(self.reload, None | Some(Reload::OnProbation { .. })) {
            return;
        }
        self.reload_asked = false;
        self.systemd.reloading(now);
        let front = self.front;
        let probe = || match signal::listen_as_worker() {
            Ok(()) => front.probe(),
            Err(_) => 1,
        };
        match process::spawn(probe) {
            Ok(probe) => self.reload = Some(Reload::Probing { probe, since: now }),
            Err(why) => self.refuse(&format!("cannot fork the probe: {why}")),
        }
    }

    /// The probe has ended; says whether that process was it.
    pub(super) fn probed(&mut self, pid: Pid, ended: Ended) -> bool {
        if !matches!(self.reload, Some(Reload::Probing { probe, .. }) if probe == pid) {
            return false;
        }
        self.reload = None;
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
                self.next_generation();
                self.reload = Some(Reload::Replacing { left, now: None, to: To::TheNew });
                self.reload_refused = false;
                log::info!("a new configuration: replacing the workers one at a time");
            }
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn refuse(&mut self, why: &str) {
        log::error!("the configuration is not reloaded and nothing changes: {why}");
        self.count_refusal();
        self.systemd.ready();
    }

    fn count_refusal(&mut self) {
        let daemon = self.board.daemon();
        daemon.set(DaemonWord::ReloadFailed, daemon.get(DaemonWord::ReloadFailed) + 1);
        self.reload_refused = true;
    }

    fn next_generation(&self) {
        let daemon = self.board.daemon();
        daemon.set(DaemonWord::Generation, daemon.get(DaemonWord::Generation) + 1);
    }

    /// A worker of that generation said that it will not work as configured. After a reload
    /// that means its configuration, which goes; says whether that is the answer.
    pub(super) fn take_back(&mut self, generation: u64) -> bool {
        let current = self.board.daemon().get(DaemonWord::Generation);
        let on_trial = matches!(
            self.reload,
            Some(Reload::Replacing { to: To::TheNew, .. } | Reload::OnProbation { .. })
        );
        if !on_trial || generation != current {
            return self.rejected == Some(generation);
        }
        log::error!("a worker rejects the new configuration: the old one comes back");
        self.rejected = Some(generation);
        self.limits = self.front.restore();
        self.next_generation();
        self.count_refusal();
        let has_it = |at: &usize| self.children[*at].generation == generation;
        let left = (0..self.children.len()).rev().filter(has_it).collect();
        self.reload = Some(Reload::Replacing { left, now: None, to: To::TheOld });
        true
    }

    /// Bounds the probe, replaces the next worker, ends the probation.
    pub(super) fn go_on_reloading(&mut self, now: Duration) {
        match &self.reload {
            Some(Reload::Probing { probe, since }) if now > *since + self.limits.start => {
                log::warn!("the probe of the new configuration hangs: killing it");
                if let Err(why) = process::kill(*probe, Send::Kill) {
                    log::error!("cannot kill the probe (pid {probe}): {why}");
                }
            }
            Some(Reload::OnProbation { until }) if now > *until => self.reload = None,
            _ => self.replace_next(now),
        }
    }

    /// Replaces the next worker once the one before is healthy again.
    fn replace_next(&mut self, now: Duration) {
        let Some(Reload::Replacing { left, now: under_way, to }) = &mut self.reload else {
            return;
        };
        if let Some((at, old)) = under_way {
            let child = &self.children[*at];
            if child.wanted && (child.pid == *old || !child.is_healthy()) {
                return;
            }
            *under_way = None;
        }
        match (left.pop(), *to) {
            (Some(at), _) => {
                let child = &mut self.children[at];
                *under_way = Some((at, child.pid));
                if child.pid.is_some() {
                    child.ask_to_leave(now);
                }
            }
            (None, To::TheNew) => self.finish(now),
            (None, To::TheOld) => {
                self.reload = None;
                log::info!("the old configuration is back");
                self.systemd.ready();
            }
        }
    }

    fn finish(&mut self, now: Duration) {
        self.reload = Some(Reload::OnProbation { until: now + PROBATION });
        let generation = self.board.daemon().get(DaemonWord::Generation);
        let old = |child: &&Child| child.pid.is_some() && child.generation != generation;
        let old = self.children.iter().filter(old).count();
        log::info!("reloaded: configuration generation {generation}, {old} workers without it");
        self.systemd.ready();
    }
}
