//! Processes: born by fork, named, signalled and reaped.
//!
//! A [`Pid`] cannot hold a value below 2, so a failed fork, "my group" (0), "everyone" (-1) and
//! init (1) can never be signalled by mistake. Nothing here waits.

use super::{cvt, signal};
use crate::error::Kind;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A process that may be signalled: always 2 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(libc::pid_t);

impl Pid {
    /// `None` for what kill(2) would read as something else than one ordinary process.
    pub fn new(number: i64) -> Option<Pid> {
        libc::pid_t::try_from(number).ok().filter(|number| *number >= 2).map(Pid)
    }

    pub fn number(self) -> u32 {
        self.0 as u32
    }
}

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    Signal(i32),
}

impl Ended {
    /// The wait status of wait(2), which fits one word and reads back with [`Ended::from_wait`].
    pub fn to_wait(self) -> i32 {
        match self {
            Ended::Exit(status) => (status & 0xff) << 8,
            Ended::Signal(signal) => signal & 0x7f,
        }
    }

    pub fn from_wait(status: i32) -> Ended {
        match status & 0x7f {
            0 => Ended::Exit((status >> 8) & 0xff),
            signal => Ended::Signal(signal),
        }
    }
}

/// What can be sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    Terminate,
    Kill,
}

/// Forks a child that runs `body` and exits with the status it returns.
///
/// The child never returns into the caller's frames, not even by a panic, and it starts with all
/// signals blocked: none may reach the handlers it inherited. `signal::listen_as_worker` lets
/// them in again.
pub fn spawn(body: impl FnOnce() -> i32) -> io::Result<Pid> {
    debug_assert_eq!(threads(), 1, "fork of a process with threads");
    let parent = std::process::id();
    let mask = signal::block_all()?;
    // SAFETY: this process has one thread (P1), so the child inherits no lock held by another.
    let forked = cvt(unsafe { libc::fork() });
    if let Ok(0) = forked {
        let _guard = AbortOnUnwind;
        exit(if die_with(parent).is_ok() { body() } else { Kind::Temporary as i32 });
    }
    signal::restore(&mask);
    let number = forked?;
    Pid::new(number.into())
        .ok_or_else(|| io::Error::other(format!("fork answered with the process id {number}")))
}

/// Makes a panic in the child signal 6, also in builds that unwind.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// Leaves at once: no destructor and no exit handler runs (P1: Kafka handles are not dropped).
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit takes a plain number, never returns and touches no memory of ours.
    unsafe { libc::_exit(status) }
}

/// Has the kernel kill this process when `parent` dies, and fails if it is dead already.
fn die_with(parent: u32) -> io::Result<()> {
    let kill = libc::SIGKILL as libc::c_ulong;
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and no pointer.
    cvt(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, kill) })?;
    // SAFETY: getppid takes nothing and cannot fail.
    let now = unsafe { libc::getppid() };
    if now as u32 == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// Has the kernel kill what `command` starts when this process dies.
pub fn die_together(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec this makes two system calls and takes no lock and no memory.
    unsafe { command.pre_exec(move || die_with(parent)) };
}

/// This machine's host name; empty when the kernel does not tell.
pub fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: gethostname writes at most the given length, which is less than the buffer's.
    let got = cvt(unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) });
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    got.map_or(String::new(), |_| String::from_utf8_lossy(&name[..end]).into_owned())
}

/// What to do when this process can open nothing more, by its own limit or the machine's.
pub fn out_of_files() -> Option<&'static str> {
    let code = std::fs::File::open("/dev/null").err()?.raw_os_error()?;
    matches!(code, libc::EMFILE | libc::ENFILE)
        .then_some("this process can open no more files: raise LimitNOFILE (ulimit -n)")
}

