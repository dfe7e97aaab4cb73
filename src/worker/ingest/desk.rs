//! The ingest worker's shards: assigned, found, read, appended, committed, given back.
//!
//! Everything that can fail for one shard is kept to that shard; what fails for all (the store
//! is away) leaves each shard where it is, to be tried again.

use super::append::AppendBound;
use super::ends::Ends;
use super::maps::Maps;
use super::shard::{LastCommit, Phase, Shard, Taken};
use super::strays::Strays;
use crate::board::words::{OwnershipWord, Paused, ShardWord, WaitingFor, WorkerWord};
use crate::board::{OwnershipRow, ShardSlot};
use crate::config::Config;
use crate::error::Result;
use crate::kafka;
use crate::kafka::consumer::{Consumer, Message};
use crate::kafka::metadata;
use crate::segment::{Offset, ShardId};
use crate::store::Identity;
use crate::store::redis::RedisStore;
use crate::sys::time;
use crate::worker::{Backoff, Berth, GONE_SHARE, LEAVING_SHARE, Repeats, phase};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often store and board are compared with what we believe, at least, also when idle (P6).
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A shard whose holder is away for longer is paused; a flusher's restart is shorter.
pub(super) const HOLDER_GRACE: Duration = Duration::from_secs(1);

/// A shard that leaves waits so long for the answer to its last commit. Without it the next owner
/// reads from an older floor, and the store knows what came of that.
const LAST_COMMIT_WAIT: Duration = Duration::from_secs(5);

/// Bound of one question to Kafka.
pub(super) const KAFKA_WAIT: Duration = Duration::from_secs(2);

pub struct Desk<'a> {
    pub config: &'a Config,
    pub berth: &'a Berth<'a>,
    pub(super) store: RedisStore,
    pub(super) shards: BTreeMap<ShardId, Shard>,
    /// Assigned as well, and without a slot on the board.
    unserved: BTreeSet<ShardId>,
    pub(super) identity: Option<Identity>,
    /// Counts assignments, so that readers of the board can tell the newest.
    generation: u64,
    looked_at: Duration,
    committed_at: Duration,
    /// From one commit to the next: `commit-interval`, or longer where maps take time to make.
    pub(super) commit_pause: Duration,
    /// The daemon is ending: closing the client gives everything back at once.
    pub(super) stopping: bool,
    /// When a leaving shard is given up on: `rebalance-timeout` after the revocation.
    leave_by: Duration,
    /// When a worker that ends has to be gone; `None` for one that was not asked to.
    gone_by: Option<Duration>,
    pub(super) store_backoff: Backoff,
    pub(super) kafka_backoff: Backoff,
    /// The same for finding positions: what fails there must not keep others from being asked.
    pub(super) finding_backoff: Backoff,
    pub(super) troubles: Repeats,
    pub(super) memory_short: bool,
    /// Bytes of an offset map that brokers take with a commit; less once one was refused.
    pub(super) map_room: usize,
    pub(super) maps: Maps<'a>,
    pub(super) topics_checked: bool,
    pub(super) ends: Ends,
    /// Since when questions for ends fail.
    pub(super) unanswered_since: Option<Duration>,
    /// What is said to be wrong with Kafka.
    pub(super) kafka_troubles: Vec<kafka::trouble::State>,
    /// When it was last tried whether what was refused may be read.
    pub(super) refused_at: Duration,
    /// When a broker was last said not to let us in.
    pub(super) locked_out_at: Duration,
    pub(super) append_bound: AppendBound,
    pub(super) strays: Strays,
}

