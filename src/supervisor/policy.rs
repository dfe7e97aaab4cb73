//! What to do with one worker: a pure function from facts to a decision.
//!
//! No clock, no pid, no system call, so that every row can be tested. Whatever is hard about
//! watching processes is decided here and nowhere else.

use std::time::Duration;

/// What is known of one worker at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// It should run: false for a flusher that the assignment has no use for.
    pub wanted: bool,
    pub running: bool,
    /// It was sent SIGKILL so long ago and is not reaped yet.
    pub killed: Option<Duration>,
    /// It was asked to leave (retired, or replaced at a reload) and has not left yet.
    pub leaving: Option<Duration>,
    /// It is not wanted and still holds a shard.
    pub holds_shards: bool,
    /// Age of the last heartbeat; `None` before the first.
    pub heartbeat_age: Option<Duration>,
    /// Since its fork, or since the supervisor itself ran again.
    pub age: Duration,
    pub restarts_in_window: u32,
    pub backoff_left: Duration,
    /// It died, and what follows is a restart; false for the first start.
    pub died: bool,
}

/// What the configuration allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub unhealthy: Duration,
    pub start: Duration,
    pub restarts_max: u32,
    pub restart_window: Duration,
    pub leave: Duration,
    pub shutdown: Duration,
    /// How long a pool that is too large is kept.
    pub shrink_after: Duration,
}

