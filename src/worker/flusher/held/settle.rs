//! What is done with: noted in the index, and told to the store a little later.

use super::Held;
use crate::error::Result;
use crate::segment::index::ChunkRef;
use crate::store::books::Settled;
use crate::store::{Fenced, Store};
use crate::worker::flusher::Desk;
use std::time::Duration;

/// How often the store is told what is settled, at most: the spans of traces that last lie in as
/// many batches, of which each is told about, so a few times as many spans cost little more.
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);

impl Held {
    /// These chunks are done with: delivered (P8), or dropped by policy.
    pub fn mark(&mut self, chunks: &[ChunkRef], became: &Settled) {
        self.settles += 1;
        let past = self.past.as_mut().map(|past| &mut past.owned);
        if let Some(owned) = self.owned.as_mut().or(past) {
            let marks = owned.index.settle(chunks);
            owned.ledger.note(marks, became);
        }
    }

    /// Whether what is settled has been gathered for long enough. Who leaves does not gather, nor
    /// does who could not tell: that it works again shows by telling it.
    pub fn is_time_to_settle(&self, now: Duration) -> bool {
        let gathers = now.saturating_sub(self.settled_at) < SETTLE_INTERVAL;
        self.leaving.is_some() || !gathers || !self.has_unsettled()
    }

    /// Tells the store what is settled.
    pub fn settle(&mut self, desk: &mut Desk<'_>, now: Duration) -> Result<()> {
        let Some(owned) = &mut self.owned else { return Ok(()) };
        let had_some = !owned.ledger.is_empty();
        while let Some(page) = owned.ledger.page() {
            match desk.store.settle(self.shard, owned.epoch, &page.marks, &page.settled)? {
                Fenced::Done => owned.ledger.told(),
                Fenced::Refused => return self.lose_or_wait(desk),
            }
            desk.berth.beat();
            desk.berth.moved();
        }
        if had_some {
            self.settled_at = now;
        }
        Ok(())
    }

    /// A refusal means another owner or another life, which the state tells, or other batches than
    /// the index has.
    pub(super) fn lose_or_wait(&mut self, desk: &mut Desk<'_>) -> Result<()> {
        self.compare(desk)?;
        if self.owned.is_some() {
            log::warn!(
                "shard {}: the store has other batches; building the index again",
                self.shard
            );
            self.lose();
        }
        Ok(())
    }
}
