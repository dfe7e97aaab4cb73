//! The supervisor against real processes: they crash, hang, ignore SIGTERM, and are counted.
//!
//! Not a libtest harness: the daemon under test forks, so it is this program run again with
//! one thread. All of it runs in a PID namespace of its own, so that a stray kill stays here.
//! Every wait is for a condition, with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

use spanbufd::board::report;
use spanbufd::board::words::{DaemonWord, Kind, OwnershipWord, WorkerState, WorkerWord};
use spanbufd::board::{self, Board, Found, Shape, ShardId};
use spanbufd::supervisor::policy::Limits;
use spanbufd::supervisor::{self, Duty, Pool};
use spanbufd::sys::time;
use spanbufd::worker::{Berth, birth};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const SHARDS: u32 = 8;
const TICK: Duration = Duration::from_millis(2);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "daemon") {
        std::process::exit(daemon(&args[1], args[2].parse().unwrap(), &args[3]));
    }
    if std::env::var_os("SPANBUFD_TEST_NAMESPACE").is_none() {
        let why = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
            .arg(std::env::current_exe().unwrap())
            .args(&args)
            .env("SPANBUFD_TEST_NAMESPACE", "1")
            .exec();
        panic!("cannot run unshare: {why}");
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    for (name, scenario) in SCENARIOS {
        if filter.is_none_or(|filter| name.contains(filter.as_str())) {
            let begun = Instant::now();
            scenario();
            println!("ok {name} ({} ms)", begun.elapsed().as_millis());
        }
    }
}

const SCENARIOS: &[(&str, fn())] = &[
    ("stops_in_order", stops_in_order),
    ("replaces_the_dead_200_times", replaces_the_dead_200_times),
    ("replaces_the_hung", replaces_the_hung),
    ("reports_what_is", reports_what_is),
    ("spends_its_budget_exactly", spends_its_budget_exactly),
    ("stops_when_misconfigured", stops_when_misconfigured),
    ("stops_the_stuck_on_time_1", || stops_the_stuck_on_time(1)),
    ("stops_the_stuck_on_time_16", || stops_the_stuck_on_time(16)),
    ("a_second_signal_means_now", a_second_signal_means_now),
    ("workers_die_with_the_supervisor", workers_die_with_the_supervisor),
    ("refuses_a_second_instance", refuses_a_second_instance),
    ("a_pause_of_all_kills_nobody", a_pause_of_all_kills_nobody),
    ("a_signal_to_one_worker_stays_there", a_signal_to_one_worker_stays_there),
    ("says_that_shared_memory_is_full", says_that_shared_memory_is_full),
    ("tells_systemd", tells_systemd),
    ("auto_pool_follows_the_shards", auto_pool_follows_the_shards),
];

/// These duties have no configuration to read again.
struct NoFront;

impl supervisor::Front for NoFront {
    fn probe(&self) -> i32 {
        1
    }

    fn reload(&self) -> spanbufd::error::Result<Limits> {
        Err(spanbufd::error::Error::software("nothing to reload"))
    }
}

// The daemon under test.

