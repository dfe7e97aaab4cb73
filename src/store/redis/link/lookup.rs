//! The addresses of a host, asked for by a thread of its own.
//!
//! The C library answers in its own time, which is that of resolv.conf(5) and tens of seconds where
//! name servers are silent; no call of the store may take that long.

use crate::sys::time;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// An answer that nobody has taken for so long does not count: the host may be elsewhere by now.
const FRESH_FOR: Duration = Duration::from_secs(30);

type Answer = io::Result<Vec<SocketAddr>>;

/// The question that is under way, if any; answered with the time (monotonic) of the answer.
#[derive(Default)]
pub struct Lookup(Option<Receiver<(Duration, Answer)>>);

impl Lookup {
    /// The addresses of the host, within `wait`. An answer that comes later is that of the next
    /// call, so slow name servers are no obstacle.
    pub fn addresses(&mut self, host: &str, port: u16, wait: Duration) -> Answer {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let answer = match self.0.take() {
            Some(under_way) => under_way,
            None => ask(host, port)?,
        };
        let failed = |why: &str| io::Error::other(format!("cannot look up {host}: {why}"));
        match answer.recv_timeout(wait) {
            Ok((at, _)) if time::monotonic().saturating_sub(at) > FRESH_FOR => {
                self.addresses(host, port, wait)
            }
            Ok((_, found)) => found.map_err(|why| failed(&why.to_string())),
            Err(RecvTimeoutError::Timeout) => {
                self.0 = Some(answer);
                Err(failed("no name server has answered yet"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(failed("the question ended unanswered")),
        }
    }
}

fn ask(host: &str, port: u16) -> io::Result<Receiver<(Duration, Answer)>> {
    let (tell, answer) = channel();
    let host = host.to_owned();
    let ask = move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        // That nobody waits for the answer any more is no error.
        drop(tell.send((time::monotonic(), found)));
    };
    thread::Builder::new().name("lookup".to_owned()).spawn(ask)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_late_is_the_next_call_s() {
        let (tell, answer) = channel();
        let mut lookup = Lookup(Some(answer));
        let mut ask = || lookup.addresses("a.host", 6379, Duration::from_millis(1));
        assert!(ask().is_err_and(|why| why.to_string().contains("no name server has answered")));
        let there = SocketAddr::from(([10, 0, 0, 7], 6379));
        assert!(tell.send((time::monotonic(), Ok(vec![there]))).is_ok());
        assert_eq!(ask().ok(), Some(vec![there]));
        assert!(lookup.0.is_none(), "the next one asks anew");
    }

    #[test]
    fn an_answer_that_nobody_took_for_long_does_not_count() {
        let (tell, answer) = channel();
        let long_ago = time::monotonic().saturating_sub(FRESH_FOR + Duration::from_secs(1));
        let there = SocketAddr::from(([10, 0, 0, 7], 6379));
        assert!(tell.send((long_ago, Ok(vec![there]))).is_ok());
        let found = Lookup(Some(answer)).addresses("localhost", 6379, Duration::from_secs(10));
        let found = found.unwrap_or_else(|why| panic!("{why}"));
        assert!(found.iter().any(|address| address.ip().is_loopback()), "{found:?}");
    }

    #[test]
    fn an_address_is_no_question() {
        let mut lookup = Lookup::default();
        for (host, shown) in [("127.0.0.1", "127.0.0.1:6379"), ("::1", "[::1]:6379")] {
            let found = lookup.addresses(host, 6379, Duration::ZERO).unwrap();
            assert_eq!(found.iter().map(SocketAddr::to_string).collect::<Vec<_>>(), [shown]);
        }
        let found = lookup.addresses("localhost", 6379, Duration::from_secs(10)).unwrap();
        assert!(found.iter().any(|address| address.ip().is_loopback()));
    }
}
