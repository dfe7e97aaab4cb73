//! Story 1, in motion: one file per kind of process.
//!
//! A worker is one synchronous loop. Each turn beats the heart once, whether or not work got
//! done (P3), and nothing in a turn may block longer than a few seconds.
#![forbid(unsafe_code)]

mod backoff;
pub mod flusher;
pub mod ingest;
mod repeats;

pub use backoff::Backoff;
pub use repeats::Repeats;

use crate::board::words::{DaemonWord, WorkerWord};
use crate::board::{Board, WorkerSlot};
use crate::error::{Error, Kind, Result};
use crate::sys::signal::{self, SIGTERM, Signals};
use crate::sys::time;

/// What a worker waits for when it is alive and not moving (P3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Waiting {
    Nothing = 0,
    Kafka = 1,
    Redis = 2,
}

/// A worker's place in the daemon, from its birth on: the board, its number, its signals.
pub struct Berth<'a> {
    pub board: &'a Board,
    /// Number among the workers of its kind: `flusher/3` has 3.
    pub number: usize,
    slot: WorkerSlot<'a>,
    signals: Signals,
}

impl<'a> Berth<'a> {
    /// Called in the child, after the parent's signal actions are gone: catches our own. The
    /// supervisor alone answers the others; here they only must not be deadly.
    pub fn new(board: &'a Board, number: usize, slot: WorkerSlot<'a>) -> Result<Berth<'a>> {
        let caught = [&[SIGTERM], signal::ignored_by_workers()].concat();
        let signals = Signals::catch(&caught)
            .map_err(|why| Error::temporary(format!("cannot catch signals: {why}")))?;
        slot.set(WorkerWord::Generation, board.get(DaemonWord::Generation));
        Ok(Berth { board, number, slot, signals })
    }

    /// This worker is to end in order: it was told so, or the whole daemon was.
    pub fn stopping(&self) -> bool {
        self.signals.came(SIGTERM) || self.board.stopping()
    }

    /// Alive: the loop turns. One store, once a turn and between the pages of long work.
    pub fn beat(&self) {
        self.slot.set(WorkerWord::BeatMs, time::monotonic().as_millis() as u64);
    }

    /// Moving: work got done.
    pub fn moved(&self) {
        self.slot.set(WorkerWord::MovedMs, time::monotonic().as_millis() as u64);
    }

    pub fn waiting_for(&self, what: Waiting) {
        self.slot.set(WorkerWord::WaitingFor, what as u64);
    }
}

/// Why a loop ended: the exit status that the supervisor reads.
pub fn exit_status(result: Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            match error.kind() {
                Kind::Usage => Kind::Config as i32,
                kind => kind as i32,
            }
        }
    }
}
