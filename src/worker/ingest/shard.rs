//! One shard as ingest reads it: where it stands, what it holds, why it waits.
//!
//! A shard is read only in [`Phase::Flowing`]. Whatever else happens (a refusal, a lost
//! life, a missing holder), it leaves that phase, all that still arrives for it is thrown
//! away, and it comes back through a seek to its position (P5).

use super::confirm::Contest;
use super::floor::Floor;
use super::patience::Patience;
use super::pressure::Pressure;
use super::tail::{Tail, Verdict};
use crate::board::words::Paused;
use crate::config::Config;
use crate::error::Result;
use crate::kafka::consumer::Message;
use crate::segment::batch::{self, Batch, Place};
use crate::segment::chunk::{Draft, RejectBody};
use crate::segment::clock::Clock;
use crate::segment::offset_map::OffsetMap;
use crate::segment::span::{self, Reject, Span};
use crate::segment::{BatchId, EventMs, Offset, ShardId};
use crate::store::{Append, Life, State};
use crate::sys::{random, time};
use crate::worker::Alone;
use std::rc::Rc;
use std::time::Duration;

/// What a shard is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Ours, but nobody knows yet where it stands: ask Kafka and the store.
    Finding,
    /// The store stands where we do: seek there and let it flow.
    Starting,
    /// Being read.
    Flowing,
    /// The store refused a batch for now; the same one is tried again.
    Refused,
    /// The group wants it back: nothing is read any more.
    Leaving,
}

/// What reading one message did to its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Not ours to read now, or read already.
    Ignored,
    /// It is in the draft.
    Drafted,
    /// It is in the draft, and the draft is full.
    Full,
}

pub struct Shard {
    pub id: ShardId,
    pub phase: Phase,
    /// The life that the store and we agree on; `None` while finding.
    pub life: Option<Life>,
    /// Position and tip of the store, as far as we know.
    pub position: Offset,
    pub tip: Option<BatchId>,
    /// The offset behind the last message read.
    pub next: Offset,
    pub clock: Clock,
    /// The batch that is on its way into the store, with what it will have counted.
    pub pending: Option<Pending>,
    /// What the group has committed, as far as we know.
    pub floor: Floor,
    /// What is known to be delivered above the floor, and is left out when it is read again.
    pub known: OffsetMap,
    /// The life that was ours when it turned out that the store stands elsewhere.
    pub left: Option<Left>,
    /// Another flusher took it in the store, and the group has not said yet whose it is.
    pub contest: Option<Contest>,
    /// What it still waits for when it leaves and all else is done.
    pub last_commit: Option<LastCommit>,
    /// When a flusher last held the shard (monotonic).
    pub held_at: Duration,
    /// Why it may not be read now, if it may not.
    pub hold: Option<Paused>,
    pub pressure: Pressure,
    /// Its position was out of range: it takes a new fetcher to start it again.
    pub stranded: bool,
    /// Its position may be out of range: its partition is asked.
    pub doubted: bool,
    /// With its partition, where that does not answer.
    pub patience: Patience,
    pub tail: Tail,
    pub alone: Alone,
    /// The client has been told to let the shard flow; whatever leaves `Flowing` takes it back.
    pub open: bool,
    draft: Draft,
    drafted_at: Duration,
    /// The time of the first span that is read and not yet in the store.
    unstored_ms: Option<EventMs>,
    tally: Tally,
}

/// Where we stood in a life that the store does not know any more.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    pub life: Life,
    pub position: Offset,
    /// When that was noticed (monotonic).
    pub at: Duration,
}

/// The last commit of a shard that leaves.
#[derive(Clone, Copy, Debug)]
pub struct LastCommit {
    pub number: u64,
    /// It is waited for until then (monotonic).
    pub until: Duration,
}

/// An append with what it adds to the shard's counters once it counts.
pub struct Pending {
    pub append: Append,
    pub tally: Tally,
}

/// What a draft holds, for the counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub read: u64,
    pub bytes: u64,
    pub rejected: u64,
    pub gaps: u64,
    pub skipped: u64,
    pub lost: u64,
}

impl Shard {
    pub fn new(id: ShardId, config: &Config, now: Duration) -> Shard {
        Shard {
            id,
            phase: Phase::Finding,
            life: None,
            position: Offset(0),
            tip: None,
            next: Offset(0),
            clock: Clock::resume(None),
            pending: None,
            floor: Floor::default(),
            known: OffsetMap::default(),
            left: None,
            contest: None,
            last_commit: None,
            held_at: now,
            hold: Some(Paused::NoHolder),
            pressure: Pressure::default(),
            stranded: false,
            doubted: false,
            patience: Patience::default(),
            tail: Tail::default(),
            alone: Alone::default(),
            open: false,
            draft: Draft::new(config.limits().spread_ms()),
            drafted_at: now,
            unstored_ms: None,
            tally: Tally::default(),
        }
    }

    /// Takes over what the store says: from here on we agree with it.
    pub fn adopt(&mut self, state: &State) {
        self.forget();
        self.life = Some(state.life);
        self.left = None;
        self.position = state.position;
        self.tip = state.tip;
        self.next = state.position;
        self.clock = Clock::resume(state.clock);
        self.phase = Phase::Starting;
    }

