//! Every option, once: flag over environment over file over default, one immutable `Config`.
//!
//! `table` lists the options, `kind` and `value` read and print them, `file` and `load`
//! gather them, `reload` says what of them a running daemon takes, `rules` holds what two
//! options may not say together, `secret` what must not be seen. `Config` is made once, by
//! [`load`], and travels as `&Config`; no global. Nothing here touches Kafka, Redis or the board.
#![forbid(unsafe_code)]

pub mod date;
pub mod file;
mod kind;
mod load;
pub mod nearest;
pub mod property;
mod reload;
mod rules;
pub mod secret;
pub mod table;
pub mod value;

pub use load::{Accepts, Loaded, Origin, Setting, add_options, load, reads};
pub use reload::{Reloaded, reload};

use crate::segment::batch::Compression;
use crate::segment::index::Limits;
use crate::segment::span::Validate;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where a group's very first start begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    Earliest,
    Latest,
    /// Milliseconds since the epoch.
    Time(i64),
}

/// How many flushers: option `flusher-processes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushers {
    /// One per assigned shard, bounded by `max-shards`.
    Auto,
    Fixed(u32),
}

/// What a committed offset says: option `commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// All below it is delivered: the loss of Redis loses nothing.
    Flushed,
    /// All below it is in Redis.
    Buffered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Journal,
}

/// The effective configuration. Read once, immutable, handed on as `&Config`.
#[derive(Clone)]
pub struct Config {
    pub bootstrap_servers: String,
    pub input_topic: String,
    pub output_topic: String,
    pub dead_letter_topic: Option<String>,
    pub group_id: String,
    /// A fixed list instead of a group's assignment; empty: the group assigns.
    pub partitions: Vec<u32>,
    pub start_from: StartFrom,
    /// `PROP=VALUE` for both clients, the consumer, the producer.
    pub kafka: Vec<(String, String)>,
    pub kafka_consumer: Vec<(String, String)>,
    pub kafka_producer: Vec<(String, String)>,
    pub redis_url: String,
    /// Read it with [`Config::redis_password`].
    pub redis_password_file: Option<PathBuf>,
    pub namespace: String,
    pub ingest_workers: u32,
    pub flusher_processes: Flushers,
    pub max_batch_size: u32,
    pub max_batch_bytes: u64,
    pub max_batch_time: Duration,
    pub timeout: Duration,
    pub root_timeout: Duration,
    pub max_segment_bytes: u64,
    pub max_segment_age: Duration,
    pub max_flush_segments: u32,
    /// Per flusher.
    pub max_index_bytes: u64,
    /// Time that a flusher may be behind.
    pub backpressure: Duration,
    pub max_memory_percentage: u32,
    pub redis_ttl: Duration,
    pub validate: Validate,
    pub compression: Compression,
    pub shutdown_timeout: Duration,
    pub instance: String,
    pub max_shards: u32,
    pub log_level: log::LevelFilter,
    pub log_format: LogFormat,
    // Supervision.
    pub max_unhealthy: Duration,
    pub start_timeout: Duration,
    pub max_restarts: u32,
    pub restart_window: Duration,
    pub rebalance_timeout: Duration,
    pub leave_on_stop: bool,
    pub commit: Commit,
    pub commit_interval: Duration,
    pub offset_map_topic: Option<String>,
}

impl fmt::Debug for Config {
    /// The options with secrets masked, so that no log line can show one by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |row: &table::Row| {
            let text = row.kind.print(self);
            text.lines().map(|line| secret::mask(row.name, line)).collect::<Vec<_>>()
        };
        f.debug_map().entries(table::TABLE.iter().map(|row| (row.name, shown(row)))).finish()
    }
}

impl Config {
    /// The limits that decide when a segment is due.
    pub fn limits(&self) -> Limits {
        Limits {
            timeout_ms: self.timeout.as_millis() as i64,
            root_timeout_ms: self.root_timeout.as_millis() as i64,
            max_age_ms: self.max_segment_age.as_millis() as i64,
            max_bytes: self.max_segment_bytes,
        }
    }
}

impl Default for Config {
    /// The defaults of the table.
    fn default() -> Config {
        let mut config = unset();
        for row in table::TABLE.iter().filter(|row| !row.default.is_empty()) {
            if let Err(why) = row.kind.set(&mut config, row.default) {
                unreachable!("default of {}: {} {why}", row.name, row.default);
            }
        }
        config
    }
}

/// Every field at nothing, before the table fills it: no value here is a default.
fn unset() -> Config {
    Config {
        bootstrap_servers: String::new(),
        input_topic: String::new(),
        output_topic: String::new(),
        dead_letter_topic: None,
        group_id: String::new(),
        partitions: Vec::new(),
        start_from: StartFrom::Earliest,
        kafka: Vec::new(),
        kafka_consumer: Vec::new(),
        kafka_producer: Vec::new(),
        redis_url: String::new(),
        redis_password_file: None,
        namespace: String::new(),
        ingest_workers: 0,
        flusher_processes: Flushers::Auto,
        max_batch_size: 0,
        max_batch_bytes: 0,
        max_batch_time: Duration::ZERO,
        timeout: Duration::ZERO,
        root_timeout: Duration::ZERO,
        max_segment_bytes: 0,
        max_segment_age: Duration::ZERO,
        max_flush_segments: 0,
        max_index_bytes: 0,
        backpressure: Duration::ZERO,
        max_memory_percentage: 0,
        redis_ttl: Duration::ZERO,
        validate: Validate::Ids,
        compression: Compression::None,
        shutdown_timeout: Duration::ZERO,
        instance: String::new(),
        max_shards: 0,
        log_level: log::LevelFilter::Off,
        log_format: LogFormat::Auto,
        max_unhealthy: Duration::ZERO,
        start_timeout: Duration::ZERO,
        max_restarts: 0,
        restart_window: Duration::ZERO,
        rebalance_timeout: Duration::ZERO,
        leave_on_stop: false,
        commit: Commit::Flushed,
        commit_interval: Duration::ZERO,
        offset_map_topic: None,
    }
}
