//! `spanbufd status`: the board for people, for programs, for monitoring systems.
//!
//! Works on a copy of the shared words, so it answers while the daemon is stuck, and can do
//! it no harm. The exit status is that of a monitoring plug-in.

use super::out::Out;
use super::{Spec, perform};
use crate::board::report::{self, Health, Totals};
use crate::board::{self, Board, Found};
use crate::config::{Accepts, Loaded};
use crate::error::{Error, Result};
use crate::sys::time;
use std::io::IsTerminal;
use std::time::Duration;

const DEGRADED: i32 = 1;
pub const NOT_RUNNING: i32 = 2;
pub const CANNOT_TELL: i32 = 3;

const SPEC: Spec = Spec {
    name: "status",
    synopsis: "[--json | --prometheus] [--watch] [OPTION]...",
    about: "Shows what a running daemon does. Exit status: 0 healthy, 1 degraded, 2 not running, \
            3 cannot tell.",
    accepts: Accepts::Only(&["instance"]),
    free_max: 0,
};

/// How the board is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Prometheus,
}

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    let mut own = getopts::Options::new();
    own.optflag("", "json", "print one JSON object");
    own.optflag("", "prometheus", "print metrics in the text format of Prometheus");
    own.optflag("", "watch", "redraw every second until interrupted");
    perform(&SPEC, own, args, print)
}

fn print(loaded: &Loaded) -> Result<i32> {
    let watch = loaded.matches.opt_present("watch");
    let form = form(loaded)?;
    // A file keeps all that was shown, one below the other.
    let redraws = watch && form == Form::Text && std::io::stdout().is_terminal();
    let mut out = Out::stdout()?;
    let mut before = None;
    loop {
        let answer = look(&loaded.config.instance, form, before.as_ref());
        before = answer.totals;
        if redraws {
            // Home, then clear to the end of the screen.
            out.bytes(b"\x1b[H\x1b[J")?;
        }
        out.bytes(answer.text.as_bytes())?;
        out.flush()?;
        if !watch || out.is_closed() {
            return Ok(answer.status);
        }
        if !redraws && form == Form::Text {
            out.line("")?;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn form(loaded: &Loaded) -> Result<Form> {
    match (loaded.matches.opt_present("json"), loaded.matches.opt_present("prometheus")) {
        (false, false) => Ok(Form::Text),
        (true, false) => Ok(Form::Json),
        (false, true) => Ok(Form::Prometheus),
        (true, true) => Err(Error::usage("--json and --prometheus: choose one")),
    }
}

/// What to print, and the exit status.
struct Answer {
    text: String,
    status: i32,
    /// What the rates of the next look count from; `None` when nothing runs.
    totals: Option<Totals>,
}

/// Looks at one instance; rates count from the look `before`, or else from the daemon's start.
fn look(instance: &str, form: Form, before: Option<&Totals>) -> Answer {
    match running(instance) {
        Ok(board) => show(&board, instance, form, before),
        Err(none) => other(&none, instance, form),
    }
}

/// Why there is no board to look at, with the exit status that says so.
pub struct NoBoard {
    pub status: i32,
    pub text: String,
}

/// The board of a running instance.
pub fn running(instance: &str) -> std::result::Result<Board, NoBoard> {
    let cannot_tell = |text| Err(NoBoard { status: CANNOT_TELL, text });
    match board::find(instance) {
        Ok(Found::Running(board)) => Ok(board),
        Ok(Found::NotRunning) => {
            Err(NoBoard { status: NOT_RUNNING, text: format!("{instance} is not running") })
        }
        Ok(Found::NotReady) => cannot_tell(format!("{instance} is just starting")),
        Ok(Found::OtherVersion { theirs, ours }) => cannot_tell(format!(
            "{instance} runs with another version of spanbufd (board {theirs:016x}, this program \
             reads {ours:016x}): use that version, or restart it with this one"
        )),
        Err(error) => cannot_tell(error.to_string()),
    }
}

fn show(board: &Board, instance: &str, form: Form, before: Option<&Totals>) -> Answer {
    let now = time::monotonic();
    let status = match report::health(board, now) {
        Health::Healthy => 0,
        Health::Degraded => DEGRADED,
    };
    let text = match form {
        Form::Text => report::text(board, now, before),
        Form::Json => report::json(board, now, before) + "\n",
        Form::Prometheus => report::prometheus(board, now, instance, status),
    };
    Answer { text, status, totals: Some(Totals::read(board, time::wall_ms())) }
}

fn other(none: &NoBoard, instance: &str, form: Form) -> Answer {
    let health = if none.status == NOT_RUNNING { "not running" } else { "unknown" };
    let text = match form {
        Form::Text => format!("{}\n", none.text),
        Form::Json => {
            serde_json::json!({ "health": health, "reason": none.text }).to_string() + "\n"
        }
        Form::Prometheus => {
            format!("# {}\n{}", none.text, report::status_of(instance, none.status))
        }
    };
    Answer { text, status: none.status, totals: None }
}
