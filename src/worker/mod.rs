//! Story 1, in motion: one file per kind of process.
//!
//! A worker is one synchronous loop. Each turn beats the heart once, whether or not work got
//! done (P3), and nothing in a turn may block longer than a few seconds.
#![forbid(unsafe_code)]

mod alone;
mod backoff;
pub mod flusher;
pub mod ingest;
mod repeats;

pub use alone::Alone;
pub use backoff::{Backoff, phase};
pub use repeats::Repeats;

use crate::board::words::{DaemonWord, WaitingFor, WorkerKind, WorkerWord};
use crate::board::{Board, WorkerSlot};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::store::redis::RedisStore;
use crate::sys::{memory, process, signal, time};
use std::time::Duration;

/// Paused for want of room, a shard goes on when the use has fallen this much of the whole below
/// the limit: a pause throws away what was read ahead.
const HYSTERESIS_PERCENT: u64 = 5;

/// Of the time that a worker has for its end: what its shards may take, and after what it has to be
/// gone, before the supervisor kills it.
pub const LEAVING_SHARE: f64 = 0.8;
pub const GONE_SHARE: f64 = 0.95;

/// A worker is taken before the supervisor when memory runs out.
const OOM_SCORE: i32 = 500;

/// Whether `used` is above `limit`, or was and has not fallen well below it yet.
pub fn is_above(limit: u64, whole: u64, used: u64, was_above: bool) -> bool {
    let margin = if was_above { whole * HYSTERESIS_PERCENT / 100 } else { 0 };
    used > limit.saturating_sub(margin)
}

/// What a worker's main function is handed after its birth.
pub struct Berth<'a> {
    pub board: &'a Board,
    pub kind: WorkerKind,
    /// Number among the workers of its kind: `flusher/3` has 3.
    pub number: usize,
    /// Whether all workers had run with this configuration before this one was born.
    pub is_proven: bool,
}

impl<'a> Berth<'a> {
    pub fn new(board: &'a Board, kind: WorkerKind, number: usize) -> Berth<'a> {
        Berth { board, kind, number, is_proven: false }
    }

    pub fn slot(&self) -> WorkerSlot<'a> {
        self.board.worker(self.kind, self.number)
    }

    /// Whether to wind down: this worker was asked to, or the whole daemon does.
    pub fn stopping(&self) -> bool {
        signal::stop_requested() || self.board.stopping()
    }

    /// What is left, for one who was asked to stop, until the supervisor kills. Somebody else may
    /// have asked, who kills nobody.
    fn time_to_leave(&self, config: &Config) -> Duration {
        match self.slot().get(WorkerWord::LeaveBy) {
            0 => config.shutdown_timeout.min(config.rebalance_timeout),
            by => Duration::from_millis(by).saturating_sub(time::monotonic()),
        }
    }

    /// When this share of that time is over (monotonic). The earliest answer counts: who leaves for
    /// a reload has less time when the daemon stops meanwhile.
    pub fn leave_by(&self, config: &Config, share: f64) -> Duration {
        time::monotonic() + self.time_to_leave(config).mul_f64(share)
    }

    /// The loop turned. Once a turn, work or no work (P3).
    pub fn beat(&self) {
        let slot = self.slot();
        slot.add(WorkerWord::Turns, 1);
        slot.set(WorkerWord::BeatMs, now_ms());
    }

    /// Work got done.
    pub fn moved(&self) {
        self.slot().set(WorkerWord::MovedMs, now_ms());
    }

    /// Says what the worker waits for, so that an outage shows as one.
    pub fn waiting_for(&self, what: WaitingFor) {
        self.slot().set(WorkerWord::WaitingFor, what as u64);
    }

    /// The store. A server that was sound for our predecessor is waited for, as others wait for it.
    pub fn store(&self, config: &Config) -> Result<RedisStore> {
        if self.is_proven { RedisStore::open_again(config) } else { RedisStore::open(config) }
    }

