//! The floor: what is committed, with the offset map above it, as one value (P6).
//!
//! Both come from the shard's flusher, by way of the board. What was known to be delivered when
//! this life began goes with them until the flusher's own map covers it, so that a crash in the
//! middle of reading again forgets nothing.

use super::desk::Desk;
use super::shard::Shard;
use crate::board::words::ShardWord;
use crate::board::{Board, Told};
use crate::config::{Commit, Config};
use crate::error::{Error, Result};
use crate::kafka::consumer::Consumer;
use crate::kafka::metadata::{self, Note};
use crate::segment::offset_map::OffsetMap;
use crate::segment::{Offset, ShardId};

/// Below this many bytes of metadata a broker gets none.
const ROOM_MIN: usize = 64;

/// What the group has committed for a shard, as far as we know.
#[derive(Debug, Default)]
pub struct Floor {
    /// Nothing lower is committed. `None` while it is not known.
    pub at: Option<Offset>,
    /// The last commit may not have got through.
    unsure: bool,
    /// What the flusher had told when that was committed.
    told: Option<Told>,
}

impl Floor {
    pub fn found(at: Offset) -> Floor {
        Floor { at: Some(at), ..Floor::default() }
    }
}

/// One shard's next commit.
struct Next {
    id: ShardId,
    offset: Offset,
    note: Note,
    told: Option<Told>,
    /// Delivered offsets above the floor for which the metadata has no room.
    unnamed: u64,
}

impl Desk<'_> {
    /// Commits what has changed. Floors only grow, and never pass what is read.
    pub(super) fn commit(&mut self, consumer: &Consumer, wait: bool) -> Result<()> {
        let (board, room) = (self.berth.board, self.map_room);
        let next = |shard| next(board, self.config, room, shard);
        let commits: Vec<Next> = self.shards.values_mut().filter_map(next).collect();
        if commits.is_empty() {
            return Ok(());
        }
        let text = |next: &Next| match room {
            0 => String::new(),
            _ => metadata::print(&next.note, next.offset),
        };
        let said: Vec<(ShardId, Offset, String)> =
            commits.iter().map(|next| (next.id, next.offset, text(next))).collect();
        if let Err(error) = consumer.commit(&said, wait) {
            self.troubles.warn("cannot commit the floor", &error);
            return Ok(());
        }
        let number = consumer.last_commit();
        for next in commits {
            if !wait {
                self.asked(next.id, number);
            }
            self.committed(next);
        }
        Ok(())
    }

    fn committed(&mut self, next: Next) {
        self.slot(next.id).set_offset(ShardWord::Committed, Some(next.offset));
        if next.unnamed > 0 {
            let why = Error::temporary(format!(
                "shard {}: {} delivered messages above the floor are not named; if Redis and all \
                 daemons were lost now, they would be delivered twice",
                next.id, next.unnamed
            ));
            self.troubles.warn("an offset map does not fit into the commit metadata", &why);
        }
        if let Some(shard) = self.shards.get_mut(&next.id) {
            shard.floor = Floor { at: Some(next.offset), unsure: false, told: next.told };
        }
    }

    /// A commit did not get through: whatever the floor is will be committed again.
    pub fn commit_failed(&mut self, why: &str, too_large: bool) {
        if too_large && self.map_room > 0 {
            self.map_room = if self.map_room > ROOM_MIN { self.map_room / 4 } else { 0 };
            log::warn!(
                "the broker takes less metadata with a commit than it does by default \
                 (offset.metadata.max.bytes): offset maps of at most {} bytes from now on; more is \
                 delivered twice after a loss of Redis",
                self.map_room
            );
        } else {
            self.troubles.warn("cannot commit the floor", &Error::temporary(why));
        }
        for shard in self.shards.values_mut() {
            shard.floor.unsure = true;
        }
    }
}

/// What there is to be committed for a shard, if anything has changed.
fn next(board: &Board, config: &Config, room: usize, shard: &mut Shard) -> Option<Next> {
    let (life, at) = (shard.life?, shard.floor.at?);
    if config.commit == Commit::Buffered {
        let (id, offset) = (shard.id, shard.position);
        let again = shard.floor.unsure || shard.contest.is_some();
        let grows = offset > at || (offset == at && again);
        return grows.then_some(Next { id, offset, note: Note::Buffered, told: None, unnamed: 0 });
    }
    // A contested shard is committed as it was: the answer tells whether it is ours.
    let again = shard.floor.unsure || shard.contest.is_some();
    let told = board.delivered(shard.id).and_then(|area| area.read());
    let ours =
        |told: &Told| told.life == life.0 && told.floor >= at && told.floor <= shard.position;
    let Some(told) = told.filter(ours) else {
        let map = shard.known.above(at).encode(room);
        let next =
            Next { id: shard.id, offset: at, note: Note::Floor { map }, told: None, unnamed: 0 };
        return again.then_some(next);
    };
    if shard.floor.told.as_ref() == Some(&told) && !again {
        return None;
    }
    let (map, unnamed) = map_above(&told, &mut shard.known, room);
    let note = Note::Floor { map };
    Some(Next { id: shard.id, offset: told.floor, note, told: Some(told), unnamed })
}

/// The map to commit, and how many delivered offsets it has no room for. Forgets what is `known`
/// once the flusher's own map covers it.
fn map_above(told: &Told, known: &mut OffsetMap, room: usize) -> (Vec<u8>, u64) {
    *known = known.above(told.floor);
    if known.is_empty() && told.map.len() <= room {
        return (told.map.clone(), 0);
    }
    let own = OffsetMap::decode(&told.map).unwrap_or_default().above(told.floor);
    let all = own.and(known);
    if all == own {
        *known = OffsetMap::default();
    }
    let map = all.encode(room);
    let named = OffsetMap::decode(&map).unwrap_or_default().len();
    (map, all.len() - named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: i64, upto: i64) -> OffsetMap {
        OffsetMap::all_but(Offset(from), Offset(upto), Vec::new())
    }

    fn told(floor: i64, map: &OffsetMap) -> Told {
        Told { life: 1, floor: Offset(floor), closed: false, map: map.encode(usize::MAX) }
    }

    #[test]
    fn what_was_known_goes_with_the_map_until_the_flusher_covers_it() {
        let mut known = run(50, 90);
        let (map, unnamed) = map_above(&told(10, &run(20, 30)), &mut known, 1000);
        assert_eq!((OffsetMap::decode(&map), unnamed), (Ok(run(20, 30).and(&run(50, 90))), 0));
        assert_eq!(known, run(50, 90));
        let (map, _) = map_above(&told(60, &run(60, 100)), &mut known, 1000);
        assert_eq!(OffsetMap::decode(&map), Ok(run(60, 100)));
        assert!(known.is_empty());
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut known = OffsetMap::default();
        let (map, unnamed) = map_above(&told(0, &run(20, 30)), &mut known, 3);
        assert_eq!((map.len(), unnamed), (0, 10));
    }
}