impl<'a> Desk<'a> {
    pub fn new(config: &'a Config, berth: &'a Berth<'a>, store: RedisStore) -> Desk<'a> {
        // What a dead predecessor said is not so any more.
        for number in 0..berth.board.max_shards() {
            if let Some(row) = berth.board.ownership(berth.number, ShardId(number)) {
                row.set(OwnershipWord::Assigned, 0);
                row.set(OwnershipWord::Wanted, 0);
            }
        }
        Desk {
            config,
            berth,
            store,
            shards: BTreeMap::new(),
            unserved: BTreeSet::new(),
            identity: None,
            generation: 0,
            looked_at: time::monotonic().saturating_sub(phase(LOOK_INTERVAL)),
            committed_at: time::monotonic().saturating_sub(phase(config.commit_interval)),
            commit_pause: config.commit_interval,
            stopping: false,
            leave_by: Duration::ZERO,
            gone_by: None,
            store_backoff: Backoff::new(),
            kafka_backoff: Backoff::new(),
            finding_backoff: Backoff::new(),
            troubles: Repeats::new(),
            memory_short: false,
            map_room: metadata::MAP_MAX,
            maps: Maps::default(),
            topics_checked: false,
            ends: Ends::default(),
            unanswered_since: None,
            kafka_troubles: Vec::new(),
            refused_at: Duration::ZERO,
            locked_out_at: Duration::ZERO,
            append_bound: AppendBound::default(),
            strays: Strays::default(),
        }
    }

    pub fn has_shards(&self) -> bool {
        !self.shards.is_empty()
    }

    // --- what Kafka says ---

    /// New shards: said on the board, so that a flusher is found for them.
    pub fn assigned(&mut self, shards: &[ShardId]) {
        if self.stopping {
            // The flushers are leaving; the group learns at the close that nobody reads these.
            return;
        }
        let now = time::monotonic();
        // Of two workers the younger assignment is believed, also when one was born later.
        self.generation = (self.generation + 1).max(now.as_millis() as u64);
        for &id in shards {
            let Some(row) = self.row(id) else {
                log::error!(
                    "partition {id} is not consumed: the board has slots for {} shards; \
                     raise max-shards and restart",
                    self.berth.board.max_shards()
                );
                self.unserved.insert(id);
                continue;
            };
            row.set(OwnershipWord::Wanted, 1);
            row.set(OwnershipWord::Assigned, self.generation + 1);
            self.slot(id).set_offset(ShardWord::Position, None);
            self.maps.forget(id);
            self.shards.insert(id, Shard::new(id, self.config, now));
        }
        if !shards.is_empty() {
            log::info!("assigned {} shards: {}", shards.len(), list(shards));
        }
    }

    /// The group wants shards back, or has taken them away.
    pub fn revoked(&mut self, consumer: &Consumer, shards: &[ShardId], lost: bool) -> Result<()> {
        self.unserved.retain(|id| !shards.contains(id));
        if lost {
            log::warn!("lost {} shards to the group: {}", shards.len(), list(shards));
            for &id in shards {
                self.disown(id);
            }
            return consumer.give_back(shards);
        }
        log::info!("giving back {} shards: {}", shards.len(), list(shards));
        if !self.stopping {
            self.leave_by = time::monotonic() + self.config.rebalance_timeout;
        }
        let mut unknown = Vec::new();
        for &id in shards {
            match self.shards.get_mut(&id) {
                // What is pending is still written; what is only drafted as well.
                Some(shard) => shard.phase = Phase::Leaving,
                None => unknown.push(id),
            }
        }
        if unknown.is_empty() { Ok(()) } else { consumer.give_back(&unknown) }
    }

    /// The end: every shard is left, as if the group wanted it back. The partitions themselves
    /// stay assigned until the client closes: without any it would end before it has told the
    /// group, and the group would wait for it until its session times out.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.leave_by = Duration::MAX;
        self.hasten();
        for shard in self.shards.values_mut() {
            shard.phase = Phase::Leaving;
        }
    }

    /// Looks by when all has to be over: perhaps sooner than it was said at first.
    pub fn hasten(&mut self) {
        self.leave_by = self.leave_by.min(self.berth.leave_by(self.config, LEAVING_SHARE));
        let gone_by = self.berth.leave_by(self.config, GONE_SHARE);
        self.gone_by = Some(self.gone_by.map_or(gone_by, |before| before.min(gone_by)));
        self.store.end_by(self.leave_by);
    }

    /// How long saying good-bye may take, `most` at most.
    pub fn farewell_within(&self, most: Duration) -> Duration {
        self.gone_by.map_or(most, |by| by.saturating_sub(time::monotonic()).min(most))
    }

