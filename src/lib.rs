//! spanbufd: spans in from Kafka, assembled in Redis, segments out to Kafka.
//!
//! The rooms in reading order. Who may name whom is tested by `tests/000-tidy.sh`;
//! the contract between the rooms is spanbufd-design(7).

// The front door: command line to subcommand to exit status.
pub mod command;
pub mod config;
pub mod error;

// Story 1, the data's way: message, span, chunk, batch, segment, message.
pub mod kafka;
pub mod segment;
pub mod store;
pub mod worker;

// What both stories share.
pub mod board;

// Story 2, the daemon's life: born, healthy, dead, reaped, born again.
pub mod supervisor;

// The kernel: all `unsafe`, all `libc`.
pub mod sys;

/// Runs the command line of this process and returns its exit status.
pub fn main() -> std::process::ExitCode {
    command::main()
}
