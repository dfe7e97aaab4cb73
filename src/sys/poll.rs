//! Waiting for descriptors with a time-out: the only place where the supervisor sleeps.

use super::cvt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until `fd` is readable or `wait` is over; says whether it is readable. An interrupting
/// signal ends the wait like a time-out.
pub fn readable(fd: BorrowedFd<'_>, wait: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // Rounded up: a wait of less than a millisecond must not become a busy loop.
    let wait_ms = wait.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32;
    // SAFETY: one live entry whose descriptor is borrowed over the call.
    match cvt(unsafe { libc::poll(&mut entry, 1, wait_ms) }) {
        Ok(ready) => Ok(ready > 0),
        Err(why) if why.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(why) => Err(why),
    }
}