    fn disown(&mut self, id: ShardId) {
        self.shards.remove(&id);
        if let Some(row) = self.row(id) {
            row.set(OwnershipWord::Wanted, 0);
            row.set(OwnershipWord::Assigned, 0);
        }
        if self.shards.is_empty() {
            self.nothing_is_asked();
        }
    }

    pub fn caught_up(&mut self, id: ShardId, end: Option<Offset>) {
        if let Some(shard) = self.shards.get_mut(&id)
            && shard.phase == Phase::Flowing
            && let Some(end) = end
        {
            shard.tail.reached(end);
        }
    }

    pub fn read(&mut self, message: &Message<'_>, now: Duration) -> Taken {
        match self.shards.get_mut(&message.shard) {
            Some(shard) => shard.read(message, self.config, now),
            None => Taken::Ignored,
        }
    }

    // --- looking after the shards ---

    /// Finds positions, starts and pauses, compares with the store, commits, gives back. Each of
    /// these may wait for its own bound; the heart does not wait for their sum.
    pub fn look_after(&mut self, consumer: &Consumer) -> Result<()> {
        let now = time::monotonic();
        self.note_holders(now);
        self.hold_back(now);
        self.find(consumer, now)?;
        self.berth.beat();
        self.flow(consumer)?;
        self.berth.beat();
        self.look_at_ends(consumer, now);
        self.berth.beat();
        if now.saturating_sub(self.looked_at) >= LOOK_INTERVAL {
            self.looked_at = now.saturating_sub(phase(LOOK_INTERVAL / 4));
            self.compare()?;
            self.notice_contests();
            self.berth.beat();
            self.look_at_memory();
            self.berth.beat();
            // At the end there is no time for questions that a broker may leave unanswered.
            if !self.stopping {
                self.compare_ranges(consumer)?;
                self.look_at_troubles(consumer, now);
            }
            self.look_at_silence();
            self.troubles.tell(time::monotonic());
        }
        if now.saturating_sub(self.committed_at) >= self.commit_pause {
            self.committed_at = now;
            self.commit(consumer, false)?;
        }
        self.finish_leaving(consumer, now)
    }

    fn note_holders(&mut self, now: Duration) {
        let board = self.berth.board;
        for shard in self.shards.values_mut() {
            if board.shard(shard.id).is_some_and(|slot| slot.holder().is_some()) {
                shard.held_at = now;
            }
        }
    }

    /// A quiet shard must notice the loss of the store, too.
    fn compare(&mut self) -> Result<()> {
        let known: Vec<ShardId> = self
            .shards
            .values()
            .filter(|shard| shard.life.is_some() && shard.pending.is_none())
            .filter(|shard| shard.alone.may_work(time::monotonic()))
            .map(|shard| shard.id)
            .collect();
        if known.is_empty() || !self.store_backoff.is_over(time::monotonic()) {
            return Ok(());
        }
        let states = match self.look(&known) {
            Ok(states) => states,
            Err(error) => return self.store_failed(&[], error),
        };
        self.store_works();
        for (id, state) in states {
            let Some(shard) = self.shards.get(&id) else { continue };
            if !state.as_ref().is_some_and(|state| shard.agrees(state)) {
                log::warn!("shard {id}: the store is not what we left there; believing it");
                self.find_again(id);
            }
        }
        Ok(())
    }

    // --- giving back ---

    /// A leaving shard goes when its batch is written, its flusher has let go, and the group has
    /// answered its last commit.
    fn finish_leaving(&mut self, consumer: &Consumer, now: Duration) -> Result<()> {
        let late = now >= self.leave_by;
        let done = self.done(late);
        if done.is_empty() {
            return Ok(());
        }
        self.commit_last(consumer, &done, now)?;
        let goes = |id: &ShardId| {
            let last = self.shards.get(id).and_then(|shard| shard.last_commit);
            let waits = |last: LastCommit| now < last.until && !consumer.has_answered(last.number);
            late || !last.is_some_and(waits)
        };
        let gone: Vec<ShardId> = done.into_iter().filter(goes).collect();
        for &id in &gone {
            self.disown(id);
        }
        if self.stopping || gone.is_empty() { Ok(()) } else { consumer.give_back(&gone) }
    }

