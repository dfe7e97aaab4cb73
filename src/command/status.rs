//! `spanbufd status`.

/// Runs the subcommand with the arguments behind its name.
pub fn run(_args: &[String]) -> i32 {
    todo!()
}
