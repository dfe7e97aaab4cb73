//! How a shard that is not ours any more is let go, and what it waits for.

use super::flight::Flights;
use super::{Desk, Flusher};
use crate::segment::ShardId;
use std::time::Duration;

/// How long a shard that is let go waits for its dead letters, and for partitions of the output
/// that are stuck while others are not. What does not land by then is delivered again.
const LEAVING_WAIT: Duration = Duration::from_secs(3);

impl Flusher<'_> {
    /// Gives back the shards that are not ours any more, once nothing of them is in flight
    /// and everything is settled; for dead letters and stuck partitions it does not wait long.
    pub(super) fn let_go(&mut self, now: Duration) {
        let berth = self.desk.berth;
        let (flights, desk) = (&mut self.flights, &self.desk);
        self.held.retain_mut(|held| {
            let Some(since) = held.leaving else { return true };
            let is_late = now.saturating_sub(since) >= LEAVING_WAIT;
            let unsettled = held.has_unsettled() && !held.alone.is_stopped();
            if is_awaited(desk, flights, held.shard, is_late) || unsettled || held.is_closing() {
                return true;
            }
            say_left(flights, held.shard);
            flights.disown(held.shard);
            held.tell(desk, true);
            if let Some(slot) = berth.board.shard(held.shard) {
                slot.give_back(berth.number);
            }
            false
        });
    }
}

/// Whether a shard that is let go waits for what it has in flight. An outage of the whole output is
/// waited out, for as long as we may: it ends for all at once.
fn is_awaited(desk: &Desk<'_>, flights: &Flights, shard: ShardId, is_late: bool) -> bool {
    if !is_late {
        return flights.any(shard);
    }
    let segments = flights.segments(shard);
    segments > 0 && (desk.lanes.all_hang() || segments > flights.stuck_segments(shard))
}

fn say_left(flights: &Flights, shard: ShardId) {
    let left = flights.segments(shard);
    if left > 0 {
        log::warn!(
            "shard {shard}: let go while {left} segments wait for partitions of the output that \
             acknowledge nothing: these are delivered again"
        );
    }
}
