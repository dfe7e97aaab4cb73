//! What is bound for the dead-letter topic: rejects, and of segments what the output does not take.
//!
//! They have no deadline, and no clock counts for them: they wait in a line of their own until
//! somebody has room for them. What comes back stands last, or a letter that nobody takes would be
//! the first each time.

use super::sets::{Arrival, Taken};
use super::{DueSegment, Reason};
use crate::segment::hash::QuickMap;
use std::collections::VecDeque;

/// Counted cost of what waits: its entry, and the list of its chunks.
const WAITING_BYTES: u64 = 200;

#[derive(Default)]
pub struct Letters {
    waiting: VecDeque<Taken>,
    spans: u64,
    raw_bytes: u64,
}

impl Letters {
    /// Takes in a reject: one chunk of one message.
    pub fn arrive(&mut self, reject: &Arrival) {
        let due = DueSegment {
            segment: None,
            reason: Reason::IdleWithoutRoot,
            due_ms: reject.at,
            letters_below: Some(usize::MAX),
            delivered_below: None,
            spans: 1,
            bytes: reject.bytes,
            chunks: Vec::new(),
        };
        self.put(Taken { due, chunks: vec![reject.chunk] });
    }

    /// New ones, or such as come back from flight.
    pub fn put(&mut self, letters: Taken) {
        self.spans += u64::from(letters.due.spans);
        self.raw_bytes += letters.due.bytes;
        self.waiting.push_back(letters);
    }

    /// The first ones, at most `count`, and at most about `max_bytes` (one at least).
    pub fn take(&mut self, count: usize, max_bytes: u64) -> Vec<Taken> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < count
            && let Some(first) = self.waiting.front()
        {
            bytes += first.due.bytes;
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            self.spans -= u64::from(first.due.spans);
            self.raw_bytes -= first.due.bytes;
            taken.extend(self.waiting.pop_front());
        }
        taken
    }

    /// Chunks with (spans, bytes) that are settled though nobody took them.
    pub fn remove(&mut self, chunks: &[(u32, (u32, u64))]) {
        if chunks.is_empty() || self.waiting.is_empty() {
            return;
        }
        let gone: QuickMap<u32, (u32, u64)> = chunks.iter().copied().collect();
        for letters in &mut self.waiting {
            letters.chunks.retain(|chunk| {
                let Some((spans, bytes)) = gone.get(chunk) else { return true };
                letters.due.spans -= spans;
                letters.due.bytes -= bytes;
                self.spans -= u64::from(*spans);
                self.raw_bytes -= bytes;
                false
            });
        }
        self.waiting.retain(|letters| !letters.chunks.is_empty());
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn spans(&self) -> u64 {
        self.spans
    }

    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Counted, not measured.
    pub fn bytes(&self) -> u64 {
        self.len() as u64 * WAITING_BYTES
    }
}
