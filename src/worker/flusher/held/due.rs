//! What of a shard is due, and until when that is certain.

use super::Held;
use crate::segment::EventMs;
use crate::segment::index::{DueSegment, Index};
use crate::worker::flusher::flight::FLIGHT_BYTES;
use crate::worker::flusher::{Desk, Room, clock};

impl Held {
    /// Whether something may be due when the clock stands at `by`.
    pub fn may_have_due(&self, by: Option<EventMs>) -> bool {
        self.leaving.is_none() && self.owned.as_ref().is_some_and(|owned| owned.may_have_due(by))
    }

    /// What is due now, dead letters first, as far as there is room. Nothing until the index is
    /// complete, and nothing of a shard that is being let go.
    pub fn due(&mut self, desk: &Desk<'_>, room: Room) -> Vec<DueSegment> {
        let until = self.certain_until(desk);
        let mut due = self.letters(room);
        let owned = self.owned.as_mut().filter(|_| self.leaving.is_none());
        if let (Some(owned), Some(now)) = (owned, until) {
            let count = desk.config.max_flush_segments as usize;
            due.extend(owned.index.due(now, count, room.bytes));
        }
        due
    }

    /// Dead letters alone.
    pub fn letters(&mut self, room: Room) -> Vec<DueSegment> {
        let Some(owned) = self.owned.as_mut().filter(|_| self.leaving.is_none()) else {
            return Vec::new();
        };
        let count = room.letter_bytes.div_ceil(FLIGHT_BYTES) as usize;
        owned.index.letters(count, room.letter_bytes)
    }

    /// Dead letters wait that could go.
    pub fn has_letters(&self) -> bool {
        self.leaving.is_none() && self.index().is_some_and(Index::has_letters)
    }

    /// Up to when it is certain what is due.
    fn certain_until(&self, desk: &Desk<'_>) -> Option<EventMs> {
        // Before and after the position: going on, ingest moves the position first, so a clock that
        // is read after it might count on a batch that is not indexed. Going back to where the
        // store stands, it moves the clock first.
        let before = clock(desk, self.shard)?;
        let behind = self.board_position(desk).is_none() || self.is_behind(desk);
        let now = clock(desk, self.shard)?.min(before);
        // A deadline may have been postponed by a batch that is not indexed yet: up to the
        // newest indexed time everything is certain, beyond it only without a backlog.
        if behind { Some(self.owned.as_ref()?.index.indexed_ms()?.min(now)) } else { Some(now) }
    }

    /// The oldest open segments, before their time: only to make room in the store.
    pub fn oldest(&mut self, desk: &Desk<'_>, room: Room) -> Vec<DueSegment> {
        let count = desk.config.max_flush_segments as usize;
        match &mut self.owned {
            Some(owned) if self.leaving.is_none() => owned.index.oldest(count, room.bytes),
            _ => Vec::new(),
        }
    }
}
