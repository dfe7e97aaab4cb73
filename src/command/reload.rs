//! `spanbufd reload`: has a running daemon read its configuration, and tells the outcome.
//!
//! systemctl reload is only as honest as its command: so this one waits until the workers run
//! with the new configuration and none has rejected it in time, or until the old one is back. The
//! pid comes from a board that anybody may have made: it is signalled only if board and process
//! belong to the same user.

use super::status::{NoBoard, running};
use super::{Spec, out, perform};
use crate::board::words::{DaemonWord, ReloadState};
use crate::board::{self, Board};
use crate::config::{Accepts, Loaded};
use crate::error::{Error, Result};
use crate::sys::process;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// Between two looks at the board.
const LOOK: Duration = Duration::from_millis(20);

/// How long the command waits: workers are replaced one after the other. Less than the units'
/// TimeoutStartSec, by which systemd would kill it without a word.
const RELOAD_MAX: Duration = Duration::from_secs(140);

const SPEC: Spec = Spec {
    name: "reload",
    synopsis: "[OPTION]...",
    about: "Has a running daemon read its configuration again, and waits for the outcome: 0 when \
            all workers run with it, which it says nothing of, 78 when it was refused and nothing \
            has changed, 2 when there is no such daemon.",
    accepts: Accepts::Only(&["instance"]),
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    perform(&SPEC, getopts::Options::new(), args, reload)
}

/// Who is not there, or cannot be looked at, has the statuses that `status` has for that.
fn reload(loaded: &Loaded) -> Result<i32> {
    let instance = &loaded.config.instance;
    let before = match running(instance) {
        Ok(board) => board,
        Err(none) => return Ok(told(&none)),
    };
    let begun = before.daemon().get(DaemonWord::Reloads);
    ask(instance, before.daemon().get(DaemonWord::Pid))?;
    let deadline = Instant::now() + RELOAD_MAX;
    while Instant::now() < deadline {
        std::thread::sleep(LOOK);
        match running(instance).map(|board| outcome(&board, begun)) {
            Ok(Some(true)) => return Ok(0),
            Ok(Some(false)) => {
                return Err(Error::config(format!(
                    "{instance} refused its configuration and goes on with the old one; its log \
                     says why"
                )));
            }
            Ok(None) => {}
            Err(none) => return Ok(told(&none)),
        }
    }
    Err(Error::temporary(format!("{instance} is not done after {} s", RELOAD_MAX.as_secs())))
}

fn told(none: &NoBoard) -> i32 {
    out::complain(&Error::temporary(&*none.text), SPEC.name);
    none.status
}

/// Sends SIGHUP to the supervisor that the board names.
fn ask(instance: &str, pid: u64) -> Result<()> {
    let Ok(pid) = u32::try_from(pid) else {
        return Err(Error::temporary(format!("{instance} has no pid that may be signalled")));
    };
    if board::is_foreign(instance, pid) {
        return Err(Error::temporary(format!(
            "the board of {instance} names pid {pid}, which is not its owner's: nothing is sent"
        )));
    }
    process::hang_up(pid).map_err(|why| {
        let remedy = match why.kind() {
            ErrorKind::PermissionDenied => "; run it as root or as the daemon's user",
            _ => "",
        };
        Error::temporary(format!("cannot signal {instance} (pid {pid}): {why}{remedy}"))
    })
}

/// How a reload ended that was begun later than `begun` reloads: whether all workers run with it,
/// or with one that is younger still. One that began after the look read what was written then,
/// whoever asked for it.
fn outcome(board: &Board, begun: u64) -> Option<bool> {
    let word = |word| board.daemon().get(word);
    if word(DaemonWord::ReloadProven) > begun {
        return Some(true);
    }
    let over = word(DaemonWord::Reload) == ReloadState::Idle as u64;
    (word(DaemonWord::Reloads) > begun && over).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Shape;

    fn answer(reloads: u64, state: ReloadState, proven: u64) -> Option<bool> {
        let board = Board::private(Shape { ingests: 1, flushers: 1, max_shards: 1 });
        board.daemon().set(DaemonWord::Reloads, reloads);
        board.daemon().set(DaemonWord::Reload, state as u64);
        board.daemon().set(DaemonWord::ReloadProven, proven);
        outcome(&board, 3)
    }

    /// Else a copy that is made while the supervisor writes could take a reload that has just
    /// begun, or one that is just proven, for one that was refused.
    #[test]
    fn the_words_of_a_reload_are_copied_against_the_order_of_writing() {
        let places = [DaemonWord::Reloads, DaemonWord::Reload, DaemonWord::ReloadProven];
        assert!(places.map(|word| word as usize).is_sorted());
    }

    #[test]
    fn the_answer_waits_for_a_reload_of_its_own_and_for_its_end() {
        use ReloadState::{Idle, Probation, Probing, Replacing, Restoring};
        assert_eq!(answer(3, Idle, 3), None, "the signal has not arrived");
        assert_eq!(answer(3, Replacing, 2), None, "another's, which came first");
        for state in [Probing, Replacing, Probation, Restoring] {
            assert_eq!(answer(4, state, 3), None, "{state:?}");
        }
        assert_eq!(answer(4, Idle, 3), Some(false));
        assert_eq!(answer(4, Idle, 4), Some(true));
        assert_eq!(answer(5, Probing, 4), Some(true), "a later one is no matter");
        assert_eq!(answer(5, Idle, 5), Some(true));
    }
}
