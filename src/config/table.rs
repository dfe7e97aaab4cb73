//! THE TABLE: every option, once.
//!
//! From a row come the flag, its line in `--help`, the key of the file, the name in the
//! environment, the range check, and the line of `spanbufd check`. The tests hold the
//! manual page and the example file against it. An option's story is told in
//! spanbufd.conf(5), not here. Rules between two options are in `rules`.

use super::kind::{Count, Kind, Millis, Seconds, Size};
use super::{Commit, Config, LogFormat};
use crate::segment::span::Validate;
use log::LevelFilter;

/// What a change of the option takes to come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `spanbufd reload`: the workers are replaced.
    Reload,
    /// The daemon itself has to be started again.
    Restart,
}

/// One option.
pub struct Row {
    pub name: &'static str,
    pub kind: Kind,
    /// As text; empty for none.
    pub default: &'static str,
    pub change: Change,
    /// One line, without the default.
    pub help: &'static str,
}

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    change: Change,
    help: &'static str,
) -> Row {
    Row { name, kind, default, change, help }
}

use Change::{Reload, Restart};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const COMMITS: [Commit; 2] = [Commit::Flushed, Commit::Buffered];
const VALIDATES: [Validate; 2] = [Validate::Strict, Validate::Ids];
const FORMATS: [LogFormat; 3] = [LogFormat::Auto, LogFormat::Text, LogFormat::Journal];
const LEVELS: [LevelFilter; 6] = [
    LevelFilter::Off,
    LevelFilter::Error,
    LevelFilter::Warn,
    LevelFilter::Info,
    LevelFilter::Debug,
    LevelFilter::Trace,
];

const VALIDATE: Kind = Kind::Choice {
    words: &["strict", "ids"],
    set: |c, i| c.validate = VALIDATES[i],
    get: |c| VALIDATES.iter().position(|v| *v == c.validate).unwrap_or(0),
};
const COMMIT: Kind = Kind::Choice {
    words: &["flushed", "buffered"],
    set: |c, i| c.commit = COMMITS[i],
    get: |c| COMMITS.iter().position(|v| *v == c.commit).unwrap_or(0),
};
const LOG_FORMAT: Kind = Kind::Choice {
    words: &["auto", "text", "journal"],
    set: |c, i| c.log_format = FORMATS[i],
    get: |c| FORMATS.iter().position(|f| *f == c.log_format).unwrap_or(0),
};
const LEAVE_ON_STOP: Kind = Kind::Choice {
    words: &["false", "true"],
    set: |c, i| c.leave_on_stop = i == 1,
    get: |c| usize::from(c.leave_on_stop),
};
const LOG_LEVEL: Kind = Kind::Choice {
    words: &["off", "error", "warn", "info", "debug", "trace"],
    set: |c, i| c.log_level = LEVELS[i],
    get: |c| LEVELS.iter().position(|l| *l == c.log_level).unwrap_or(0),
};

macro_rules! field {
    ($name:ident) => {
        |c: &mut Config| &mut c.$name
    };
}

macro_rules! kind {
    (Count $name:ident $low:expr, $high:expr) => {
        Kind::Count(Count { field: field!($name), low: $low, high: $high })
    };
    (Size $name:ident $low:expr, $high:expr) => {
        Kind::Size(Size { field: field!($name), low: $low, high: $high })
    };
    (Seconds $name:ident $low:expr, $high:expr) => {
        Kind::Seconds(Seconds { field: field!($name), low_ms: $low, high_ms: $high })
    };
    (Millis $name:ident $low:expr, $high:expr) => {
        Kind::Millis(Millis { field: field!($name), low_ms: $low, high_ms: $high })
    };
    ($kind:ident $name:ident) => {
        Kind::$kind(field!($name))
    };
}

