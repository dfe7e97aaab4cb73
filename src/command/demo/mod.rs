//! `spanbufd demo`: it all at work, with nothing installed but redis-server.

mod cast;
mod tree;

/// Runs the subcommand with the arguments behind its name.
pub fn run(_args: &[String]) -> i32 {
    todo!()
}