fn daemon(instance: &str, flushers: usize, behaviour: &str) -> i32 {
    env_logger::Builder::new().filter_level(log::LevelFilter::Debug).init();
    let shape = Shape { ingests: 1, flushers, max_shards: SHARDS };
    let (board, _instance) = match board::create(instance, shape) {
        Ok(made) => made,
        Err(error) => {
            log::error!("{error}");
            return error.exit_status().into();
        }
    };
    let limits = Limits {
        unhealthy: Duration::from_millis(1500),
        start: Duration::from_secs(5),
        restarts_max: if behaviour == "crash" { 3 } else { 1000 },
        restart_window: Duration::from_secs(if behaviour == "killed" { 1 } else { 600 }),
        leave: Duration::from_secs(5),
        shutdown: Duration::from_millis(if behaviour == "patient" { 60_000 } else { 1000 }),
    };
    let pool = if behaviour == "auto" { Pool::PerShard } else { Pool::All };
    let flusher = match behaviour {
        "crash" => |_: &Berth<'_>| 75,
        "misconfigured" => |_: &Berth<'_>| 78,
        "stuck" | "patient" => stuck as fn(&Berth<'_>) -> i32,
        _ => flush,
    };
    let duty = |kind, number, main: fn(&Berth<'_>) -> i32| Duty {
        kind,
        number,
        main: Box::new(move |board: &Board, number| birth(kind, number, board, main)),
    };
    let mut duties: Vec<Duty> = (0..flushers).map(|n| duty(Kind::Flusher, n, flusher)).collect();
    duties.push(duty(Kind::Ingest, 0, ingest));
    supervisor::run(&board, duties, limits, pool, &NoFront).unwrap()
}

/// Takes what it should, gives back what it should not have; beats always.
fn flush(berth: &Berth<'_>) -> i32 {
    loop {
        berth.beat();
        let mut held = 0;
        for shard in (0..SHARDS).map(|n| berth.board.shard(ShardId(n)).unwrap()) {
            if shard.desired() == Some(berth.number) && !berth.stopping() {
                shard.take(berth.number);
            } else {
                shard.give_back(berth.number);
            }
            held += usize::from(shard.holder() == Some(berth.number));
        }
        if berth.stopping() && held == 0 {
            return 0;
        }
        std::thread::sleep(TICK);
    }
}

/// Owns all shards; leaves when nobody holds one any more.
fn ingest(berth: &Berth<'_>) -> i32 {
    for shard in 0..SHARDS {
        let row = berth.board.ownership(0, ShardId(shard)).unwrap();
        row.set(OwnershipWord::Wanted, 1);
        row.set(OwnershipWord::Assigned, 1);
    }
    let free = || (0..SHARDS).all(|n| berth.board.shard(ShardId(n)).unwrap().holder().is_none());
    while !(berth.stopping() && free()) {
        berth.beat();
        std::thread::sleep(TICK);
    }
    0
}

/// Alive, and deaf to every request.
fn stuck(berth: &Berth<'_>) -> i32 {
    loop {
        berth.beat();
        std::thread::sleep(TICK);
    }
}

// What a scenario says.

struct Daemon {
    process: Child,
    instance: String,
}

impl Daemon {
    fn start(flushers: usize, behaviour: &str) -> Daemon {
        Daemon::start_as(&format!("test-{}-{behaviour}", std::process::id()), flushers, behaviour)
    }

    fn start_as(instance: &str, flushers: usize, behaviour: &str) -> Daemon {
        let quiet = std::env::var_os("SPANBUFD_TEST_LOG").is_none();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["daemon", instance, &flushers.to_string(), behaviour])
            .stderr(if quiet { Stdio::null() } else { Stdio::inherit() })
            .spawn()
            .unwrap();
        Daemon { process, instance: instance.to_string() }
    }

    fn running(flushers: usize, behaviour: &str) -> Daemon {
        let daemon = Daemon::start(flushers, behaviour);
        daemon.wait_for("all healthy", |board| {
            (0..flushers).all(|n| healthy(board, n)) && board.ingest(0).get(WorkerWord::BeatMs) > 0
        });
        daemon
    }

    fn board(&self) -> Option<Board> {
        match board::find(&self.instance).unwrap() {
            Found::Running(board) => Some(board),
            _ => None,
        }
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&Board) -> bool) {
        wait_until(what, || self.board().is_some_and(|board| condition(&board)));
    }

    fn flusher(&self, number: usize) -> u64 {
        self.board().unwrap().flusher(number).get(WorkerWord::Pid)
    }

    fn signal(&self, signal: &str) {
        send(signal, self.process.id().into());
    }

    /// Waits for the end; no child and no board may be left.
    fn end(mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the end", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        wait_until("no worker left", || processes().len() == 1);
        assert!(self.board().is_none());
        status.unwrap()
    }

    fn stop(self) -> ExitStatus {
        self.signal("TERM");
        self.end()
    }
}

fn healthy(board: &Board, flusher: usize) -> bool {
    board.flusher(flusher).get(WorkerWord::State) == WorkerState::Healthy as u64
}

fn all_held(board: &Board) -> bool {
    (0..SHARDS).all(|n| {
        let shard = board.shard(ShardId(n)).unwrap();
        shard.holder().is_some() && shard.holder() == shard.desired()
    })
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "gave up waiting for: {what}");
        std::thread::sleep(TICK);
    }
}

fn send(signal: &str, pid: u64) {
    assert!(pid >= 2, "not a process to signal: {pid}");
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(status.unwrap().success(), "kill -{signal} {pid}");
}

/// All processes of this namespace with their states.
fn processes() -> Vec<(u64, char)> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u64| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, stat.rsplit_once(") ")?.1.chars().next()?))
        })
        .collect()
}

// The scenarios.

fn stops_in_order() {
    let daemon = Daemon::running(3, "good");
    daemon.wait_for("all shards held", all_held);
    assert_eq!(daemon.stop().code(), Some(0));
}

