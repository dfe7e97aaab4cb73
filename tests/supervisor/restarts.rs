//! The budget of restarts: what counts in it, and for how long.

use super::daemon::{Daemon, healthy, send, wait_until};
use spanbufd::board::words::WorkerWord;
use std::time::{Duration, Instant};

pub fn forgives_after_health() {
    let daemon = Daemon::running(1, "forgiven");
    let begun = Instant::now();
    for restarts in 1..=4 {
        send("KILL", daemon.flusher(0));
        daemon.wait_for("a replacement", |board| {
            board.flusher(0).get(WorkerWord::Restarts) == restarts && healthy(board, 0)
        });
        if restarts == 2 {
            let forgiven = || daemon.logged(&["flusher/0 is healthy: its restarts are forgiven"]);
            wait_until("forgiveness", forgiven);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "too slow to tell: {:?}", begun.elapsed());
    // And no more than two.
    send("KILL", daemon.flusher(0));
    assert_eq!(daemon.end().0.code(), Some(70));
}

/// No window is left by waiting for somebody to be killed, and who hangs is not healthy meanwhile.
pub fn gives_up_on_who_hangs_each_time() {
    let daemon = Daemon::start(1, "hung");
    daemon.wait_for("two restarts that count", |board| {
        board.flusher(0).get(WorkerWord::RecentRestarts) == 2
    });
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(!log.contains("forgiven"), "{log}");
}
