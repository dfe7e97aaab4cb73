//! The supervisor against real processes: they crash, hang, ignore SIGTERM, and are counted.
//!
//! Not a libtest harness: the daemon under test forks, so it is this program run again with
//! one thread. All of it runs in a PID namespace of its own, so that a stray kill stays here.
//! Every wait is for a condition, with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod daemon;
mod duties;
mod reloads;
mod restarts;

use daemon::{Daemon, Notified, all_held, healthy, processes, run, send, wait_until};
use reloads::*;
use restarts::{forgives_after_health, gives_up_on_who_hangs_each_time};
use spanbufd::board::report;
use spanbufd::board::words::{DaemonWord, WorkerWord};
use spanbufd::board::{self, Board, Found, Shape};
use spanbufd::sys::time;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SHARDS: u32 = 8;
const TICK: Duration = Duration::from_millis(2);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "daemon") {
        std::process::exit(duties::daemon(&args[1..]));
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
    // The boards that a failed scenario leaves go with it.
    run("mount", &["-t", "tmpfs", "tmpfs", "/dev/shm"]);
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
    ("replaces_the_spinning", replaces_the_spinning),
    ("reports_what_is", reports_what_is),
    ("spends_its_budget_exactly", spends_its_budget_exactly),
    ("forgives_after_health", forgives_after_health),
    ("gives_up_on_who_hangs_each_time", gives_up_on_who_hangs_each_time),
    ("kills_who_is_never_healthy", kills_who_is_never_healthy),
    ("tells_what_the_dead_logged_last", tells_what_the_dead_logged_last),
    ("turns_a_panic_into_an_obituary", turns_a_panic_into_an_obituary),
    ("knows_the_kernels_killing_for_memory", knows_the_kernels_killing_for_memory),
    ("survives_forks_that_fail", survives_forks_that_fail),
    ("counts_a_restart_when_it_succeeds", counts_a_restart_when_it_succeeds),
    ("needs_no_close_range", needs_no_close_range),
    ("goes_on_when_nobody_reads_its_log", goes_on_when_nobody_reads_its_log),
    ("stops_when_misconfigured", stops_when_misconfigured),
    ("takes_back_what_a_worker_rejects", takes_back_what_a_worker_rejects),
    ("takes_back_what_a_refused_reload_came_after", takes_back_what_a_refused_reload_came_after),
    ("takes_no_time_for_who_does_not_run", takes_no_time_for_who_does_not_run),
    ("takes_nothing_over_in_a_stop", takes_nothing_over_in_a_stop),
    ("does_not_wait_for_a_hanging_probe", does_not_wait_for_a_hanging_probe),
    ("stops_the_stuck_on_time_1", || stops_the_stuck_on_time(1)),
    ("stops_the_stuck_on_time_16", || stops_the_stuck_on_time(16)),
    ("a_second_signal_means_now", a_second_signal_means_now),
    ("workers_die_with_the_supervisor", workers_die_with_the_supervisor),
    ("refuses_a_second_instance", refuses_a_second_instance),
    ("refuses_a_board_of_another_version", refuses_a_board_of_another_version),
    ("a_pause_of_all_kills_nobody", a_pause_of_all_kills_nobody),
    ("a_signal_to_one_worker_stays_there", a_signal_to_one_worker_stays_there),
    ("says_that_shared_memory_is_full", says_that_shared_memory_is_full),
    ("tells_systemd", tells_systemd),
    ("lets_the_watchdog_bite_who_cannot_be_killed", lets_the_watchdog_bite_who_cannot_be_killed),
    ("auto_pool_follows_the_shards", auto_pool_follows_the_shards),
];

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
            let is_new = ![0, pid].contains(&board.flusher(victim).get(WorkerWord::Pid));
            // Never two at once: the old one was reaped before the new one was forked (P2).
            assert!(!is_new || processes().iter().all(|(other, _)| *other != pid));
            is_new && healthy(board, victim) && all_held(board)
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
    let text = report::text(&board, time::monotonic(), None);
    assert!(text.contains("flusher/1"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&report::json(&board, time::monotonic(), None)).unwrap();
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

/// A worker in a loop that never comes back is as dead as one in a system call.
fn replaces_the_spinning() {
    let daemon = Daemon::running(2, "spin");
    daemon.wait_for("the spinning one replaced", |board| {
        board.flusher(0).get(WorkerWord::Restarts) == 1 && healthy(board, 0) && all_held(board)
    });
    let board = daemon.board().unwrap();
    assert_eq!(board.flusher(0).get(WorkerWord::LastExit), 9 + 1);
    assert_eq!(board.flusher(1).get(WorkerWord::Restarts), 0);
    assert!(daemon.logged(&["flusher/0 has not turned its loop for max-unhealthy-seconds"]));
    assert!(daemon.logged(&["flusher/0 (pid", "died of signal 9 after"]), "{}", daemon.log());
    assert_eq!(daemon.stop().code(), Some(0));
}

fn spends_its_budget_exactly() {
    let begun = Instant::now();
    let (status, log) = Daemon::start(1, "crash").end();
    assert_eq!(status.code(), Some(70), "{log}");
    let deaths = log
        .lines()
        .filter(|line| line.contains("flusher/0 (pid") && line.contains("ended with status 75"));
    // max-restarts is 3: the first life, three restarts, and the fourth death ends it.
    assert_eq!(deaths.count(), 4, "{log}");
    // The deaths are noticed at once, not when start-timeout (5 s here) is over.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// max-restarts is 2 in 4 s here: two restarts, health for 2 s, and two more are allowed again.
fn kills_who_is_never_healthy() {
    let (status, log) = Daemon::start(1, "unborn").end();
    assert_eq!(status.code(), Some(70), "{log}");
    let killed = |line: &&str| line.contains("showed no sign of health in start-timeout");
    // max-restarts is 1 here.
    assert_eq!(log.lines().filter(killed).count(), 2, "{log}");
    assert!(!log.contains("running: "), "{log}");
}

fn tells_what_the_dead_logged_last() {
    let daemon = Daemon::running(2, "talk");
    daemon.wait_for("a replacement", |board| board.flusher(0).get(WorkerWord::Restarts) == 1);
    let words = "it had logged: INFO line 4 | INFO line 5 | \
                 ERROR cannot go on: the moon is away; wait for it";
    let obituary = ["flusher/0 (pid", "ended with status 75", "restart 1 of 1000 in 0.0 s", words];
    assert!(daemon.logged(&obituary), "{}", daemon.log());
    // The next life begins with an empty page.
    send("KILL", daemon.flusher(0));
    wait_until("an obituary", || daemon.logged(&["died of signal 9", "it had logged nothing"]));
    assert_eq!(daemon.stop().code(), Some(0));
}

fn turns_a_panic_into_an_obituary() {
    let daemon = Daemon::running(2, "panic");
    daemon.wait_for("a replacement", |board| {
        board.flusher(0).get(WorkerWord::Restarts) == 1 && healthy(board, 0)
    });
    let words = ["flusher/0 (pid", "died of signal 6", "ERROR BUG: panicked at", "a bug\\nof two"];
    assert!(daemon.logged(&words), "{}", daemon.log());
    assert_eq!(daemon.stop().code(), Some(0));
}

/// In a control group with little memory the kernel takes the worker, not the supervisor.
fn knows_the_kernels_killing_for_memory() {
    let Some(group) = memory_group() else {
        println!("   skipped: no memory control group can be made here");
        return;
    };
    let enter = format!("echo $$ >{group}/cgroup.procs; exec \"$@\"");
    let wrapper = ["sh", "-c", &enter, "sh"];
    let instance = format!("test-{}-memory", std::process::id());
    let daemon = Daemon::start_under(&wrapper, &instance, 2, "hungry", &[]);
    daemon.wait_for("a replacement", |board| {
        board.flusher(0).get(WorkerWord::Restarts) == 1 && healthy(board, 0)
    });
    let words = ["flusher/0 (pid", "died of signal 9 (for want of memory"];
    assert!(daemon.logged(&words), "{}", daemon.log());
    let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", daemon.flusher(1)));
    assert_eq!(score.unwrap().trim(), "500");
    // Who dies of another's signal 9 is told apart.
    send("KILL", daemon.flusher(1));
    wait_until("an obituary", || daemon.logged(&["flusher/1 (pid", "not for want of memory"]));
    assert_eq!(daemon.stop().code(), Some(0));
    std::fs::remove_dir(group).unwrap();
}

/// A control group of 64 MiB, of version 1 or 2.
fn memory_group() -> Option<String> {
    let name = format!("spanbufd-test-{}", std::process::id());
    let roots = [
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup/unified", "memory.max"),
        ("/sys/fs/cgroup", "memory.max"),
    ];
    roots.into_iter().find_map(|(root, limit)| {
        let group = format!("{root}/{name}");
        std::fs::create_dir(&group).ok()?;
        if std::fs::write(format!("{group}/{limit}"), "64M").is_err() {
            let _ = std::fs::remove_dir(&group);
            return None;
        }
        Some(group)
    })
}

/// strace makes the second and the third fork fail: no pid is stored, the others run on, and
/// what did not start is started later, without costing the budget.
fn survives_forks_that_fail() {
    let daemon = without_forks("2..3");
    wait_for_failed_forks(&daemon);
    assert!(daemon.logged(&["cannot start flusher/1: fork: Resource temporarily unavailable"]));
    daemon.wait_for_health(3);
    let board = daemon.board().unwrap();
    assert_eq!((0..3).map(|n| board.flusher(n).get(WorkerWord::Restarts)).sum::<u64>(), 0);
    // This program, strace, the daemon, four workers.
    assert_eq!(processes().len(), 7, "{:?}", processes());
    assert_eq!(daemon.stop().code(), Some(0));
}

/// The same with the first forks after those of the start.
fn counts_a_restart_when_it_succeeds() {
    let daemon = without_forks("5..6");
    daemon.wait_for_health(3);
    send("KILL", daemon.flusher(0));
    wait_for_failed_forks(&daemon);
    daemon.wait_for("a replacement", |board| healthy(board, 0));
    assert_eq!(daemon.board().unwrap().flusher(0).get(WorkerWord::Restarts), 1);
    assert_eq!(daemon.stop().code(), Some(0));
}

/// Three flushers, and two forks that fail.
fn without_forks(when: &str) -> Daemon {
    let inject = format!("inject=clone,clone3,fork,vfork:error=EAGAIN:when={when}");
    let wrapper = ["strace", "-qq", "-o", "/dev/null", "-e", &inject];
    let instance = format!("test-{}-fork", std::process::id());
    Daemon::start_under(&wrapper, &instance, 3, "good", &[])
}

fn wait_for_failed_forks(daemon: &Daemon) {
    daemon.wait_for("forks that failed", |board| {
        let word = |word| (0..3).map(move |n| board.flusher(n).get(word));
        assert!(word(WorkerWord::Pid).all(|pid| pid != 1 && pid < 1 << 22));
        word(WorkerWord::FailedStarts).sum::<u64>() == 2
    });
}

/// On an older kernel: strace stands in for it.
fn needs_no_close_range() {
    let inject = "inject=close_range:error=ENOSYS";
    let wrapper =
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=close_range", "-e", inject];
    let instance = format!("test-{}-close", std::process::id());
    let daemon = Daemon::start_under(&wrapper, &instance, 1, "good", &[]);
    daemon.wait_for_health(1);
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.flusher(0))).unwrap();
    let open: Vec<_> =
        open.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap()).collect();
    assert!(open.iter().all(|path| !path.starts_with("/dev/shm")), "{open:?}");
    assert_eq!(daemon.board().unwrap().flusher(0).get(WorkerWord::Restarts), 0);
    assert_eq!(daemon.stop().code(), Some(0));
}

