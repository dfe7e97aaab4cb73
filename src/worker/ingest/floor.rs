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
use crate::kafka::metadata::{self, Mark, Note};
use crate::segment::offset_map::OffsetMap;
use crate::segment::{Offset, ShardId};
use crate::sys::time;
use std::time::Duration;

/// Making maps takes at most one part in this many of ingest's time.
const SHARE: u32 = 20;

/// Below this many bytes of metadata a broker gets none.
const ROOM_MIN: usize = 64;

/// What is said not to work, and once to work again.
pub(super) const COMMITTING: &str = "cannot commit the floor";

/// What the group has committed for a shard, as far as we know.
#[derive(Debug, Default)]
pub struct Floor {
    /// Nothing lower is committed. `None` while it is not known.
    pub at: Option<Offset>,
    /// The last commit may not have got through.
    pub(super) unsure: bool,
    /// What the flusher had told when that was committed.
    told: Option<Told>,
    pub(super) record: Record,
}

/// The shard's record in the offset-map topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    /// What binds commits to it; drawn for the first one.
    pub mark: Option<Mark>,
    /// There is one under this mark, so that a commit may speak of it.
    pub is_there: bool,
    /// There is more to be named than was written last.
    pub is_due: bool,
}

impl Floor {
    /// As it was found committed; with a mark there is a record.
    pub fn found(at: Offset, mark: Option<Mark>) -> Floor {
        let record = Record { mark, is_there: mark.is_some(), is_due: false };
        Floor { at: Some(at), record, ..Floor::default() }
    }
}

/// One shard's next commit.
pub(super) struct Next {
    pub id: ShardId,
    pub offset: Offset,
    /// `None`: `commit = buffered`.
    pub map: Option<Fit>,
    told: Option<Told>,
}

/// An offset map and the room that there is for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// What there is room for.
    pub map: Vec<u8>,
    /// Delivered offsets above the floor for which there is none.
    pub unnamed: u64,
    /// All of it, if it does not fit.
    pub whole: Option<Vec<u8>>,
}

impl Next {
    /// The map for which the commit has no room.
    pub(super) fn too_large(&self) -> Option<(u64, &[u8])> {
        let fit = self.map.as_ref()?;
        fit.whole.as_deref().map(|whole| (fit.unnamed, whole))
    }
}

impl Desk<'_> {
    /// Commits what has changed. Floors only grow, and never pass what is read. `last`: for shards
    /// that leave, so that their maps are written first.
    pub(super) fn commit(&mut self, consumer: &Consumer, last: bool) -> Result<()> {
        self.note_written(Duration::ZERO);
        let began = time::monotonic();
        let (board, room) = (self.berth.board, self.map_room);
        let next = |shard| next(board, self.config, room, shard);
        let commits: Vec<Next> = self.shards.values_mut().filter_map(next).collect();
        let cost = time::monotonic().saturating_sub(began);
        self.commit_pause = self.config.commit_interval.max(cost.saturating_mul(SHARE));
        if commits.is_empty() {
            return Ok(());
        }
        self.write_records(consumer, &commits, last)?;
        let said: Vec<(ShardId, Offset, String)> =
            commits.iter().map(|next| (next.id, next.offset, self.text(next))).collect();
        if let Err(error) = consumer.commit(&said) {
            self.troubles.warn(COMMITTING, &error);
            return Ok(());
        }
        let number = consumer.last_commit();
        for next in commits {
            self.asked(next.id, number);
            self.committed(next);
        }
        Ok(())
    }

    /// What stands behind the offset. A record is spoken of only while it is needed and there.
    fn text(&self, next: &Next) -> String {
        if self.map_room == 0 {
            return String::new();
        }
        let note = match &next.map {
            None => Note::Buffered,
            Some(fit) => {
                let record = self.shards.get(&next.id).map(|shard| shard.floor.record);
                let kept = record.filter(|record| fit.unnamed > 0 && record.is_there);
                Note::Floor { map: fit.map.clone(), mark: kept.and_then(|record| record.mark) }
            }
        };
        metadata::print(&note, next.offset)
    }

    fn committed(&mut self, next: Next) {
        self.slot(next.id).set_offset(ShardWord::Committed, Some(next.offset));
        if let Some(shard) = self.shards.get_mut(&next.id) {
            let record = shard.floor.record;
            shard.floor = Floor { at: Some(next.offset), unsure: false, told: next.told, record };
        }
    }

    /// A commit did not get through: whatever the floor is will be committed again.
    pub fn commit_failed(&mut self, why: &str, too_large: bool) {
        if too_large && self.map_room > 0 {
            self.map_room = if self.map_room > ROOM_MIN { self.map_room / 4 } else { 0 };
            log::warn!(
                "the broker takes less metadata with a commit than it does by default \
                 (offset.metadata.max.bytes): offset maps of at most {} bytes from now on",
                self.map_room
            );
        } else {
            let why = Error::temporary(format!("{why}; it is sent again"));
            self.troubles.warn(COMMITTING, &why);
        }
        for shard in self.shards.values_mut() {
            shard.floor.unsure = true;
        }
    }
}

