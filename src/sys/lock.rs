//! One writer per file: open-file-description locks on two of its bytes (fcntl(2)).
//!
//! The kernel frees them when the last descriptor of that opening is closed, so a crash leaves
//! no lock behind, and a reader can ask who holds one without taking part. A byte need not exist
//! to be locked.

use super::cvt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// What a lock says of its holder.
#[derive(Clone, Copy)]
pub enum Lock {
    /// It decides what becomes of the file: the owner does, and whoever finds it without one.
    Deciding,
    /// It lives by what the file says.
    InUse,
}

/// Takes a lock; `false` when another process holds it.
pub fn try_lock(file: &File, which: Lock) -> io::Result<bool> {
    let lock = on_byte(which);
    // SAFETY: the descriptor is open for as long as `file` lives, `lock` is a live flock that
    // the kernel only reads.
    let answer = cvt(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) });
    match answer {
        Ok(_) => Ok(true),
        Err(why) if matches!(why.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(why) => Err(why),
    }
}

/// Whether some other opening of the file holds that lock. Needs no right to write.
pub fn is_locked(file: &File, which: Lock) -> io::Result<bool> {
    let mut lock = on_byte(which);
    // SAFETY: as above; the kernel writes its answer into the live `lock`.
    cvt(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) })?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

fn on_byte(which: Lock) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: which as libc::off_t,
        l_len: 1,
        // fcntl(2): must be 0 for these locks.
        l_pid: 0,
    }
}