fn replaces_the_dead_200_times() {
    let daemon = Daemon::running(2, "killed");
    let mut latencies = Vec::new();
    for round in 0..200u64 {
        daemon.wait_for("all shards held", all_held);
        let (victim, pid) = ((round % 2) as usize, daemon.flusher((round % 2) as usize));
        let begun = Instant::now();
        send("KILL", pid);
        daemon.wait_for("a replacement that holds its shards", |board| {
            let now = board.flusher(victim).get(WorkerWord::Pid);
            now != 0 && now != pid && healthy(board, victim) && all_held(board)
        });
        latencies.push(begun.elapsed());
        assert!(processes().iter().all(|(_, state)| *state != 'Z'), "{:?}", processes());
        // This program, the daemon, ingest, two flushers.
        assert_eq!(processes().len(), 5);
    }
    latencies.sort();
    println!("   killed to holding: median {:?}, worst {:?}", latencies[100], latencies[199]);
    assert_eq!(daemon.stop().code(), Some(0));
}

/// The words that `status` prints, from a daemon that is well and one that is not.
fn reports_what_is() {
    let daemon = Daemon::running(2, "good");
    daemon.wait_for("all shards held", all_held);
    let well = || report::health(&daemon.board().unwrap(), time::monotonic());
    wait_until("healthy", || well() == report::Health::Healthy);
    let board = daemon.board().unwrap();
    let text = report::text(&board, time::monotonic());
    assert!(text.contains("flusher/1"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&report::json(&board, time::monotonic())).unwrap();
    assert_eq!(json["health"], "healthy");
    assert_eq!(json["shards"].as_array().unwrap().len(), SHARDS as usize);
    assert_eq!(json["workers"][1]["pid"], daemon.flusher(0));
    send("STOP", daemon.process.id().into());
    wait_until("degraded", || well() == report::Health::Degraded);
    send("CONT", daemon.process.id().into());
    assert_eq!(daemon.stop().code(), Some(0));
}

fn replaces_the_hung() {
    let daemon = Daemon::running(2, "good");
    daemon.wait_for("all shards held", all_held);
    let (hung, neighbour) = (daemon.flusher(0), daemon.flusher(1));
    send("STOP", hung);
    daemon.wait_for("the hung one replaced", |board| {
        let slot = board.flusher(0);
        slot.get(WorkerWord::Restarts) == 1 && healthy(board, 0) && all_held(board)
    });
    assert_ne!(daemon.flusher(0), hung);
    assert_eq!(daemon.flusher(1), neighbour);
    assert_eq!(daemon.board().unwrap().flusher(0).get(WorkerWord::LastExit), 9 + 1);
    assert_eq!(daemon.stop().code(), Some(0));
}

fn spends_its_budget_exactly() {
    let path = std::env::temp_dir().join(format!("spanbufd-budget-{}", std::process::id()));
    let log = std::fs::File::create(&path).unwrap();
    let instance = format!("test-budget-{}", std::process::id());
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["daemon", &instance, "1", "crash"])
        .stderr(log)
        .spawn()
        .unwrap();
    let status = Daemon { process, instance }.end();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(status.code(), Some(70), "{text}");
    let deaths = text
        .lines()
        .filter(|line| line.contains("flusher/0 (pid") && line.contains("ended with status 75"))
        .count();
    // max-restarts is 3: the first life, three restarts, and the fourth death ends it.
    assert_eq!(deaths, 4, "{text}");
}

fn stops_when_misconfigured() {
    assert_eq!(Daemon::start(2, "misconfigured").end().code(), Some(78));
}

fn stops_the_stuck_on_time(flushers: usize) {
    let daemon = Daemon::running(flushers, "stuck");
    let begun = Instant::now();
    let status = daemon.stop();
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(70));
    // shutdown-timeout is 1 s here.
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(took <= Duration::from_millis(1500), "{took:?}");
}

