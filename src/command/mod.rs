//! The front door: command line to subcommand to exit status.
#![forbid(unsafe_code)]

/// Runs this process's command line.
pub fn main() -> std::process::ExitCode {
    todo!()
}
