//! Signals as flags and one pollable descriptor.
//!
//! A forked child inherits its parent's actions: a signal sent to the child would then wake
//! the *parent* through the shared pipe. So a child calls [`Signals::release`] first and catches
//! its own signals afterwards; resetting the disposition instead would make SIGTERM deadly.

use signal_hook::SigId;
use signal_hook::low_level;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1};

/// Caught signals: each counts, and all wake one descriptor.
pub struct Signals {
    counts: Vec<(i32, Arc<AtomicUsize>)>,
    actions: Vec<SigId>,
    wake: UnixStream,
}

impl Signals {
    /// Catches these signals from now on.
    pub fn catch(signals: &[i32]) -> io::Result<Signals> {
        let (wake, write) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let mut caught = Signals { counts: Vec::new(), actions: Vec::new(), wake };
        for &signal in signals {
            let count = Arc::new(AtomicUsize::new(0));
            let counter = count.clone();
            // SAFETY: the action only adds to an atomic, which is async-signal-safe.
            let id = unsafe {
                low_level::register(signal, move || {
                    counter.fetch_add(1, Ordering::SeqCst);
                })
            }?;
            caught.actions.push(id);
            caught.actions.push(low_level::pipe::register(signal, write.try_clone()?)?);
            caught.counts.push((signal, count));
        }
        Ok(caught)
    }

    /// How often a signal came since this was last asked; 0 also for one that is not caught.
    pub fn take(&self, signal: i32) -> usize {
        let count = self.counts.iter().find(|(known, _)| *known == signal);
        count.map_or(0, |(_, count)| count.swap(0, Ordering::SeqCst))
    }

    /// It came at least once and stays noted.
    pub fn came(&self, signal: i32) -> bool {
        let count = self.counts.iter().find(|(known, _)| *known == signal);
        count.is_some_and(|(_, count)| count.load(Ordering::SeqCst) > 0)
    }

    /// Empties the descriptor, so that the next poll sleeps.
    pub fn drain(&mut self) {
        let mut bytes = [0u8; 64];
        while matches!(self.wake.read(&mut bytes), Ok(got) if got > 0) {}
    }

    /// Takes the actions away again: a child does this before it catches its own signals.
    pub fn release(&mut self) {
        for id in self.actions.drain(..) {
            low_level::unregister(id);
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Signals that a worker catches only so that they do not end it.
pub fn ignored_by_workers() -> &'static [i32] {
    // The supervisor alone answers these; a terminal's Ctrl-C reaches the whole group.
    &[SIGINT, SIGHUP, SIGUSR1]
}
