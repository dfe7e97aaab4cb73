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

use crate::board::Board;
use crate::error::Kind;

/// What a worker's main function is handed after its birth.
pub struct Berth<'a> {
    pub board: &'a Board,
    /// Number among the workers of its kind: `flusher/3` has 3.
    pub number: usize,
}

/// Why a loop ended: the exit status that the supervisor reads.
pub fn exit_status(result: crate::error::Result<()>) -> i32 {
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
