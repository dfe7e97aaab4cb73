//! A shard that is stopped for itself (`worker::Alone`), as its flusher meets it.

use super::Desk;
use super::held::Held;
use crate::error::Result;

impl Held {
    /// What became of some work on it. Only what other shards would meet as well is an error.
    pub fn contain(&mut self, desk: &mut Desk<'_>, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error) if error.is_of_one_shard() => {
                self.alone.stop(self.shard, &error, &mut desk.troubles);
                Ok(())
            }
            other => other,
        }
    }
}
