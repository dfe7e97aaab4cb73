//! `spanbufd reload`: has a running daemon read its configuration, and tells the outcome.
//!
//! systemctl reload is only as honest as its command: so this one waits until the daemon has
//! taken the new configuration, or has refused it.

use super::{Spec, perform};
use crate::board::Board;
use crate::board::words::{DaemonWord, WorkerWord};
use crate::config::{Accepts, Loaded};
use crate::error::{Error, Result};
use crate::sys::process::{self, Pid};
use crate::sys::signal::SIGHUP;
use std::time::{Duration, Instant};

/// Between two looks at the board.
const LOOK: Duration = Duration::from_millis(20);

const SPEC: Spec = Spec {
    name: "reload",
    synopsis: "[OPTION]...",
    about: "Has a running daemon read its configuration again, and waits for the outcome: 0 when \
            all workers run with it, 78 when it was refused and nothing has changed.",
    accepts: Accepts::Only(&["instance", "shutdown-timeout"]),
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    perform(&SPEC, getopts::Options::new(), args, reload)
}

fn reload(loaded: &Loaded) -> Result<i32> {
    let instance = &loaded.config.instance;
    let Some(board) = Board::open_readonly(instance)? else {
        return Err(Error::temporary(format!("instance {instance} is not running")));
    };
    let Some(pid) = Pid::new(board.get(DaemonWord::Pid) as i32) else {
        return Err(Error::temporary(format!("instance {instance} has no pid yet; try again")));
    };
    let generation = board.get(DaemonWord::Generation);
    let failed = board.get(DaemonWord::ReloadFailed);
    process::kill(pid, SIGHUP)
        .map_err(|why| Error::temporary(format!("cannot signal pid {pid}: {why}")))?;
    // One worker after the other winds down and starts anew.
    let limit = loaded.config.shutdown_timeout * (board.workers() as u32 + 1);
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if board.get(DaemonWord::ReloadFailed) > failed {
            return Err(Error::config(format!(
                "instance {instance} refused the configuration and goes on with the old one; its \
                 log says why"
            )));
        }
        if board.get(DaemonWord::Generation) > generation && all_run_it(&board) {
            return Ok(0);
        }
        if !process::is_alive(pid) {
            return Err(Error::temporary(format!("instance {instance} ended")));
        }
        std::thread::sleep(LOOK);
    }
    Err(Error::temporary(format!("instance {instance} did not finish in {} s", limit.as_secs())))
}

fn all_run_it(board: &Board) -> bool {
    let generation = board.get(DaemonWord::Generation);
    let runs = |number| board.worker(number).get(WorkerWord::Generation) == generation;
    (0..board.workers()).all(runs)
}
