//! The kernel: all `unsafe`, all `libc`, behind small safe types.
//!
//! A wrapper does one system call, says why that call is sound, and returns a type that
//! cannot be misused. Policy stays out.
#![allow(unsafe_code)]

pub mod commit;
pub mod cond;
pub mod connect;
pub mod ends;
pub mod headers;
pub mod lock;
pub mod memory;
pub mod metadata;
pub mod oom;
pub mod poll;
pub mod process;
#[cfg(test)]
pub mod properties;
pub mod random;
pub mod send;
pub mod shm;
pub mod signal;
pub mod time;

use std::io;

/// Turns the C convention "-1 and errno" into a `Result`.
fn cvt(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
