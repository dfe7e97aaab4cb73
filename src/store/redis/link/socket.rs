//! The bytes between us and Redis: one socket, and one deadline for whatever goes over it.
//!
//! The crate's own connection bounds each system call and not their sum: a server, or a network,
//! that lets a byte through now and then would hold a worker for as long as it likes.

use super::lookup::Lookup;
use crate::sys::{connect, time};
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Parser, RedisError, RedisResult, Value, cmd,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why there is no connection.
pub enum Unopened {
    /// Nobody knows where the host is.
    Lost(io::Error),
    Failed(RedisError),
}

impl<E: Into<RedisError>> From<E> for Unopened {
    fn from(why: E) -> Unopened {
        Unopened::Failed(why.into())
    }
}

pub struct Socket {
    stream: Stream,
    parser: Parser,
}

impl Socket {
    /// Connects, and says who we are where a password is set. All deadlines are monotonic times.
    pub fn open(
        info: &ConnectionInfo,
        lookup: &mut Lookup,
        deadline: Duration,
    ) -> Result<Socket, Unopened> {
        let stream = Stream::open(info.addr(), lookup, deadline)?;
        let mut socket = Socket { stream, parser: Parser::new() };
        let settings = info.redis_settings();
        if let Some(password) = settings.password() {
            let mut auth = cmd("AUTH");
            settings.username().into_iter().for_each(|user| _ = auth.arg(user));
            if let Value::ServerError(why) = socket.ask(auth.arg(password), deadline)? {
                let why = why.details().unwrap_or(why.code()).to_owned();
                let what = "Password authentication failed";
                return Err(RedisError::from((ErrorKind::AuthenticationFailed, what, why)).into());
            }
        }
        if settings.db() != 0
            && let Value::ServerError(why) =
                socket.ask(cmd("SELECT").arg(settings.db()), deadline)?
        {
            return Err(why.into());
        }
        Ok(socket)
    }

    fn ask(&mut self, command: &Cmd, deadline: Duration) -> RedisResult<Value> {
        self.send(&command.get_packed_command(), deadline)?;
        self.receive(deadline)
    }

    pub fn send(&mut self, bytes: &[u8], deadline: Duration) -> io::Result<()> {
        Until { stream: &self.stream, deadline }.write_all(bytes)
    }

    /// The next reply.
    pub fn receive(&mut self, deadline: Duration) -> RedisResult<Value> {
        self.parser.parse_value(Until { stream: &self.stream, deadline })
    }
}

impl Stream {
    fn open(
        address: &ConnectionAddr,
        lookup: &mut Lookup,
        deadline: Duration,
    ) -> Result<Stream, Unopened> {
        match address {
            ConnectionAddr::Unix(path) => Ok(Stream::Unix(connect::unix(path, left(deadline)?)?)),
            ConnectionAddr::Tcp(host, port) => {
                let found = lookup.addresses(host, *port, left(deadline)?);
                Ok(Stream::Tcp(tcp(&found.map_err(Unopened::Lost)?, deadline)?))
            }
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is not supported").into()),
        }
    }
}

/// To the first address of the host that answers; one that is silent has its share of the time.
fn tcp(addresses: &[SocketAddr], deadline: Duration) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for (address, untried) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        match TcpStream::connect_timeout(address, left(deadline)? / untried) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(why) => failed = why,
        }
    }
    Err(failed)
}

/// What is left until the deadline: never zero, which would mean no limit.
fn left(deadline: Duration) -> io::Result<Duration> {
    match deadline.saturating_sub(time::monotonic()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A stream of which every system call ends by the deadline.
struct Until<'s> {
    stream: &'s Stream,
    deadline: Duration,
}

impl Read for Until<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = Some(left(self.deadline)?);
            let read = match self.stream {
                Stream::Tcp(stream) => {
                    stream.set_read_timeout(left).and_then(|()| { stream }.read(into))
                }
                Stream::Unix(stream) => {
                    stream.set_read_timeout(left).and_then(|()| { stream }.read(into))
                }
            };
            match read {
                // A signal is no word of the server.
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = Some(left(self.deadline)?);
        match self.stream {
            Stream::Tcp(stream) => {
                stream.set_write_timeout(left).and_then(|()| { stream }.write(bytes))
            }
            Stream::Unix(stream) => {
                stream.set_write_timeout(left).and_then(|()| { stream }.write(bytes))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::IntoConnectionInfo;
    use std::os::unix::net::UnixListener;

    /// Hands `test` a socket to a server that answers with `reply`, a byte at a time.
    fn dripping(reply: &'static [u8], every: Duration, test: impl FnOnce(&mut Socket)) {
        let path = std::env::temp_dir().join(format!("spanbufd-drip.{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let Ok(listener) = UnixListener::bind(&path) else { panic!("cannot listen") };
        std::thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return };
            for byte in reply {
                std::thread::sleep(every);
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        });
        let url = format!("redis+unix://{}", path.display());
        let Ok(info) = url.as_str().into_connection_info() else { panic!("no url") };
        let deadline = time::monotonic() + Duration::from_secs(5);
        let opened = Socket::open(&info, &mut Lookup::default(), deadline);
        let Ok(mut socket) = opened else { panic!("not connected") };
        let _ = std::fs::remove_file(&path);
        test(&mut socket);
    }

    #[test]
    fn a_server_that_drips_is_waited_for_until_the_deadline_and_no_longer() {
        dripping(
            b"+PONG\r\n$60\r\n123456789012345678901234567890",
            Duration::from_millis(20),
            |s| {
                let began = time::monotonic();
                let deadline = began + Duration::from_secs(5);
                assert!(
                    s.ask(&cmd("PING"), deadline)
                        .is_ok_and(|value| value == Value::SimpleString("PONG".into()))
                );
                let deadline = time::monotonic() + Duration::from_millis(200);
                assert!(s.receive(deadline).is_err_and(|why| why.is_timeout()));
                assert!(time::monotonic() < deadline + Duration::from_secs(1));
            },
        );
    }
}
