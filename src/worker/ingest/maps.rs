//! Offset maps for which a commit has no room: into the offset-map topic, and back from it.
//!
//! A map names only what is delivered, and what is delivered stays so. Hence commit and record
//! need no order between them: a record older than the commit names fewer offsets than it could,
//! one that is newer (the commit behind it was lost) names more, and none names a span that has
//! yet to come out; nor does that of an owner who has lost the shard by now. What would make a
//! record lie is that its offsets mean other messages (a topic made anew) or are wanted again
//! (reset by hand). Either takes the commit's metadata away, and with it the mark without which no
//! record is believed; the next record has a new one.

use super::desk::{Desk, KAFKA_WAIT};
use super::floor::Next;
use crate::error::{Error, Result};
use crate::kafka::consumer::{Committed, Consumer};
use crate::kafka::map_topic::{MapReader, MapWriter, Record, Written};
use crate::kafka::metadata::{self, Mark, Note};
use crate::segment::ShardId;
use crate::sys::{random, time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When a topic that could not be used is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// What reading takes of a turn.
const SLICE: Duration = Duration::from_millis(50);

/// A start waits so long for the topic, then goes on without it.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Maps<'a> {
    writer: Option<MapWriter<'a>>,
    retry_at: Duration,
    /// What it costs that a map has no place was said.
    said: bool,
    reader: Option<MapReader>,
    reading: Option<Reading>,
    /// The shards that were looked for, and their records.
    read: BTreeMap<ShardId, Option<Record>>,
}

struct Reading {
    shards: BTreeSet<ShardId>,
    until: Duration,
}

impl Maps<'_> {
    /// The record that a commit speaks of, if it was found.
    pub fn record(&self, id: ShardId, mark: Option<Mark>) -> Option<&Record> {
        let record = self.read.get(&id)?.as_ref()?;
        (Some(record.mark) == mark).then_some(record)
    }

    /// A newer record may be there by the time that the shard is looked for again.
    pub fn forget(&mut self, id: ShardId) {
        self.read.remove(&id);
    }
}

impl<'a> Desk<'a> {
    // --- writing ---

    /// Writes the maps for which commits have no room; waits for them if it is the last time.
    pub(super) fn write_records(
        &mut self,
        consumer: &Consumer,
        commits: &[Next],
        wait: bool,
    ) -> Result<()> {
        let large: Vec<&Next> = commits.iter().filter(|next| next.too_large().is_some()).collect();
        let Some(first) = large.first() else { return Ok(()) };
        if let Err(why) = self.prepare_writer(consumer) {
            self.say_cost(first, &why);
            return Ok(());
        }
        for next in large {
            self.write_record(next)?;
        }
        if wait {
            self.note_written(KAFKA_WAIT);
            self.berth.beat();
        }
        Ok(())
    }

    /// Why the topic cannot be used, if it cannot. Asked again only after a while.
    fn prepare_writer(&mut self, consumer: &Consumer) -> std::result::Result<(), String> {
        let Some(topic) = self.config.offset_map_topic.as_deref() else {
            return Err("offset-map-topic is not set".to_owned());
        };
        let now = time::monotonic();
        if now < self.maps.retry_at {
            return Err(format!("topic {topic} (offset-map-topic) cannot be used"));
        }
        let usable = self.writer(topic).and_then(|writer| writer.prepare(consumer));
        self.berth.beat();
        usable.map_err(|error| {
            self.maps.retry_at = now + RETRY;
            error.to_string()
        })
    }

