//! The kinds of option: how each reads its text into the `Config`, and prints it back.
//!
//! A kind holds one accessor to its field, which reads and writes, so that a row of the
//! table cannot set one field and print another. Grammar is in `value`; here are ranges.

use super::value::{self, Parsed};
use super::{Config, Flushers, StartFrom, property};
use crate::segment::batch::Compression;
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

/// Where an option's value lives.
pub type Field<T> = fn(&mut Config) -> &mut T;

pub struct Count {
    pub field: Field<u32>,
    pub low: u32,
    pub high: u32,
}

pub struct Size {
    pub field: Field<u64>,
    pub low: u64,
    pub high: u64,
}

pub struct Seconds {
    pub field: Field<Duration>,
    pub low_ms: u64,
    pub high_ms: u64,
}

pub struct Millis {
    pub field: Field<Duration>,
    pub low_ms: u64,
    pub high_ms: u64,
}

pub enum Kind {
    Text(Field<String>),
    /// `host:port`, separated by commas.
    Servers(Field<String>),
    Topic(Field<String>),
    OptionalTopic(Field<Option<String>>),
    /// Part of a key or a file name: letters, digits, `.`, `_`, `-`.
    Name(Field<String>),
    RedisUrl(Field<String>),
    OptionalPath(Field<Option<PathBuf>>),
    Partitions(Field<Vec<u32>>),
    StartFrom(Field<StartFrom>),
    /// `PROP=VALUE`, repeatable: setting a property again replaces it.
    Properties(Field<Vec<(String, String)>>),
    Flushers(Field<Flushers>),
    Compression(Field<Compression>),
    Count(Count),
    Size(Size),
    Seconds(Seconds),
    Millis(Millis),
    /// One of some words, by its number.
    Choice {
        words: &'static [&'static str],
        set: fn(&mut Config, usize),
        get: fn(&Config) -> usize,
    },
}

/// Kafka's own limit for the name of a topic.
const TOPIC_BYTES_MAX: usize = 249;

/// Names become parts of paths below /dev/shm, which end at 255 bytes.
const NAME_BYTES_MAX: usize = 100;

impl Kind {
    /// Reads `text` into its field. Empty text is "none" where there is such a value.
    pub fn set(&self, config: &mut Config, text: &str) -> Parsed<()> {
        match self {
            Kind::Text(field) => *field(config) = text_of(text)?,
            Kind::Servers(field) => *field(config) = servers(text)?,
            Kind::Topic(field) => *field(config) = topic(text)?,
            Kind::OptionalTopic(field) => *field(config) = optional(text, topic)?,
            Kind::Name(field) => *field(config) = name(text)?,
            Kind::RedisUrl(field) => *field(config) = redis_url(text)?,
            Kind::OptionalPath(field) => *field(config) = optional(text, |t| Ok(PathBuf::from(t)))?,
            Kind::Partitions(field) => {
                *field(config) = optional(text, value::partitions)?.unwrap_or_default()
            }
            Kind::StartFrom(field) => *field(config) = value::start_from(text)?,
            Kind::Properties(field) => add_property(field(config), text)?,
            Kind::Flushers(field) => *field(config) = value::flushers(text)?,
            Kind::Compression(field) => *field(config) = value::compression(text)?,
            Kind::Count(count) => *(count.field)(config) = count.parse(text)?,
            Kind::Size(size) => *(size.field)(config) = size.parse(text)?,
            Kind::Seconds(time) => *(time.field)(config) = time.parse(text)?,
            Kind::Millis(time) => *(time.field)(config) = time.parse(text)?,
            Kind::Choice { words, set, .. } => set(config, choice(words, text)?),
        }
        Ok(())
    }

