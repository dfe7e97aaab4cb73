//! `spanbufd audit`: the books of every shard, from Kafka and Redis alone.
//!
//! Reads and changes nothing: it joins no group, takes no shard's epoch, renews no time to
//! live. So it can be run beside a daemon, on another machine, or when no daemon runs. What a
//! working daemon changes between two questions is asked again before it counts as a fault.

mod gather;
mod judge;
mod print;

use super::out::Out;
use super::{Spec, perform};
use crate::config::{Accepts, Loaded};
use crate::error::{Error, Kind, Result};
use judge::Finding;

const OFF: i32 = 1;
const CANNOT_TELL: i32 = 3;

/// Ranges and segments listed of one shard, unless `--limit` says otherwise.
const LIMIT: usize = 10;

pub(super) const SPEC: Spec = Spec {
    name: "audit",
    synopsis: "[--json] [--limit N] [--trace ID] [OPTION]...",
    about: "Explains the books of every shard from Kafka and Redis, and changes nothing. Exit \
            status: 0 balanced, 1 something is off, 3 cannot tell.",
    accepts: Accepts::All,
    free_max: 0,
};

/// What to show of what is not settled.
pub struct Choice {
    pub limit: usize,
    /// Only the segments of this trace, as it is written in the spans.
    pub trace: Option<String>,
}

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    let mut own = getopts::Options::new();
    own.optflag("", "json", "print one JSON object");
    own.optopt("", "limit", "ranges and segments listed of a shard (default: 10)", "N");
    own.optopt("", "trace", "list the open segments of this trace alone", "ID");
    perform(&SPEC, own, args, audit)
}

fn audit(loaded: &Loaded) -> Result<i32> {
    let choice = choice(loaded)?;
    let findings = match gather::all(&loaded.config) {
        Ok(findings) => findings,
        Err(error) if error.kind() == Kind::Temporary => {
            super::out::complain(&error, SPEC.name);
            return Ok(CANNOT_TELL);
        }
        Err(error) => return Err(error),
    };
    let text = match loaded.matches.opt_present("json") {
        true => print::json(&findings, &choice),
        false => print::text(&findings, &choice),
    };
    let mut out = Out::stdout()?;
    out.bytes(text.as_bytes())?;
    out.flush()?;
    Ok(if findings.iter().all(Finding::is_sound) { 0 } else { OFF })
}

fn choice(loaded: &Loaded) -> Result<Choice> {
    let limit = match loaded.matches.opt_str("limit") {
        None => LIMIT,
        Some(text) => text
            .parse()
            .map_err(|_| Error::usage(format!("--limit {text:?} is no number of lines")))?,
    };
    Ok(Choice { limit, trace: loaded.matches.opt_str("trace") })
}
