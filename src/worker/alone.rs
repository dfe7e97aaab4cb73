//! What is wrong with the keys of one shard stops that shard alone.
//!
//! Somebody else's key in the place of one of ours is no outage: the store answers, and the other
//! shards go on. The shard waits, later each time, until the key is gone; nothing is deleted.

use super::{Backoff, Repeats};
use crate::error::Error;
use crate::segment::ShardId;
use crate::sys::time;
use std::time::Duration;

/// Whether one shard waits for itself.
#[derive(Debug, Default)]
pub struct Alone(Backoff);

impl Alone {
    /// It is not stopped, or is tried again at monotonic time `now`.
    pub fn may_work(&self, now: Duration) -> bool {
        self.0.is_over(now)
    }

    pub fn is_stopped(&self) -> bool {
        self.0.is_failing()
    }

    pub fn stop(&mut self, shard: ShardId, error: &Error, troubles: &mut Repeats) {
        self.0.failed(time::monotonic());
        troubles.warn(&stopped(shard), error);
    }

    pub fn works(&mut self, shard: ShardId, troubles: &mut Repeats) {
        if self.is_stopped() {
            self.0.worked();
            troubles.works(&stopped(shard));
        }
    }
}

fn stopped(shard: ShardId) -> String {
    format!("shard {shard} is stopped, and no other")
}
