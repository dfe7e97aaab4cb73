//! The one error type: what was being done, to what, what went wrong, what to do.
//!
//! Three things must not be mixed (spanbufd-design(7)): a *condition* is an enum variant
//! of a call's answer, never an `Error`; an `Error` means the world failed, and is
//! sorted once, by its [`Kind`], in the worker's turn or in `command`; a *bug* aborts.

use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// How an error is answered; the number is the exit status that says so (sysexits(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line is wrong: shown, never restarted.
    Usage = 64,
    /// The supervisor gave up: systemd restarts.
    Software = 70,
    /// The world failed (Kafka, Redis, the kernel): try again with backoff.
    Temporary = 75,
    /// This will not work as configured: stop all, do not restart.
    Config = 78,
}

#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    of_one_shard: bool,
    is_around: bool,
}

impl Error {
    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(Kind::Usage, message)
    }

    pub fn software(message: impl Into<String>) -> Error {
        Error::new(Kind::Software, message)
    }

    pub fn temporary(message: impl Into<String>) -> Error {
        Error::new(Kind::Temporary, message)
    }

    pub fn config(message: impl Into<String>) -> Error {
        Error::new(Kind::Config, message)
    }

    /// What a configuration names outside of its text does not do: a file, a client's threads.
    /// Where it has not worked yet the configuration is to blame, and else it is what passes.
    pub fn around_config(message: impl Into<String>) -> Error {
        Error { is_around: true, ..Error::config(message) }
    }

    /// The same error where the configuration has proven itself.
    pub fn where_proven(self) -> Error {
        match self.is_around {
            true => Error { kind: Kind::Temporary, ..self },
            false => self,
        }
    }

    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), of_one_shard: false, is_around: false }
    }

    /// What is wrong is wrong with one shard: no other has to stop for it.
    pub fn of_one_shard(message: impl Into<String>) -> Error {
        Error { of_one_shard: true, ..Error::temporary(message) }
    }

    pub fn is_of_one_shard(&self) -> bool {
        self.of_one_shard
    }

    /// Puts what was being done in front: `context("cannot append to shard 7")`.
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit status that carries this error to supervisor and systemd.
    pub fn exit_status(&self) -> u8 {
        self.kind as u8
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
