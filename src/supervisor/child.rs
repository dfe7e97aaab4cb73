//! One worker's life as the supervisor sees it: state, budget, backoff, obituary.

use super::policy::{self, Facts, Limits};
use crate::board::words::WorkerWord;
use crate::board::{Board, WorkerSlot};
use crate::sys::process::{Pid, WaitStatus};
use crate::sys::random;
use std::collections::VecDeque;
use std::time::Duration;

/// A worker healthy for this share of `restart-window` gets its restarts forgiven.
const FORGIVEN_AFTER: u32 = 10;

/// States as the board's word `state` and people see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// Never forked.
    Unborn = 0,
    Starting = 1,
    Healthy = 2,
    /// SIGKILL was sent.
    Killed = 3,
    /// Reaped, to be born again.
    Dead = 4,
    /// Ended in order, not to be born again.
    Gone = 5,
}

impl State {
    pub const NAMES: [&'static str; 6] =
        ["unborn", "starting", "healthy", "killed", "dead", "gone"];
}

/// What a worker does: its kind, its number among its kind, its main function.
pub struct Duty<'a> {
    /// `words::INGEST` or `words::FLUSHER`.
    pub kind: u64,
    /// `ingest` or `flusher`.
    pub kind_name: &'static str,
    pub number: usize,
    /// Runs in the child, after the fork; returns its exit status.
    pub main: Box<dyn Fn() -> i32 + 'a>,
}

impl Duty<'_> {
    /// `flusher/3`, in logs, status, metrics and ps(1).
    pub fn name(&self) -> String {
        format!("{}/{}", self.kind_name, self.number)
    }
}

pub struct Child<'a> {
    pub duty: Duty<'a>,
    /// Its slot on the board.
    pub slot: usize,
    pub pid: Option<Pid>,
    pub state: State,
    forked_at: Duration,
    healthy_at: Duration,
    /// Times of the restarts that count.
    restarts: VecDeque<Duration>,
    start_at: Duration,
    ever_born: bool,
}

