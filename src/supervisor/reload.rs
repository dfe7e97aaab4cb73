//! Reloading: a forked probe tries the new configuration, then the workers are replaced one at a
//! time. What the probe refuses changes nothing.

use super::policy::Limits;
use super::{Child, Supervisor};
use crate::board::words::{DaemonWord, WorkerWord};
use crate::error::Result;
use crate::sys::process::{self, Ended, Pid};
use crate::sys::signal;
use std::time::Duration;

/// What the supervisor asks of whoever reads the configuration.
pub trait Front {
    /// In a process of its own: reads and validates, clients' properties included; the status
    /// says whether it would do.
    fn probe(&self) -> i32;

    /// After a probe that would do: workers that are forked from now on get the new one.
    fn reload(&self) -> Result<Limits>;
}

/// A reload under way.
pub(super) enum Reload {
    Probing(Pid),
    /// Workers that still run with the old configuration, by their place in the list; the one
    /// that is being replaced now, and the process that it was.
    Replacing {
        left: Vec<usize>,
        now: Option<(usize, Option<Pid>)>,
    },
}

impl Supervisor<'_> {
    pub(super) fn begin_reload(&mut self, now: Duration) {
        if self.reload.is_some() {
            log::warn!("a reload is under way already");
            return;
        }
        self.systemd.reloading(now);
        let front = self.front;
        let probe = || match signal::listen_as_worker() {
            Ok(()) => front.probe(),
            Err(_) => 1,
        };
        match process::spawn(probe) {
            Ok(pid) => self.reload = Some(Reload::Probing(pid)),
            Err(why) => self.refuse(&format!("cannot fork the probe: {why}")),
        }
    }

    /// The probe has ended; says whether that process was it.
    pub(super) fn probed(&mut self, pid: Pid, ended: Ended) -> bool {
        if !matches!(self.reload, Some(Reload::Probing(probe)) if probe == pid) {
            return false;
        }
        self.reload = None;
        match ended {
            Ended::Exit(0) => self.take_over(),
            _ => self.refuse("the probe does not accept it; its reason is logged above"),
        }
        true
    }

    fn take_over(&mut self) {
        match self.front.reload() {
            Ok(limits) => {
                self.limits = limits;
                let daemon = self.board.daemon();
                daemon.set(DaemonWord::Generation, daemon.get(DaemonWord::Generation) + 1);
                let left = (0..self.children.len()).rev().collect();
                self.reload = Some(Reload::Replacing { left, now: None });
                log::info!("a new configuration: replacing the workers one at a time");
            }
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn refuse(&mut self, why: &str) {
        log::error!("the configuration is not reloaded and nothing changes: {why}");
        let daemon = self.board.daemon();
        daemon.set(DaemonWord::ReloadFailed, daemon.get(DaemonWord::ReloadFailed) + 1);
        self.systemd.ready();
    }

    /// Replaces the next worker once the one before is healthy again.
    pub(super) fn replace_next(&mut self, now: Duration) {
        let Some(Reload::Replacing { left, now: under_way }) = &mut self.reload else { return };
        if let Some((at, old)) = under_way {
            let child = &self.children[*at];
            if child.wanted && (child.pid == *old || !child.is_healthy()) {
                return;
            }
            *under_way = None;
        }
        match left.pop() {
            Some(at) => {
                let child = &mut self.children[at];
                *under_way = Some((at, child.pid));
                if child.pid.is_some() {
                    child.ask_to_leave(now);
                }
            }
            None => self.finish_reload(),
        }
    }

    fn finish_reload(&mut self) {
        self.reload = None;
        let generation = self.board.daemon().get(DaemonWord::Generation);
        let old = |child: &&Child| {
            child.pid.is_some() && child.slot(self.board).get(WorkerWord::Generation) != generation
        };
        let old = self.children.iter().filter(old).count();
        log::info!("reloaded: configuration generation {generation}, {old} workers without it");
        self.systemd.ready();
    }
}
