//! `spanbufd reload`: has a running daemon read its configuration, and tells the outcome.
//!
//! systemctl reload is only as honest as its command: so this one waits until the workers run
//! with the new configuration, or until it was refused. The pid comes from a board that anybody
//! may have made: it is signalled only if board and process belong to the same user.

use super::{Spec, perform};
use crate::board::words::{DaemonWord, Kind, WorkerWord};
use crate::board::{self, Board, Found};
use crate::config::{Accepts, Loaded};
use crate::error::{Error, Result};
use crate::sys::process::{self, Pid, Send};
use std::time::{Duration, Instant};

/// Between two looks at the board.
const LOOK: Duration = Duration::from_millis(20);

/// How long the whole may take: workers are replaced one after the other.
const RELOAD_MAX: Duration = Duration::from_secs(300);

const SPEC: Spec = Spec {
    name: "reload",
    synopsis: "[OPTION]...",
    about: "Has a running daemon read its configuration again, and waits for the outcome: 0 when \
            all workers run with it, 78 when it was refused and nothing has changed.",
    accepts: Accepts::Only(&["instance"]),
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    perform(&SPEC, getopts::Options::new(), args, reload)
}

fn reload(loaded: &Loaded) -> Result<i32> {
    let instance = &loaded.config.instance;
    let before = look(instance)?;
    let word = |board: &Board, word| board.daemon().get(word);
    let Some(pid) = Pid::new(word(&before, DaemonWord::Pid) as i64) else {
        return Err(Error::temporary(format!("{instance} has no pid that may be signalled")));
    };
    if board::is_foreign(instance, pid.number()) {
        return Err(Error::temporary(format!(
            "the board of {instance} names pid {pid}, which is not its owner's: nothing is sent"
        )));
    }
    process::kill(pid, Send::Hangup)
        .map_err(|why| Error::temporary(format!("cannot signal {instance} (pid {pid}): {why}")))?;
    let deadline = Instant::now() + RELOAD_MAX;
    while Instant::now() < deadline {
        std::thread::sleep(LOOK);
        let now = look(instance)?;
        if word(&now, DaemonWord::ReloadFailed) > word(&before, DaemonWord::ReloadFailed) {
            return Err(Error::config(format!(
                "{instance} refused its configuration and goes on with the old one; its log says \
                 why"
            )));
        }
        let generation = word(&now, DaemonWord::Generation);
        if generation > word(&before, DaemonWord::Generation) && all_run(&now, generation) {
            return Ok(0);
        }
    }
    Err(Error::temporary(format!("{instance} is not done after {} s", RELOAD_MAX.as_secs())))
}

fn look(instance: &str) -> Result<Board> {
    match board::find(instance)? {
        Found::Running(board) => Ok(board),
        _ => Err(Error::temporary(format!("{instance} is not running"))),
    }
}

/// Every worker that runs has that generation and has turned its loop.
fn all_run(board: &Board, generation: u64) -> bool {
    let kinds = [(Kind::Ingest, board.ingests()), (Kind::Flusher, board.flushers())];
    kinds.into_iter().flat_map(|(kind, count)| (0..count).map(move |n| (kind, n))).all(
        |(kind, n)| {
            let slot = board.worker(kind, n);
            slot.get(WorkerWord::Pid) == 0 && kind == Kind::Flusher && n > 0
                || slot.get(WorkerWord::Generation) == generation
                    && slot.get(WorkerWord::BeatMs) > 0
        },
    )
}
