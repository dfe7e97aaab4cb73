//! The notify protocol of systemd (sd_notify(3)): one datagram a message, no library.
//!
//! Every failure is ignored: the daemon runs as well without systemd. The watchdog is petted
//! while the supervisor's loop turns; an outage of Kafka or Redis never keeps it from that.

use crate::sys::process::SYSTEMD_VARIABLES;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

const STATUS_PAUSE: Duration = Duration::from_secs(1);

pub struct Systemd {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    petted: Duration,
    status: String,
    status_sent: Option<Duration>,
}

impl Systemd {
    pub fn from_environment() -> Systemd {
        let [socket, watchdog_usec, watchdog_pid] =
            SYSTEMD_VARIABLES.map(|name| std::env::var(name).ok());
        let own_pid = std::process::id().to_string();
        let ours = watchdog_pid.is_none_or(|pid| pid == own_pid);
        let usec: Option<u64> = watchdog_usec.filter(|_| ours).and_then(|n| n.parse().ok());
        Systemd {
            socket: socket.and_then(|path| connect(&path)),
            watchdog: usec.filter(|usec| *usec > 0).map(Duration::from_micros),
            petted: Duration::ZERO,
            status: String::new(),
            status_sent: None,
        }
    }

    /// Says that a start may take as long as a worker that hangs in it and the one after it, and a
    /// little more. Of this and its own limit systemd takes the longer one.
    pub fn starting(&self, limit: Duration) {
        let usec = (2 * limit + Duration::from_secs(30)).as_micros();
        self.send(&format!("EXTEND_TIMEOUT_USEC={usec}"));
    }

    /// What the next status says is said at once: the last one was that of a start or a reload.
    pub fn ready(&mut self) {
        self.send("READY=1");
        self.status_sent = None;
    }

    /// `now` is the monotonic time, which systemd asks for.
    pub fn reloading(&self, now: Duration) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// Says that a stop has begun and may take `limit`, and a little more for the reaping.
    pub fn stopping(&self, limit: Duration) {
        let usec = (limit + Duration::from_secs(2)).as_micros();
        self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={usec}"));
    }

    /// One honest line; sent when it changes, at most once a second.
    pub fn status(&mut self, line: &str, now: Duration) {
        let soon = self.status_sent.is_some_and(|sent| now < sent + STATUS_PAUSE);
        if self.socket.is_none() || soon || line == self.status {
            return;
        }
        self.send(&format!("STATUS={line}"));
        self.status = line.to_string();
        self.status_sent = Some(now);
    }

    /// Pets the watchdog when half its time is over.
    pub fn pet(&mut self, now: Duration) {
        let Some(interval) = self.watchdog else { return };
        if now >= self.petted + interval / 2 {
            self.send("WATCHDOG=1");
            self.petted = now;
        }
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(message.as_bytes());
        }
    }
}

fn connect(path: &str) -> Option<UnixDatagram> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok()?,
        None => SocketAddr::from_pathname(path).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    // A manager that does not read must not stop the supervisor's loop.
    socket.set_nonblocking(true).ok()?;
    socket.connect_addr(&address).ok()?;
    Some(socket)
}
