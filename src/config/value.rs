//! Text to values and back: the grammar of what stands behind a key.
//!
//! Each kind of value has one parser and one printer, and parsing what was printed gives
//! the same value. A parser says what is wrong and how to write it right; where the text
//! came from is added by the caller. Ranges are the table's business.

use super::date;
use super::{Flushers, StartFrom};
use crate::segment::batch::Compression;
use std::time::Duration;

/// What is wrong with a value, in words that follow "name = text: ".
pub type Parsed<T> = Result<T, String>;

const SUFFIXES: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// More numbers than any topic has partitions, so that `0-4294967295` is no memory bomb.
const PARTITIONS_MAX: usize = 1 << 20;

/// zstd's levels; beyond 19 the memory is no longer worth it.
const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = -7..=19;

pub fn count(text: &str) -> Parsed<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("is not a whole number".into());
    }
    text.parse().map_err(|_| "is too large a number".into())
}

/// Seconds with up to nine decimals.
pub fn seconds(text: &str) -> Parsed<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err("is not a number of seconds; write it as 60 or 0.5".into());
    }
    let padded = format!("{fraction:0<9}");
    match (whole.parse(), padded.parse()) {
        (Ok(seconds), Ok(nanos)) => Ok(Duration::new(seconds, nanos)),
        _ => Err("is too large a number".into()),
    }
}

pub fn print_seconds(value: Duration) -> String {
    let text = format!("{}.{:09}", value.as_secs(), value.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes: a number, or one with KiB, MiB or GiB behind it.
pub fn size(text: &str) -> Parsed<u64> {
    let suffix = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, unit) = match suffix {
        Some((suffix, unit)) => (text[..text.len() - suffix.len()].trim_end(), *unit),
        None => (text, 1),
    };
    let wrong = |_| "is not a size; write it as 1048576, 512KiB, 10MiB or 1GiB".to_owned();
    let number = count(number).map_err(wrong)?;
    number.checked_mul(unit).ok_or_else(|| "is too large a number".into())
}

pub fn print_size(value: u64) -> String {
    let fits = |unit: u64| value > 0 && value.is_multiple_of(unit);
    match SUFFIXES.iter().rev().find(|(_, unit)| fits(*unit)) {
        Some((suffix, unit)) => format!("{}{suffix}", value / unit),
        None => value.to_string(),
    }
}

/// A number, or `auto`.
pub fn flushers(text: &str) -> Parsed<Flushers> {
    if text == "auto" {
        return Ok(Flushers::Auto);
    }
    match count(text) {
        Ok(0) => Err("is no flusher at all; write auto for one per assigned shard".into()),
        Ok(n) => u32::try_from(n).map(Flushers::Fixed).map_err(|_| "is too large a number".into()),
        Err(_) => Err("is neither a number of processes nor auto".into()),
    }
}

pub fn print_flushers(value: Flushers) -> String {
    match value {
        Flushers::Auto => "auto".into(),
        Flushers::Fixed(n) => n.to_string(),
    }
}

/// `earliest`, `latest`, an RFC 3339 time, or milliseconds since the epoch.
pub fn start_from(text: &str) -> Parsed<StartFrom> {
    match text {
        "earliest" => return Ok(StartFrom::Earliest),
        "latest" => return Ok(StartFrom::Latest),
        _ => {}
    }
    let epoch_ms = count(text).ok().and_then(|ms| i64::try_from(ms).ok());
    let time = epoch_ms.or_else(|| date::parse_rfc3339(text)).filter(|ms| *ms >= 0);
    time.map(StartFrom::Time).ok_or_else(|| {
        "is neither earliest, latest, a time such as 2026-01-31T12:00:00Z, \
         nor milliseconds since the epoch"
            .into()
    })
}

pub fn print_start_from(value: StartFrom) -> String {
    match value {
        StartFrom::Earliest => "earliest".into(),
        StartFrom::Latest => "latest".into(),
        StartFrom::Time(ms) if ms < date::YEAR_10000_MS => date::print_utc(ms),
        StartFrom::Time(ms) => ms.to_string(),
    }
}

/// A list of numbers and ranges such as `0,1,4-7`, without repetition; sorted.
pub fn partitions(text: &str) -> Parsed<Vec<u32>> {
    let mut list = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (partition(first, part)?, partition(last, part)?);
        if first > last {
            return Err(format!("has the range {part}, which runs backwards"));
        }
        if (last - first) as usize >= PARTITIONS_MAX - list.len() {
            return Err(format!("names more than {PARTITIONS_MAX} partitions"));
        }
        list.extend(first..=last);
    }
    list.sort_unstable();
    match list.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("names partition {} twice", pair[0])),
        None => Ok(list),
    }
}

fn partition(text: &str, part: &str) -> Parsed<u32> {
    let number = count(text.trim()).ok().and_then(|n| i32::try_from(n).ok());
    let wrong = || format!("has {part:?}, which is no partition; write a list such as 0,1,4-7");
    number.and_then(|n| u32::try_from(n).ok()).ok_or_else(wrong)
}

pub fn print_partitions(list: &[u32]) -> String {
    let runs = list.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let print = |run: &[u32]| match run {
        [] => String::new(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
    };
    runs.map(print).collect::<Vec<_>>().join(",")
}

/// `none`, or `zstd:N`.
pub fn compression(text: &str) -> Parsed<Compression> {
    if text == "none" {
        return Ok(Compression::None);
    }
    let level = text.strip_prefix("zstd:").and_then(|level| level.parse::<i32>().ok());
    let (low, high) = (ZSTD_LEVELS.start(), ZSTD_LEVELS.end());
    match level.filter(|level| ZSTD_LEVELS.contains(level)) {
        Some(level) => Ok(Compression::Zstd(level)),
        None => Err(format!("is neither none nor zstd:N with N from {low} to {high}")),
    }
}

pub fn print_compression(value: Compression) -> String {
    match value {
        Compression::None => "none".into(),
        Compression::Zstd(level) => format!("zstd:{level}"),
    }
}

/// `PROP=VALUE` for librdkafka; the value may hold anything, `=` included.
pub fn property(text: &str) -> Parsed<(String, String)> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim(), value.trim()),
        None => return Err("has no '='; write it as PROP=VALUE, such as linger.ms=5".into()),
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("does not begin with the name of a librdkafka property".into());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
