//! Waits until a descriptor is readable or writable, or the time is up (poll(2)).

use super::cvt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Says whether something is readable. A signal ends the wait early, which is not an error.
pub fn readable(descriptors: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<bool> {
    ready(descriptors, libc::POLLIN, timeout)
}

/// Says whether something can be written: to a pipe as much as it takes at once (pipe(7)).
pub fn writable(descriptor: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    ready(&[descriptor], libc::POLLOUT, timeout)
}

fn ready(
    descriptors: &[BorrowedFd<'_>],
    events: libc::c_short,
    timeout: Duration,
) -> io::Result<bool> {
    let of = |fd: &BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let mut polled: Vec<libc::pollfd> = descriptors.iter().map(of).collect();
    // Rounded up: a rest of half a millisecond must not become a busy loop.
    let timeout_ms = timeout.as_micros().div_ceil(1000).min(60_000) as libc::c_int;
    let count = polled.len() as libc::nfds_t;
    // SAFETY: the pointer and the count name one live array, whose descriptors are borrowed.
    match cvt(unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) }) {
        Ok(ready) => Ok(ready > 0),
        Err(why) if why.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(why) => Err(why),
    }
}
