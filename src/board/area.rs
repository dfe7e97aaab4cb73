//! Floor and offset map from process to process: one value under a sequence word.
//!
//! Two areas a shard: what its flusher has delivered, and what ingest has found committed. They
//! lie in memory of their own without a name, which costs nothing where it is not used: the maps
//! of a thousand shards would be a board of 128 MiB. A reader that meets a writer sees nothing, and
//! looks again at its next turn; a writer that dies in the middle leaves nothing to be read.

use super::Offset;
use super::words::AreaWord;
use std::sync::atomic::{AtomicU64, Ordering, fence};

const HEAD: usize = AreaWord::TABLE.len();

/// Tries of one reading.
const TRIES: usize = 10;

/// What one process tells another of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The life it is about.
    pub life: u128,
    pub floor: Offset,
    /// The teller will not settle anything more in this life.
    pub closed: bool,
    /// The offset map, encoded; empty when it names nothing.
    pub map: Vec<u8>,
}

/// One area.
#[derive(Clone, Copy)]
pub struct Area<'b>(pub(super) &'b [AtomicU64]);

impl Area<'_> {
    /// Bytes of a map that there is room for.
    pub fn room(&self) -> usize {
        (self.0.len() - HEAD) * 8
    }

    fn get(&self, word: AreaWord) -> u64 {
        self.0[word as usize].load(Ordering::Relaxed)
    }

    fn set(&self, word: AreaWord, value: u64) {
        self.0[word as usize].store(value, Ordering::Relaxed);
    }

    /// Writes all of it. A map that is too large for the area is left out.
    pub fn tell(&self, told: &Told) {
        self.change(|| {
            self.set(AreaWord::LifeHigh, (told.life >> 64) as u64);
            self.set(AreaWord::LifeLow, told.life as u64);
            self.set(AreaWord::Floor, (told.floor.0 as u64).wrapping_add(1));
            self.set(AreaWord::Closed, u64::from(told.closed));
            let map = if told.map.len() <= self.room() { told.map.as_slice() } else { &[] };
            self.set(AreaWord::MapBytes, map.len() as u64);
            for (word, bytes) in self.0[HEAD..].iter().zip(map.chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
            }
        });
    }

    /// Moves the floor alone: the map still holds above it.
    pub fn tell_floor(&self, floor: Offset) {
        self.change(|| self.set(AreaWord::Floor, (floor.0 as u64).wrapping_add(1)));
    }

    /// Whoever told this settles nothing more in that life. What a writer left half written when
    /// it died says nothing, and never will.
    pub fn close(&self) {
        let torn = !self.get(AreaWord::Sequence).is_multiple_of(2);
        if torn {
            self.change(|| {
                self.set(AreaWord::Floor, 0);
                self.set(AreaWord::MapBytes, 0);
            });
        } else if self.get(AreaWord::Floor) > 0 {
            self.change(|| self.set(AreaWord::Closed, 1));
        }
    }

    /// The sequence is odd while `write` runs. After a writer's death it stays so.
    fn change(&self, write: impl FnOnce()) {
        let odd = self.get(AreaWord::Sequence) | 1;
        self.set(AreaWord::Sequence, odd);
        fence(Ordering::Release);
        write();
        self.0[AreaWord::Sequence as usize].store(odd.wrapping_add(1), Ordering::Release);
    }

    /// What was told last; `None` when nothing was, or while it is being written.
    pub fn read(&self) -> Option<Told> {
        (0..TRIES).find_map(|_| {
            let before = self.0[AreaWord::Sequence as usize].load(Ordering::Acquire);
            let told = self.copy();
            fence(Ordering::Acquire);
            let after = self.get(AreaWord::Sequence);
            (before == after && before.is_multiple_of(2)).then_some(told)
        })?
    }

    fn copy(&self) -> Option<Told> {
        let floor = Offset(self.get(AreaWord::Floor).checked_sub(1)? as i64);
        let bytes = (self.get(AreaWord::MapBytes) as usize).min(self.room());
        let words = self.0[HEAD..].iter().take(bytes.div_ceil(8));
        let mut map: Vec<u8> =
            words.flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        map.truncate(bytes);
        let high = u128::from(self.get(AreaWord::LifeHigh)) << 64;
        Some(Told {
            life: high | u128::from(self.get(AreaWord::LifeLow)),
            floor,
            closed: self.get(AreaWord::Closed) != 0,
            map,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Board, Shape, ShardId};

    fn board() -> Board {
        Board::private(Shape { ingests: 1, flushers: 1, max_shards: 2 })
    }

    fn told(floor: i64, bytes: usize) -> Told {
        let map = (0..bytes).map(|at| at as u8).collect();
        Told { life: 1 << 70 | 5, floor: Offset(floor), closed: false, map }
    }

    #[test]
    fn what_is_told_is_read_and_areas_do_not_overlap() {
        let board = board();
        let shards = [ShardId(0), ShardId(1)];
        let areas = shards.map(|shard| [board.delivered(shard), board.found(shard)]);
        let areas: Vec<Area<'_>> = areas.into_iter().flatten().flatten().collect();
        assert_eq!(areas.len(), 4);
        for (nth, area) in areas.iter().enumerate() {
            assert_eq!(area.read(), None);
            area.tell(&told(nth as i64, area.room() - nth));
        }
        for (nth, area) in areas.iter().enumerate() {
            assert_eq!(area.read(), Some(told(nth as i64, area.room() - nth)));
            area.tell_floor(Offset(9));
            area.close();
            let wanted = Told { closed: true, ..told(9, area.room() - nth) };
            assert_eq!(area.read(), Some(wanted));
        }
        assert!(board.delivered(ShardId(2)).is_none());
    }

    #[test]
    fn a_map_that_is_too_large_is_left_out() {
        let board = board();
        let Some(area) = board.delivered(ShardId(0)) else { panic!("no area") };
        area.tell(&told(3, area.room() + 1));
        assert_eq!(area.read(), Some(told(3, 0)));
    }

    #[test]
    fn a_writer_that_died_in_the_middle_leaves_nothing_until_the_next_one() {
        let board = board();
        let Some(area) = board.delivered(ShardId(0)) else { panic!("no area") };
        area.tell(&told(3, 100));
        area.set(AreaWord::Sequence, 3);
        assert_eq!(area.read(), None);
        area.close();
        assert_eq!(area.read(), None);
        area.tell(&told(4, 10));
        assert_eq!(area.read(), Some(told(4, 10)));
    }
}
