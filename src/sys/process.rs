//! Processes: fork a worker, reap it, kill it, tie it to its parent.

use super::cvt;
use std::ffi::CString;
use std::io;

/// A process that may be signalled. It cannot hold a value below 2: a failed `fork` must
/// never become a pid, since kill(-1) signals every process there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pid(libc::pid_t);

impl Pid {
    pub fn new(raw: i32) -> Option<Pid> {
        if raw >= 2 { Some(Pid(raw)) } else { None }
    }

    pub fn raw(self) -> i32 {
        self.0
    }

    /// This process; inside a pid namespace that may be 1, which nobody signals.
    pub fn own() -> u32 {
        std::process::id()
    }
}

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitStatus(libc::c_int);

impl WaitStatus {
    /// From the raw status of waitpid(2), as the board keeps it.
    pub fn from_raw(raw: i32) -> WaitStatus {
        WaitStatus(raw)
    }

    pub fn raw(self) -> i32 {
        self.0
    }

    /// The exit status, `None` when a signal ended it.
    pub fn exit_status(self) -> Option<i32> {
        if libc::WIFEXITED(self.0) { Some(libc::WEXITSTATUS(self.0)) } else { None }
    }

    pub fn signal(self) -> Option<i32> {
        if libc::WIFSIGNALED(self.0) { Some(libc::WTERMSIG(self.0)) } else { None }
    }
}

impl std::fmt::Display for WaitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.exit_status(), self.signal()) {
            (Some(status), _) => write!(f, "exited with status {status}"),
            (_, Some(signal)) => write!(f, "died of signal {signal}"),
            _ => write!(f, "ended with wait status {:#x}", self.0),
        }
    }
}

/// Forks a child that runs `body` and exits with the code it returns. The child never returns
/// into the caller's frames, and it dies when its parent dies.
///
/// # Errors
/// When fork(2) fails; then there is no child and no pid.
pub fn spawn(body: impl FnOnce() -> i32) -> io::Result<Pid> {
    debug_assert_eq!(thread_count(), Some(1), "fork of a threaded process");
    let parent = std::process::id();
    // SAFETY: this process has one thread (P1), so the child may do anything after fork.
    match cvt(unsafe { libc::fork() })? {
        0 => {
            let code = if die_with(parent) { body() } else { 0 };
            exit_now(code)
        }
        pid => Pid::new(pid).ok_or_else(|| io::Error::other(format!("fork gave pid {pid}"))),
    }
}

/// Leaves at once, without destructors and exit handlers: those are the parent's, and Kafka
/// handles must not be dropped.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes no pointer and never returns.
    unsafe { libc::_exit(code) }
}

/// Asks for SIGKILL when the parent dies; false when it is dead already.
fn die_with(parent: u32) -> bool {
    // SAFETY: prctl(2) with PR_SET_PDEATHSIG takes an integer and touches no memory of ours.
    let asked = cvt(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) });
    // Between fork and prctl the parent may have died: then its pid is not our parent's any more.
    asked.is_ok() && std::os::unix::process::parent_id() == parent
}

/// Names this process in ps(1) and the journal: the first 15 bytes.
pub fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: prctl(2) with PR_SET_NAME reads a terminated string that lives over the call.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}

/// Makes the kernel take this process before its supervisor when memory runs out.
pub fn raise_oom_score(score: i32) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", score.to_string())
}

/// What a look for a dead child brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reap {
    Dead(Pid, WaitStatus),
    /// Children there are, none of them dead.
    NoneDead,
    NoChildren,
}

/// Reaps one dead child. Never blocks.
pub fn reap() -> io::Result<Reap> {
    let mut status = 0;
    // SAFETY: `status` is a live int; WNOHANG makes the call return at once.
    match cvt(unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) }) {
        Ok(0) => Ok(Reap::NoneDead),
        Ok(pid) => match Pid::new(pid) {
            Some(pid) => Ok(Reap::Dead(pid, WaitStatus(status))),
            None => Ok(Reap::NoneDead),
        },
        Err(why) if why.raw_os_error() == Some(libc::ECHILD) => Ok(Reap::NoChildren),
        Err(why) if why.kind() == io::ErrorKind::Interrupted => Ok(Reap::NoneDead),
        Err(why) => Err(why),
    }
}

/// Sends a signal. A process that is gone is no error: it was reaped meanwhile.
pub fn kill(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes two integers; the type keeps the pid above 1.
    match cvt(unsafe { libc::kill(pid.0, signal) }) {
        Err(why) if why.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => result.map(|_| ()),
    }
}

/// The process exists (perhaps as another user's).
pub fn is_alive(pid: Pid) -> bool {
    // SAFETY: signal 0 only asks; it takes two integers.
    match cvt(unsafe { libc::kill(pid.0, 0) }) {
        Ok(_) => true,
        Err(why) => why.raw_os_error() == Some(libc::EPERM),
    }
}

/// Threads of this process, `None` where /proc cannot be read.
pub fn thread_count() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: Pid) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fork_is_no_pid() {
        for raw in [-1, 0, 1] {
            assert_eq!(Pid::new(raw), None);
        }
        assert_eq!(Pid::new(2).map(Pid::raw), Some(2));
    }

    #[test]
    fn a_wait_status_says_how_it_ended() {
        assert_eq!(WaitStatus(0x4e00).exit_status(), Some(78));
        assert_eq!(WaitStatus(9).signal(), Some(9));
        assert_eq!(WaitStatus(9).to_string(), "died of signal 9");
        assert_eq!(WaitStatus(0x4b00).to_string(), "exited with status 75");
    }
}
