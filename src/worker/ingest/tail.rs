//! The end of a shard's partition: whether the shard has read up to it.
//!
//! A broker is asked for it again and again: its answer tells at once that all is read, and that
//! the broker is there. But behind the last message there may be markers of transactions and whole
//! aborted ones, which only the client sees: it is asked how far it has passed over them, and says
//! by itself where the end was when it got there (PARTITION_EOF).

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

/// The client is asked again after twice as many looks each time, half of these at most: minutes.
const QUIET_MAX: u32 = 1 << 13;

/// Where the partition ended and up to where it was read, by the answer to what was asked then.
#[derive(Clone, Copy, Debug)]
struct Look {
    read: Offset,
    end: Offset,
    asked: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    last: Option<Look>,
    /// All below it is read, as the client says; messages are not all that there is.
    said: Option<Offset>,
    /// Looks in a row at which nothing had moved though it was not known to be all.
    quiet: u32,
    /// The shard was not read before this, or from elsewhere.
    since: Duration,
    /// Between the first and the second there is no message: whatever happens, that stays so.
    empty: Option<(Offset, Offset)>,
}

impl Tail {
    /// The client says that all below `end` is read.
    pub fn reached(&mut self, end: Offset) {
        self.said = self.said.max(Some(end));
    }

    /// Up to where all is read, where that of the messages is up to `next`.
    pub fn read(&self, next: Offset) -> Offset {
        self.said.map_or(next, |said| said.max(next))
    }

    /// The shard is not read for a while, or from elsewhere: what was said until `now`, and the
    /// answers to what was asked, are past.
    pub fn leave(&mut self, now: Duration) {
        *self = Tail { quiet: self.quiet, since: now, empty: self.empty, ..Tail::default() };
    }

    /// The partition ends at `end`, by the answer to what was asked at `asked`, and all messages
    /// below `next` are read.
    pub fn look(&mut self, next: Offset, end: Offset, asked: Duration) -> Verdict {
        if asked < self.since || self.last.is_some_and(|last| asked < last.asked) {
            return Verdict::Unknown;
        }
        let read = self.read(next);
        if read > next {
            self.empty = Some((next, read));
        }
        let before = self.last.replace(Look { read, end, asked });
        let then = match before {
            _ if read >= end => Some(asked),
            // In steady traffic there is always more by now; what there was then has been read.
            Some(before) if read >= before.end => Some(before.asked),
            _ => None,
        };
        let Some(then) = then else { return self.stand_still(before, read, end) };
        self.quiet = 0;
        Verdict::AllRead(then)
    }

    /// Asking the client is rarer each time: it begins anew behind the last message, and there may
    /// be much to skip (aborted transactions) before the next one.
    fn stand_still(&mut self, before: Option<Look>, read: Offset, end: Offset) -> Verdict {
        match before {
            Some(before) if (before.read, before.end) == (read, end) => self.quiet += 1,
            Some(_) => self.quiet = 0,
            None => {}
        }
        let asks = self.quiet >= QUIET && self.quiet.is_power_of_two() && before.is_some();
        if self.quiet >= QUIET_MAX {
            self.quiet = QUIET_MAX / 2;
        }
        if asks { Verdict::AskClient } else { Verdict::Unknown }
    }

    /// Up to where there is something to be read, of a partition that ends at `end`: markers and
    /// aborted transactions are nothing, once the client has passed over them.
    pub fn readable_end(&self, next: Offset, end: Offset) -> Offset {
        match self.empty {
            Some((from, to)) if from == next && to >= end => next,
            _ => end,
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
        // Read while the answer was on its way.
        assert_eq!(look(&mut tail, 10, 9), Verdict::AllRead(NOW));
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
    fn a_stream_of_aborted_transactions_is_read_as_far_as_the_client_says() {
        let mut tail = Tail::default();
        let at = Duration::from_secs;
        assert_eq!(tail.look(Offset(7), Offset(20), at(1)), Verdict::Unknown);
        for then in 1..9 {
            let end = 20 * then as i64;
            tail.reached(Offset(end + 10));
            let verdict = tail.look(Offset(7), Offset(end + 20), at(then + 1));
            assert_eq!(verdict, Verdict::AllRead(at(then)));
        }
    }

    #[test]
    fn a_quiet_partition_that_ends_in_a_marker_has_the_client_asked_rarer_each_time() {
        let mut tail = Tail::default();
        let mut asked = Vec::new();
        for nth in 0..40_000 {
            if look(&mut tail, 7, 8) == Verdict::AskClient {
                asked.push(nth);
                tail.leave(NOW);
            }
        }
        let between: Vec<i32> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!((asked[0], between[0], between[1]), (16, 17, 33));
        assert!(between.iter().all(|looks| *looks <= 4097), "{between:?}");
        tail.reached(Offset(8));
        (0..100).for_each(|_| assert_eq!(look(&mut tail, 7, 8), Verdict::AllRead(NOW)));
        // Refused, and sought again: the client has yet to say it.
        tail.leave(NOW);
        assert_eq!(look(&mut tail, 7, 8), Verdict::Unknown);
    }

    #[test]
    fn nothing_is_left_to_be_read_of_a_partition_that_ends_in_a_marker() {
        let mut tail = Tail::default();
        let end = |tail: &Tail, next, end| tail.readable_end(Offset(next), Offset(end)).0;
        look(&mut tail, 7, 8);
        assert_eq!(end(&tail, 7, 8), 8, "nobody has said that it is a marker");
        tail.reached(Offset(8));
        look(&mut tail, 7, 8);
        assert_eq!(end(&tail, 7, 8), 7);
        assert_eq!(end(&tail, 7, 9), 9, "something has come");
        // Paused, it is as well known.
        tail.leave(NOW);
        assert_eq!((end(&tail, 7, 8), end(&tail, 3, 8)), (7, 8));
    }

    #[test]
    fn an_answer_to_what_was_asked_before_it_was_read_from_here_says_nothing() {
        let mut tail = Tail::default();
        tail.leave(NOW + Duration::from_millis(1));
        assert_eq!(look(&mut tail, 7, 7), Verdict::Unknown);
    }

    #[test]
    fn the_client_s_word_is_of_the_end_that_it_was_said_of() {
        let mut tail = Tail::default();
        look(&mut tail, 7, 8);
        tail.reached(Offset(8));
        assert_eq!(look(&mut tail, 7, 8), Verdict::AllRead(NOW));
        // That which there was before is read, and no more.
        assert_eq!(look(&mut tail, 7, 20), Verdict::AllRead(NOW));
        (0..3).for_each(|_| assert_eq!(look(&mut tail, 7, 20), Verdict::Unknown));
        assert_eq!(look(&mut tail, 19, 20), Verdict::Unknown);
        tail.reached(Offset(20));
        assert_eq!(look(&mut tail, 19, 20), Verdict::AllRead(NOW));
    }
}