    /// The leaving shards that wait for nothing but their last commit; asks the flushers of the
    /// others to let go.
    fn done(&self, late: bool) -> Vec<ShardId> {
        let mut done = Vec::new();
        for shard in self.shards.values().filter(|shard| shard.phase == Phase::Leaving) {
            let written = shard.pending.is_none() && !shard.has_draft();
            let written = written || shard.alone.is_stopped();
            let Some(row) = self.row(shard.id) else { continue };
            if written || late {
                row.set(OwnershipWord::Wanted, 0);
            }
            let free = self.slot(shard.id).holder().is_none();
            if (written && free) || late {
                done.push(shard.id);
            }
        }
        done
    }

    /// Commits what these shards have still to say, once.
    fn commit_last(&mut self, consumer: &Consumer, done: &[ShardId], now: Duration) -> Result<()> {
        let is_new = |id| self.shards.get(id).is_some_and(|shard| shard.last_commit.is_none());
        if !done.iter().any(is_new) {
            return Ok(());
        }
        self.commit(consumer, true)?;
        // With nothing more to say it is the one before that matters.
        let last = LastCommit { number: consumer.last_commit(), until: now + LAST_COMMIT_WAIT };
        for id in done {
            if let Some(shard) = self.shards.get_mut(id) {
                shard.last_commit.get_or_insert(last);
            }
        }
        Ok(())
    }

    // --- the board ---

    /// Publishes clocks and states. Constant cost per shard.
    pub fn report(&mut self) {
        let now = time::monotonic();
        for shard in self.shards.values() {
            let Some(slot) = self.berth.board.shard(shard.id) else { continue };
            self.say_clock(shard);
            slot.set(ShardWord::Frozen, u64::from(shard.phase != Phase::Flowing));
            let pause = match (shard.hold, shard.phase) {
                (Some(hold), _) => hold,
                // A quiet one flows into nothing, too, when the store is away.
                (None, Phase::Flowing) if self.store_backoff.is_failing() => Paused::Refused,
                (None, Phase::Flowing) => Paused::Flowing,
                (None, Phase::Refused) => Paused::Refused,
                (None, Phase::Finding | Phase::Starting | Phase::Leaving) => Paused::Starting,
            };
            slot.pause(pause, now.as_millis() as u64);
        }
        self.berth.slot().set(WorkerWord::Unserved, self.unserved.len() as u64);
        let kafka_fails = self.kafka_backoff.is_failing() || self.finding_backoff.is_failing();
        let kafka = !self.kafka_troubles.is_empty() || kafka_fails;
        self.berth.waiting_for(match (kafka, self.store_backoff.is_failing()) {
            (false, false) => WaitingFor::Nothing,
            (true, false) => WaitingFor::Kafka,
            (false, true) => WaitingFor::Redis,
            (true, true) => WaitingFor::Both,
        });
    }

    /// Says where a shard stands that was found. The clock first: a flusher must not measure what
    /// the store still has by a clock that counts on what has to be read again.
    pub(super) fn say_found(&self, id: ShardId) {
        let Some(shard) = self.shards.get(&id) else { return };
        self.say_clock(shard);
        self.slot(id).set_offset(ShardWord::Position, Some(shard.position));
    }

    fn say_clock(&self, shard: &Shard) {
        let clock = shard.safe_clock().map_or(0, |at| at.0.max(0) as u64);
        self.slot(shard.id).set(ShardWord::Clock, clock);
    }

    fn row(&self, id: ShardId) -> Option<OwnershipRow<'a>> {
        self.berth.board.ownership(self.berth.number, id)
    }

    /// Only shards that have a slot are ever kept, so a missing slot is a bug.
    pub(super) fn slot(&self, id: ShardId) -> ShardSlot<'a> {
        match self.berth.board.shard(id) {
            Some(slot) => slot,
            None => panic!("shard {id} was taken without a slot on the board"),
        }
    }
}

fn list(shards: &[ShardId]) -> String {
    let names: Vec<String> = shards.iter().map(ShardId::to_string).collect();
    names.join(",")
}
