//! A daemon as the scenarios see it: started, looked at by its board, signalled, waited for.

use super::{SHARDS, TICK};
use spanbufd::board::words::{DaemonWord, WorkerState, WorkerWord};
use spanbufd::board::{self, Board, Found, ShardId};
use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

pub struct Daemon {
    pub process: Child,
    pub instance: String,
    log: PathBuf,
}

impl Daemon {
    pub fn start(flushers: usize, behaviour: &str) -> Daemon {
        let instance = format!("test-{}-{behaviour}", std::process::id());
        Daemon::start_as(&instance, flushers, behaviour)
    }

    pub fn start_as(instance: &str, flushers: usize, behaviour: &str) -> Daemon {
        Daemon::start_under(&[], instance, flushers, behaviour, &[])
    }

    /// Under another program, such as strace, and with more in its environment.
    pub fn start_under(
        wrapper: &[&str],
        instance: &str,
        flushers: usize,
        behaviour: &str,
        environment: &[(&str, &str)],
    ) -> Daemon {
        let own = std::env::current_exe().unwrap();
        let flushers = flushers.to_string();
        let words = [own.to_str().unwrap(), "daemon", instance, &flushers, behaviour];
        let words: Vec<&str> = wrapper.iter().copied().chain(words).collect();
        let log = std::env::temp_dir().join(format!("spanbufd-{instance}.log"));
        let process = Command::new(words[0])
            .args(&words[1..])
            .envs(environment.iter().copied())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Daemon { process, instance: instance.to_string(), log }
    }

    pub fn running(flushers: usize, behaviour: &str) -> Daemon {
        let daemon = Daemon::start(flushers, behaviour);
        daemon.wait_for_health(flushers);
        daemon
    }

    pub fn wait_for_health(&self, flushers: usize) {
        self.wait_for("all healthy", |board| {
            (0..flushers).all(|n| healthy(board, n)) && board.ingest(0).get(WorkerWord::BeatMs) > 0
        });
    }

    pub fn board(&self) -> Option<Board> {
        match board::find(&self.instance).unwrap() {
            Found::Running(board) => Some(board),
            _ => None,
        }
    }

    pub fn wait_for(&self, what: &str, condition: impl Fn(&Board) -> bool) {
        wait_until(what, || self.board().is_some_and(|board| condition(&board)));
    }

    pub fn flusher(&self, number: usize) -> u64 {
        self.board().unwrap().flusher(number).get(WorkerWord::Pid)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The log has a line with all of these words in it.
    pub fn logged(&self, words: &[&str]) -> bool {
        self.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// To the supervisor itself, also when it runs under another program.
    pub fn signal(&self, signal: &str) {
        let on_board = self.board().map(|board| board.daemon().get(DaemonWord::Pid));
        send(signal, on_board.unwrap_or(self.process.id().into()));
    }

    /// Waits for the end; no child and no board may be left.
    pub fn end(mut self) -> (ExitStatus, String) {
        let mut status = None;
        wait_until("the end", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        wait_until("no worker left", || processes().len() == 1);
        assert!(self.board().is_none());
        let log = self.log();
        std::fs::remove_file(&self.log).unwrap();
        (status.unwrap(), log)
    }

    pub fn stop(self) -> ExitStatus {
        self.signal("TERM");
        self.end().0
    }
}

/// The manager's end of the notify protocol.
pub struct Notified {
    socket: UnixDatagram,
    pub path: String,
}

impl Notified {
    pub fn listen() -> Notified {
        let path = std::env::temp_dir().join(format!("spanbufd-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        Notified { socket, path: path.to_str().unwrap().to_string() }
    }

    /// The next message within that time.
    pub fn next(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut bytes = [0u8; 500];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// Waits for a message that contains this.
    pub fn expect(&self, wanted: &str) -> String {
        loop {
            let message = self.next(Duration::from_secs(20));
            let message = message.unwrap_or_else(|| panic!("systemd was not told {wanted}"));
            if message.contains(wanted) {
                return message;
            }
        }
    }

    /// Waits until the watchdog was not petted for that long.
    pub fn expect_silence(&self, of: &str, long: Duration) {
        let (begun, mut last) = (Instant::now(), Instant::now());
        while last.elapsed() < long {
            assert!(begun.elapsed() < Duration::from_secs(20), "{of} goes on");
            if self.next(Duration::from_millis(50)).is_some_and(|message| message.contains(of)) {
                last = Instant::now();
            }
        }
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

pub fn healthy(board: &Board, flusher: usize) -> bool {
    board.flusher(flusher).get(WorkerWord::State) == WorkerState::Healthy as u64
}

pub fn all_held(board: &Board) -> bool {
    (0..SHARDS).all(|n| {
        let shard = board.shard(ShardId(n)).unwrap();
        shard.holder().is_some() && shard.holder() == shard.desired()
    })
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "gave up waiting for: {what}");
        std::thread::sleep(TICK);
    }
}

pub fn send(signal: &str, pid: u64) {
    assert!(pid >= 2, "not a process to signal: {pid}");
    run("kill", &[&format!("-{signal}"), &pid.to_string()]);
}

pub fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}

/// All processes of this namespace with their states.
pub fn processes() -> Vec<(u64, char)> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u64| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, stat.rsplit_once(") ")?.1.chars().next()?))
        })
        .collect()
}
