//! The end, in order and on time: all at once, one deadline, then SIGKILL, then reap.
//!
//! Ingest and flushers settle between themselves who leaves first; the supervisor gives all
//! of them the word at the same moment, so that waiting never adds up.

use super::{DaemonState, DaemonWord, GAVE_UP, Supervisor, TICK};
use crate::sys::process::Ended;
use crate::sys::time;
use std::time::Duration;

/// What a kernel may take to end a killed process. Who is not dead then is stuck in it.
const REAPING: Duration = Duration::from_millis(400);

impl Supervisor<'_> {
    /// Ends all workers and returns the daemon's exit status: `status` if all ended in order.
    pub(super) fn stop(&mut self, status: i32) -> i32 {
        let begun = time::monotonic();
        self.abandon_probe();
        self.systemd.stopping(self.limits.shutdown);
        for child in &self.children {
            // Before anybody can see that the daemon stops.
            child.leaves_within(self.board, begun, self.limits.shutdown);
        }
        self.board.daemon().set(DaemonWord::State, DaemonState::Stopping as u64);
        log::info!("stopping {} workers", self.running());
        for child in &mut self.children {
            child.ask_to_leave(self.board, begun, self.limits.shutdown);
        }
        let in_order = self.wait_for_all(begun + self.limits.shutdown, true);
        let stragglers = self.kill_stragglers();
        if status == 0 && (stragglers > 0 || !in_order) { GAVE_UP } else { status }
    }

    /// Waits until nobody runs, the deadline is over, or a second signal says "now". Says
    /// whether all that ended did so with status 0.
    fn wait_for_all(&mut self, deadline: Duration, patient: bool) -> bool {
        let mut in_order = true;
        loop {
            let now = self.begin_turn();
            match self.reap(now) {
                Ok(ends) => in_order &= ends.iter().all(|end| end.ended == Ended::Exit(0)),
                Err(error) => log::error!("{error}"),
            }
            if self.running() == 0 || now >= deadline {
                return in_order;
            }
            self.systemd.pet(now);
            let rest = deadline.saturating_sub(now).min(TICK);
            if patient && self.wait(rest).is_ok_and(|arrived| arrived.stop) {
                log::warn!("asked to stop again: now");
                return in_order;
            }
            if !patient {
                let _ = self.wait(rest);
            }
        }
    }

    /// Kills and reaps who still runs; says how many these were.
    fn kill_stragglers(&mut self) -> usize {
        let stragglers = self.running();
        if stragglers == 0 {
            return 0;
        }
        let now = time::monotonic();
        for child in self.children.iter_mut().filter(|child| child.pid.is_some()) {
            log::error!("{} did not end in time: killing it", child.name());
            child.kill(self.board, now);
        }
        let daemon = self.board.daemon();
        daemon.set(DaemonWord::Stragglers, daemon.get(DaemonWord::Stragglers) + stragglers as u64);
        self.wait_for_all(now + REAPING, false);
        if self.running() > 0 {
            log::error!("{} killed workers are stuck in the kernel: leaving them", self.running());
        }
        stragglers
    }

    fn running(&self) -> usize {
        self.children.iter().filter(|child| child.pid.is_some()).count()
    }
}
