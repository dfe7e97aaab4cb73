//! Signals as flags, and one descriptor to wait on.
//!
//! signal-hook's actions and its pipe are inherited by a fork: a child that kept them would
//! wake its parent and ignore its own SIGTERM. So a child is born with all signals blocked,
//! drops the inherited actions, registers its own, and only then lets signals in.

use super::cvt;
use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::{pipe, register, unregister};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);
static RELOAD: AtomicBool = AtomicBool::new(false);
static REPORT: AtomicBool = AtomicBool::new(false);

/// Actions of this process, so that a child of it can drop them.
static ACTIONS: Mutex<Vec<SigId>> = Mutex::new(Vec::new());

/// What arrived since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub stop: bool,
    pub reload: bool,
    pub report: bool,
}

/// The readable end of the pipe that every signal writes to.
pub struct Wake(UnixStream);

/// Listens to what concerns a supervisor: TERM and INT, HUP, USR1 and CHLD.
pub fn listen_as_supervisor() -> io::Result<Wake> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for (signal, flag) in [
        (SIGTERM, Some(&STOP)),
        (SIGINT, Some(&STOP)),
        (SIGHUP, Some(&RELOAD)),
        (SIGUSR1, Some(&REPORT)),
        (SIGCHLD, None),
    ] {
        if let Some(flag) = flag {
            raise_flag(signal, flag)?;
        }
        // After the flag: who wakes finds it up.
        keep(pipe::register(signal, write.try_clone()?)?);
    }
    Ok(Wake(read))
}

/// Listens to what concerns a worker: TERM only. All others that the supervisor knows arrive
/// and do nothing: a terminal's INT and HUP reach the whole group, and the supervisor answers.
pub fn listen_as_worker() -> io::Result<()> {
    for id in std::mem::take(&mut *actions()) {
        unregister(id);
    }
    for flag in [&STOP, &RELOAD, &REPORT] {
        flag.store(false, Ordering::SeqCst);
    }
    raise_flag(SIGTERM, &STOP)?;
    for signal in [SIGINT, SIGHUP, SIGUSR1] {
        // SAFETY: an action that does nothing is safe at any instruction.
        keep(unsafe { register(signal, || ()) }?);
    }
    unblock_all()
}

/// Whether this process was asked to stop, and still is.
pub fn stop_requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

impl Wake {
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Empties the pipe and takes the flags down.
    pub fn take(&mut self) -> Arrived {
        let mut bytes = [0u8; 64];
        while matches!(self.0.read(&mut bytes), Ok(got) if got > 0) {}
        Arrived {
            stop: STOP.swap(false, Ordering::SeqCst),
            reload: RELOAD.swap(false, Ordering::SeqCst),
            report: REPORT.swap(false, Ordering::SeqCst),
        }
    }
}

fn raise_flag(signal: i32, flag: &'static AtomicBool) -> io::Result<()> {
    // SAFETY: the action stores to an atomic, which is safe at any instruction.
    keep(unsafe { register(signal, || flag.store(true, Ordering::SeqCst)) }?);
    Ok(())
}

fn keep(id: SigId) {
    actions().push(id);
}

fn actions() -> std::sync::MutexGuard<'static, Vec<SigId>> {
    ACTIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A signal mask, as it was.
pub(super) struct Mask(libc::sigset_t);

/// Holds all signals back and returns the mask that held before.
pub(super) fn block_all() -> io::Result<Mask> {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: sigfillset writes a whole set to the live memory behind the pointer.
    cvt(unsafe { libc::sigfillset(all.as_mut_ptr()) })?;
    // SAFETY: `all` was filled, `before` is live and is written by the call.
    cvt(unsafe { libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) })?;
    // SAFETY: sigprocmask succeeded, so it wrote `before`.
    Ok(Mask(unsafe { before.assume_init() }))
}

pub(super) fn restore(mask: &Mask) {
    // SAFETY: `mask` is a set the kernel wrote; it wants no answer.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &mask.0, std::ptr::null_mut()) };
}

fn unblock_all() -> io::Result<()> {
    let mut none = MaybeUninit::uninit();
    // SAFETY: sigemptyset writes a whole set to the live memory behind the pointer.
    cvt(unsafe { libc::sigemptyset(none.as_mut_ptr()) })?;
    // SAFETY: sigemptyset succeeded, so it wrote the set.
    restore(&Mask(unsafe { none.assume_init() }));
    Ok(())
}