fn a_second_signal_means_now() {
    let daemon = Daemon::running(1, "patient");
    daemon.signal("TERM");
    daemon.wait_for("stopping", Board::stopping);
    let begun = Instant::now();
    assert_eq!(daemon.stop().code(), Some(70));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

fn workers_die_with_the_supervisor() {
    let mut daemon = Daemon::running(4, "good");
    daemon.signal("KILL");
    let begun = Instant::now();
    assert_eq!(daemon.process.wait().unwrap().signal(), Some(9));
    wait_until("all workers gone", || {
        // This program is the init of its namespace: the orphans are its to reap.
        while spanbufd::sys::process::reap().unwrap().is_some() {}
        processes().len() == 1
    });
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(daemon.board().is_none(), "the board of a dead supervisor counts as running");
    // The stale board is no obstacle to the next start.
    let next = Daemon::running(4, "good");
    assert_eq!(next.instance, daemon.instance);
    next.wait_for("all shards held", all_held);
    assert_eq!(next.stop().code(), Some(0));
}

fn refuses_a_second_instance() {
    let first = Daemon::running(1, "good");
    let mut second = Daemon::start_as(&first.instance, 3, "good");
    assert_eq!(second.process.wait().unwrap().code(), Some(78));
    assert_eq!(first.board().unwrap().flushers(), 1);
    assert_eq!(first.stop().code(), Some(0));
}

fn a_pause_of_all_kills_nobody() {
    let daemon = Daemon::running(2, "good");
    let all: Vec<u64> = processes().iter().map(|(pid, _)| *pid).filter(|pid| *pid != 1).collect();
    all.iter().for_each(|pid| send("STOP", *pid));
    let before = daemon.board().unwrap().daemon().get(DaemonWord::BeatMs);
    // The condition waited for is an age: longer than a heart may pause (1.5 s here).
    let begun = Instant::now();
    wait_until("a pause", || begun.elapsed() > Duration::from_secs(2));
    // The supervisor first: it sees silent workers.
    send("CONT", daemon.process.id().into());
    daemon.wait_for("a turn", |board| board.daemon().get(DaemonWord::BeatMs) > before + 200);
    all.iter().for_each(|pid| send("CONT", *pid));
    let seen = daemon.board().unwrap().daemon().get(DaemonWord::BeatMs);
    daemon.wait_for("turns", |board| board.daemon().get(DaemonWord::BeatMs) > seen + 300);
    let board = daemon.board().unwrap();
    assert_eq!((0..2).map(|n| board.flusher(n).get(WorkerWord::Restarts)).sum::<u64>(), 0);
    assert_eq!(daemon.stop().code(), Some(0));
}

fn a_signal_to_one_worker_stays_there() {
    let daemon = Daemon::running(2, "good");
    let (one, other) = (daemon.flusher(0), daemon.flusher(1));
    send("HUP", other);
    send("USR1", other);
    send("INT", other);
    send("TERM", one);
    daemon.wait_for("a replacement", |board| board.flusher(0).get(WorkerWord::Restarts) == 1);
    let board = daemon.board().unwrap();
    assert_eq!(board.flusher(0).get(WorkerWord::LastExit), 1, "status 0, plus one");
    assert_eq!(daemon.flusher(1), other);
    assert!(!board.stopping());
    assert_eq!(daemon.stop().code(), Some(0));
}

fn says_that_shared_memory_is_full() {
    // This mount is seen in the test's own namespace only.
    run("mount", &["-t", "tmpfs", "-o", "size=4k", "tmpfs", "/dev/shm"]);
    let shape = Shape { ingests: 1, flushers: 1, max_shards: 1024 };
    let error = board::create("full", shape).err().expect("a board in 4 KiB");
    assert!(error.to_string().contains("make room in /dev/shm"), "{error}");
    assert_eq!(error.exit_status(), 75);
    assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 0, "left in /dev/shm");
    run("umount", &["/dev/shm"]);
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}

fn tells_systemd() {
    let path = std::env::temp_dir().join(format!("spanbufd-notify-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let instance = "test-systemd".to_string();
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["daemon", &instance, "2", "good"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = Daemon { process, instance };
    let expect = |wanted: &str| loop {
        let mut bytes = [0u8; 500];
        let length = socket.recv(&mut bytes).unwrap_or_else(|why| panic!("{wanted}: {why}"));
        if String::from_utf8_lossy(&bytes[..length]).contains(wanted) {
            return;
        }
    };
    expect("READY=1");
    expect("STATUS=3 of 3 workers healthy");
    expect("WATCHDOG=1");
    expect("WATCHDOG=1");
    daemon.signal("TERM");
    expect("STOPPING=1\nEXTEND_TIMEOUT_USEC=3000000");
    assert_eq!(daemon.end().code(), Some(0));
    std::fs::remove_file(&path).unwrap();
}

fn auto_pool_follows_the_shards() {
    let daemon = Daemon::start(12, "auto");
    daemon.wait_for("a flusher per shard", |board| {
        all_held(board) && (0..SHARDS as usize).all(|n| healthy(board, n))
    });
    let board = daemon.board().unwrap();
    assert!((SHARDS as usize..12).all(|n| board.flusher(n).get(WorkerWord::Pid) == 0));
    assert_eq!(daemon.stop().code(), Some(0));
}
