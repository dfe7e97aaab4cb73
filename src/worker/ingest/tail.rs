//! The end of a shard's partition: whether the shard has read up to it.
//!
//! A broker is asked for it again and again: its answer tells at once that all is read, and that
//! the broker is there. But behind the last message there may be markers of transactions, which
//! only the client sees: it says once for each end that it has reached it (PARTITION_EOF).

use crate::segment::Offset;

/// What an end that was named says of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All there is has been read.
    AllRead,
    /// Nothing moves, and only the client can tell whether there is more to be read.
    AskClient,
    Unknown,
}

/// So many looks without a move mean that nothing moves.
const QUIET: u32 = 16;

#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    /// Where reading stood and the partition ended at the last look.
    looked: Option<(Offset, Offset)>,
    /// Where reading stood when the client said that it had reached the end.
    said: Option<Offset>,
    /// Looks in a row at which nothing had moved though it was not known to be all.
    quiet: u32,
}

impl Tail {
    /// The client says that all is read; reading stands at `next`.
    pub fn reached(&mut self, next: Offset) {
        self.said = Some(next);
    }

    /// The shard is not read for a while, or from elsewhere: what the client said is past.
    pub fn leave(&mut self) {
        self.said = None;
    }

    /// The partition ends at `end`, and all below `next` is read.
    pub fn look(&mut self, next: Offset, end: Offset) -> Verdict {
        let moved = self.looked.replace((next, end)) != Some((next, end));
        let read = next == end || (!moved && self.said == Some(next));
        self.quiet = if moved || read { 0 } else { self.quiet + 1 };
        // Asking is rarer each time: it begins anew behind the last message, and there may be much
        // to skip (aborted transactions) before the next one.
        match read {
            true => Verdict::AllRead,
            false if self.quiet >= QUIET && self.quiet.is_power_of_two() => Verdict::AskClient,
            false => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(tail: &mut Tail, next: i64, end: i64) -> Verdict {
        tail.look(Offset(next), Offset(end))
    }

    #[test]
    fn who_has_read_up_to_the_end_has_read_all() {
        let mut tail = Tail::default();
        assert_eq!(look(&mut tail, 7, 7), Verdict::AllRead);
        assert_eq!(look(&mut tail, 7, 9), Verdict::Unknown);
        assert_eq!(look(&mut tail, 9, 9), Verdict::AllRead);
    }

    #[test]
    fn a_quiet_partition_that_ends_in_a_marker_has_the_client_asked_rarer_each_time() {
        let mut tail = Tail::default();
        let asked = (0..40).map(|_| look(&mut tail, 7, 8) == Verdict::AskClient);
        let asked: Vec<usize> =
            asked.enumerate().filter(|(_, asks)| *asks).map(|(n, _)| n).collect();
        assert_eq!(asked, [16, 32]);
        tail.reached(Offset(7));
        (0..100).for_each(|_| assert_eq!(look(&mut tail, 7, 8), Verdict::AllRead));
        // Refused, and sought again: the client has yet to say it.
        tail.leave();
        assert_eq!(look(&mut tail, 7, 8), Verdict::Unknown);
    }

    #[test]
    fn the_client_s_word_is_past_when_something_has_come() {
        let mut tail = Tail::default();
        look(&mut tail, 7, 8);
        tail.reached(Offset(7));
        assert_eq!(look(&mut tail, 7, 20), Verdict::Unknown);
        assert_eq!(look(&mut tail, 19, 20), Verdict::Unknown);
        assert_eq!(look(&mut tail, 19, 20), Verdict::Unknown);
        tail.reached(Offset(19));
        assert_eq!(look(&mut tail, 19, 20), Verdict::AllRead);
    }
}
