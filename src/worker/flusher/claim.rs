//! When a shard may be taken in the store, and for how long its being ours is believed.
//!
//! Two believers must not steal a shard from each other for ever: who lost it takes it back only
//! when ingest has had it confirmed, and later each time. Pure: the times are arguments.

use std::time::Duration;

/// After the shard was lost to another: the first wait, doubling to the longest.
const RETAKE_FIRST: Duration = Duration::from_secs(1);
const RETAKE_LONGEST: Duration = Duration::from_secs(30);

/// A shard that was ours for so long is not contested any more.
const RETAKE_FORGIVEN: Duration = Duration::from_secs(120);

/// How long it may be since the store said that the shard is ours when something of it is
/// produced. A process can be stopped at any point of a turn, and its shards given to others.
const SURE_FOR: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Claim {
    take_at: Duration,
    take_wait: Duration,
    taken_at: Duration,
    /// When the store was last asked, and the shard was ours.
    sure_at: Duration,
    /// How often the shard was lost to another, as counted on the board.
    contested: u64,
}

impl Claim {
    pub fn new(now: Duration) -> Claim {
        Claim {
            take_at: now,
            take_wait: RETAKE_FIRST,
            taken_at: now,
            sure_at: Duration::ZERO,
            contested: 0,
        }
    }

    /// Whether it may be taken now; `confirmed` is the count up to which it was said to be ours.
    pub fn may_take(&self, confirmed: u64, now: Duration) -> bool {
        now >= self.take_at && confirmed >= self.contested
    }

    /// There was nothing to take.
    pub fn try_again(&mut self, at: Duration) {
        self.take_at = at;
    }

    pub fn taken(&mut self, asked_at: Duration) {
        self.taken_at = asked_at;
        self.sure_at = asked_at;
    }

    /// The store was asked then, and the shard was ours.
    pub fn confirmed(&mut self, asked_at: Duration) {
        self.sure_at = asked_at;
    }

    pub fn is_sure(&self, now: Duration) -> bool {
        now.saturating_sub(self.sure_at) <= SURE_FOR
    }

    /// How long it takes to the next try when another takes the shard now.
    pub fn next_wait(&self, now: Duration) -> Duration {
        let forgiven = now.saturating_sub(self.taken_at) >= RETAKE_FORGIVEN;
        if forgiven { RETAKE_FIRST } else { self.take_wait }
    }

    /// Another took it, for the `contested`th time.
    pub fn lost(&mut self, contested: u64, now: Duration) {
        let wait = self.next_wait(now);
        self.take_at = now + wait;
        self.take_wait = (wait * 2).min(RETAKE_LONGEST);
        self.contested = contested;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_lost_is_taken_only_when_confirmed_and_later_each_time() {
        let mut claim = Claim::new(at(0));
        assert!(claim.may_take(0, at(0)));
        claim.taken(at(0));
        claim.lost(1, at(10));
        assert!(!claim.may_take(0, at(60)));
        assert!(!claim.may_take(1, at(10)));
        assert!(claim.may_take(1, at(11)));
        for (contested, wait) in [(2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)] {
            claim.taken(at(20));
            claim.lost(contested, at(20));
            assert!(!claim.may_take(contested, at(19 + wait)));
            assert!(claim.may_take(contested, at(20 + wait)));
        }
    }

    #[test]
    fn a_shard_held_for_long_is_forgiven() {
        let mut claim = Claim::new(at(0));
        claim.lost(1, at(0));
        claim.lost(2, at(0));
        claim.taken(at(10));
        assert_eq!(claim.next_wait(at(129)), at(4));
        assert_eq!(claim.next_wait(at(130)), at(1));
    }

    #[test]
    fn certainty_ends() {
        let mut claim = Claim::new(at(0));
        assert!(!claim.is_sure(at(100)));
        claim.taken(at(100));
        assert!(claim.is_sure(at(102)));
        assert!(!claim.is_sure(at(103)));
        claim.confirmed(at(103));
        assert!(claim.is_sure(at(103)));
    }
}
