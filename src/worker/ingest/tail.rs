//! The end of a shard's partition: whether the shard has read up to it.
//!
//! The client says so once for each end (PARTITION_EOF). That word grows old: reading may fall
//! behind again, or may stop for a while (a store that hangs), and then the client does not say it
//! again while nothing is added. The ends that brokers name are no substitute, because behind the
//! last message there may be markers of transactions; but they tell when to doubt, and to ask.

use crate::segment::Offset;

/// What an end that was named says of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All there is has been read.
    CaughtUp,
    /// What was there a look ago has not been read yet.
    Behind,
    /// Nothing moves, and only the client can tell whether there is more to be read.
    AskClient,
    Unknown,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    /// Where reading stood and the partition ended at the last look.
    looked: Option<(Offset, Offset)>,
    /// The client has said since then that all is read.
    said: bool,
    /// Looks in a row at which nothing had moved though it was not known to be all.
    quiet: u32,
}

impl Tail {
    /// The client says that all is read.
    pub fn caught_up(&mut self) {
        self.said = true;
    }

    /// The partition ends at `end`, and all below `next` is read. `caught_up`: the clock goes by
    /// the client's word that this is all.
    pub fn look(&mut self, next: Offset, end: Offset, caught_up: bool) -> Verdict {
        let before = self.looked.replace((next, end));
        let said = std::mem::take(&mut self.said);
        let moved = before != Some((next, end));
        self.quiet = if moved || said || caught_up { 0 } else { self.quiet + 1 };
        if next == end {
            return Verdict::CaughtUp;
        }
        if moved {
            let behind = before.is_some_and(|(_, then_end)| next < then_end) && !said;
            return if behind { Verdict::Behind } else { Verdict::Unknown };
        }
        // Rarer each time: asking begins anew behind the last message, and there may be much to
        // skip (aborted transactions) before the next one.
        if self.quiet.is_power_of_two() { Verdict::AskClient } else { Verdict::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(tail: &mut Tail, next: i64, end: i64, caught_up: bool) -> Verdict {
        tail.look(Offset(next), Offset(end), caught_up)
    }

    #[test]
    fn who_has_read_up_to_the_end_is_caught_up() {
        let mut tail = Tail::default();
        assert_eq!(look(&mut tail, 7, 7, false), Verdict::CaughtUp);
        assert_eq!(look(&mut tail, 7, 7, true), Verdict::CaughtUp);
    }

    #[test]
    fn a_quiet_partition_that_ends_in_a_marker_has_the_client_asked_rarer_each_time() {
        let mut tail = Tail::default();
        let asked = (0..20).map(|_| look(&mut tail, 7, 8, false) == Verdict::AskClient);
        let asked: Vec<usize> =
            asked.enumerate().filter(|(_, asks)| *asks).map(|(n, _)| n).collect();
        assert_eq!(asked, [1, 2, 4, 8, 16]);
        tail.caught_up();
        assert_eq!(look(&mut tail, 7, 8, true), Verdict::Unknown);
        assert_eq!(look(&mut tail, 7, 8, true), Verdict::Unknown);
        (0..100).for_each(|_| assert_eq!(look(&mut tail, 7, 8, true), Verdict::Unknown));
        // A turn that hung.
        assert_eq!(look(&mut tail, 7, 8, false), Verdict::AskClient);
    }

    #[test]
    fn what_was_there_a_look_ago_and_is_not_read_is_a_backlog() {
        let mut tail = Tail::default();
        assert_eq!(look(&mut tail, 100, 150, true), Verdict::Unknown);
        // A second later it stands behind that end, and more has come.
        assert_eq!(look(&mut tail, 160, 210, true), Verdict::Unknown);
        assert_eq!(look(&mut tail, 200, 400, true), Verdict::Behind);
        assert_eq!(look(&mut tail, 300, 500, false), Verdict::Behind);
        // All was read in between, by the client's word: what is missing has just come.
        tail.caught_up();
        assert_eq!(look(&mut tail, 480, 501, true), Verdict::Unknown);
    }
}
