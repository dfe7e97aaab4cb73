//! The very first start of a group: `start-from` is for the partitions that it begins with.
//!
//! A partition that is added later is read from its beginning: what was written to it before
//! anybody noticed it would be lost otherwise. Nothing in Kafka tells the two apart. So whoever has
//! the first partition notes that the group begins, in a commit for every partition that there is,
//! before any of them is read. The group gives that partition to one member at a time, and takes no
//! commit of a former one.

use super::desk::{Desk, KAFKA_WAIT};
use super::finding::Start;
use crate::config::StartFrom;
use crate::error::{Error, Result};
use crate::kafka::consumer::{Committed, Consumer};
use crate::kafka::metadata::{self, Note};
use crate::segment::{Offset, ShardId};
use crate::store::State;
use crate::sys::time;
use std::collections::BTreeMap;
use std::time::Duration;

/// How soon it is looked again whether another member has begun, and how often before it is said.
const BEGUN_BY_ANOTHER: Duration = Duration::from_millis(500);
const LOOKS: u32 = 20;

/// What is said not to work, and once to work again.
const BEGIN: &str = "the group does not begin";

/// What the group has committed, by shard.
pub(super) type Commits = BTreeMap<ShardId, Option<Committed>>;

/// The commit says only that its partition is one that the group begins with.
pub(super) fn is_begin(committed: &Committed) -> bool {
    metadata::parse(&committed.metadata, committed.offset) == Some(Note::Begin)
}

impl Desk<'_> {
    /// Where nothing is committed for a shard: sees to it that the group has begun. `None` while
    /// another member has yet to do that.
    pub(super) fn see_begin(
        &mut self,
        consumer: &Consumer,
        mut committed: Commits,
        states: &BTreeMap<ShardId, Option<State>>,
    ) -> Result<Option<Commits>> {
        // A position in the store is of a group that has begun; and where reading starts at the
        // beginning anyway there is nothing to tell apart.
        let has_begun = committed.values().all(Option::is_some)
            || states.values().any(Option::is_some)
            || self.config.start_from == StartFrom::Earliest;
        if has_begun {
            self.troubles.works(BEGIN);
            return Ok(Some(committed));
        }
        self.berth.beat();
        let all = self.partitions(consumer)?;
        self.berth.beat();
        let found: Commits = consumer.committed(&all, KAFKA_WAIT)?.into_iter().collect();
        self.berth.beat();
        let nothing = found.values().all(Option::is_none);
        if nothing && !all.first().is_some_and(|first| self.shards.contains_key(first)) {
            self.wait_for_begin(committed.keys());
            return Ok(None);
        }
        self.troubles.works(BEGIN);
        if nothing {
            self.note_begin(consumer, &all)?;
        }
        let noted = Committed { offset: Offset(0), metadata: begin().into_bytes() };
        for (id, committed) in &mut committed {
            *committed = match found.get(id) {
                Some(None) if nothing => Some(noted.clone()),
                other => other.cloned().flatten(),
            };
        }
        Ok(Some(committed))
    }

    /// What the group reads, in order.
    fn partitions(&self, consumer: &Consumer) -> Result<Vec<ShardId>> {
        let mut all = match self.config.partitions.as_slice() {
            [] => consumer.partitions(KAFKA_WAIT)?,
            fixed => fixed.iter().copied().map(ShardId).collect(),
        };
        all.sort_unstable();
        Ok(all)
    }

    fn note_begin(&self, consumer: &Consumer, all: &[ShardId]) -> Result<()> {
        log::info!("the group begins, with {} partitions", all.len());
        let commits: Vec<(ShardId, Offset, String)> =
            all.iter().map(|id| (*id, Offset(0), begin())).collect();
        consumer.commit_now(&commits, KAFKA_WAIT)?;
        self.berth.beat();
        Ok(())
    }

    fn wait_for_begin<'i>(&mut self, ids: impl Iterator<Item = &'i ShardId>) {
        let now = time::monotonic();
        let mut looks = 0;
        for id in ids {
            let Some(shard) = self.shards.get_mut(id) else { continue };
            shard.patience.wait_again(now, BEGUN_BY_ANOTHER);
            looks = looks.max(shard.patience.failures());
        }
        if looks > LOOKS {
            let why = "whoever has its first partition has to note where start-from is, and all \
                       others wait for that; look at the daemon that has it";
            self.troubles.warn(BEGIN, &Error::temporary(why));
        }
    }

    /// Where a shard begins that the group has never read; `is_first`: the group begins with it.
    /// What that resolves to is committed before anything is read, so that a crash resolves it to
    /// the same.
    pub(super) fn first_start(
        &mut self,
        consumer: &Consumer,
        id: ShardId,
        is_first: bool,
        state: Option<&State>,
    ) -> Result<Start> {
        let offset = if state.is_some() {
            log::warn!(
                "partition {id}: nothing is committed though the store has a position: the topic \
                 was made anew; reading from its beginning"
            );
            consumer.watermarks(id, KAFKA_WAIT)?.0
        } else if is_first || self.config.start_from == StartFrom::Earliest {
            consumer.start_from(id, KAFKA_WAIT)?
        } else {
            let beginning = consumer.watermarks(id, KAFKA_WAIT)?.0;
            log::info!("partition {id} is new to the group: reading from its beginning");
            beginning
        };
        self.berth.beat();
        let note = Note::Floor { map: Vec::new(), mark: None };
        consumer.commit_now(&[(id, offset, metadata::print(&note, offset))], KAFKA_WAIT)?;
        Ok(Start::first(offset))
    }
}

fn begin() -> String {
    metadata::print(&Note::Begin, Offset(0))
}
