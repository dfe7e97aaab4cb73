//! Shards that are stopped for themselves (`worker::Alone`), as ingest meets them: where one fails
//! in a call for many, each is asked alone.

use super::desk::Desk;
use crate::error::{Error, Result};
use crate::segment::ShardId;
use crate::store::{State, Store};

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
            shard.alone.stop(id, error, &mut self.troubles);
        }
    }

    pub(super) fn works_alone(&mut self, id: ShardId) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.alone.works(id, &mut self.troubles);
        }
    }
}
