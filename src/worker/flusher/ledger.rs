//! What a shard's flusher has settled and not yet told the store, and the books of the life.
//!
//! The store is told page by page. A page without an answer is told again as it was, before
//! anything else, so that its sums (which the store takes as they are) count each message once.

use crate::segment::BatchId;
use crate::segment::index::BatchMarks;
use crate::store::SETTLE_BATCHES_MAX;
use crate::store::books::{Books, Settled};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Ledger {
    /// As the store acknowledged them, with what was indexed since as read.
    books: Books,
    /// The newest marks of each batch that the store does not know of.
    marks: BTreeMap<BatchId, BatchMarks>,
    /// What became of the messages in `marks`.
    untold: Settled,
    page: Option<Page>,
}

/// What one settle tells the store.
pub struct Page {
    pub marks: Vec<BatchMarks>,
    /// The life's sums with this page.
    pub settled: Settled,
    /// This page's part of them.
    part: Settled,
}

impl Ledger {
    /// Opens with the books that the store has.
    pub fn open(books: Books) -> Ledger {
        Ledger { books, ..Ledger::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.page.is_none()
    }

    /// What the store has acknowledged as settled.
    pub fn acknowledged(&self) -> &Settled {
        &self.books.settled
    }

    /// Messages entered the buffer.
    pub fn read(&mut self, messages: u64) {
        self.books.read += messages;
    }

    /// What the store says has entered the buffer, as far as it is indexed.
    pub fn believe(&mut self, read: u64) {
        self.books.read = read;
    }

    /// These chunks are done with, and `became` says what became of their messages.
    pub fn note(&mut self, marks: Vec<BatchMarks>, became: &Settled) {
        self.untold = self.untold.plus(became);
        for mut marks in marks {
            marks.spans += self.marks.get(&marks.batch).map_or(0, |before| before.spans);
            self.marks.insert(marks.batch, marks);
        }
    }

    /// What to tell the store next; the same until [`Ledger::told`].
    pub fn page(&mut self) -> Option<&Page> {
        if self.page.is_none() && !self.marks.is_empty() {
            let mut marks = Vec::new();
            while marks.len() < SETTLE_BATCHES_MAX
                && let Some((_, one)) = self.marks.pop_first()
            {
                marks.push(one);
            }
            let messages = marks.iter().map(|marks| marks.spans).sum();
            // With the last marks goes whatever is left: the sums are true, come what may.
            let part = match self.marks.is_empty() {
                true => std::mem::take(&mut self.untold),
                false => self.untold.take(messages),
            };
            let settled = self.books.settled.plus(&part);
            self.page = Some(Page { marks, settled, part });
        }
        self.page.as_ref()
    }

    /// The store has taken the page.
    pub fn told(&mut self) {
        if let Some(page) = self.page.take() {
            self.books.settled = page.settled;
        }
    }

    /// The books with all that is settled, told or not.
    pub fn books(&self) -> Books {
        let page = self.page.as_ref().map_or(Settled::default(), |page| page.part);
        let settled = self.books.settled.plus(&page).plus(&self.untold);
        Books { read: self.books.read, settled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::index::Marks;

    fn marks(batch: u128, spans: u64) -> BatchMarks {
        let batch = BatchId(batch);
        BatchMarks { batch, header_bytes: 1, marks: Marks::default(), done: false, spans }
    }

    fn delivered(delivered: u64) -> Settled {
        Settled { delivered, ..Settled::default() }
    }

    #[test]
    fn a_page_is_told_again_as_it_was() {
        let mut ledger = Ledger::open(Books { read: 9, settled: delivered(2) });
        ledger.note(vec![marks(1, 3)], &delivered(3));
        assert_eq!(ledger.page().map(|page| page.settled), Some(delivered(5)));
        ledger.note(vec![marks(1, 4)], &Settled::skipped(4));
        assert_eq!(ledger.page().map(|page| page.settled), Some(delivered(5)));
        assert_eq!(ledger.books().unaccounted(0), 0);
        ledger.told();
        let all = delivered(5).plus(&Settled::skipped(4));
        assert_eq!(ledger.page().map(|page| page.settled), Some(all));
        ledger.told();
        assert!(ledger.is_empty());
        assert_eq!(ledger.books(), Books { read: 9, settled: all });
    }

    #[test]
    fn each_page_counts_the_messages_of_its_own_batches() {
        let mut ledger = Ledger::default();
        let batches = SETTLE_BATCHES_MAX as u128 + 3;
        ledger.note((0..batches).map(|id| marks(id, 2)).collect(), &delivered(1000));
        ledger.note(Vec::new(), &Settled::skipped(6));
        let first = ledger.page().map(|page| (page.marks.len(), page.settled.total()));
        assert_eq!(first, Some((SETTLE_BATCHES_MAX, 1000)));
        ledger.told();
        let last = ledger.page().map(|page| (page.marks.len(), page.settled.total()));
        assert_eq!(last, Some((3, 1006)));
    }
}
