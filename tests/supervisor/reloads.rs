//! Reloads, when what is new is no good: found out by the probe, by a worker, early or late.

use super::SHARDS;
use super::daemon::{Daemon, all_held, healthy, wait_until};
use spanbufd::board::Board;
use spanbufd::board::words::{DaemonWord, ReloadState, WorkerWord};

/// The probe accepts it, flusher/0 runs with it, flusher/1 does not: all have the old one again.
pub fn takes_back_what_a_worker_rejects() {
    let daemon = Daemon::running(3, "rejecting");
    daemon.wait_for("all shards held", all_held);
    daemon.signal("HUP");
    daemon.wait_for("the old configuration", |board| {
        let word = |n| board.flusher(n).get(WorkerWord::Generation);
        let daemon = board.daemon();
        daemon.get(DaemonWord::ReloadFailed) == 1
            && daemon.get(DaemonWord::Generation) == 3
            && (0..3).all(|n| healthy(board, n))
            && (word(0), word(1)) == (3, 3)
            && all_held(board)
    });
    wait_until("the end of it", || daemon.logged(&["the old configuration is back"]));
    assert!(daemon.logged(&["flusher/1 (pid", "ended with status 78"]), "{}", daemon.log());
    assert_eq!(daemon.stop().code(), Some(0));
}

/// Of a pool that has room for many flushers only those that run are waited for.
pub fn takes_no_time_for_who_does_not_run() {
    let daemon = Daemon::start(500, "wide");
    daemon.wait_for("all shards held", all_held);
    daemon.signal("HUP");
    daemon.wait_for("all replaced", |board| {
        let word = |n| board.flusher(n).get(WorkerWord::Generation);
        in_state(ReloadState::Probation)(board) && (0..SHARDS as usize).all(|n| word(n) == 2)
    });
    assert_eq!(daemon.stop().code(), Some(0));
}

/// A reload that is refused while the one before is on trial does not end the trial.
pub fn takes_back_what_a_refused_reload_came_after() {
    let daemon = Daemon::running(3, "late");
    daemon.signal("HUP");
    daemon.wait_for("a probation, the workers replaced one at a time", |board| {
        assert!((0..3).filter(|n| !healthy(board, *n)).count() <= 1);
        in_state(ReloadState::Probation)(board)
    });
    daemon.signal("HUP");
    daemon.wait_for("the old configuration", |board| {
        let word = |word| board.daemon().get(word);
        // The second was refused, the first was taken back.
        word(DaemonWord::ReloadFailed) == 2
            && word(DaemonWord::Generation) == 3
            && in_state(ReloadState::Idle)(board)
            && (0..3).all(|n| healthy(board, n))
            && all_held(board)
    });
    assert!(daemon.logged(&["flusher/1 (pid", "ended with status 78"]), "{}", daemon.log());
    let word = |word| daemon.board().unwrap().daemon().get(word);
    assert_eq!((word(DaemonWord::Reloads), word(DaemonWord::ReloadProven)), (2, 0));
    assert_eq!(daemon.stop().code(), Some(0));
}

fn in_state(state: ReloadState) -> impl Fn(&Board) -> bool {
    move |board| board.daemon().get(DaemonWord::Reload) == state as u64
}

/// The workers here leave at the deadline only: long after the probe has said yes.
pub fn takes_nothing_over_in_a_stop() {
    let daemon = Daemon::running(1, "stuck");
    daemon.signal("HUP");
    daemon.wait_for("a probe", in_state(ReloadState::Probing));
    daemon.signal("TERM");
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(70));
    assert!(!log.contains("a new configuration"), "{log}");
}

pub fn does_not_wait_for_a_hanging_probe() {
    let daemon = Daemon::running(1, "hanging");
    let before = daemon.flusher(0);
    daemon.signal("HUP");
    daemon.wait_for("a refusal", |board| board.daemon().get(DaemonWord::ReloadFailed) == 1);
    assert_eq!(daemon.flusher(0), before);
    assert_eq!(daemon.board().unwrap().daemon().get(DaemonWord::Generation), 1);
    assert_eq!(daemon.stop().code(), Some(0));
}
