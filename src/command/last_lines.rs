//! What each worker logged last: memory of its parent's that outlives it, for its obituary.
//!
//! A line still goes to standard error in one write; its head is also kept here, in one of a
//! few slots of words shared with the parent. The count of lines is stored behind the line, and
//! a reader leaves out the slot that comes next: whatever instruction the writer died at, no
//! line is torn.

use crate::error::Result;
use crate::sys::shm::SharedWords;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Slots; one less is readable.
const SLOTS: u64 = 4;

/// One slot: the length in bytes, then the bytes.
const SLOT_WORDS: usize = 32;
const LINE_BYTES_MAX: usize = (SLOT_WORDS - 1) * 8;

/// What one worker needs: the count of lines, then the slots.
const WORDS: usize = 1 + SLOTS as usize * SLOT_WORDS;

/// The last lines of one process at a time. Its threads take turns (`log` has the lock).
#[derive(Clone)]
pub struct LastLines {
    words: Arc<SharedWords>,
    first: usize,
}

impl LastLines {
    /// Those of so many workers, in one mapping. Made before the fork, so that both sides have it.
    pub fn of(workers: usize) -> Result<Vec<LastLines>> {
        let words = Arc::new(SharedWords::anonymous(workers.max(1) * WORDS)?);
        let one = |worker| LastLines { words: Arc::clone(&words), first: worker * WORDS };
        Ok((0..workers).map(one).collect())
    }

    /// Forgets the lines of an earlier life.
    pub fn clear(&self) {
        self.count().store(0, Ordering::Release);
    }

    /// Keeps a line, or as much of it as fits.
    pub fn keep(&self, line: &str) {
        let count = self.count().load(Ordering::Relaxed);
        let (length, text) = self.slot(count);
        let mut end = line.len().min(LINE_BYTES_MAX);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let line = &line.as_bytes()[..end];
        for (word, bytes) in text.iter().zip(line.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
        length.store(line.len() as u64, Ordering::Relaxed);
        self.count().store(count + 1, Ordering::Release);
    }

    /// The last lines, oldest first.
    pub fn read(&self) -> Vec<String> {
        let count = self.count().load(Ordering::Acquire);
        (count.saturating_sub(SLOTS - 1)..count).map(|number| self.line(number)).collect()
    }

    fn line(&self, number: u64) -> String {
        let (length, text) = self.slot(number);
        let mut bytes: Vec<u8> =
            text.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        bytes.truncate(length.load(Ordering::Relaxed) as usize);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn count(&self) -> &AtomicU64 {
        &self.words[self.first]
    }

    fn slot(&self, number: u64) -> (&AtomicU64, &[AtomicU64]) {
        let first = self.first + 1 + (number % SLOTS) as usize * SLOT_WORDS;
        (&self.words[first], &self.words[first + 1..first + SLOT_WORDS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> LastLines {
        LastLines::of(2).unwrap().remove(1)
    }

    #[test]
    fn each_worker_has_its_own() {
        let both = LastLines::of(2).unwrap();
        (0..5).for_each(|_| both[0].keep("x".repeat(LINE_BYTES_MAX).as_str()));
        both[1].keep("mine");
        assert_eq!(both[1].read(), ["mine"]);
        assert_eq!(both[0].read().len(), 3);
    }

    #[test]
    fn the_last_three_are_kept_in_order() {
        let lines = lines();
        assert!(lines.read().is_empty());
        ["one", "two"].iter().for_each(|line| lines.keep(line));
        assert_eq!(lines.read(), ["one", "two"]);
        ["a third, longer one", "4", ""].iter().for_each(|line| lines.keep(line));
        assert_eq!(lines.read(), ["a third, longer one", "4", ""]);
        lines.clear();
        assert!(lines.read().is_empty());
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let lines = lines();
        for pad in 0..3 {
            let whole = "x".repeat(pad) + &"é".repeat(200);
            lines.keep(&whole);
            let kept = lines.read().pop().unwrap();
            assert!(whole.starts_with(&kept) && kept.len() > LINE_BYTES_MAX - 2, "{kept}");
        }
    }

    /// A writer that dies has written into the slot that comes next, and into no other.
    #[test]
    fn a_line_that_was_being_written_harms_no_other() {
        let lines = lines();
        (0..9).for_each(|n| lines.keep(&n.to_string()));
        let (length, text) = lines.slot(9);
        length.store(u64::MAX, Ordering::Relaxed);
        text[0].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(lines.read(), ["6", "7", "8"]);
    }
}
