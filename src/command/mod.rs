//! The front door: command line to subcommand to exit status.
//!
//! One file a subcommand, one row in [`COMMANDS`]. A subcommand is a function from the
//! arguments behind its name to an exit status; most describe themselves in a [`Spec`] and
//! leave `--help`, loading the configuration, messages and the status to [`perform`].
//! Nothing here prints but through `out`; nothing here logs before `log::init`.
#![forbid(unsafe_code)]

pub mod assemble;
pub mod audit;
pub mod check;
pub mod demo;
pub mod generate;
pub mod last_lines;
pub mod log;
pub mod out;
pub mod redrive;
pub mod reload;
pub mod run;
pub mod status;

use crate::config::{self, Accepts, Loaded, Setting, nearest};
use crate::error::{Error, Result};
use crate::kafka;
use getopts::Options;
use out::Out;
use std::ffi::OsString;
use std::process::ExitCode;

/// One subcommand, as the front door sees it.
struct Row {
    name: &'static str,
    /// The arguments behind the name to the exit status.
    run: fn(&[String]) -> i32,
    help: &'static str,
}

const COMMANDS: &[Row] = &[
    Row { name: "run", run: run::run, help: "run the daemon" },
    Row { name: "check", run: check::run, help: "validate and show the effective configuration" },
    Row { name: "status", run: status::run, help: "show what a running daemon does" },
    Row { name: "audit", run: audit::run, help: "explain the books from Kafka and Redis" },
    Row { name: "redrive", run: redrive::run, help: "put dead letters that parse by now back" },
    Row { name: "reload", run: reload::run, help: "have a running daemon read its configuration" },
    Row { name: "assemble", run: assemble::run, help: "spans on standard input to segments" },
    Row { name: "generate", run: generate::run, help: "make spans for tests and benchmarks" },
    Row { name: "demo", run: demo::run, help: "show it all at work; needs a redis-server only" },
];

/// What a subcommand says of itself.
pub struct Spec {
    pub name: &'static str,
    /// Behind `spanbufd NAME `, such as `[OPTION]... [FILE]`.
    pub synopsis: &'static str,
    /// A sentence or two for `--help`.
    pub about: &'static str,
    /// The options of the table that it takes as flags.
    pub accepts: Accepts,
    /// Free arguments that it takes at most.
    pub free_max: usize,
}

/// Runs this process's command line.
pub fn main() -> ExitCode {
    let status = arguments().map_or_else(|error| fail(&error, ""), |args| dispatch(&args));
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

fn arguments() -> Result<Vec<String>> {
    let text = |arg: OsString| {
        let wrong = |arg| Error::usage(format!("argument {arg:?} is not UTF-8"));
        arg.into_string().map_err(wrong)
    };
    std::env::args_os().skip(1).map(text).collect()
}

fn dispatch(args: &[String]) -> i32 {
    let Some((first, rest)) = args.split_first() else {
        return fail(&Error::usage("no command is given"), "");
    };
    match first.as_str() {
        "-h" | "--help" => print(&general_help()),
        "-V" | "--version" => print(&version()),
        "help" => help(rest),
        option if option.starts_with('-') => {
            let what = format!("unknown option {option}; options stand behind the command");
            fail(&Error::usage(what), "")
        }
        name => match COMMANDS.iter().find(|row| row.name == name) {
            Some(row) => (row.run)(rest),
            None => {
                let hint = nearest::hint(name, COMMANDS.iter().map(|row| row.name));
                fail(&Error::usage(format!("unknown command {name}{hint}")), "")
            }
        },
    }
}

/// `help` and `help COMMAND`, as many programs have them.
fn help(args: &[String]) -> i32 {
    let asked = "--help".to_owned();
    match args.first() {
        Some(command) => dispatch(&[command.clone(), asked]),
        None => dispatch(&[asked]),
    }
}

/// Does what all subcommands do alike: `--help`, options, configuration; then `body`; then
/// the message and the status of an error. `own` holds the subcommand's own options.
pub fn perform(
    spec: &Spec,
    own: Options,
    args: &[String],
    body: impl FnOnce(&Loaded) -> Result<i32>,
) -> i32 {
    if asks_for_help(args) {
        return print(&help_of(spec, own));
    }
    let outcome = load(spec, own, args).and_then(|loaded| body(&loaded));
    outcome.unwrap_or_else(|error| fail(&error, spec.name))
}

/// Loads the configuration for a subcommand from its arguments, the process's environment,
/// and the file that `--config` names. `run` calls it again to reload.
pub fn load(spec: &Spec, own: Options, args: &[String]) -> Result<Loaded> {
    let loaded = config::load(args, own, spec.accepts, environment(std::env::vars_os())?)?;
    judge_properties(&loaded.settings)?;
    match loaded.matches.free.get(spec.free_max) {
        Some(extra) => Err(Error::usage(format!("unexpected argument {extra:?}"))),
        None => Ok(loaded),
    }
}

/// librdkafka judges its own properties, one by one, so that each is known with its place.
fn judge_properties(settings: &[Setting]) -> Result<()> {
    for Setting { row, value, origin } in settings {
        let Some((name, text)) = value.split_once('=').filter(|_| row.kind.is_repeatable()) else {
            continue;
        };
        if let Some(why) = kafka::refuses(name, text) {
            // The value is not repeated: it may be a password whose name is misspelt.
            return Err(Error::config(format!("{origin}: {} {name} {why}", row.name)));
        }
    }
    Ok(())
}

/// What is not UTF-8 is none of ours, or a mistake.
fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for (name, text) in variables {
        let shown = name.to_string_lossy().into_owned();
        match (name.into_string(), text.into_string()) {
            (Ok(name), Ok(text)) => texts.push((name, text)),
            _ if shown.starts_with("SPANBUFD_") => {
                return Err(Error::config(format!("environment {shown}: is not UTF-8")));
            }
            _ => {}
        }
    }
    Ok(texts)
}