    /// The value as text; empty for none. Secrets are not masked here.
    pub fn print(&self, config: &Config) -> String {
        let config = &mut config.clone();
        match self {
            Kind::Text(field) | Kind::Servers(field) | Kind::Topic(field) => field(config).clone(),
            Kind::Name(field) | Kind::RedisUrl(field) => field(config).clone(),
            Kind::OptionalTopic(field) => field(config).clone().unwrap_or_default(),
            Kind::OptionalPath(field) => {
                field(config).as_ref().map_or(String::new(), |path| path.display().to_string())
            }
            Kind::Partitions(field) => value::print_partitions(field(config)),
            Kind::StartFrom(field) => value::print_start_from(*field(config)),
            Kind::Properties(field) => {
                let pairs = field(config).iter().map(|(name, value)| format!("{name}={value}"));
                pairs.collect::<Vec<_>>().join("\n")
            }
            Kind::Flushers(field) => value::print_flushers(*field(config)),
            Kind::Compression(field) => value::print_compression(*field(config)),
            Kind::Count(count) => (count.field)(config).to_string(),
            Kind::Size(size) => value::print_size(*(size.field)(config)),
            Kind::Seconds(time) => value::print_seconds(*(time.field)(config)),
            Kind::Millis(time) => (time.field)(config).as_millis().to_string(),
            Kind::Choice { words, get, .. } => words[get(config)].to_owned(),
        }
    }

    /// What a bare number counts, in the manual's words.
    pub fn unit(&self) -> Option<&'static str> {
        match self {
            Kind::Size(_) => Some("bytes"),
            Kind::Seconds(_) => Some("seconds"),
            Kind::Millis(_) => Some("milliseconds"),
            _ => None,
        }
    }

    pub fn is_repeatable(&self) -> bool {
        matches!(self, Kind::Properties(_))
    }

    /// The values that are allowed, in the manual's words; empty where only the grammar is.
    pub fn range(&self) -> String {
        match self {
            Kind::Count(count) => count.range(),
            Kind::Size(size) => size.range(),
            Kind::Seconds(time) => time.range(),
            Kind::Millis(time) => time.range(),
            Kind::Choice { words, .. } => format!("one of {}", words.join(", ")),
            Kind::Flushers(_) => "auto, or from 1 to max-shards".to_owned(),
            _ => String::new(),
        }
    }

    /// What stands for the value in `--help`.
    pub fn placeholder(&self) -> Cow<'static, str> {
        let word = match self {
            Kind::Choice { words, .. } => return words.join("|").into(),
            Kind::Text(_) | Kind::Name(_) => "NAME",
            Kind::Servers(_) => "HOST:PORT,...",
            Kind::Topic(_) | Kind::OptionalTopic(_) => "TOPIC",
            Kind::RedisUrl(_) => "URL",
            Kind::OptionalPath(_) => "PATH",
            Kind::Partitions(_) => "LIST",
            Kind::StartFrom(_) => "earliest|latest|TIME",
            Kind::Properties(_) => "PROP=VALUE",
            Kind::Flushers(_) => "N|auto",
            Kind::Compression(_) => "none|zstd:N",
            Kind::Count(_) => "N",
            Kind::Size(_) => "BYTES",
            Kind::Seconds(_) => "SECONDS",
            Kind::Millis(_) => "MS",
        };
        word.into()
    }
}

impl Count {
    fn parse(&self, text: &str) -> Parsed<u32> {
        let number = value::count(text)?;
        let fits = u32::try_from(number).ok().filter(|n| (self.low..=self.high).contains(n));
        fits.ok_or_else(|| outside(&self.range()))
    }

    fn range(&self) -> String {
        format!("from {} to {}", self.low, self.high)
    }
}

impl Size {
    fn parse(&self, text: &str) -> Parsed<u64> {
        let bytes = value::size(text)?;
        let fits = (self.low..=self.high).contains(&bytes);
        if fits { Ok(bytes) } else { Err(outside(&self.range())) }
    }

    fn range(&self) -> String {
        format!("from {} to {}", value::print_size(self.low), value::print_size(self.high))
    }
}

impl Seconds {
    fn parse(&self, text: &str) -> Parsed<Duration> {
        let time = value::seconds(text)?;
        let fits = (self.low()..=self.high()).contains(&time);
        if fits { Ok(time) } else { Err(outside(&self.range())) }
    }

    fn low(&self) -> Duration {
        Duration::from_millis(self.low_ms)
    }

    fn high(&self) -> Duration {
        Duration::from_millis(self.high_ms)
    }

    fn range(&self) -> String {
        let print = value::print_seconds;
        format!("from {} s to {} s", print(self.low()), print(self.high()))
    }
}

