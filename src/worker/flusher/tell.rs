//! What a flusher says of a shard for the time after Redis: floor and offset map, on the board.
//!
//! The map is made anew only so often that it costs little; the floor moves at every turn. When
//! the index has to go, its last word is told as closed: ingest waits for that before it reads
//! again, so that what is doubled is only what was in flight.

use crate::board::{Area, Told};
use crate::segment::Offset;
use crate::segment::index::Index;
use crate::store::Life;
use crate::sys::time;
use std::time::Duration;

/// Making maps takes at most one part in this many of a flusher's time, per shard.
const SHARE: u32 = 50;

/// What decides whether a map would say anything new.
type Seen = (Life, Offset, u64);

/// What was told of one shard, and when it is told again.
#[derive(Default)]
pub struct Teller {
    seen: Option<Seen>,
    floor: Option<Offset>,
    next_at: Duration,
}

impl Teller {
    /// Tells floor and map, at most every `interval` unless `now_or_never`. `settles` counts what
    /// was settled.
    pub fn tell(
        &mut self,
        area: Area<'_>,
        life: Life,
        index: &Index,
        settles: u64,
        interval: Option<Duration>,
    ) {
        let began = time::monotonic();
        let seen = (life, index.position(), settles);
        let due = interval.is_none() || began >= self.next_at;
        if due && (self.seen != Some(seen) || interval.is_none()) {
            area.tell(&told(area, life, index, false));
            let now = time::monotonic();
            let cost = now.saturating_sub(began).saturating_mul(SHARE);
            self.next_at = now + interval.unwrap_or_default().max(cost);
            (self.seen, self.floor) = (Some(seen), Some(index.floor()));
        } else if self.seen.is_some_and(|(told, ..)| told == life)
            && self.floor != Some(index.floor())
        {
            area.tell_floor(index.floor());
            self.floor = Some(index.floor());
        }
    }

    /// The last word of an index.
    pub fn close(&mut self, area: Area<'_>, life: Life, index: &Index) {
        area.tell(&told(area, life, index, true));
        *self = Teller::default();
    }
}

fn told(area: Area<'_>, life: Life, index: &Index, closed: bool) -> Told {
    let map = index.settled().encode(area.room());
    Told { life: life.0, floor: index.floor(), closed, map }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Board, Shape, ShardId};
    use crate::segment::index::Limits;

    const LIMITS: Limits =
        Limits { timeout_ms: 1000, root_timeout_ms: 1000, max_age_ms: 10_000, max_bytes: 1 << 20 };
    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

    #[test]
    fn the_floor_moves_at_once_and_the_map_with_time() {
        let board = Board::private(Shape { ingests: 1, flushers: 1, max_shards: 1 });
        let Some(area) = board.delivered(ShardId(0)) else { panic!("no area") };
        let floor = || area.read().map(|told| (told.life, told.floor.0, told.closed));
        let mut teller = Teller::default();
        let mut index = Index::new(LIMITS, Offset(5), None);
        teller.tell(area, Life(1), &index, 0, HOUR);
        assert_eq!(floor(), Some((1, 5, false)));
        index.advance(Offset(9));
        teller.tell(area, Life(1), &index, 0, HOUR);
        assert_eq!(floor(), Some((1, 9, false)));
        // Another life's floor never goes with this one's map.
        index.advance(Offset(12));
        teller.tell(area, Life(2), &index, 0, HOUR);
        assert_eq!(floor(), Some((1, 9, false)));
        teller.tell(area, Life(2), &index, 0, None);
        assert_eq!(floor(), Some((2, 12, false)));
        teller.close(area, Life(2), &index);
        assert_eq!(floor(), Some((2, 12, true)));
    }
}