    /// Why this worker ends: the exit status that the supervisor reads.
    pub fn exit_status(&self, result: Result<()>) -> i32 {
        let is_proven = self.is_proven || self.has_turned();
        exit_status(if is_proven { result.map_err(Error::where_proven) } else { result })
    }

    /// Whether the loop has turned in this life: what it needs was open by then, so that the
    /// configuration works, also where this process was born before anybody knew.
    fn has_turned(&self) -> bool {
        self.slot().get(WorkerWord::BeatMs) > 0
    }

    /// The configuration generation that this worker was born with.
    pub fn generation(&self) -> u64 {
        self.slot().get(WorkerWord::Generation)
    }
}

/// Makes a worker of a process that was just forked, and runs its `main`.
///
/// The order counts: nothing of the parent's may be used after this, and SIGTERM must reach
/// this process before it opens anything. Death with the parent was arranged at the fork.
pub fn birth(
    kind: WorkerKind,
    number: usize,
    board: &Board,
    is_proven: bool,
    main: impl FnOnce(&Berth<'_>) -> i32,
) -> i32 {
    let name = kind.label(number);
    if let Err(why) = signal::listen_as_worker() {
        log::error!("{name} cannot listen to signals: {why}");
        return Kind::Temporary as i32;
    }
    if let Err(why) = process::close_inherited() {
        log::error!("{name} cannot close what it inherited: {why}");
        return Kind::Temporary as i32;
    }
    process::unset(&process::SYSTEMD_VARIABLES);
    process::set_name(&name);
    memory::tune_allocator();
    if let Err(why) = process::volunteer_for_oom(OOM_SCORE) {
        log::debug!("{name} cannot raise its oom_score_adj: {why}");
    }
    let berth = Berth { is_proven, ..Berth::new(board, kind, number) };
    berth.slot().set(WorkerWord::Generation, board.daemon().get(DaemonWord::Generation));
    main(&berth)
}

fn now_ms() -> u64 {
    time::monotonic().as_millis() as u64
}

/// What a process ends with that logs its error.
pub fn exit_status(result: Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            match error.kind() {
                Kind::Usage => Kind::Config as i32,
                kind => kind as i32,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Shape;

    #[test]
    fn a_worker_has_until_it_is_killed_whoever_asked_it() {
        let board = Board::private(Shape { ingests: 1, flushers: 1, max_shards: 1 });
        let berth = Berth::new(&board, WorkerKind::Ingest, 0);
        let seconds = Duration::from_secs;
        let config = Config {
            shutdown_timeout: seconds(30),
            rebalance_timeout: seconds(20),
            ..Config::default()
        };
        assert_eq!(berth.time_to_leave(&config), seconds(20));
        berth.slot().set(WorkerWord::LeaveBy, now_ms() + 100_000);
        let left = berth.time_to_leave(&config);
        assert!(left > seconds(90) && left <= seconds(100), "{left:?}");
        berth.slot().set(WorkerWord::LeaveBy, 1);
        assert_eq!(berth.time_to_leave(&config), Duration::ZERO);
    }

    /// Also with those that were born first, when nothing was proven: they live the longest.
    #[test]
    fn the_configuration_is_to_blame_only_where_the_loop_has_not_turned() {
        let board = Board::private(Shape { ingests: 0, flushers: 1, max_shards: 1 });
        let berth = Berth::new(&board, WorkerKind::Flusher, 0);
        let ends = |berth: &Berth<'_>| {
            let around = Error::around_config("cannot open a producer: no thread");
            let hopeless = Error::config("Redis may evict our keys");
            (berth.exit_status(Err(around)), berth.exit_status(Err(hopeless)))
        };
        assert_eq!(ends(&berth), (78, 78));
        assert_eq!(
            ends(&Berth { is_proven: true, ..Berth::new(&board, WorkerKind::Flusher, 0) }),
            (75, 78)
        );
        berth.beat();
        assert_eq!(ends(&berth), (75, 78));
    }
}