    fn writer(&mut self, topic: &'a str) -> Result<&mut MapWriter<'a>> {
        match &mut self.maps.writer {
            Some(writer) => Ok(writer),
            none => {
                let number = self.berth.number;
                Ok(none.insert(MapWriter::open(self.config, topic, number, KAFKA_WAIT)?))
            }
        }
    }

    fn write_record(&mut self, next: &Next) -> Result<()> {
        let Some((_, map)) = next.too_large() else { return Ok(()) };
        let Some(shard) = self.shards.get_mut(&next.id) else { return Ok(()) };
        let Some(writer) = &mut self.maps.writer else { return Ok(()) };
        let record = &mut shard.floor.record;
        record.is_due = writer.is_busy(next.id);
        if record.is_due {
            return Ok(());
        }
        let mark = match record.mark {
            Some(mark) => mark,
            None => *record.mark.insert(Mark(random::bits128()? as u64)),
        };
        if let Err(error) = writer.write(next.id, next.offset, map, mark) {
            record.is_due = true;
            self.troubles.warn("cannot write an offset map", &error);
        }
        Ok(())
    }

    /// Learns what became of records. A first one is committed with its mark at once.
    pub(super) fn note_written(&mut self, wait: Duration) {
        let Some(writer) = &mut self.maps.writer else { return };
        let Written { kept, failed, why } = writer.poll(wait);
        for id in &kept {
            if let Some(shard) = self.shards.get_mut(id) {
                shard.floor.unsure |= !shard.floor.record.is_there;
                shard.floor.record.is_there = true;
            }
        }
        for id in &failed {
            if let Some(shard) = self.shards.get_mut(id) {
                shard.floor.record.is_due = true;
            }
        }
        if let Some(why) = why {
            let error = Error::temporary(why);
            self.troubles.warn("an offset map was not written, and is tried again", &error);
        }
    }

    /// Neither place works. Nothing is wrong as long as Redis or a daemon lives.
    fn say_cost(&mut self, next: &Next, why: &str) {
        if std::mem::replace(&mut self.maps.said, true) {
            return;
        }
        let unnamed = next.too_large().map_or(0, |(unnamed, _)| unnamed);
        log::warn!(
            "the offset map of shard {} does not fit into the commit's metadata, and {why}: \
             {unnamed} delivered messages above the floor are named nowhere, and would be \
             delivered twice if Redis and all daemons were lost at once; name a topic with \
             offset-map-topic that the daemon may create or write; said only once",
            next.id
        );
    }

    // --- reading ---

    /// Reads on for a slice. False while a shard has to wait for it.
    pub(super) fn read_records(&mut self) -> bool {
        let Some(reading) = &self.maps.reading else { return true };
        let Some(reader) = &mut self.maps.reader else { return true };
        let at_end = reader.read(SLICE);
        if !at_end && time::monotonic() < reading.until {
            return false;
        }
        let mut found = reader.end();
        let shards = reading.shards.clone();
        if !at_end {
            let seconds = PATIENCE.as_secs();
            self.warn_unread(&format!("its end was not reached within {seconds} s"));
        }
        let records = shards.into_iter().map(|id| (id, found.remove(&id)));
        self.maps.read.extend(records);
        self.maps.reading = None;
        true
    }

    /// Whether all records are read of which these commits speak; begins to, if not.
    pub(super) fn has_records(&mut self, committed: &[(ShardId, Option<Committed>)]) -> bool {
        let Some(topic) = self.config.offset_map_topic.as_deref() else { return true };
        let unread = |id: &ShardId| !self.maps.read.contains_key(id);
        let shards: BTreeSet<ShardId> =
            committed.iter().filter_map(marked).filter(unread).collect();
        if shards.is_empty() {
            return true;
        }
        match self.begin_reading(topic, &shards) {
            Ok(()) => {
                let until = time::monotonic() + PATIENCE;
                self.maps.reading = Some(Reading { shards, until });
                false
            }
            Err(error) => {
                self.warn_unread(&error.to_string());
                self.maps.read.extend(shards.into_iter().map(|id| (id, None)));
                true
            }
        }
    }

    fn begin_reading(&mut self, topic: &str, shards: &BTreeSet<ShardId>) -> Result<()> {
        let reader = match &mut self.maps.reader {
            Some(reader) => reader,
            none => none.insert(MapReader::open(self.config, self.berth.number)?),
        };
        reader.begin(self.config, topic, shards, KAFKA_WAIT)
    }

    fn warn_unread(&self, why: &str) {
        log::warn!(
            "offset maps are left unread: {why}; if Redis was lost as well, messages that were \
             delivered and are named only there are delivered twice"
        );
    }
}

/// The shard, if its commit speaks of a record.
fn marked((id, committed): &(ShardId, Option<Committed>)) -> Option<ShardId> {
    let committed = committed.as_ref()?;
    let note = metadata::parse(&committed.metadata, committed.offset)?;
    matches!(note, Note::Floor { mark: Some(_), .. }).then_some(*id)
}
