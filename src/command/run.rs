//! `spanbufd run`: not part of this branch.

use super::{Spec, perform};
use crate::config::Accepts;

const SPEC: Spec = Spec {
    name: "run",
    synopsis: "[OPTION]...",
    about: "Runs the daemon until it is told to stop.",
    accepts: Accepts::All,
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    perform(&SPEC, getopts::Options::new(), args, |_| todo!())
}