/// The order is the order of the manual: Kafka, Redis, workers, batches, segments, running.
#[rustfmt::skip] // One option, two lines: a table.
pub static TABLE: &[Row] = &[
    row("bootstrap-servers", kind!(Servers bootstrap_servers), "127.0.0.1:9092", Reload,
        "Kafka brokers to ask first"),
    row("input-topic", kind!(Topic input_topic), "ingest-spans", Restart,
        "topic that spans are read from"),
    row("output-topic", kind!(Topic output_topic), "buffered-segments", Reload,
        "topic that segments are written to"),
    row("dead-letter-topic", kind!(OptionalTopic dead_letter_topic), "", Reload,
        "topic for what cannot be parsed or sent"),
    row("group-id", kind!(Text group_id), "spanbufd", Restart,
        "consumer group that shares the partitions"),
    row("partitions", kind!(Partitions partitions), "", Restart,
        "fixed partitions instead of the group's assignment"),
    row("start-from", kind!(StartFrom start_from), "earliest", Reload,
        "where a group's very first start begins"),
    row("kafka", kind!(Properties kafka), "", Reload,
        "librdkafka property for both clients; may be repeated"),
    row("kafka-consumer", kind!(Properties kafka_consumer), "", Reload,
        "librdkafka property for the consumer; may be repeated"),
    row("kafka-producer", kind!(Properties kafka_producer), "", Reload,
        "librdkafka property for the producer; may be repeated"),
    row("commit", COMMIT, "flushed", Reload,
        "what is committed: what is delivered or in Redis"),
    row("commit-interval", kind!(Seconds commit_interval 10, HOUR), "1", Reload,
        "time between two commits of the floor"),
    row("offset-map-topic", kind!(OptionalTopic offset_map_topic), "spanbufd-offset-maps", Reload,
        "topic for offset maps too large for a commit"),

    row("redis-url", kind!(RedisUrl redis_url), "redis://127.0.0.1:6379/0", Reload,
        "the Redis that buffers the spans"),
    row("redis-password-file", kind!(OptionalPath redis_password_file), "", Reload,
        "file that holds the password for Redis"),
    row("namespace", kind!(Name namespace), "spanbuf", Restart,
        "prefix of all keys in Redis"),
    row("redis-ttl", kind!(Seconds redis_ttl 1_000, 30 * DAY), "3600", Reload,
        "life of keys whose owner never comes back"),

    row("ingest-workers", kind!(Count ingest_workers 1, 64), "1", Restart,
        "processes that read the input topic"),
    row("flusher-processes", kind!(Flushers flusher_processes), "1", Restart,
        "processes that write segments, or auto: one a shard"),
    row("max-shards", kind!(Count max_shards 1, 65_536), "1024", Restart,
        "slots for partitions on the board"),
    row("instance", kind!(Name instance), "default", Restart,
        "name of this daemon's board and lock"),

    row("max-batch-size", kind!(Count max_batch_size 1, 100_000), "1000", Reload,
        "spans of one shard that are appended together"),
    row("max-batch-bytes", kind!(Size max_batch_bytes KIB, 256 * MIB), "4MiB", Reload,
        "bytes of one shard that are appended together"),
    row("max-batch-time-ms", kind!(Millis max_batch_time 1, 60_000), "100", Reload,
        "time that a batch may wait to fill"),
    row("validate", VALIDATE, "strict", Reload,
        "fields of a span that are checked"),
    row("compression", kind!(Compression compression), "zstd:1", Reload,
        "compression of what is buffered"),

    row("timeout", kind!(Seconds timeout 1, DAY), "60", Reload,
        "idle time of a segment without its root"),
    row("root-timeout", kind!(Seconds root_timeout 1, DAY), "10", Reload,
        "idle time of a segment that has its root"),
    row("max-segment-age", kind!(Seconds max_segment_age 1, 7 * DAY), "600", Reload,
        "age at which any segment is flushed"),
    row("max-segment-bytes", kind!(Size max_segment_bytes KIB, GIB), "10MiB", Reload,
        "size at which a segment is flushed and split"),
    row("max-flush-segments", kind!(Count max_flush_segments 1, 100_000), "2000", Reload,
        "segments that a flusher takes at once"),
    row("max-index-bytes", kind!(Size max_index_bytes 64 * KIB, 1024 * GIB), "512MiB", Reload,
        "memory of one flusher's index"),

    row("backpressure-seconds", kind!(Seconds backpressure 100, HOUR), "10", Reload,
        "time a flusher may be behind before a pause"),
    row("max-memory-percentage", kind!(Count max_memory_percentage 1, 100), "80", Reload,
        "share of Redis's memory at which reading pauses"),

    row("shutdown-timeout", kind!(Seconds shutdown_timeout 100, HOUR), "30", Reload,
        "time for an orderly stop; then the rest is killed"),
    row("rebalance-timeout", kind!(Seconds rebalance_timeout 100, 270_000), "30", Reload,
        "time to finish a partition that moves away"),
    row("leave-on-stop", LEAVE_ON_STOP, "false", Reload,
        "whether a stop gives the partitions to others at once"),
    row("start-timeout", kind!(Seconds start_timeout 100, HOUR), "60", Reload,
        "time for a worker's first sign of health"),
    row("max-unhealthy-seconds", kind!(Seconds max_unhealthy 5_000, HOUR), "60", Reload,
        "silence after which a worker is killed"),
    row("max-restarts", kind!(Count max_restarts 0, 1_000_000), "10", Reload,
        "restarts of one worker within restart-window"),
    row("restart-window", kind!(Seconds restart_window 1_000, 7 * DAY), "600", Reload,
        "time over which restarts are counted"),
    row("log-level", LOG_LEVEL, "info", Reload,
        "least grave lines that are logged"),
    row("log-format", LOG_FORMAT, "auto", Restart,
        "form of log lines"),
];

/// The row of that name.
pub fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.name)
}

impl Row {
    /// `SPANBUFD_ROOT_TIMEOUT`.
    pub fn environment_name(&self) -> String {
        format!("SPANBUFD_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }

    /// The line of `--help`.
    pub fn description(&self) -> String {
        match self.default {
            "" => self.help.to_owned(),
            default => format!("{} (default: {default})", self.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_words_and_stand_once() {
        let unique: BTreeSet<_> = names().collect();
        assert_eq!(unique.len(), TABLE.len());
        for name in unique {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        }
    }

    #[test]
    fn every_default_is_a_value_and_prints_as_itself() {
        let mut config = Config::default();
        for row in TABLE {
            if !row.default.is_empty() {
                assert_eq!(row.kind.set(&mut config, row.default), Ok(()), "{}", row.name);
            }
            assert_eq!(row.kind.print(&config), row.default, "{}", row.name);
        }
    }

    #[test]
    fn help_fits_a_line() {
        for row in TABLE {
            assert!(!row.help.is_empty() && row.help.len() <= 54, "{}", row.name);
        }
    }

    #[test]
    fn environment_names() {
        let name = find("max-batch-time-ms").map(Row::environment_name);
        assert_eq!(name.as_deref(), Some("SPANBUFD_MAX_BATCH_TIME_MS"));
    }
}
