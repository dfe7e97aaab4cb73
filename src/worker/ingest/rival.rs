//! Another consumer has joined the group under our name.
//!
//! It may have been ourselves: a join that we had given up while a broker hung is still answered,
//! and fences the one that came after it. So who is fenced for the first time joins again, and
//! takes the name back. Who is fenced again soon has a rival, and of the two the older one ends.

use crate::board::words::WorkerWord;
use crate::error::Error;
use crate::sys::time;
use crate::worker::Berth;
use std::time::Duration;

/// A second time within so long is no accident: two that fight need a few seconds for it.
const SOON: Duration = Duration::from_secs(120);

/// What to leave with; `error` says that there is a rival.
pub fn fenced(berth: &Berth<'_>, error: Error) -> Error {
    let now = time::monotonic();
    let before = Duration::from_millis(berth.slot().get(WorkerWord::FencedMs));
    berth.slot().set(WorkerWord::FencedMs, now.as_millis() as u64);
    if is_rival(before, now) {
        return error;
    }
    Error::temporary(format!(
        "{error}; unless it was our own join, answered late by a broker that had hung: joining \
         again"
    ))
}

/// `before`: when it happened the last time, zero for never.
fn is_rival(before: Duration, now: Duration) -> bool {
    !before.is_zero() && now.saturating_sub(before) < SOON
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::words::WorkerKind;
    use crate::board::{Board, Shape};
    use crate::error::Kind;

    #[test]
    fn once_is_an_accident_and_twice_a_rival() {
        let board = Board::private(Shape { ingests: 1, flushers: 1, max_shards: 1 });
        let berth = Berth::new(&board, WorkerKind::Ingest, 0);
        let end = || fenced(&berth, Error::config("a rival")).kind();
        assert_eq!((end(), end()), (Kind::Temporary, Kind::Config));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let now = SOON * 2;
        assert!(is_rival(now - SOON / 2, now));
        assert!(!is_rival(now - SOON, now));
        assert!(!is_rival(Duration::ZERO, now));
    }
}
