//! Every option, once: flag over environment over file over default, one immutable `Config`.
#![forbid(unsafe_code)]

use crate::segment::batch::Compression;
use crate::segment::span::Validate;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Journal,
}

/// The effective configuration. Read once, immutable, handed on as `&Config`.
#[derive(Clone, Debug)]
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
    pub commit_interval: Duration,
}