/// Reaps one child that has ended, if there is one; never waits.
pub fn reap() -> io::Result<Option<(Pid, Ended)>> {
    let mut status = 0;
    // SAFETY: `status` is a live int; WNOHANG makes the call return at once.
    let reaped = cvt(unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) });
    match reaped {
        Ok(number) => Ok(Pid::new(number.into()).map(|pid| (pid, Ended::from_wait(status)))),
        Err(why) if why.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(why) if why.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(why) => Err(why),
    }
}

/// Signals one process.
pub fn kill(pid: Pid, what: Send) -> io::Result<()> {
    let signal = match what {
        Send::Terminate => libc::SIGTERM,
        Send::Kill => libc::SIGKILL,
    };
    // SAFETY: kill(2) takes two numbers; `Pid` rules out groups, everyone and init.
    cvt(unsafe { libc::kill(pid.0, signal) }).map(|_| ())
}

/// Sends SIGHUP to a supervisor, which in a container is process 1. Where 1 is another program, it
/// is the machine's init, and gets nothing.
pub fn hang_up(supervisor: u32) -> io::Result<()> {
    let number = libc::pid_t::try_from(supervisor).ok().filter(|number| *number >= 1);
    let Some(number) = number else {
        return Err(io::Error::other("that is no process"));
    };
    if number == 1 && program_of("1") != program_of("self") {
        return Err(io::Error::other("that is the init of this machine, and no spanbufd"));
    }
    // SAFETY: kill(2) takes two numbers; groups and everyone are ruled out above.
    cvt(unsafe { libc::kill(number, libc::SIGHUP) }).map(|_| ())
}

fn program_of(process: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/comm")).ok()
}

/// Names this process in ps(1) and the journal: at most 15 bytes are kept.
pub fn set_name(name: &str) {
    let mut bytes = [0u8; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    // SAFETY: PR_SET_NAME reads up to 16 bytes; the array is live and ends with a zero.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// Closes all descriptors above standard error: those of the parent mean nothing to a child.
pub fn close_inherited() -> io::Result<()> {
    // SAFETY: takes numbers only. No owner of these descriptors runs in this process: the
    // parent's frames are never returned to, and nothing of ours is open yet.
    let closed = cvt(
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) } as libc::c_int
    );
    match closed {
        Ok(_) => Ok(()),
        // Before Linux 5.9, and under a seccomp filter that is older than the call.
        Err(why) if matches!(why.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            close_listed()
        }
        Err(why) => Err(why),
    }
}

/// The same, one by one.
fn close_listed() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<libc::c_int>().ok()));
    }
    // By now the listing itself is closed, and one number of these is free.
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: takes a number only; as above, no owner of it runs in this process.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

/// By which systemd speaks to the supervisor, and to nobody it forks.
pub const SYSTEMD_VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Takes variables out of the environment that are meant for the parent only.
pub fn unset(variables: &[&str]) {
    for name in variables {
        // SAFETY: called right after the fork, when this process has one thread.
        unsafe { std::env::remove_var(name) };
    }
}

/// Has the kernel prefer this process to others when memory runs out.
pub fn volunteer_for_oom(score: i32) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", score.to_string())
}

/// Threads of this process; 1 where /proc cannot tell.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_one_ordinary_process() {
        for number in [i64::MIN, -1, 0, 1, i64::from(i32::MAX) + 1] {
            assert_eq!(Pid::new(number), None, "{number}");
        }
        assert_eq!(Pid::new(2).map(Pid::number), Some(2));
    }

    /// Process 1 of the test's namespace is no test of this name.
    #[test]
    fn only_a_process_that_may_be_a_supervisor_is_told_to_reload() {
        for number in [0, 1, 1 << 31, u32::MAX] {
            assert!(hang_up(number).is_err(), "{number}");
        }
    }

    #[test]
    fn a_wait_status_survives_the_word() {
        for ended in [Ended::Exit(0), Ended::Exit(78), Ended::Signal(9), Ended::Signal(6)] {
            assert_eq!(Ended::from_wait(ended.to_wait()), ended);
        }
    }
}
