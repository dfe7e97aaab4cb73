//! One writer per file: an open-file-description lock on the whole file (fcntl(2)).
//!
//! The kernel frees it when the last descriptor of that opening is closed, so a crash leaves
//! no lock behind, and a reader can ask who holds it without taking part.

use super::cvt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Takes the write lock; `false` when another process holds it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    let lock = whole_file();
    // SAFETY: the descriptor is open for as long as `file` lives, `lock` is a live flock that
    // the kernel only reads.
    let answer = cvt(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) });
    match answer {
        Ok(_) => Ok(true),
        Err(why) if matches!(why.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(why) => Err(why),
    }
}

/// Whether some other opening of the file holds the lock. Needs no right to write.
pub fn is_locked(file: &File) -> io::Result<bool> {
    let mut lock = whole_file();
    // SAFETY: as above; the kernel writes its answer into the live `lock`.
    cvt(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) })?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

fn whole_file() -> libc::flock {
    // fcntl(2): l_pid must be 0 for these locks, l_len 0 means "to the end".
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