/// What there is to be committed for a shard, if anything has changed.
fn next(board: &Board, config: &Config, room: usize, shard: &mut Shard) -> Option<Next> {
    let (life, at) = (shard.life?, shard.floor.at?);
    // A contested shard is committed as it was: the answer tells whether it is ours.
    let again = shard.floor.unsure || shard.contest.is_some();
    if config.commit == Commit::Buffered {
        let (id, offset) = (shard.id, shard.position);
        let grows = offset > at || (offset == at && again);
        return grows.then_some(Next { id, offset, map: None, told: None });
    }
    let told = board.delivered(shard.id).and_then(|area| area.read());
    let ours =
        |told: &Told| told.life == life.0 && told.floor >= at && told.floor <= shard.position;
    let Some(told) = told.filter(ours) else {
        let map = Some(fit(&shard.known.above(at), room));
        return again.then_some(Next { id: shard.id, offset: at, map, told: None });
    };
    if shard.floor.told.as_ref() == Some(&told) && !again && !shard.floor.record.is_due {
        return None;
    }
    let map = Some(map_above(&told, &mut shard.known, room));
    Some(Next { id: shard.id, offset: told.floor, map, told: Some(told) })
}

/// The map to commit. Forgets what is `known` once the flusher's own map covers it.
fn map_above(told: &Told, known: &mut OffsetMap, room: usize) -> Fit {
    *known = known.above(told.floor);
    if known.is_empty() && told.map.len() <= room {
        return Fit { map: told.map.clone(), ..Fit::default() };
    }
    let own = OffsetMap::decode(&told.map).unwrap_or_default().above(told.floor);
    let all = own.and(known);
    if all == own {
        *known = OffsetMap::default();
    }
    fit(&all, room)
}

fn fit(all: &OffsetMap, room: usize) -> Fit {
    let whole = all.encode(usize::MAX);
    if whole.len() <= room {
        return Fit { map: whole, ..Fit::default() };
    }
    let map = all.encode(room);
    let unnamed = all.len() - OffsetMap::decode(&map).unwrap_or_default().len();
    Fit { map, unnamed, whole: Some(whole) }
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
        let fit = map_above(&told(10, &run(20, 30)), &mut known, 1000);
        assert_eq!(OffsetMap::decode(&fit.map), Ok(run(20, 30).and(&run(50, 90))));
        assert_eq!((fit.unnamed, fit.whole), (0, None));
        assert_eq!(known, run(50, 90));
        let fit = map_above(&told(60, &run(60, 100)), &mut known, 1000);
        assert_eq!(OffsetMap::decode(&fit.map), Ok(run(60, 100)));
        assert!(known.is_empty());
    }

    #[test]
    fn what_has_no_room_is_counted_and_there_as_a_whole() {
        let told = told(0, &run(20, 30));
        let fit = map_above(&told, &mut OffsetMap::default(), 3);
        assert_eq!(fit, Fit { map: Vec::new(), unnamed: 10, whole: Some(told.map) });
    }
}
