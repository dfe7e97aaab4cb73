//! The Kafka client's timed waits, taken over from the C library: on the monotonic clock.
//!
//! The client waits with C11's `cnd_timedwait` for a time of the wall clock. When that is set back
//! by an hour, a wait of ten milliseconds would last an hour longer: no heartbeats, no polls, and
//! the worker would be killed as one that hangs.

use super::time;
use libc::{c_int, clockid_t, pthread_cond_t, pthread_mutex_t, timespec};
use std::time::Duration;

const THRD_SUCCESS: c_int = 0;
const THRD_ERROR: c_int = 2;
const THRD_TIMEDOUT: c_int = 4;

unsafe extern "C" {
    // glibc has it since 2.30, the libc crate has not.
    fn pthread_cond_clockwait(
        cond: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        clock: clockid_t,
        until: *const timespec,
    ) -> c_int;
}

/// Stands before the C library's own when the client is linked: waits as long as it is until the
/// wall time `until` by now, whatever happens to the wall clock meanwhile.
///
/// # Safety
/// As for the C function: both are initialised, and the caller holds the mutex.
// SAFETY: the C library's function of this name has the same signature: glibc's cnd_t and mtx_t are
// pthread_cond_t and pthread_mutex_t, and its own function passes them on just so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cnd_timedwait(
    cond: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    until: *const timespec,
) -> c_int {
    // SAFETY: the caller's `until` is a live timespec.
    let until = unsafe { *until };
    let until = Duration::new(until.tv_sec as u64, until.tv_nsec as u32);
    let end = time::monotonic().saturating_add(until.saturating_sub(time::wall()));
    let end = timespec { tv_sec: end.as_secs() as i64, tv_nsec: end.subsec_nanos().into() };
    // SAFETY: condition and mutex are the caller's, which holds the mutex; `end` is live.
    match unsafe { pthread_cond_clockwait(cond, mutex, libc::CLOCK_MONOTONIC, &end) } {
        0 => THRD_SUCCESS,
        libc::ETIMEDOUT => THRD_TIMEDOUT,
        _ => THRD_ERROR,
    }
}
