//! The rooms that fuzzing enters, without Kafka and Redis: they build in a minute.
//!
//! The targets name this crate as they name the program's, so that the ordinary tests can run them.

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/segment/mod.rs"]
pub mod segment;
