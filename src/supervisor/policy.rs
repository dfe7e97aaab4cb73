//! What to do with a worker: decided from facts alone.
//!
//! No clock, no system call, no board: every row can be tested. Whoever decides here does not
//! act, and whoever acts (`mod.rs`) does not decide.

use std::time::Duration;

/// What is known of one worker in this turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    pub running: bool,
    /// Its loop has turned at least once since the fork.
    pub healthy: bool,
    /// Since the fork.
    pub age: Duration,
    /// Since its last turn, or since the supervisor itself came back, whichever is shorter.
    pub silence: Duration,
    /// SIGKILL was sent, its death is only not yet reaped.
    pub killed: bool,
    pub restarts_in_window: u32,
    pub backoff_left: Duration,
}

/// The options that bound all this.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `max-unhealthy-seconds`
    pub silence_max: Duration,
    /// `start-timeout`
    pub start_max: Duration,
    /// `max-restarts`
    pub restarts_max: u32,
    /// `restart-window`
    pub window: Duration,
    /// `shutdown-timeout`
    pub stop_max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Leave,
    Kill(Why),
    Restart,
    /// The budget is used up: end the daemon.
    GiveUp,
}

/// Why a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No first sign of health within `start-timeout`.
    NeverStarted,
    /// No turn for `max-unhealthy-seconds`. A worker that only waits for Kafka or Redis turns.
    Silent,
}

/// Decides about one worker.
pub fn decide(facts: &Facts, limits: &Limits) -> Decision {
    if facts.running {
        return decide_running(facts, limits);
    }
    if facts.restarts_in_window >= limits.restarts_max {
        return Decision::GiveUp;
    }
    if facts.backoff_left > Duration::ZERO {
        return Decision::Leave;
    }
    Decision::Restart
}

fn decide_running(facts: &Facts, limits: &Limits) -> Decision {
    if facts.killed {
        return Decision::Leave;
    }
    if !facts.healthy {
        let late = facts.age.min(facts.silence) > limits.start_max;
        return if late { Decision::Kill(Why::NeverStarted) } else { Decision::Leave };
    }
    if facts.silence > limits.silence_max {
        return Decision::Kill(Why::Silent);
    }
    Decision::Leave
}

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How long to wait before a restart that follows `restarts` others within the window: nothing
/// for the first, then 0.1 s doubling to 30 s. `jitter` in 0..1 takes away up to half.
pub fn backoff(restarts: u32, jitter: f64) -> Duration {
    if restarts == 0 {
        return Duration::ZERO;
    }
    let full = BACKOFF_FIRST.saturating_mul(1 << (restarts - 1).min(20)).min(BACKOFF_MAX);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        silence_max: Duration::from_secs(60),
        start_max: Duration::from_secs(60),
        restarts_max: 10,
        window: Duration::from_secs(600),
        stop_max: Duration::from_secs(30),
    };

    fn healthy(silence_s: u64) -> Facts {
        Facts {
            running: true,
            healthy: true,
            age: Duration::from_secs(1000),
            silence: Duration::from_secs(silence_s),
            ..Facts::default()
        }
    }

    #[test]
    fn a_turning_worker_is_left_alone() {
        assert_eq!(decide(&healthy(0), &LIMITS), Decision::Leave);
        assert_eq!(decide(&healthy(60), &LIMITS), Decision::Leave);
    }

    #[test]
    fn a_silent_worker_is_killed_once() {
        assert_eq!(decide(&healthy(61), &LIMITS), Decision::Kill(Why::Silent));
        let killed = Facts { killed: true, ..healthy(61) };
        assert_eq!(decide(&killed, &LIMITS), Decision::Leave);
    }

    #[test]
    fn a_worker_that_never_turns_is_killed_after_the_start_timeout() {
        let starting = |seconds| Facts {
            running: true,
            age: Duration::from_secs(seconds),
            silence: Duration::from_secs(seconds),
            ..Facts::default()
        };
        assert_eq!(decide(&starting(60), &LIMITS), Decision::Leave);
        assert_eq!(decide(&starting(61), &LIMITS), Decision::Kill(Why::NeverStarted));
    }

    #[test]
    fn a_suspended_supervisor_blames_nobody() {
        // It came back a moment ago: silence counts from then, however old the worker is.
        let starting = Facts {
            running: true,
            age: Duration::from_secs(5000),
            silence: Duration::from_secs(1),
            ..Facts::default()
        };
        assert_eq!(decide(&starting, &LIMITS), Decision::Leave);
    }

    #[test]
    fn ten_restarts_happen_and_the_eleventh_death_ends_the_daemon() {
        let dead = |restarts| Facts { restarts_in_window: restarts, ..Facts::default() };
        assert_eq!(decide(&dead(0), &LIMITS), Decision::Restart);
        assert_eq!(decide(&dead(9), &LIMITS), Decision::Restart);
        assert_eq!(decide(&dead(10), &LIMITS), Decision::GiveUp);
    }

    #[test]
    fn no_restart_is_allowed_by_a_budget_of_nothing() {
        let limits = Limits { restarts_max: 0, ..LIMITS };
        assert_eq!(decide(&Facts::default(), &limits), Decision::GiveUp);
    }

    #[test]
    fn a_dead_worker_waits_for_its_backoff() {
        let waiting = Facts { backoff_left: Duration::from_millis(1), ..Facts::default() };
        assert_eq!(decide(&waiting, &LIMITS), Decision::Leave);
    }

    #[test]
    fn the_backoff_doubles_from_a_tenth_of_a_second_to_half_a_minute() {
        assert_eq!(backoff(0, 0.0), Duration::ZERO);
        assert_eq!(backoff(1, 0.0), Duration::from_millis(100));
        assert_eq!(backoff(2, 0.0), Duration::from_millis(200));
        assert_eq!(backoff(5, 0.0), Duration::from_millis(1600));
        assert_eq!(backoff(10, 0.0), Duration::from_secs(30));
        assert_eq!(backoff(u32::MAX, 0.0), Duration::from_secs(30));
        assert_eq!(backoff(1, 1.0), Duration::from_millis(50));
    }
}
