//! The binary: everything is in the library, so that tests can name it.

fn main() -> std::process::ExitCode {
    spanbufd::main()
}
