//! Story 1, at the edges: the one room that names rdkafka.
//!
//! The rest of the program sees messages, events and acknowledgements as plain types. A
//! client is opened in the process that uses it, after the fork, and never dropped: the
//! process leaves by `_exit` (P1).
#![forbid(unsafe_code)]

pub mod admin;
mod chatter;
pub mod consumer;
mod farewell;
pub mod map_topic;
pub mod metadata;
pub mod mock;
pub mod producer;
mod settings;
pub mod tap;
pub mod trouble;

use crate::config::Config;
use crate::error::Result;

/// Builds both clients' configurations as the workers will, properties of the user included.
/// Asks no broker and joins no group: it would fence the worker of the same name that a reload
/// is to spare. The clients are left to the end of the process.
pub fn check(config: &Config) -> Result<()> {
    std::mem::forget(consumer::Consumer::create(config, "", 0)?);
    std::mem::forget(producer::Producer::open(config, 0)?);
    Ok(())
}

/// The version of librdkafka that is linked in.
pub fn version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