impl Millis {
    fn parse(&self, text: &str) -> Parsed<Duration> {
        let ms = value::count(text)?;
        let fits = (self.low_ms..=self.high_ms).contains(&ms);
        if fits { Ok(Duration::from_millis(ms)) } else { Err(outside(&self.range())) }
    }

    fn range(&self) -> String {
        format!("from {} ms to {} ms", self.low_ms, self.high_ms)
    }
}

fn outside(range: &str) -> String {
    format!("is out of range: it must be {range}")
}

fn optional<T>(text: &str, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<Option<T>> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn text_of(text: &str) -> Parsed<String> {
    if text.is_empty() {
        return Err("must not be empty".into());
    }
    Ok(text.to_owned())
}

fn servers(text: &str) -> Parsed<String> {
    let valid = |server: &str| {
        let (host, port) = server.trim().rsplit_once(':')?;
        let port = port.parse::<u16>().ok()?;
        (!host.is_empty() && !host.contains(char::is_whitespace) && port > 0).then_some(())
    };
    match text.split(',').find(|server| valid(server).is_none()) {
        Some(server) => Err(format!("has {server:?}, which is not HOST:PORT")),
        None => Ok(text.to_owned()),
    }
}

fn topic(text: &str) -> Parsed<String> {
    let fits = !text.is_empty() && text.len() <= TOPIC_BYTES_MAX && text != "." && text != "..";
    if fits && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("is no name for a topic: letters, digits, '.', '_' and '-', at most 249 of them".into())
}

fn name(text: &str) -> Parsed<String> {
    let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.starts_with('.');
    if fits && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("is no name: letters, digits, '.', '_' and '-', at most 100, not '.' first".into())
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
}

/// Whether a path must follow: a socket has no host.
const REDIS_SCHEMES: [(&str, bool); 5] = [
    ("redis://", false),
    ("valkey://", false),
    ("unix://", true),
    ("redis+unix://", true),
    ("valkey+unix://", true),
];

/// Schemes that others know, and what to write instead.
const REDIS_NOT_SPOKEN: [(&str, &str); 4] = [
    ("rediss:", NO_TLS),
    ("valkeys:", NO_TLS),
    ("redis-sentinel:", NO_SENTINEL),
    ("redis+sentinel:", NO_SENTINEL),
];
const NO_TLS: &str = "asks for TLS, which is not supported; put a TLS proxy beside spanbufd and \
                      write redis:// or unix:// for it";
const NO_SENTINEL: &str = "asks for Sentinel, which is not supported; write redis:// with an \
                           address that follows the primary";

fn not_spoken(url: &str) -> Option<&'static str> {
    let row = REDIS_NOT_SPOKEN.iter().find(|(scheme, _)| url.starts_with(scheme));
    row.map(|(_, why)| *why)
}

fn redis_url(text: &str) -> Parsed<String> {
    if text.contains(char::is_whitespace) {
        return Err("has white space in it".into());
    }
    let place = |(scheme, path): &(&str, bool)| text.strip_prefix(scheme).map(|rest| (rest, *path));
    match REDIS_SCHEMES.iter().find_map(place) {
        Some(("", _)) => Err("names no server".into()),
        Some((rest, true)) if !rest.starts_with('/') => {
            Err("names no socket; write it as unix:///PATH".into())
        }
        Some(_) => Ok(text.to_owned()),
        None => Err(not_spoken(text).unwrap_or("does not begin with redis:// or unix://").into()),
    }
}

/// Empty text is "none": it takes away what earlier sources set.
fn add_property(list: &mut Vec<(String, String)>, text: &str) -> Parsed<()> {
    if text.is_empty() {
        list.clear();
        return Ok(());
    }
    let (name, value) = value::property(text)?;
    if let Some(why) = property::owner_of(&name) {
        return Err(format!("sets {name}, which is not yours to set: {why}"));
    }
    list.retain(|(known, _)| property::one_name(known) != property::one_name(&name));
    list.push((name, value));
    Ok(())
}

fn choice(words: &[&str], text: &str) -> Parsed<usize> {
    let wrong = || format!("is not one of {}", words.join(", "));
    words.iter().position(|word| *word == text).ok_or_else(wrong)
}
