//! Random bits from the kernel, drawn after the fork: two workers never share a stream.

use crate::error::{Error, Result};

/// 128 random bits (getrandom(2)).
pub fn bits128() -> Result<u128> {
    let mut bytes = [0u8; 16];
    // SAFETY: the pointer and the length name one live, writable array; getrandom(2) writes
    // at most that many bytes.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != bytes.len() as isize {
        let why = std::io::Error::last_os_error();
        return Err(Error::temporary(format!("cannot draw 16 random bytes: {why}")));
    }
    Ok(u128::from_ne_bytes(bytes))
}