/// Standard error is a pipe that was full before the start: its 64 KiB are never read.
fn goes_on_when_nobody_reads_its_log() {
    let fill = "f=$(mktemp -u) && mkfifo \"$f\" && exec 3<>\"$f\" && rm \"$f\" && \
                dd if=/dev/zero bs=4096 count=16 >&3 2>/dev/null && exec \"$@\" 2>&3";
    let instance = format!("test-{}-unread", std::process::id());
    let daemon = Daemon::start_under(&["sh", "-c", fill, "sh"], &instance, 2, "good", &[]);
    daemon.wait_for_health(2);
    daemon.wait_for("all shards held", all_held);
    let before = daemon.flusher(0);
    send("KILL", before);
    daemon.wait_for("a replacement", |board| {
        board.flusher(0).get(WorkerWord::Restarts) == 1 && healthy(board, 0) && all_held(board)
    });
    assert_eq!(daemon.stop().code(), Some(0));
}

fn stops_when_misconfigured() {
    assert_eq!(Daemon::start(2, "misconfigured").end().0.code(), Some(78));
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
    let dead = daemon.process.id().into();
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
    // The stale board is no obstacle to the next start, and is never taken for the new one: not
    // even while it is being taken away, for which strace gives it half a second.
    let wrapper = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=unlink:delay_enter=500000"];
    let next = Daemon::start_under(&wrapper, &daemon.instance, 4, "good", &[]);
    wait_until("a warning", || next.logged(&["was left by a crash"]));
    let pid = |board: Board| board.daemon().get(DaemonWord::Pid);
    assert_ne!(daemon.board().map(pid), Some(dead), "the board of the dead counts as running");
    next.wait_for_health(4);
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

/// Another build's board: in use it is refused and nothing of it is touched.
fn refuses_a_board_of_another_version() {
    let first = Daemon::running(1, "good");
    let path = format!("/dev/shm/spanbufd.{}", first.instance);
    let object = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut version = [0u8; 8];
    object.read_exact_at(&mut version, 8).unwrap();
    object.write_all_at(b"another!", 8).unwrap();
    assert!(matches!(board::find(&first.instance), Ok(Found::OtherVersion { .. })));
    let shape = Shape { ingests: 1, flushers: 1, max_shards: 1 };
    let error = board::create(&first.instance, shape).err().expect("a board that is in use");
    assert!(error.to_string().contains("another version of spanbufd"), "{error}");
    assert_eq!(error.exit_status(), 78);
    object.write_all_at(&version, 8).unwrap();
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

fn tells_systemd() {
    let systemd = Notified::listen();
    let environment = [("NOTIFY_SOCKET", systemd.path.as_str()), ("WATCHDOG_USEC", "400000")];
    let daemon = Daemon::start_under(&[], "test-systemd", 2, "good", &environment);
    systemd.expect("READY=1");
    systemd.expect("STATUS=3 of 3 workers healthy");
    systemd.expect("WATCHDOG=1");
    systemd.expect("WATCHDOG=1");
    // A reload that is refused, as these are: told when it begins, when it ends, and how.
    daemon.signal("HUP");
    let message = systemd.expect("RELOADING=1\nMONOTONIC_USEC=");
    let at: u128 = message.rsplit('=').next().unwrap().parse().unwrap();
    assert!(time::monotonic().as_micros() - at < 20_000_000, "{message}");
    systemd.expect("READY=1");
    systemd.expect("the last reload was refused");
    daemon.signal("TERM");
    systemd.expect("STOPPING=1\nEXTEND_TIMEOUT_USEC=3000000");
    assert_eq!(daemon.end().0.code(), Some(0));
}

/// A killed process that a stopped tracer holds cannot be reaped: it stands in for one that is
/// stuck in the kernel. Then only systemd can help, and is to know.
fn lets_the_watchdog_bite_who_cannot_be_killed() {
    let systemd = Notified::listen();
    let environment = [("NOTIFY_SOCKET", systemd.path.as_str()), ("WATCHDOG_USEC", "400000")];
    let daemon = Daemon::start_under(&[], "test-watchdog", 2, "good", &environment);
    systemd.expect("WATCHDOG=1");
    let victim = daemon.flusher(0);
    let mut tracer = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-p", &victim.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let traced = format!("TracerPid:\t{}", tracer.id());
    let status = format!("/proc/{victim}/status");
    wait_until("a tracer", || std::fs::read_to_string(&status).unwrap().contains(&traced));
    send("STOP", tracer.id().into());
    wait_until("a kill", || daemon.logged(&["flusher/0 has not turned its loop"]));
    // Overdue and dealt with: no reason to bite yet.
    systemd.expect("WATCHDOG=1");
    // The limit is 1.5 s once more; then it is past help.
    systemd.expect_silence("WATCHDOG=1", Duration::from_secs(1));
    assert_eq!(daemon.flusher(0), victim, "replaced before it was reaped");
    send("KILL", tracer.id().into());
    tracer.wait().unwrap();
    systemd.expect("WATCHDOG=1");
    daemon.wait_for_health(2);
    assert_ne!(daemon.flusher(0), victim);
    assert_eq!(daemon.stop().code(), Some(0));
}

fn auto_pool_follows_the_shards() {
    let daemon = Daemon::start(12, "auto");
    daemon.wait_for("a flusher per shard", |board| {
        all_held(board) && (0..SHARDS as usize).all(|n| healthy(board, n))
    });
    assert_eq!(flushers(&daemon.board().unwrap()), SHARDS as usize);
    assert_eq!(daemon.stop().code(), Some(0));

    // No shards, eight, two, none and eight again.
    let daemon = Daemon::start(12, "tide");
    daemon.wait_for("health without a shard", |board| {
        report::health(board, time::monotonic()) == report::Health::Healthy
            && report::text(board, time::monotonic(), None).contains("no shards are assigned")
    });
    assert_eq!(flushers(&daemon.board().unwrap()), 1);
    for count in [8, 2, 1, 8] {
        daemon.wait_for("the pool's size", |board| flushers(board) == count);
    }
    daemon.wait_for("all shards held", all_held);
    let idle = daemon.log().matches("no shards are assigned: idling").count();
    assert_eq!(idle, 2, "said once each time: {}", daemon.log());
    let board = daemon.board().unwrap();
    assert_eq!((0..12).map(|n| board.flusher(n).get(WorkerWord::Restarts)).sum::<u64>(), 0);
    assert_eq!(daemon.stop().code(), Some(0));
}

fn flushers(board: &Board) -> usize {
    (0..board.flushers()).filter(|n| board.flusher(*n).get(WorkerWord::Pid) != 0).count()
}
