//! sd_notify(3) without a library: one datagram to $NOTIFY_SOCKET, failures ignored.
//!
//! READY means that every worker's loop has turned, not that Kafka and Redis have answered: an
//! outage at boot must not become a restart loop. The watchdog is petted while our own loop
//! turns: a silent worker is dealt with by us, not by systemd.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

pub struct Systemd {
    socket: Option<UnixDatagram>,
    /// Half of WATCHDOG_USEC; `None` without a watchdog, or with one for another process.
    pet_every: Option<Duration>,
    petted_at: Duration,
}

impl Systemd {
    /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; without them nothing is ever sent.
    pub fn from_environment() -> Systemd {
        Systemd { socket: connect(), pet_every: watchdog(), petted_at: Duration::ZERO }
    }

    /// A worker must not speak for the daemon.
    pub fn close(&mut self) {
        self.socket = None;
    }

    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    pub fn reloading(&self) {
        let now = crate::sys::time::monotonic();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    /// Pets the watchdog when it is time.
    pub fn pet(&mut self, now: Duration) {
        if let Some(every) = self.pet_every
            && now.saturating_sub(self.petted_at) >= every
        {
            self.petted_at = now;
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(why) = socket.send(text.as_bytes())
        {
            log::debug!("cannot notify systemd: {why}");
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// A path, or `@name` for an abstract socket.
fn connect() -> Option<UnixDatagram> {
    let name = std::env::var_os("NOTIFY_SOCKET")?;
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    Some(socket)
}

fn watchdog() -> Option<Duration> {
    if let Ok(pid) = std::env::var("WATCHDOG_PID")
        && pid != std::process::id().to_string()
    {
        return None;
    }
    let usec: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(usec) / 2)
}
