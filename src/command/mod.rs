//! The front door: command line to subcommand to exit status.
#![forbid(unsafe_code)]

pub mod run;
pub mod status;

/// Runs this process's command line.
pub fn main() -> std::process::ExitCode {
    todo!()
}
