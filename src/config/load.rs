//! Gathers settings from file, environment and flags into one `Config` with origins.
//!
//! Every setting of every source must be valid, also one that a later source overrides:
//! a wrong line is never carried along unseen. librdkafka properties are merged one by one.
//! An unknown flag is a usage error (64); a wrong value is a configuration error (78),
//! whichever way it came.

use super::table::{self, Row};
use super::{Config, file, nearest, property, rules, secret};
use crate::error::{Error, Result};
use getopts::{Matches, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The variable by which systemd names the folder of a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Whether a variable of that name may be part of the configuration.
pub fn reads(variable: &str) -> bool {
    variable.starts_with("SPANBUFD_") || variable == CREDENTIALS
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

impl Origin {
    /// The same source, so that a second setting of one option there is a mistake.
    fn is_same_source(&self, other: &Origin) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Which options of the table a subcommand takes as flags. File and environment may hold
/// all of them: they are shared by the subcommands.
#[derive(Clone, Copy, Debug)]
pub enum Accepts {
    All,
    Only(&'static [&'static str]),
}

impl Accepts {
    fn has(&self, name: &str) -> bool {
        match self {
            Accepts::All => true,
            Accepts::Only(names) => names.contains(&name),
        }
    }
}

/// One effective setting, as `check` shows it: a librdkafka property has its own.
#[derive(Clone)]
pub struct Setting {
    pub row: &'static Row,
    /// As text, secrets not masked; empty for none.
    pub value: String,
    pub origin: Origin,
}

/// What one command line comes to, with the environment and the file it names.
pub struct Loaded {
    pub config: Config,
    /// In the order of the table.
    pub settings: Vec<Setting>,
    /// What is allowed and should not stay so; for `check` to print and for the log.
    pub warnings: Vec<String>,
    /// The subcommand's own options, and its free arguments.
    pub matches: Matches,
}

/// Adds `--config` and the accepted rows of the table to a subcommand's own options.
pub fn add_options(options: &mut Options, accepts: Accepts) {
    if let Accepts::Only(names) = accepts {
        debug_assert!(names.iter().all(|name| table::find(name).is_some()), "no row: {names:?}");
    }
    options.optopt("c", "config", "configuration file (default: none)", "PATH");
    for row in table::TABLE.iter().filter(|row| accepts.has(row.name)) {
        options.optmulti("", row.name, &row.description(), &row.kind.placeholder());
    }
}

/// Loads the configuration for a subcommand: `args` stand behind its name, `own` holds its
/// own options, `environment` is the process's (an argument, for the tests).
pub fn load(
    args: &[String],
    mut own: Options,
    accepts: Accepts,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded> {
    add_options(&mut own, accepts);
    let matches = own.parse(args).map_err(|fail| usage(fail, accepts))?;
    let mut sources = Sources::new();
    if let Some(path) = matches.opt_str("config") {
        sources.add_file(Path::new(&path))?;
    }
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    sources.add_environment(&environment)?;
    sources.add_flags(&matches, accepts)?;
    sources.add_credential(&environment)?;
    sources.judge()?;
    let settings = sources.settings();
    let warnings = open_secrets(&sources.config, &settings);
    Ok(Loaded { config: sources.config, settings, warnings, matches })
}

fn usage(fail: getopts::Fail, accepts: Accepts) -> Error {
    let getopts::Fail::UnrecognizedOption(name) = &fail else {
        return Error::usage(fail.to_string());
    };
    if table::find(name).is_some() {
        return Error::usage(format!("option --{name} does not belong to this command"));
    }
    let known = table::names().filter(|name| accepts.has(name)).chain(["config"]);
    let near = nearest::nearest(name, known);
    let hint = near.map_or(String::new(), |near| format!("; did you mean --{near}?"));
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    Error::usage(format!("unknown option {dashes}{name}{hint}"))
}

/// The configuration while it is being put together.
struct Sources {
    config: Config,
    /// By option; for a librdkafka property by "option property".
    origins: BTreeMap<String, Origin>,
}

impl Sources {
    fn new() -> Sources {
        Sources { config: Config::default(), origins: BTreeMap::new() }
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        for line in file::read(path)? {
            let origin = Origin::File { path: path.to_owned(), line: line.number };
            let Some(row) = table::find(&line.key) else {
                let hint = nearest::hint(&line.key, table::names());
                let key = line.key.escape_debug();
                return Err(Error::config(format!("{origin}: unknown key {key}{hint}")));
            };
            self.set(row, &line.value, origin)?;
        }
        Ok(())
    }

    /// A repeatable option holds one setting a line in its variable.
    fn add_environment(&mut self, environment: &BTreeMap<String, String>) -> Result<()> {
        for row in table::TABLE {
            let name = row.environment_name();
            let Some(text) = environment.get(&name) else { continue };
            if !row.kind.is_repeatable() {
                self.set(row, text.trim(), Origin::Environment(name))?;
                continue;
            }
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                self.set(row, line, Origin::Environment(name.clone()))?;
            }
        }
        let ours = environment.keys().filter(|name| name.starts_with("SPANBUFD_"));
        ours.map(String::as_str).try_for_each(refuse_misspelt)
    }

    /// systemd.exec(5): a service's credentials are files in a folder of its own. Ours stands in
    /// for the default only, so that a file, a variable or a flag may say otherwise.
    fn add_credential(&mut self, environment: &BTreeMap<String, String>) -> Result<()> {
        const OPTION: &str = "redis-password-file";
        let Some(folder) = environment.get(CREDENTIALS) else { return Ok(()) };
        let path = Path::new(folder).join("redis-password");
        let (Some(row), Some(text)) = (table::find(OPTION), path.to_str()) else { return Ok(()) };
        if self.origins.contains_key(OPTION) || !path.exists() {
            return Ok(());
        }
        self.set(row, text, Origin::Environment(CREDENTIALS.to_owned()))
    }

    fn add_flags(&mut self, matches: &Matches, accepts: Accepts) -> Result<()> {
        for row in table::TABLE.iter().filter(|row| accepts.has(row.name)) {
            for text in matches.opt_strs(row.name) {
                if secret::is_secret(row.name, text.trim()) {
                    return Err(Error::config(format!(
                        "flag --{}: holds a secret, which every user of this machine could read; \
                         put it into the file or into {}",
                        row.name,
                        row.environment_name()
                    )));
                }
                self.set(row, text.trim(), Origin::Flag(row.name))?;
            }
        }
        Ok(())
    }

    fn set(&mut self, row: &Row, text: &str, origin: Origin) -> Result<()> {
        let key = key_of(row, text);
        if let Some(before) = self.origins.get(&key).filter(|old| old.is_same_source(&origin)) {
            let name = named(row, property_of(row, text));
            return Err(Error::config(format!("{origin}: {name} is set twice ({before})")));
        }
        row.kind.set(&mut self.config, text).map_err(|why| {
            let shown = secret::mask(row.name, text).escape_debug().to_string();
            let shown = if shown.is_empty() { "(nothing)".to_owned() } else { shown };
            Error::config(format!("{origin}: {} = {shown} {why}", row.name))
        })?;
        self.origins.insert(key, origin);
        Ok(())
    }

    fn judge(&self) -> Result<()> {
        let clash = match rules::judge(&self.config) {
            Ok(()) => return Ok(()),
            Err(clash) => clash,
        };
        let (first, other) = (self.origin(clash.option), self.origin(clash.other));
        // A default cannot be mended: the message begins where something was written.
        let (option, at, with, from) = match first {
            Origin::Default => (clash.other, other, clash.option, first),
            _ => (clash.option, first, clash.other, other),
        };
        let why = clash.why;
        Err(Error::config(format!("{at}: {option} clashes with {with} ({from}): {why}")))
    }

    fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for row in table::TABLE {
            let text = row.kind.print(&self.config);
            if !row.kind.is_repeatable() || text.is_empty() {
                settings.push(Setting { row, value: text, origin: self.origin(row.name) });
                continue;
            }
            for line in text.lines() {
                let origin = self.origin(&key_of(row, line));
                settings.push(Setting { row, value: line.to_owned(), origin });
            }
        }
        settings
    }
}

/// Files with a secret in them that everyone on the machine may read.
fn open_secrets(config: &Config, settings: &[Setting]) -> Vec<String> {
    let in_file = settings.iter().filter_map(|setting| match &setting.origin {
        Origin::File { path, .. } if secret::is_secret(setting.row.name, &setting.value) => {
            Some(path)
        }
        _ => None,
    });
    let holders: BTreeSet<&PathBuf> = in_file.chain(&config.redis_password_file).collect();
    let open = holders.into_iter().filter(|path| {
        std::fs::metadata(path).is_ok_and(|stat| stat.permissions().mode() & 0o004 != 0)
    });
    open.map(|path| {
        let path = path.display();
        format!("{path} holds a secret and everyone may read it; run chmod o-r {path}")
    })
    .collect()
}

/// What may be set once: an option, or one property of a repeatable option, by any of its names.
fn key_of(row: &Row, text: &str) -> String {
    named(row, property_of(row, text).map(property::one_name))
}

fn property_of<'t>(row: &Row, text: &'t str) -> Option<&'t str> {
    let (property, _) = text.split_once('=').filter(|_| row.kind.is_repeatable())?;
    Some(property.trim())
}

fn named(row: &Row, property: Option<&str>) -> String {
    property.map_or(row.name.to_owned(), |property| format!("{} {property}", row.name))
}

/// Variables that are nearly ours are mistakes. Others are left alone: an orchestrator makes
/// SPANBUFD_SERVICE_HOST and its like by itself.
fn refuse_misspelt(name: &str) -> Result<()> {
    if name == "SPANBUFD_CONFIG" {
        let what = "SPANBUFD_CONFIG: the file is named with --config only";
        return Err(Error::config(what));
    }
    let known = table::TABLE.iter().map(Row::environment_name);
    let near = known.map(|known| (nearest::distance(name, &known), known)).min();
    match near {
        Some((1 | 2, known)) => {
            Err(Error::config(format!("environment {name}: unknown name; did you mean {known}?")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
