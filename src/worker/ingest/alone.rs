//! What is wrong with the keys of one shard stops that shard alone.
//!
//! Somebody else's key in the place of one of ours is no outage: the store answers, and the other
//! shards go on. The shard waits, later each time, until the key is gone; nothing is deleted.

use super::desk::Desk;
use crate::error::{Error, Result};
use crate::segment::ShardId;
use crate::store::{State, Store};
use crate::sys::time;

impl Desk<'_> {
    /// What the store says of these shards, without those that have to wait for themselves.
    pub(super) fn look(&mut self, ids: &[ShardId]) -> Result<Vec<(ShardId, Option<State>)>> {
        match (self.store.look(ids), ids) {
            (Ok(states), _) => Ok(ids.iter().copied().zip(states).collect()),
            (Err(error), [one]) if error.is_of_one_shard() => {
                self.stop_alone(*one, &error);
                self.find_again(*one);
                Ok(Vec::new())
            }
            (Err(error), _) if error.is_of_one_shard() => self.look_one_by_one(ids),
            (Err(error), _) => Err(error),
        }
    }

    fn look_one_by_one(&mut self, ids: &[ShardId]) -> Result<Vec<(ShardId, Option<State>)>> {
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.look(&[*id])?);
            self.berth.beat();
        }
        Ok(found)
    }

    pub(super) fn stop_alone(&mut self, id: ShardId, error: &Error) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.trouble.failed(time::monotonic());
            self.troubles.warn(&stopped(id), error);
        }
    }

    pub(super) fn works_alone(&mut self, id: ShardId) {
        if let Some(shard) = self.shards.get_mut(&id)
            && shard.trouble.is_failing()
        {
            shard.trouble.worked();
            self.troubles.works(&stopped(id));
        }
    }
}

fn stopped(id: ShardId) -> String {
    format!("shard {id} is stopped, and no other")
}
