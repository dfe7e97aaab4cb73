//! Writing: produce, acknowledgements, bounded in flight.
//!
//! Only this file can make a [`Delivered`]: what is settled as delivered has been
//! acknowledged by Kafka (P8).

use crate::config::Config;
use crate::error::Result;
use std::time::Duration;

/// Says that Kafka acknowledged every message of the work that `ticket` names.
#[derive(Debug)]
pub struct Delivered {
    ticket: u64,
}

impl Delivered {
    pub fn ticket(&self) -> u64 {
        self.ticket
    }
}

/// What became of a ticket. A ticket is one segment (or one dead letter): one or more messages.
#[derive(Debug)]
pub enum Outcome {
    Delivered(Delivered),
    /// The broker takes no message of this size: split, or a dead letter.
    TooLarge {
        ticket: u64,
    },
    /// Not acknowledged (perhaps persisted): deliver again, same content.
    Failed {
        ticket: u64,
        why: String,
    },
}

/// A message to send.
pub struct Letter<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// The answer to a send.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    Queued,
    /// The queue is full: poll, then try again.
    Full,
    /// Locally refused for its size.
    TooLarge,
}

pub struct Producer {}

impl Producer {
    pub fn open(_config: &Config, _worker: usize) -> Result<Producer> {
        todo!()
    }

    /// Queues one message of `ticket`. After the last one call `seal`.
    pub fn send(&mut self, _ticket: u64, _letter: &Letter<'_>) -> Result<Sent> {
        todo!()
    }

    /// No more messages will be sent for this ticket: its outcome may be told.
    pub fn seal(&mut self, _ticket: u64) {
        todo!()
    }

    /// Serves the client for at most `wait` and returns the outcomes there are.
    pub fn poll(&mut self, _wait: Duration) -> Vec<Outcome> {
        todo!()
    }

    /// Bytes queued and not yet acknowledged.
    pub fn in_flight_bytes(&self) -> u64 {
        todo!()
    }

    pub fn in_flight_messages(&self) -> usize {
        todo!()
    }
}
