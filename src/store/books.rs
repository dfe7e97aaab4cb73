//! The books of one life: what entered the buffer, and what became of it.
//!
//! They stand beside the life in the store and are moved by the scripts that move what they
//! count, so they hold whatever dies. Append adds to `read` in the step that makes a batch
//! count; settle writes the sums of what is settled in the step that marks it. At any moment
//!
//! ```text
//! read = delivered + duplicates + dead letters + dropped + skipped + buffered
//! ```
//!
//! where `buffered` is counted from the headers and marks that are there. With the life its
//! books end: what it had buffered is read again into the next one.

/// What became of settled messages; each message is one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Acknowledged by the output.
    pub delivered: u64,
    /// Repeated spans, left out of their segment.
    pub duplicates: u64,
    /// Acknowledged by the dead-letter topic.
    pub dead_letters: u64,
    /// Dropped by policy, counted and logged.
    pub dropped: u64,
    /// Settled unread, because they were delivered before: below the committed floor.
    pub skipped: u64,
}

/// A settled kind's name, as a field of the life's hash.
pub const SETTLED_FIELDS: [&str; 5] =
    ["delivered", "duplicates", "dead_letters", "dropped", "skipped"];

impl Settled {
    pub fn skipped(messages: u64) -> Settled {
        Settled { skipped: messages, ..Settled::default() }
    }

    /// In the order of [`SETTLED_FIELDS`].
    pub fn values(&self) -> [u64; 5] {
        [self.delivered, self.duplicates, self.dead_letters, self.dropped, self.skipped]
    }

    pub fn from_values(values: [u64; 5]) -> Settled {
        let [delivered, duplicates, dead_letters, dropped, skipped] = values;
        Settled { delivered, duplicates, dead_letters, dropped, skipped }
    }

    pub fn total(&self) -> u64 {
        self.values().iter().sum()
    }

    pub fn plus(&self, other: &Settled) -> Settled {
        let (mine, others) = (self.values(), other.values());
        Settled::from_values(std::array::from_fn(|kind| mine[kind] + others[kind]))
    }

    /// Takes `messages` out of these, the kinds one after the other.
    pub fn take(&mut self, messages: u64) -> Settled {
        let mut left = messages;
        let mut kept = self.values();
        let taken = std::array::from_fn(|kind| {
            let part = kept[kind].min(left);
            kept[kind] -= part;
            left -= part;
            part
        });
        *self = Settled::from_values(kept);
        Settled::from_values(taken)
    }
}

/// The books of one life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Messages that entered the buffer.
    pub read: u64,
    pub settled: Settled,
}

impl Books {
    /// What is missing (positive) or too much (negative) when `buffered` messages are there.
    pub fn unaccounted(&self, buffered: u64) -> i64 {
        let known = self.settled.total().wrapping_add(buffered);
        self.read.wrapping_sub(known) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_of_one_kind() {
        let settled = Settled::from_values([5, 1, 2, 0, 3]);
        let books = Books { read: 20, settled };
        assert_eq!(books.unaccounted(9), 0);
        assert_eq!(books.unaccounted(8), 1);
        assert_eq!(books.unaccounted(11), -2);
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut pool = Settled::from_values([5, 1, 2, 0, 3]);
        assert_eq!(pool.take(7), Settled::from_values([5, 1, 1, 0, 0]));
        assert_eq!(pool, Settled::from_values([0, 0, 1, 0, 3]));
        assert_eq!(pool.take(4).plus(&pool), Settled::from_values([0, 0, 1, 0, 3]));
    }
}