/// `-h` and `--help` are found before anything is checked, but not behind `--`.
fn asks_for_help(args: &[String]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "-h" || arg == "--help")
}

fn help_of(spec: &Spec, mut own: Options) -> String {
    own.optflag("h", "help", "show this help");
    config::add_options(&mut own, spec.accepts);
    let about = wrapped(spec.about);
    let brief = format!("Usage: spanbufd {} {}\n\n{about}", spec.name, spec.synopsis);
    own.usage(&brief)
}

/// Lines of at most 79 letters, as the options below have them.
fn wrapped(text: &str) -> String {
    let mut wrapped = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let letters = word.chars().count();
        let fits = width + 1 + letters < 80;
        match width {
            0 => {}
            _ if fits => wrapped.push(' '),
            _ => wrapped.push('\n'),
        }
        width = if width > 0 && fits { width + 1 + letters } else { letters };
        wrapped.push_str(word);
    }
    wrapped
}

fn general_help() -> String {
    let mut text = String::from(
        "Usage: spanbufd COMMAND [OPTION]...\n\n\
         Assembles spans from Kafka into segments, in Redis, and writes them back to Kafka.\n\n\
         Commands:\n",
    );
    for row in COMMANDS {
        text.push_str(&format!("    {:<10} {}\n", row.name, row.help));
    }
    text.push_str(
        "\n'spanbufd COMMAND --help' shows the options of a command,\n\
         'spanbufd --version' the version. These options are common to most; they may also\n\
         stand in the file (KEY = VALUE) and in the environment (SPANBUFD_KEY).\n",
    );
    let mut options = Options::new();
    config::add_options(&mut options, Accepts::All);
    text.push_str(options.usage("").trim_start_matches('\n'));
    text
}

fn version() -> String {
    format!("spanbufd {} (librdkafka {})", env!("CARGO_PKG_VERSION"), kafka::version())
}

fn print(text: &str) -> i32 {
    let printed = Out::stdout().and_then(|mut out| {
        out.line(text.trim_end())?;
        out.flush()
    });
    printed.map_or_else(|error| fail(&error, ""), |()| 0)
}

/// Tells the user, and answers with the status that says so.
fn fail(error: &Error, command: &str) -> i32 {
    out::complain(error, command);
    i32::from(error.exit_status())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn help_is_asked_for_before_the_double_dash_only() {
        assert!(asks_for_help(&words("--timeout 5 --help")));
        assert!(asks_for_help(&words("-h")));
        assert!(!asks_for_help(&words("-- --help")));
        assert!(!asks_for_help(&words("--helpful")));
    }

    #[test]
    fn a_value_of_ours_that_is_no_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let variable = |name: &str| (OsString::from(name), OsString::from_vec(b"a\xff".into()));
        let read = |name: &str| environment([variable(name)].into_iter());
        assert_eq!(read("OTHER").ok(), Some(Vec::new()));
        let why = read("SPANBUFD_GROUP_ID").err().map(|why| (why.exit_status(), why.to_string()));
        assert_eq!(why, Some((78, "environment SPANBUFD_GROUP_ID: is not UTF-8".to_owned())));
    }

    #[test]
    fn lines_of_help_end_at_the_width_of_a_screen() {
        for about in [audit::SPEC.about, redrive::SPEC.about, demo::SPEC.about, ""] {
            let text = wrapped(about);
            assert!(text.lines().all(|line| line.len() < 80 && line.trim() == line), "{text}");
            assert_eq!(words(&text), words(about));
        }
    }

    #[test]
    fn free_arguments_are_counted() {
        let spec = Spec { name: "x", synopsis: "", about: "", accepts: Accepts::All, free_max: 1 };
        assert!(load(&spec, Options::new(), &words("-- --one")).is_ok());
        let refused = load(&spec, Options::new(), &words("one two")).err();
        let status = refused.map(|error| (error.exit_status(), error.to_string()));
        assert_eq!(status, Some((64, "unexpected argument \"two\"".to_owned())));
    }

    #[test]
    fn the_general_help_has_every_command_and_option() {
        let help = general_help();
        for row in COMMANDS {
            assert!(help.contains(&format!("    {:<10} {}", row.name, row.help)));
        }
        for name in config::table::names() {
            assert!(help.contains(&format!("--{name} ")), "{name}");
        }
    }
}