impl Limits {
    /// A worker that beat for this long has its restarts forgiven.
    pub fn forgive_after(&self) -> Duration {
        self.restart_window / self.restarts_max.max(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Leave,
    Kill(Hung),
    /// Fork it, for the first time or again.
    Start,
    /// Ask it to leave: it is not needed, and holds nothing.
    Retire,
    /// The budget is spent: the daemon ends, in order.
    GiveUp,
}

/// Why a running worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hung {
    NeverHealthy,
    HeartStopped,
    WouldNotLeave,
}

pub fn decide(facts: &Facts, limits: &Limits) -> Decision {
    if facts.running { watch(facts, limits) } else { replace(facts, limits) }
}

fn watch(facts: &Facts, limits: &Limits) -> Decision {
    if facts.killed.is_some() {
        return Decision::Leave;
    }
    match facts.heartbeat_age {
        None if facts.age > limits.start => return Decision::Kill(Hung::NeverHealthy),
        Some(age) if age > limits.unhealthy => return Decision::Kill(Hung::HeartStopped),
        _ => {}
    }
    match facts.leaving {
        Some(since) if since > limits.leave => Decision::Kill(Hung::WouldNotLeave),
        Some(_) => Decision::Leave,
        None if !facts.wanted && !facts.holds_shards => Decision::Retire,
        None => Decision::Leave,
    }
}

fn replace(facts: &Facts, limits: &Limits) -> Decision {
    if !facts.wanted {
        return Decision::Leave;
    }
    // Ten restarts happen; the eleventh death within the window is one too many.
    if facts.died && facts.restarts_in_window >= limits.restarts_max {
        return Decision::GiveUp;
    }
    if facts.backoff_left > Duration::ZERO {
        return Decision::Leave;
    }
    Decision::Start
}

/// Whether a worker is overdue and not dealt with: it was killed long ago and is still there.
/// The supervisor can do no more, so it stops telling systemd's watchdog that all is well.
pub fn is_beyond_help(facts: &Facts, limits: &Limits) -> bool {
    facts.running && facts.killed.is_some_and(|since| since > limits.unhealthy)
}

/// The wait before a restart, given the restarts that count already: none, then 0.1 s doubling
/// to 30 s. `dice` (0 to 1) takes up to a quarter off, so that many workers spread.
pub fn backoff(restarts: u32, dice: f64) -> Duration {
    let Some(doublings) = restarts.checked_sub(1) else { return Duration::ZERO };
    let full = Duration::from_millis(100) * 2u32.pow(doublings.min(9));
    full.min(Duration::from_secs(30)).mul_f64(1.0 - 0.25 * dice.clamp(0.0, 1.0))
}

/// When to look again for the first sign of health of a worker of that age: the older it is, the
/// less a moment matters.
pub fn look_again(age: Duration) -> Duration {
    (age / 8).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const LIMITS: Limits = Limits {
        unhealthy: Duration::from_secs(60),
        start: Duration::from_secs(50),
        restarts_max: 10,
        restart_window: Duration::from_secs(600),
        leave: Duration::from_secs(30),
        shutdown: Duration::from_secs(30),
        shrink_after: Duration::from_secs(60),
    };

    const HEALTHY: Facts = Facts {
        wanted: true,
        running: true,
        killed: None,
        leaving: None,
        holds_shards: true,
        heartbeat_age: Some(Duration::ZERO),
        age: Duration::from_secs(1000),
        restarts_in_window: 0,
        backoff_left: Duration::ZERO,
        died: false,
    };

    const DEAD: Facts =
        Facts { running: false, died: true, holds_shards: false, heartbeat_age: None, ..HEALTHY };

    fn decision(facts: Facts) -> Decision {
        decide(&facts, &LIMITS)
    }

    #[test]
    fn a_heart_may_pause_as_long_as_allowed_and_no_longer() {
        let silent = |age| decision(Facts { heartbeat_age: Some(age), ..HEALTHY });
        assert_eq!(silent(60 * SECOND), Decision::Leave);
        let over = 60 * SECOND + Duration::from_millis(1);
        assert_eq!(silent(over), Decision::Kill(Hung::HeartStopped));
    }

    #[test]
    fn a_first_beat_has_its_own_limit() {
        let newborn = |age| decision(Facts { heartbeat_age: None, age, ..HEALTHY });
        assert_eq!(newborn(50 * SECOND), Decision::Leave);
        assert_eq!(newborn(51 * SECOND), Decision::Kill(Hung::NeverHealthy));
    }

    #[test]
    fn who_was_killed_is_killed_once() {
        let killed = Some(Duration::ZERO);
        let facts = Facts { killed, heartbeat_age: Some(99 * SECOND), ..HEALTHY };
        assert_eq!(decision(facts), Decision::Leave);
    }

    #[test]
    fn only_who_outlives_its_own_killing_is_beyond_help() {
        let beyond = |facts: Facts| is_beyond_help(&facts, &LIMITS);
        let overdue = Facts { heartbeat_age: Some(99 * SECOND), ..HEALTHY };
        assert!(!beyond(overdue), "it will be killed");
        assert!(!beyond(Facts { killed: Some(60 * SECOND), ..overdue }));
        assert!(beyond(Facts { killed: Some(61 * SECOND), ..overdue }));
        assert!(!beyond(Facts { killed: Some(61 * SECOND), ..DEAD }));
    }

    #[test]
    fn ten_restarts_happen_and_the_eleventh_death_ends_it() {
        let died = |restarts| decision(Facts { restarts_in_window: restarts, ..DEAD });
        assert_eq!(died(0), Decision::Start);
        assert_eq!(died(9), Decision::Start);
        assert_eq!(died(10), Decision::GiveUp);
    }

    #[test]
    fn a_budget_of_none_still_allows_the_first_start() {
        let limits = Limits { restarts_max: 0, ..LIMITS };
        assert_eq!(decide(&Facts { died: false, ..DEAD }, &limits), Decision::Start);
        assert_eq!(decide(&DEAD, &limits), Decision::GiveUp);
    }

    #[test]
    fn backoff_is_waited_for() {
        assert_eq!(decision(Facts { backoff_left: SECOND, ..DEAD }), Decision::Leave);
    }

    #[test]
    fn backoff_starts_at_nothing_and_doubles_to_thirty_seconds() {
        let ms = |restarts| backoff(restarts, 0.0).as_millis();
        assert_eq!([0, 1, 2, 3, 9, 10, 99].map(ms), [0, 100, 200, 400, 25_600, 30_000, 30_000]);
        assert_eq!(backoff(1, 1.0), Duration::from_millis(75));
    }

    #[test]
    fn who_is_not_wanted_leaves_when_it_holds_nothing() {
        let spare = Facts { wanted: false, ..HEALTHY };
        assert_eq!(decision(spare), Decision::Leave);
        let empty = Facts { holds_shards: false, ..spare };
        assert_eq!(decision(empty), Decision::Retire);
        let leaving = |since| decision(Facts { leaving: Some(since), ..empty });
        assert_eq!(leaving(30 * SECOND), Decision::Leave);
        assert_eq!(leaving(31 * SECOND), Decision::Kill(Hung::WouldNotLeave));
        assert_eq!(decision(Facts { wanted: false, ..DEAD }), Decision::Leave);
    }

    #[test]
    fn a_first_sign_is_looked_for_all_the_time_at_first_and_seldom_later() {
        let ms = |age| look_again(Duration::from_millis(age)).as_millis();
        assert_eq!([0, 8, 16, 400].map(ms), [1, 1, 2, 50]);
    }
}
