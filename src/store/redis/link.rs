//! One connection to one Redis: this and `link/` are all that names the redis crate.
//!
//! A call sends all its commands, then reads all replies, all against one deadline. A time-out or a
//! broken connection drops the connection, because what came next on it would be the answer to
//! something else. So does the answer of a replica: the master that it was may be elsewhere by now.

mod lookup;
mod socket;

use super::parse;
use crate::config::{Config, secret};
use crate::error::{Error, Result};
use crate::sys::{process, time};
use lookup::Lookup;
use redis::{Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, Value};
use socket::{Socket, Unopened};
use std::borrow::Borrow;
use std::path::PathBuf;
use std::time::Duration;

/// The bound of one call of the store: connecting, preparing, all replies, and a repeat together;
/// and as a part of `max-unhealthy-seconds`, because a heart does not beat meanwhile.
const CALL_MAX: Duration = Duration::from_secs(5);
const CALLS_PER_BEAT: u32 = 3;

/// Less is no server's `proto-max-bulk-len`.
const BULK_BYTES_MIN: usize = 1 << 20;

/// What most commands have: made at once, not little by little.
const COMMAND_ARGS: usize = 4;
const COMMAND_BYTES: usize = 128;

const CONNECT: &str = "connect to";
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// One reply, as far as spanbufd needs to tell them apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Nil,
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Reply>),
    /// The server refused: the code (`OOM`, `NOSCRIPT`, …) and the whole sentence.
    Refused {
        code: String,
        text: String,
    },
}

impl Reply {
    /// The bytes as text; `None` for any other reply.
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// One command in the making.
pub struct Command(redis::Cmd);

impl Command {
    pub fn new(name: &str) -> Command {
        let mut command = redis::Cmd::with_capacity(COMMAND_ARGS, COMMAND_BYTES);
        command.arg(name);
        Command(command)
    }

    pub fn arg(mut self, arg: impl AsRef<[u8]>) -> Command {
        self.0.arg(arg.as_ref());
        self
    }

    pub fn args<A: AsRef<[u8]>>(self, args: impl IntoIterator<Item = A>) -> Command {
        args.into_iter().fold(self, Command::arg)
    }
}

pub struct Link {
    /// Without what stands in `password_file`.
    info: ConnectionInfo,
    /// Read at each connection, so that a password can be changed without a restart.
    password_file: Option<PathBuf>,
    /// For messages, without a password.
    pub address: String,
    lookup: Lookup,
    connection: Option<Socket>,
    /// Counts connections, so that a caller notices a new one.
    pub connections: u64,
    call_max: Duration,
    /// When the call under way gives up.
    deadline: Duration,
    /// When all of them do, because the process ends.
    last_deadline: Option<Duration>,
}

impl Link {
    /// Connects to nothing yet: a Redis that is down is no error here.
    pub fn open(config: &Config) -> Result<Link> {
        let address = config.redis_url_masked();
        let wrong = |why: &dyn std::fmt::Display| {
            Error::config(format!("cannot use redis-url {address}: {why}"))
        };
        let info: ConnectionInfo =
            url(&config.redis_url).as_str().into_connection_info().map_err(|why| wrong(&why))?;
        Client::open(info.clone()).map_err(|why| wrong(&why))?;
        // One that is wrong from the beginning is a matter of the configuration.
        config.redis_password()?;
        let password_file = config.redis_password_file.clone();
        Ok(Link {
            info,
            password_file,
            address,
            lookup: Lookup::default(),
            connection: None,
            connections: 0,
            call_max: CALL_MAX.min(config.max_unhealthy / CALLS_PER_BEAT),
            deadline: Duration::ZERO,
            last_deadline: None,
        })
    }

    /// With the password which is valid now.
    fn info(&self) -> Result<ConnectionInfo> {
        let mut info = self.info.clone();
        if let Some(path) = &self.password_file {
            let password = secret::read_password(path).map_err(Error::temporary)?;
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        Ok(info)
    }

    /// A call of the store begins: whatever it exchanges has one deadline.
    pub fn begin(&mut self) {
        let deadline = time::monotonic() + self.call_max;
        self.deadline = self.last_deadline.map_or(deadline, |last| deadline.min(last));
    }

    /// From now on no call lasts past `until` (monotonic).
    pub fn end_by(&mut self, until: Duration) {
        self.last_deadline = Some(until);
    }

    /// Which connection there is, if any: by its number.
    pub fn current(&self) -> Option<u64> {
        self.connection.as_ref().map(|_| self.connections)
    }

    /// Connects if there is no connection. How long to wait after a failure is the caller's.
    pub fn connect(&mut self) -> Result<()> {
        if self.connection.is_some() {
            return Ok(());
        }
        let deadline = self.deadline.min(time::monotonic() + CONNECT_MAX);
        let info = self.info()?;
        match Socket::open(&info, &mut self.lookup, deadline) {
            Ok(connection) => {
                self.connection = Some(connection);
                self.connections += 1;
                Ok(())
            }
            Err(Unopened::Failed(why)) => Err(self.failed(CONNECT, &why)),
            Err(Unopened::Lost(why)) => {
                let remedy = "check the host in redis-url, and the name servers (resolv.conf(5))";
                Err(self.unreached(&why, remedy))
            }
        }
    }

    /// Sends all commands, then reads one reply for each, in order.
    pub fn call(&mut self, commands: &[Command]) -> Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(commands.len());
        self.call_each(commands, |reply| replies.push(reply))?;
        Ok(replies)
    }

