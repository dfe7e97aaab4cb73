//! The end of a shard's partition: whether the shard has read up to it.
//!
//! A broker is asked for it again and again: its answer tells at once that all is read, and that
//! the broker is there. But behind the last message there may be markers of transactions, which
//! only the client sees: it says once for each end that it has reached it (PARTITION_EOF).

use crate::segment::Offset;
use std::time::Duration;

/// What an end that was named says of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that there was at this time has been read.
    AllRead(Duration),
    /// Nothing moves, and only the client can tell whether there is more to be read.
    AskClient,
    Unknown,
}

/// So many looks without a move mean that nothing moves.
const QUIET: u32 = 16;

/// Where reading stood and the partition ended, by the answer to what was asked then.
#[derive(Clone, Copy, Debug)]
struct Look {
    next: Offset,
    end: Offset,
    asked: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    last: Option<Look>,
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
        self.last = None;
    }

    /// The partition ends at `end`, by the answer to what was asked at `asked`, and all below
    /// `next` is read.
    pub fn look(&mut self, next: Offset, end: Offset, asked: Duration) -> Verdict {
        let before = self.last.replace(Look { next, end, asked });
        if before.is_some_and(|before| before.end != end) {
            // What the client said was of another end.
            self.said = None;
        }
        let still = before.is_some_and(|before| (before.next, before.end) == (next, end));
        let read = match before {
            _ if next == end || (still && self.said == Some(next)) => Some(asked),
            // In steady traffic there is always more by now; what there was then has been read.
            Some(before) if next >= before.end => Some(before.asked),
            _ => None,
        };
        self.quiet = if still && read.is_none() { self.quiet + 1 } else { 0 };
        // Asking is rarer each time: it begins anew behind the last message, and there may be much
        // to skip (aborted transactions) before the next one.
        match read {
            Some(then) => Verdict::AllRead(then),
            None if self.quiet >= QUIET && self.quiet.is_power_of_two() => Verdict::AskClient,
            None => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(9);

    fn look(tail: &mut Tail, next: i64, end: i64) -> Verdict {
        tail.look(Offset(next), Offset(end), NOW)
    }

    #[test]
    fn who_has_read_up_to_the_end_has_read_all() {
        let mut tail = Tail::default();
        assert_eq!(look(&mut tail, 7, 7), Verdict::AllRead(NOW));
        assert_eq!(look(&mut tail, 6, 9), Verdict::Unknown);
        assert_eq!(look(&mut tail, 9, 9), Verdict::AllRead(NOW));
    }

    #[test]
    fn in_steady_traffic_what_there_was_a_look_ago_is_read() {
        let mut tail = Tail::default();
        let at = Duration::from_secs;
        assert_eq!(tail.look(Offset(5), Offset(10), at(1)), Verdict::Unknown);
        assert_eq!(tail.look(Offset(12), Offset(20), at(2)), Verdict::AllRead(at(1)));
        assert_eq!(tail.look(Offset(19), Offset(30), at(3)), Verdict::Unknown);
    }

    #[test]
    fn a_quiet_partition_that_ends_in_a_marker_has_the_client_asked_rarer_each_time() {
        let mut tail = Tail::default();
        let asked = (0..40).map(|_| look(&mut tail, 7, 8) == Verdict::AskClient);
        let asked: Vec<usize> =
            asked.enumerate().filter(|(_, asks)| *asks).map(|(n, _)| n).collect();
        assert_eq!(asked, [16, 32]);
        tail.reached(Offset(7));
        (0..100).for_each(|_| assert_eq!(look(&mut tail, 7, 8), Verdict::AllRead(NOW)));
        // Refused, and sought again: the client has yet to say it.
        tail.leave();
        assert_eq!(look(&mut tail, 7, 8), Verdict::Unknown);
    }

    #[test]
    fn the_client_s_word_is_past_when_something_has_come() {
        let mut tail = Tail::default();
        look(&mut tail, 7, 8);
        tail.reached(Offset(7));
        assert_eq!(look(&mut tail, 7, 8), Verdict::AllRead(NOW));
        (0..3).for_each(|_| assert_eq!(look(&mut tail, 7, 20), Verdict::Unknown));
        assert_eq!(look(&mut tail, 19, 20), Verdict::Unknown);
        tail.reached(Offset(19));
        assert_eq!(look(&mut tail, 19, 20), Verdict::AllRead(NOW));
    }
}