    /// Throws away all that was read and is not in the store; the store knows better. Deadlines
    /// go on seeing the clock as it was before that.
    pub fn find_again(&mut self) {
        self.clock = Clock::resume(self.safe_clock());
        self.forget();
        if let Some(life) = self.life.take() {
            self.left = Some(Left { life, position: self.position, at: time::monotonic() });
        }
        self.phase = Phase::Finding;
    }

    fn forget(&mut self) {
        self.draft.clear();
        self.tally = Tally::default();
        self.pending = None;
        self.unstored_ms = None;
    }

    /// The clock as deadlines may see it: it does not pass a span that is read and not yet in
    /// the store, so that no segment falls due before a span that belongs to it is indexed.
    pub fn safe_clock(&self) -> Option<EventMs> {
        self.unstored_ms.or_else(|| self.clock.read())
    }

    /// The store stands exactly where we believe it does.
    pub fn agrees(&self, state: &State) -> bool {
        self.life == Some(state.life) && self.position == state.position && self.tip == state.tip
    }

    /// Reads one message into the draft.
    pub fn read(&mut self, message: &Message<'_>, config: &Config, now: Duration) -> Taken {
        if self.phase != Phase::Flowing || message.offset < self.next {
            return Taken::Ignored;
        }
        if !self.has_draft() {
            self.drafted_at = now;
        }
        let wall = EventMs(time::wall_ms());
        let stamped = message.timestamp_ms.map(EventMs);
        let Some(at) = self.arrive(message.offset, stamped, wall, now) else {
            return Taken::Drafted;
        };
        self.draft_message(message, config, at);
        if self.is_full(config) { Taken::Full } else { Taken::Drafted }
    }

    /// Moves on to what is behind the message; its time, unless it is left out as delivered.
    fn arrive(
        &mut self,
        offset: Offset,
        stamped: Option<EventMs>,
        wall: EventMs,
        now: Duration,
    ) -> Option<EventMs> {
        // Transaction markers and compaction leave gaps; they are counted, not guessed away.
        self.tally.gaps += offset.0.abs_diff(self.next.0);
        self.next = Offset(offset.0 + 1);
        let at = self.clock.arrive(stamped, wall, now);
        if self.known.has(offset) {
            self.tally.skipped += 1;
            return None;
        }
        self.unstored_ms.get_or_insert(at);
        Some(at)
    }

    fn draft_message(&mut self, message: &Message<'_>, config: &Config, at: EventMs) {
        self.tally.read += 1;
        match parse(message, config) {
            Ok(span) => {
                self.tally.bytes += span.payload.len() as u64;
                self.draft.add(&span, message.offset, at);
            }
            Err(reject) => {
                self.tally.rejected += 1;
                self.draft.reject(&reject_body(message, &reject), at);
            }
        }
    }

    pub fn is_full(&self, config: &Config) -> bool {
        self.draft.len() >= config.max_batch_size as usize
            || self.draft.bytes() as u64 >= config.max_batch_bytes
    }

    /// The draft has waited long enough, or is full.
    pub fn is_ripe(&self, config: &Config, now: Duration) -> bool {
        self.has_draft()
            && (self.is_full(config)
                || now.saturating_sub(self.drafted_at) >= config.max_batch_time)
    }

    /// Something was read that has to move the position.
    pub fn has_draft(&self) -> bool {
        !self.draft.is_empty() || self.tally.skipped > 0
    }

    /// Nothing that was read waits to get into the store.
    pub fn is_idle(&self) -> bool {
        self.pending.is_none() && !self.has_draft()
    }

    /// Stops reading here: what is drafted waits for the store as if that had refused it, what
    /// else arrives is thrown away, and a seek comes back to what stands behind the draft.
    pub fn set_aside(&mut self, config: &Config) -> Result<()> {
        self.pack(config)?;
        if self.phase == Phase::Flowing {
            self.phase = if self.pending.is_some() { Phase::Refused } else { Phase::Starting };
        }
        Ok(())
    }

    /// The partition ends at `end`, by the answer to what was asked at `asked`.
    pub fn note_end(&mut self, end: Offset, asked: Duration, now: Duration) {
        if self.phase != Phase::Flowing {
            return;
        }
        match self.tail.look(self.next, end, asked) {
            Verdict::AllRead(then) => self.clock.all_read(then, now),
            // With the seek the client says anew when it has reached the end.
            Verdict::AskClient if self.is_idle() => self.phase = Phase::Starting,
            Verdict::AskClient | Verdict::Unknown => {}
        }
    }

    /// Whoever is not read has a clock that stands.
    pub fn stand_unless_flowing(&mut self, now: Duration) {
        if self.phase != Phase::Flowing {
            self.clock.stand();
            self.tail.leave(now);
        }
    }

