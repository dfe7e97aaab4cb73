//! Connecting to a unix socket within a bound.
//!
//! The safe call has none: while the server's backlog is full, as that of a stopped one is sooner
//! or later, it waits for a place there.

use super::cvt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Connects within `wait`, which must not be zero.
pub fn unix(path: &Path, wait: Duration) -> io::Result<UnixStream> {
    let address = address(path)?;
    let stream = socket()?;
    // Bounds connect(2), too (socket(7)). There is nothing to poll for: a socket that does not
    // block is refused where there is no place.
    stream.set_write_timeout(Some(wait))?;
    loop {
        match connect(&stream, &address) {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            other => return other.map(|()| stream),
        }
    }
}

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    let mut address =
        libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays zero.
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no path of a unix socket"));
    }
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = *byte as libc::c_char;
    }
    Ok(address)
}

fn socket() -> io::Result<UnixStream> {
    // SAFETY: socket(2) takes three numbers.
    let made =
        cvt(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) });
    // SAFETY: the descriptor was just made, so it is nobody else's.
    Ok(UnixStream::from(unsafe { OwnedFd::from_raw_fd(made?) }))
}

fn connect(stream: &UnixStream, address: &libc::sockaddr_un) -> io::Result<()> {
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed; the address is live, of that length, and ends with 0.
    cvt(unsafe { libc::connect(stream.as_raw_fd(), (&raw const *address).cast(), length) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    #[test]
    fn a_place_in_a_full_backlog_is_waited_for_no_longer_than_said() {
        let path = std::env::temp_dir().join(format!("spanbufd-backlog.{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        // SAFETY: listen(2) takes two numbers, and the descriptor is borrowed.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let connect = || unix(&path, Duration::from_millis(200));
        let places: Vec<_> = (0..10).map_while(|_| connect().ok()).collect();
        assert!((1..10).contains(&places.len()), "{} places", places.len());
        let began = Instant::now();
        let refused = connect().map_err(|why| why.kind());
        assert_eq!(refused.err(), Some(io::ErrorKind::TimedOut));
        assert!((200..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        drop(listener.accept());
        assert!(connect().is_ok());
        drop(listener);
        let gone = connect().map_err(|why| why.kind());
        assert_eq!(gone.err(), Some(io::ErrorKind::ConnectionRefused));
        let _ = std::fs::remove_file(&path);
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let wait = Duration::from_secs(1);
        let refused = unix(Path::new(&"x".repeat(108)), wait).map_err(|why| why.kind());
        assert_eq!(refused.err(), Some(io::ErrorKind::InvalidInput));
    }
}