    /// The same, with each reply handed on before the next is read.
    pub fn call_each<C: Borrow<Command>>(
        &mut self,
        commands: impl IntoIterator<Item = C>,
        mut each: impl FnMut(Reply),
    ) -> Result<()> {
        self.connect()?;
        let mut is_replica = false;
        let result = self.exchange(commands, |reply| {
            is_replica |= is_replicas(&reply);
            each(reply);
        });
        if result.is_err() || is_replica {
            self.connection = None;
        }
        result
    }

    fn exchange<C: Borrow<Command>>(
        &mut self,
        commands: impl IntoIterator<Item = C>,
        mut each: impl FnMut(Reply),
    ) -> Result<()> {
        let deadline = self.deadline;
        let Some(connection) = &mut self.connection else {
            return Err(Error::temporary(format!("no connection to {}", self.address)));
        };
        let (mut packed, mut count) = (Vec::new(), 0);
        for command in commands {
            command.borrow().0.write_packed_command(&mut packed);
            count += 1;
        }
        if let Err(why) = connection.send(&packed, deadline) {
            return Err(self.broken("write to", &why.into(), packed.len()));
        }
        for _ in 0..count {
            match connection.receive(deadline) {
                Ok(value) => each(reply(value)),
                Err(why) => return Err(self.broken("read from", &why, packed.len())),
            }
        }
        Ok(())
    }

    /// A value that is larger than the server takes is answered with the end of the connection.
    fn broken(&self, doing: &str, why: &redis::RedisError, sent_bytes: usize) -> Error {
        if sent_bytes < BULK_BYTES_MIN || !why.is_connection_dropped() {
            return self.failed(doing, why);
        }
        Error::temporary(format!(
            "cannot {doing} {}: {why}; see that it runs, and that its proto-max-bulk-len is larger \
             than a batch ({sent_bytes} bytes were sent)",
            self.address
        ))
    }

    fn failed(&self, doing: &str, why: &redis::RedisError) -> Error {
        let address = &self.address;
        // What an operator can mend without a restart: temporary, with the remedy.
        let denied = matches!(why.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
            || why.kind() == ErrorKind::AuthenticationFailed;
        let remedy = match why.code() {
            _ if why.to_string().contains("max number of clients") => {
                "; raise its maxclients, or end some of its clients"
            }
            _ if denied => "; check redis-password-file and the ACL",
            Some(code) => parse::remedy(code),
            // One client too many is cut off without a word.
            None if doing == CONNECT => {
                return self
                    .unreached(why, "see that it runs, and that its maxclients is not reached");
            }
            None => "; we go on trying",
        };
        Error::temporary(format!("cannot {doing} {address}: {why}{remedy}"))
    }

    fn unreached(&self, why: &dyn std::fmt::Display, remedy: &str) -> Error {
        let remedy = process::out_of_files().unwrap_or(remedy);
        Error::temporary(format!("cannot {CONNECT} {}: {why}; {remedy}", self.address))
    }
}

/// Only a replica answers so.
fn is_replicas(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused { code, .. } if code == "READONLY" || code == "MASTERDOWN")
}

/// The crate knows unix sockets as `redis+unix` and `unix`; Valkey's names mean the same.
fn url(url: &str) -> String {
    url.strip_prefix("valkey").map_or_else(|| url.to_owned(), |rest| format!("redis{rest}"))
}

fn reply(value: Value) -> Reply {
    match value {
        Value::Int(number) => Reply::Int(number),
        Value::BulkString(bytes) => Reply::Bytes(bytes),
        Value::SimpleString(text) => Reply::Bytes(text.into_bytes()),
        Value::Okay => Reply::Bytes(b"OK".to_vec()),
        Value::Array(values) | Value::Set(values) => {
            Reply::List(values.into_iter().map(reply).collect())
        }
        Value::ServerError(error) => refusal(&error),
        _ => Reply::Nil,
    }
}

/// Before Redis 7 an error inside a script comes as `ERR Error running script …: -OOM …`, or
/// without the dash where the command itself has failed.
fn refusal(error: &redis::ServerError) -> Reply {
    let details = error.details().unwrap_or_default();
    let text = format!("{} {details}", error.code());
    let codes = ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "WRONGTYPE"];
    let names = |code: &&str| {
        [": -", ": "].iter().any(|before| details.contains(&format!("{before}{code} ")))
    };
    let inner = codes.into_iter().find(|code| error.code() == "ERR" && names(code));
    Reply::Refused { code: inner.unwrap_or(error.code()).to_owned(), text }
}
