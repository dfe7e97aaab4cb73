//! What a flusher has of a shard after taking it in the store: life, epoch, index, books.

use super::Desk;
use super::ledger::Ledger;
use crate::board::ShardSlot;
use crate::board::words::ShardWord;
use crate::segment::batch::Header;
use crate::segment::index::{Index, Limits, Marks};
use crate::segment::offset_map::OffsetMap;
use crate::segment::{BatchId, EventMs, Offset, ShardId};
use crate::store::books::{Books, Settled};
use crate::store::{Epoch, Life, State, Taken};
use crate::worker::now_ms;
use std::collections::BTreeMap;

/// What we have of a shard after taking it in the store.
pub struct Owned {
    pub life: Life,
    pub epoch: Epoch,
    pub index: Index,
    /// Settled in the index, not yet in the store; and the books.
    pub ledger: Ledger,
}

impl Owned {
    pub fn follow(&mut self, header: &Header, header_bytes: u32) -> bool {
        let followed = self.index.follow(header, header_bytes).is_ok();
        if followed {
            self.ledger.read(header.spans.len() as u64);
        }
        followed
    }

    /// What lies below the committed floor, or is in the map, was delivered before.
    pub fn settle_known(&mut self, floor: Offset, map: &OffsetMap) {
        let marks = self.index.settle_known(floor, map);
        let messages = marks.iter().map(|marks| marks.spans).sum();
        self.ledger.note(marks, &Settled::skipped(messages));
    }

    /// Whether something may be due when the clock stands at `by`: see [`Index::next_due`].
    pub fn may_have_due(&self, by: Option<EventMs>) -> bool {
        self.index.next_due().is_some_and(|next| Some(next) <= by)
    }

    /// All that the store has is indexed.
    pub fn is_at(&self, state: &State) -> bool {
        state.position == self.index.position() && state.tip == self.index.tip()
    }

    /// The store went back in time: neither position nor sums ever fall within a life, and a
    /// position that was reached on another way has another tip.
    pub fn is_past(&self, state: &State) -> bool {
        let (position, tip) = (self.index.position(), self.index.tip());
        state.position < position
            || (state.position == position && state.tip != tip)
            || state.books.settled.total() < self.ledger.acknowledged().total()
    }

    pub fn agrees(&self, state: &State) -> bool {
        // Ahead of us: the counts will be compared when we have caught up.
        state.position > self.index.position()
            || (self.is_at(state)
                && state.batches == self.index.batches() as u64
                && state.marked == self.index.marked_batches() as u64)
    }
}

pub fn rebuild(limits: Limits, taken: &Taken, headers: Vec<Header>) -> Index {
    let marks: BTreeMap<BatchId, &Marks> = taken.marks.iter().map(|(id, m)| (*id, m)).collect();
    let none = Marks::default();
    let mut index = Index::new(limits, taken.state.position, taken.state.tip);
    for (header, listed) in headers.iter().zip(&taken.listed) {
        let marks = marks.get(&header.id).copied().unwrap_or(&none);
        index.restore(header, listed.header_bytes, marks);
    }
    index.restored();
    index
}

/// A life is over; what it had buffered will be read again.
pub fn close_books(desk: &Desk<'_>, shard: ShardId, books: &Books) {
    if let Some(slot) = desk.berth.board.shard(shard) {
        slot.add(ShardWord::Reread, books.unaccounted(0).max(0) as u64);
    }
}

pub fn report_books(slot: ShardSlot<'_>, books: &Books, buffered: u64) {
    slot.set(ShardWord::LifeRead, books.read);
    slot.set(ShardWord::LifeDelivered, books.settled.delivered);
    slot.set(ShardWord::LifeDuplicates, books.settled.duplicates);
    slot.set(ShardWord::LifeDeadLetters, books.settled.dead_letters);
    slot.set(ShardWord::LifeDropped, books.settled.dropped);
    slot.set(ShardWord::LifeSkipped, books.settled.skipped);
    slot.set(ShardWord::Buffered, buffered);
    slot.set_unaccounted(books.unaccounted(buffered), now_ms());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::batch::{self, Compression, Place};
    use crate::segment::chunk::Draft;
    use crate::segment::span::{self, Validate};
    use crate::store::Identity;

    const LIMITS: Limits =
        Limits { timeout_ms: 1000, root_timeout_ms: 1000, max_age_ms: 10_000, max_bytes: 1 << 20 };

    fn owned() -> Owned {
        let books = Books { read: 9, settled: Settled::skipped(4) };
        let (life, epoch) = (Life(1), Epoch(2));
        let index = Index::new(LIMITS, Offset(9), Some(BatchId(7)));
        Owned { life, epoch, index, ledger: Ledger::open(books) }
    }

    fn state(position: i64, tip: u128, settled: u64) -> State {
        let identity = Identity { cluster: "c".into(), topic: "t".into(), group: "g".into() };
        State {
            tip: Some(BatchId(tip)),
            epoch: Some(Epoch(2)),
            books: Books { read: 9, settled: Settled::skipped(settled) },
            ..State::begun(identity, Life(1), Offset(position))
        }
    }

    #[test]
    fn what_may_be_due_is_known_by_the_clock_alone() {
        let mut draft = Draft::new(1000);
        let span = br#"{"project_id":1,"trace_id":"t","span_id":"s","parent_span_id":null}"#;
        let Ok(span) = span::parse(span, Validate::Ids) else { panic!("no span") };
        draft.add(&span, Offset(9), EventMs(100));
        let (id, previous, start, next) = (BatchId(8), Some(BatchId(7)), Offset(9), Offset(10));
        let place = Place { id, previous, start, next, clock: EventMs(100) };
        let header = batch::pack(&mut draft, place, Compression::None).header;
        let mut owned = owned();
        assert!(!owned.may_have_due(Some(EventMs(i64::MAX))) && owned.follow(&header, 0));
        // `root-timeout` is 1000.
        let may = |by| owned.may_have_due(Some(EventMs(by)));
        assert!(!may(1099) && may(1100));
        assert!(!owned.may_have_due(None), "a shard without a message has no clock");
    }

    #[test]
    fn a_store_that_went_back_is_known_by_position_sums_and_tip() {
        let owned = owned();
        assert!(!owned.is_past(&state(9, 7, 4)));
        assert!(!owned.is_past(&state(12, 8, 5)), "ahead of the index");
        assert!(owned.is_past(&state(8, 6, 4)));
        assert!(owned.is_past(&state(9, 7, 3)));
        assert!(owned.is_past(&state(9, 8, 4)), "read again to the same offset");
    }
}
