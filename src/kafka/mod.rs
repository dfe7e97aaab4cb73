//! Story 1, at the edges: the one room that names rdkafka.
//!
//! The rest of the program sees messages, events and acknowledgements as plain types. A
//! client is opened in the process that uses it, after the fork, and never dropped: the
//! process leaves by `_exit` (P1).
#![forbid(unsafe_code)]

pub mod consumer;
pub mod mock;
pub mod producer;
mod settings;
pub mod tap;