impl<'a> Child<'a> {
    pub fn new(duty: Duty<'a>, slot: usize) -> Child<'a> {
        Child {
            duty,
            slot,
            pid: None,
            state: State::Unborn,
            forked_at: Duration::ZERO,
            healthy_at: Duration::ZERO,
            restarts: VecDeque::new(),
            start_at: Duration::ZERO,
            ever_born: false,
        }
    }

    /// The facts of this turn. `awake_since`: when the supervisor last came back from having
    /// been stopped itself; no silence counts from before.
    pub fn facts(&self, slot: WorkerSlot<'_>, awake_since: Duration, now: Duration) -> Facts {
        let beat = Duration::from_millis(slot.get(WorkerWord::BeatMs));
        let last = beat.max(self.forked_at).max(awake_since);
        Facts {
            running: self.pid.is_some(),
            healthy: self.state == State::Healthy,
            age: now.saturating_sub(self.forked_at),
            silence: now.saturating_sub(last),
            killed: self.state == State::Killed,
            restarts_in_window: self.restarts.len() as u32,
            backoff_left: self.start_at.saturating_sub(now),
        }
    }

    /// It was forked: the one step in which its books change.
    pub fn born(&mut self, pid: Pid, now: Duration) {
        if self.ever_born {
            self.restarts.push_back(now);
        }
        self.ever_born = true;
        self.pid = Some(pid);
        self.state = State::Starting;
        self.forked_at = now;
    }

    /// A start that failed before there was a process counts like a restart, and waits.
    pub fn failed_to_start(&mut self, now: Duration) {
        self.restarts.push_back(now);
        self.wait_before_next(now);
    }

    /// Notes health and forgives: what lies outside the window, or before a long healthy time.
    pub fn look(&mut self, slot: WorkerSlot<'_>, limits: &Limits, now: Duration) {
        let beat = Duration::from_millis(slot.get(WorkerWord::BeatMs));
        if self.state == State::Starting && beat > Duration::ZERO {
            self.state = State::Healthy;
            self.healthy_at = now;
        }
        let healthy_for = now.saturating_sub(self.healthy_at);
        if self.state == State::Healthy && healthy_for >= limits.window / FORGIVEN_AFTER {
            self.restarts.clear();
        }
        while self.restarts.front().is_some_and(|at| now.saturating_sub(*at) >= limits.window) {
            self.restarts.pop_front();
        }
    }

    /// It was reaped. Returns how long it lived.
    pub fn died(&mut self, now: Duration) -> Duration {
        self.pid = None;
        self.state = State::Dead;
        self.wait_before_next(now);
        now.saturating_sub(self.forked_at)
    }

    fn wait_before_next(&mut self, now: Duration) {
        // Without random bits the wait is just not jittered.
        let jitter = random::bits128().map_or(0.0, |bits| f64::from(bits as u16) / 65_536.0);
        self.start_at = now + policy::backoff(self.restarts.len() as u32, jitter);
    }

    /// One line over a death: who, how, after how long, what it held, what comes next.
    pub fn obituary(
        &self,
        pid: Pid,
        status: WaitStatus,
        lived: Duration,
        held: &[u32],
        limits: &Limits,
        now: Duration,
    ) -> String {
        let shards: Vec<String> = held.iter().map(u32::to_string).collect();
        let held = match shards.len() {
            0 => "held no shards".to_owned(),
            _ => format!("held shards {}", shards.join(",")),
        };
        let why = if self.state == State::Killed { " (killed for its silence)" } else { "" };
        format!(
            "{} (pid {pid}) {status}{why} after {:.1} s; {held}; restart {} of {} in {:.1} s",
            self.duty.name(),
            lived.as_secs_f64(),
            self.restarts.len() + 1,
            limits.restarts_max,
            self.start_at.saturating_sub(now).as_secs_f64(),
        )
    }

    /// Publishes what the supervisor knows of it.
    pub fn publish(&self, board: &Board) {
        let slot = board.worker(self.slot);
        slot.set(WorkerWord::Pid, self.pid.map_or(0, |pid| pid.raw() as u64));
        slot.set(WorkerWord::Kind, self.duty.kind);
        slot.set(WorkerWord::State, self.state as u64);
        slot.set(WorkerWord::StartedMs, self.forked_at.as_millis() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Shape;

    const LIMITS: Limits = Limits {
        silence_max: Duration::from_secs(60),
        start_max: Duration::from_secs(60),
        restarts_max: 10,
        window: Duration::from_secs(600),
        stop_max: Duration::from_secs(30),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn with_child(test: impl FnOnce(&mut Child<'_>, WorkerSlot<'_>)) {
        let name = format!("{:?}", std::thread::current().name());
        let instance = format!("test-child-{}-{}", std::process::id(), name.len());
        let shape = Shape { ingests: 1, flushers: 1, max_shards: 1 };
        let (board, _lock) = Board::create(&instance, shape).expect("created");
        let main = Box::new(|| 0);
        let duty = Duty { kind: 2, kind_name: "flusher", number: 0, main };
        test(&mut Child::new(duty, 1), board.worker(1));
        Board::remove(&instance);
    }

    #[test]
    fn restarts_are_counted_once_each_and_forgiven_by_health_and_by_time() {
        with_child(|child, slot| {
            let pid = Pid::new(1234).expect("a pid");
            child.born(pid, at(0));
            for n in 1..=10 {
                child.died(at(n));
                child.born(pid, at(n));
                assert_eq!(child.facts(slot, at(0), at(n)).restarts_in_window, n as u32);
            }
            slot.set(WorkerWord::BeatMs, 11_000);
            child.look(slot, &LIMITS, at(11));
            assert_eq!(child.state, State::Healthy);
            child.look(slot, &LIMITS, at(70));
            assert_eq!(child.facts(slot, at(0), at(70)).restarts_in_window, 10);
            child.look(slot, &LIMITS, at(71));
            assert_eq!(child.facts(slot, at(0), at(71)).restarts_in_window, 0);

            child.died(at(100));
            child.born(pid, at(100));
            child.died(at(101));
            child.look(slot, &LIMITS, at(699));
            assert_eq!(child.facts(slot, at(0), at(699)).restarts_in_window, 1);
            child.look(slot, &LIMITS, at(700));
            assert_eq!(child.facts(slot, at(0), at(700)).restarts_in_window, 0);
        });
    }

    #[test]
    fn silence_counts_from_the_last_beat_the_fork_or_the_wake_whichever_is_newest() {
        with_child(|child, slot| {
            child.born(Pid::new(1234).expect("a pid"), at(10));
            assert_eq!(child.facts(slot, at(0), at(15)).silence, at(5));
            slot.set(WorkerWord::BeatMs, 12_000);
            assert_eq!(child.facts(slot, at(0), at(15)).silence, at(3));
            assert_eq!(child.facts(slot, at(14), at(15)).silence, at(1));
        });
    }
}