    /// Packs the draft into the next batch of the chain, under a fresh id. Nothing to pack and
    /// nothing pending is no error: then `pending` stays empty.
    pub fn pack(&mut self, config: &Config) -> Result<()> {
        let Some(life) = self.life else { return Ok(()) };
        if self.pending.is_some() || !self.has_draft() {
            return Ok(());
        }
        if self.draft.is_empty() {
            let tally = std::mem::take(&mut self.tally);
            self.pending = Some(self.follow(life, self.next, None, tally));
            return Ok(());
        }
        let place = Place {
            id: BatchId(random::bits128()?),
            previous: self.tip,
            start: self.position,
            next: self.next,
            clock: self.clock_now(),
        };
        let batch = batch::pack(&mut self.draft, place, config.compression);
        self.draft.clear();
        let tally = std::mem::take(&mut self.tally);
        self.pending = Some(self.follow(life, self.next, Some(batch), tally));
        Ok(())
    }

    /// What follows the position: a batch, or a move over offsets without one.
    fn follow(&self, life: Life, next: Offset, batch: Option<Batch>, tally: Tally) -> Pending {
        let append = Append {
            shard: self.id,
            life,
            position: self.position,
            tip: self.tip,
            next,
            clock: self.clock_now(),
            batch: batch.map(Rc::new),
        };
        Pending { append, tally }
    }

    fn clock_now(&self) -> EventMs {
        self.clock.read().unwrap_or(EventMs(time::wall_ms()))
    }

    /// Moves the position over offsets that retention ate: they are lost, and counted so. Nothing
    /// may be drafted or pending.
    pub fn skip_to(&mut self, earliest: Offset) {
        let Some(life) = self.life else { return };
        self.forget();
        self.stranded = true;
        self.next = earliest;
        self.phase = Phase::Refused;
        let lost = earliest.0.abs_diff(self.position.0);
        let tally = Tally { lost, ..Tally::default() };
        self.pending = Some(self.follow(life, earliest, None, tally));
    }

    /// The pending batch counts: we stand behind it. Returns it for the counters.
    pub fn appended(&mut self) -> Option<Pending> {
        let pending = self.pending.take()?;
        if self.draft.is_empty() {
            self.unstored_ms = None;
        }
        self.position = pending.append.next;
        if let Some(batch) = &pending.append.batch {
            self.tip = Some(batch.header.id);
        }
        // While it was refused, what arrived was thrown away: come back through a seek.
        if self.phase == Phase::Refused {
            self.next = self.position;
            self.phase = Phase::Starting;
        }
        Some(pending)
    }
}

#[cfg(test)]
impl Shard {
    /// As if this span had been read.
    pub fn draft_span(&mut self, payload: &[u8], config: &Config) {
        let Ok(span) = span::parse(payload, config.validate) else { panic!("no span") };
        self.draft.add(&span, self.next, EventMs(1));
        self.unstored_ms.get_or_insert(EventMs(1));
        self.next = Offset(self.next.0 + 1);
    }
}

fn parse<'m>(message: &'m Message<'_>, config: &Config) -> std::result::Result<Span<'m>, Reject> {
    match message.payload() {
        Some(payload) => span::parse(payload, config.validate),
        None => Err(Reject { reason: "tombstone: a message without a payload".to_owned() }),
    }
}

fn reject_body<'m>(message: &'m Message<'_>, reject: &'m Reject) -> RejectBody<'m> {
    RejectBody {
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        reason: &reject.reason,
        payload: message.payload(),
        key: message.key(),
        headers: message.headers(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Identity;

    const NOW: Duration = Duration::from_secs(100);
    const WALL: EventMs = EventMs(1_000_000);

    fn state() -> State {
        let identity = Identity { cluster: "c".into(), topic: "t".into(), group: "g".into() };
        State { clock: Some(EventMs(100)), ..State::begun(identity, Life(1), Offset(3)) }
    }

    #[test]
    fn deadlines_do_not_pass_what_is_read_and_not_yet_stored() {
        let mut shard = Shard::new(ShardId(0), &Config::default(), NOW);
        shard.adopt(&state());
        assert_eq!(shard.safe_clock(), Some(EventMs(100)));
        for (offset, at) in [(3, 200), (4, 900)] {
            let arrived = shard.arrive(Offset(offset), Some(EventMs(at)), WALL, NOW);
            assert_eq!(arrived, Some(EventMs(at)));
        }
        assert_eq!(shard.safe_clock(), Some(EventMs(200)));
        let tally = std::mem::take(&mut shard.tally);
        shard.pending = Some(shard.follow(Life(1), shard.next, None, tally));
        assert_eq!(shard.safe_clock(), Some(EventMs(200)), "on its way is not stored");
        assert!(shard.appended().is_some());
        assert_eq!((shard.position, shard.safe_clock()), (Offset(5), Some(EventMs(900))));
    }

    #[test]
    fn what_is_known_to_be_delivered_moves_the_clock_and_holds_nothing_back() {
        let mut shard = Shard::new(ShardId(0), &Config::default(), NOW);
        shard.adopt(&state());
        shard.known = OffsetMap::all_but(Offset(3), Offset(4), Vec::new());
        assert_eq!(shard.arrive(Offset(3), Some(EventMs(200)), WALL, NOW), None);
        assert_eq!(shard.safe_clock(), Some(EventMs(200)));
        assert!(shard.has_draft(), "the position has to move");
    }
}
