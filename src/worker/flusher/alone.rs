//! What is wrong with the keys of one shard stops that shard alone.
//!
//! Somebody else's key in the place of one of ours is no outage: the store answers, and the other
//! shards go on. The shard waits, later each time, until the key is gone; nothing is deleted.

use super::Desk;
use super::held::Held;
use crate::error::Result;
use crate::sys::time;
use std::time::Duration;

impl Held {
    /// It does not wait for itself.
    pub fn may_work(&self, now: Duration) -> bool {
        self.trouble.is_over(now)
    }

    /// What became of some work on it. Only what other shards would meet as well is an error.
    pub fn contain(&mut self, desk: &mut Desk<'_>, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error) if error.is_of_one_shard() => {
                self.trouble.failed(time::monotonic());
                desk.troubles.warn(&self.stopped(), &error);
                Ok(())
            }
            other => other,
        }
    }

    /// All work on it was done in a turn.
    pub fn works_alone(&mut self, desk: &mut Desk<'_>) {
        if self.trouble.is_failing() {
            self.trouble.worked();
            desk.troubles.works(&self.stopped());
        }
    }

    fn stopped(&self) -> String {
        format!("shard {} is stopped, and no other", self.shard)
    }
}
