//! `spanbufd check`: validates the configuration and shows what it comes to.
//!
//! Each effective value stands beside its origin: the default, the line of the file, the
//! variable, or the flag. Secrets are masked. The Kafka clients are built, so that librdkafka
//! judges its own properties, but neither Kafka nor Redis has to answer.

use super::out::{self, Out};
use super::{Spec, perform};
use crate::config::{Accepts, Config, Loaded, Setting, secret, table};
use crate::error::Result;
use crate::kafka;
use getopts::Options;

const SPEC: Spec = Spec {
    name: "check",
    synopsis: "[--json] [OPTION]...",
    about: "Validates the configuration and shows every effective value with its origin.",
    accepts: Accepts::All,
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    let mut own = Options::new();
    own.optflag("", "json", "print JSON");
    perform(&SPEC, own, args, show)
}

fn show(loaded: &Loaded) -> Result<i32> {
    validate(&loaded.config)?;
    for warning in &loaded.warnings {
        out::warn(warning);
    }
    let mut out = Out::stdout()?;
    if loaded.matches.opt_present("json") {
        out.line(json(&loaded.settings))?;
    } else {
        for line in columns(&loaded.settings) {
            out.line(line)?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// What the text alone does not show: files it names are there, librdkafka takes its properties.
pub fn validate(config: &Config) -> Result<()> {
    config.redis_password()?;
    kafka::check(config)
}

/// `name = value` in two columns, the origin in the third.
fn columns(settings: &[Setting]) -> impl Iterator<Item = String> + '_ {
    let shown: Vec<String> = settings.iter().map(masked).collect();
    let name_width = table::names().map(str::len).max().unwrap_or(0);
    let value_width = shown.iter().map(|text| text.chars().count()).max().unwrap_or(0).min(40);
    settings.iter().zip(shown).map(move |(setting, value)| {
        let (name, origin) = (setting.row.name, &setting.origin);
        format!("{name:<name_width$} = {value:<value_width$}  # {origin}")
    })
}

fn masked(setting: &Setting) -> String {
    secret::mask(setting.row.name, &setting.value)
}

/// An array of objects, all of whose members are strings; null is "none". A row a line, in this
/// order: the completion reads it with sed.
fn json(settings: &[Setting]) -> String {
    let objects: Vec<String> = settings.iter().map(json_object).collect();
    format!("[\n  {}\n]", objects.join(",\n  "))
}

fn json_object(setting: &Setting) -> String {
    let value = masked(setting);
    let or_null = |text: &str| if text.is_empty() { "null".to_owned() } else { json_string(text) };
    let row = setting.row;
    let members = [
        ("name", json_string(row.name)),
        ("value", or_null(&value)),
        ("origin", json_string(&setting.origin.to_string())),
        ("unit", or_null(row.kind.unit().unwrap_or_default())),
        ("default", or_null(row.default)),
        ("range", or_null(&row.kind.range())),
        ("change", json_string(&format!("{:?}", row.change).to_ascii_lowercase())),
    ];
    let members: Vec<String> = members.map(|(key, text)| format!("\"{key}\": {text}")).into();
    format!("{{{}}}", members.join(", "))
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_escaped() {
        assert_eq!(json_string("a\"b\\c\n\u{7f}é"), "\"a\\\"b\\\\c\\n\u{7f}é\"");
    }
}
