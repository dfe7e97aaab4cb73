//! `spanbufd status`: what a running daemon does, read from its board alone.
//!
//! The exit status is a monitoring plug-in's: 0 healthy, 1 degraded, 2 not running, 3 cannot
//! tell. It works while the daemon is stuck, because it asks nobody.

use super::out::Out;
use super::{Spec, out, perform};
use crate::board::report::{self, Verdict};
use crate::board::{Board, object_name};
use crate::config::{Accepts, Loaded};
use crate::error::Result;
use std::time::Duration;

const CANNOT_TELL: i32 = 3;

const SPEC: Spec = Spec {
    name: "status",
    synopsis: "[--json] [--watch] [OPTION]...",
    about: "Shows what a running daemon does. Exit status: 0 healthy, 1 degraded, 2 not running, \
            3 cannot tell.",
    accepts: Accepts::Only(&["instance"]),
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    let mut own = getopts::Options::new();
    own.optflag("", "json", "print one JSON object");
    own.optflag("", "watch", "redraw every second until interrupted");
    perform(&SPEC, own, args, |loaded| {
        show(loaded).or_else(|error| {
            out::complain(&error, SPEC.name);
            Ok(CANNOT_TELL)
        })
    })
}

fn show(loaded: &Loaded) -> Result<i32> {
    let watch = loaded.matches.opt_present("watch");
    let mut out = Out::stdout()?;
    loop {
        if watch {
            // Home, then clear to the end: what was drawn stays until it is drawn over.
            out.bytes(b"\x1b[H\x1b[J")?;
        }
        let status = show_once(loaded, &mut out)?;
        out.flush()?;
        if !watch || out.is_closed() {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn show_once(loaded: &Loaded, out: &mut Out) -> Result<i32> {
    let instance = &loaded.config.instance;
    let Some(board) = Board::open_readonly(instance)? else {
        out.line(format!(
            "instance {instance} is not running: there is no board /dev/shm/{}",
            object_name(instance)
        ))?;
        return Ok(Verdict::NotRunning as i32);
    };
    if loaded.matches.opt_present("json") {
        out.line(report::json(&board))?;
    } else {
        out.line(report::text(&board).trim_end())?;
    }
    Ok(report::verdict(&board) as i32)
}
