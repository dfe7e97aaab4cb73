//! One shard as its flusher holds it: taken from the store, indexed, settled, cleaned.
//!
//! There is one recovery. In doubt the store is believed and the index is built again; if what
//! is there is not whole, the life is dropped (fenced by the epoch), and ingest, finding no
//! position, begins a new one at the floor.

mod clean;
mod due;
mod settle;

use super::Desk;
use super::claim::Claim;
use super::headers::{header_pages, read_header};
use super::ledger::Ledger;
use super::owned::{Owned, close_books, rebuild, report_books};
use super::pace::Pace;
use super::tell::Teller;
use crate::board::words::ShardWord;
use crate::error::{Error, Result};
use crate::segment::batch::Header;
use crate::segment::index::{DueSegment, Index};
use crate::segment::offset_map::OffsetMap;
use crate::segment::{BatchId, Offset, ShardId};
use crate::store::{Epoch, State, Store, Taken};
use crate::sys::{random, time};
use crate::worker::{Alone, phase};
use clean::CLEAN_INTERVAL;
use std::time::Duration;

/// How often the store's state is compared with the index, at least, also when nothing moves. The
/// times differ: what all have waited for at once must not leave them in step.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Batches whose time to live is renewed in one round trip.
const RENEWED_PER_PAGE: usize = 10_000;

/// How often a shard without a life is asked for.
const TAKE_INTERVAL: Duration = Duration::from_millis(100);

/// How long an index that has to go waits for what is in flight, before its last word.
const LANDING_WAIT: Duration = Duration::from_secs(2);

pub struct Held {
    pub shard: ShardId,
    /// Since when it is not ours any more: finish what is in flight, settle, let go.
    pub leaving: Option<Duration>,
    pub alone: Alone,
    /// Counts the takings, so that a flight of an earlier one is told apart.
    pub taking: u64,
    pub pace: Pace,
    owned: Option<Owned>,
    past: Option<Past>,
    teller: Teller,
    /// Counts what was settled, so that it is seen that a map has something new to say.
    settles: u64,
    settled_at: Duration,
    looked_at: Duration,
    /// The connection that it was looked at on.
    looked_on: Option<u64>,
    /// When the numbers of batches were compared.
    counted_at: Duration,
    cleaned_at: Duration,
    renewed_at: Duration,
    claim: Claim,
    /// The taking in which bytes were missing: in the very next one the store is asked no more.
    doubted: Option<u64>,
}

/// What the store does not agree with any more. Its index still knows what was delivered.
struct Past {
    owned: Owned,
    lost_at: Duration,
    /// The life is over: its books are closed.
    over: bool,
}

impl Held {
    pub fn new(shard: ShardId, now: Duration) -> Held {
        Held {
            shard,
            leaving: None,
            alone: Alone::default(),
            taking: 0,
            pace: Pace::default(),
            owned: None,
            past: None,
            teller: Teller::default(),
            settles: 0,
            settled_at: Duration::ZERO,
            looked_at: now.saturating_sub(phase(LOOK_INTERVAL)),
            looked_on: None,
            counted_at: now.saturating_sub(phase(LOOK_INTERVAL)),
            cleaned_at: now.saturating_sub(phase(CLEAN_INTERVAL)),
            renewed_at: now,
            claim: Claim::new(now),
            doubted: None,
        }
    }

    pub fn has_unsettled(&self) -> bool {
        self.owned.as_ref().is_some_and(|owned| !owned.ledger.is_empty())
    }

    /// What was taken out of the index was not delivered.
    pub fn give_back(&mut self, due: DueSegment) {
        if let Some(owned) = &mut self.owned {
            owned.index.give_back(due);
        }
    }

    pub fn index(&self) -> Option<&Index> {
        self.owned.as_ref().map(|owned| &owned.index)
    }

    /// Takes the shard if it is not taken, and indexes what ingest has appended since.
    pub fn follow(&mut self, desk: &mut Desk<'_>, now: Duration) -> Result<()> {
        let position = self.board_position(desk);
        if self.owned.is_none() {
            // Ingest begins lives; until it says where it stands there is nothing to take.
            return match position.filter(|_| self.past.is_none() && self.may_take(desk, now)) {
                Some(position) => self.take(desk, position, now),
                None => Ok(()),
            };
        }
        // Ingest, too, may have found that the store is not what it was; and nothing is told to a
        // server that was not looked at, which may have gone back in time. Where it is ahead of the
        // index, the chain is followed first: ingest may have read again past where we stand.
        let looked = desk.store.connection().is_some_and(|on| Some(on) == self.looked_on);
        let is_late = now.saturating_sub(self.looked_at) >= LOOK_INTERVAL;
        let mut is_ahead = false;
        if position.is_none() || is_late || !looked {
            is_ahead = self.compare(desk)?;
            self.looked_at = now.saturating_sub(phase(LOOK_INTERVAL / 4));
            self.looked_on = desk.store.connection();
        }
        if is_ahead || self.is_behind(desk) { self.index_new(desk) } else { Ok(()) }
    }

    /// Compares the numbers of batches as well, which says something only where the store knows all
    /// that is settled and the index all that is appended. In a busy shard that is never so by
    /// chance, so this looks when all is told, and once more behind what was appended meanwhile.
    pub fn look_closely(&mut self, desk: &mut Desk<'_>, now: Duration) -> Result<()> {
        if now.saturating_sub(self.counted_at) < LOOK_INTERVAL || self.owned.is_none() {
            return Ok(());
        }
        self.counted_at = now.saturating_sub(phase(LOOK_INTERVAL / 4));
        if self.compare(desk)? {
            self.index_new(desk)?;
            self.compare(desk)?;
        }
        Ok(())
    }

    fn board_position(&self, desk: &Desk<'_>) -> Option<Offset> {
        desk.berth.board.shard(self.shard)?.offset(ShardWord::Position)
    }

    /// Ingest has appended what is not indexed yet.
    pub fn is_behind(&self, desk: &Desk<'_>) -> bool {
        let (Some(owned), Some(position)) = (&self.owned, self.board_position(desk)) else {
            return false;
        };
        owned.index.position() < position
    }

    fn index_new(&mut self, desk: &mut Desk<'_>) -> Result<()> {
        let Some(owned) = &mut self.owned else { return Ok(()) };
        let listed = desk.store.list(self.shard, owned.index.position())?;
        if listed.is_empty() {
            return self.find_unlisted(desk);
        }
        for page in header_pages(&listed) {
            let headers = desk.store.headers(self.shard, page)?;
            for (listed, bytes) in page.iter().zip(headers) {
                let header = read_header(bytes.as_deref());
                if !header.is_some_and(|header| owned.follow(&header, listed.header_bytes)) {
                    log::warn!("shard {}: the chain of batches is broken", self.shard);
                    self.lose();
                    return Ok(());
                }
            }
            desk.berth.beat();
        }
        desk.berth.moved();
        Ok(())
    }

    /// Ingest is ahead and no batch begins where the index ends: only gaps, or Redis went back in
    /// time and what was read again lies in batches with other bounds.
    fn find_unlisted(&mut self, desk: &mut Desk<'_>) -> Result<()> {
        let is_ahead = self.compare(desk)?;
        let Some(owned) = &self.owned else { return Ok(()) };
        if is_ahead && desk.store.list(self.shard, owned.index.position())?.is_empty() {
            log::warn!("shard {}: no batch begins where the index ends", self.shard);
            self.lose();
        }
        Ok(())
    }

    fn stored(&self, desk: &mut Desk<'_>) -> Result<Option<State>> {
        let state = desk.store.look(&[self.shard])?.pop().flatten();
        // A look closer makes some of these calls in a row.
        desk.berth.beat();
        Ok(state)
    }

    /// Looks whether the store is still what the index says: same life, same epoch, a position
    /// not before ours, the same number of live batches. A rollback may undo settles only. Answers
    /// whether the store is ahead of the index.
    fn compare(&mut self, desk: &mut Desk<'_>) -> Result<bool> {
        let asked_at = time::monotonic();
        let state = self.stored(desk)?;
        let Some(owned) = &mut self.owned else { return Ok(false) };
        let Some(state) = state else {
            log::warn!("shard {}: its buffer is gone from the store", self.shard);
            self.end(true);
            return Ok(false);
        };
        if state.life != owned.life {
            log::warn!("shard {}: another life has begun in the store", self.shard);
            self.end(true);
            return Ok(false);
        }
        if state.epoch != Some(owned.epoch) {
            self.lose_epoch(desk, asked_at);
            return Ok(false);
        }
        self.claim.confirmed(asked_at);
        if state.tip == owned.index.tip() && state.position > owned.index.position() {
            owned.index.advance(state.position);
        }
        if owned.is_at(&state) {
            owned.ledger.believe(state.books.read);
        }
        let untold = !owned.ledger.is_empty();
        if !owned.is_past(&state) && (untold || owned.agrees(&state)) {
            return Ok(state.position > owned.index.position());
        }
        log::warn!("shard {}: the store went another way; building the index again", self.shard);
        self.lose();
        Ok(false)
    }

    /// Forgets the index; the store is believed at the next take.
    pub fn lose(&mut self) {
        self.end(false);
    }

    /// What is in flight may still land and be known; the last word is told after that.
    fn end(&mut self, over: bool) {
        if let Some(owned) = self.owned.take() {
            self.past = Some(Past { owned, lost_at: time::monotonic(), over });
        }
    }

    /// An index that had to go has not said its last word.
    pub fn is_closing(&self) -> bool {
        self.past.is_some()
    }

    /// Tells what an index that had to go knows, when all that was in flight has landed.
    pub fn close(&mut self, desk: &Desk<'_>, in_flight: bool) {
        let late = |past: &Past| time::monotonic().saturating_sub(past.lost_at) >= LANDING_WAIT;
        let Some(Past { owned, over, .. }) = self.past.take_if(|past| !in_flight || late(past))
        else {
            return;
        };
        if let Some(area) = desk.berth.board.delivered(self.shard) {
            self.teller.close(area, owned.life, &owned.index);
        }
        if over {
            close_books(desk, self.shard, &owned.ledger.books());
        }
    }

    /// Somebody else took the shard. It is taken back when ingest has made sure that it is ours,
    /// and later each time: two believers must not steal it from each other for ever.
    fn lose_epoch(&mut self, desk: &mut Desk<'_>, now: Duration) {
        let why = Error::temporary(format!(
            "another daemon took it in the store; taking it back in {} s if the group says that it \
             is ours; if this goes on, two daemons have the same partitions",
            self.claim.next_wait(now).as_secs()
        ));
        desk.troubles.warn(&format!("shard {}: two owners", self.shard), &why);
        self.lose();
        if let Some(slot) = desk.berth.board.shard(self.shard) {
            slot.add(ShardWord::Contested, 1);
            self.claim.lost(slot.get(ShardWord::Contested), now);
        }
    }

    fn may_take(&self, desk: &Desk<'_>, now: Duration) -> bool {
        let Some(slot) = desk.berth.board.shard(self.shard) else { return false };
        self.leaving.is_none() && self.claim.may_take(slot.get(ShardWord::Confirmed), now)
    }

    /// Whether the shard is ours as of a moment ago; asks the store when that was too long ago.
    pub fn is_sure(&mut self, desk: &mut Desk<'_>) -> Result<bool> {
        if !self.claim.is_sure(time::monotonic()) {
            self.compare(desk)?;
        }
        Ok(self.owned.is_some())
    }

    fn take(&mut self, desk: &mut Desk<'_>, position: Offset, now: Duration) -> Result<()> {
        // A store that went back in time is read again by ingest, once that notices, by the last
        // word of the index that had to go: a new one would tell over it, and each try steal it.
        let is_there = |state: &State| state.position >= position;
        if self.stored(desk)?.filter(is_there).is_none() {
            self.claim.try_again(now + TAKE_INTERVAL);
            return Ok(());
        }
        let epoch = Epoch(random::bits128()?);
        let taken = desk.store.take(self.shard, epoch)?;
        let Some(taken) = taken.filter(|taken| is_there(&taken.state)) else { return Ok(()) };
        desk.berth.beat();
        let headers = if taken.whole() { self.read_headers(desk, &taken)? } else { None };
        let Some(headers) = headers else { return self.drop_life(desk, epoch, &taken) };
        let index = rebuild(desk.config.limits(), &taken, headers);
        let ledger = Ledger::open(taken.state.books);
        let mut owned = Owned { life: taken.state.life, epoch, index, ledger };
        self.say_taken(&owned);
        self.settle_told(desk, &mut owned);
        if let Some(slot) = desk.berth.board.shard(self.shard) {
            slot.add(ShardWord::Rebuilds, 1);
        }
        self.owned = Some(owned);
        self.taking += 1;
        self.claim.taken(now);
        // Whoever held it before may have let it grow old.
        self.renewed_at = Duration::ZERO;
        self.looked_at = now.saturating_sub(phase(LOOK_INTERVAL));
        Ok(())
    }

    /// Settles what the store takes for open and is known to be delivered: by what ingest found
    /// committed, and by the last word of an earlier index, ours or a predecessor's.
    fn settle_told(&self, desk: &Desk<'_>, owned: &mut Owned) {
        let board = desk.berth.board;
        owned.settle_known(Offset(0), &OffsetMap::default());
        let areas = [board.found(self.shard), board.delivered(self.shard)];
        for told in areas.into_iter().flatten().filter_map(|area| area.read()) {
            if told.life == owned.life.0 {
                let map = OffsetMap::decode(&told.map).unwrap_or_default();
                owned.settle_known(told.floor, &map);
            }
        }
    }

    fn say_taken(&self, owned: &Owned) {
        let (index, books) = (&owned.index, owned.ledger.books());
        log::info!(
            "shard {}: taken with {} batches, {} spans",
            self.shard,
            index.batches(),
            index.open_spans()
        );
        let unaccounted = books.unaccounted(index.buffered());
        if unaccounted != 0 {
            log::error!(
                "shard {}: the books do not balance: {unaccounted} of {} messages are unaccounted \
                 for; 'spanbufd audit' shows the shard as it is in Redis and Kafka",
                self.shard,
                books.read
            );
        }
    }

    /// All listed headers, or `None` when one is missing or damaged.
    fn read_headers(&self, desk: &mut Desk<'_>, taken: &Taken) -> Result<Option<Vec<Header>>> {
        let mut headers = Vec::with_capacity(taken.listed.len());
        for page in header_pages(&taken.listed) {
            for bytes in desk.store.headers(self.shard, page)? {
                let Some(header) = read_header(bytes.as_deref()) else { return Ok(None) };
                headers.push(header);
            }
            desk.berth.beat();
        }
        Ok(Some(headers))
    }

    /// Bytes of a batch are missing or damaged. The index may be what is wrong: it is built again.
    /// In a fresh one as well, the store has a hole.
    pub fn hole(&mut self, desk: &mut Desk<'_>) -> Result<()> {
        let Some(owned) = &self.owned else { return Ok(()) };
        if self.doubted.is_none_or(|taking| taking + 1 != self.taking) {
            self.doubted = Some(self.taking);
            self.lose();
            return Ok(());
        }
        self.say_hole();
        let batches = owned.index.batch_ids();
        let dropped = desk.store.drop_life(self.shard, owned.epoch, owned.life, &batches);
        // Also without an answer: what the round took out of the index would never come back.
        self.end(true);
        dropped.map(drop)
    }

    fn say_hole(&self) {
        log::error!(
            "shard {}: something of its buffer is missing from the store; dropping the rest, all \
             that is not delivered is read again from Kafka",
            self.shard
        );
    }

    /// What is there is not whole: drop it, so that it is read again from the floor (P6).
    fn drop_life(&mut self, desk: &mut Desk<'_>, epoch: Epoch, taken: &Taken) -> Result<()> {
        self.say_hole();
        let batches: Vec<BatchId> = taken.listed.iter().map(|listed| listed.id).collect();
        desk.store.drop_life(self.shard, epoch, taken.state.life, &batches)?;
        close_books(desk, self.shard, &taken.state.books);
        self.lose();
        Ok(())
    }

    /// Renews the time to live at a third of it: only an owner that never comes back lets a
    /// shard expire.
    pub fn renew(&mut self, desk: &mut Desk<'_>, now: Duration) -> Result<()> {
        if now.saturating_sub(self.renewed_at) < desk.config.redis_ttl / 3 {
            return Ok(());
        }
        let Some(owned) = &self.owned else { return Ok(()) };
        for page in owned.index.batch_ids().chunks(RENEWED_PER_PAGE) {
            desk.store.renew(self.shard, page)?;
            desk.berth.beat();
        }
        self.renewed_at = now;
        Ok(())
    }

    /// Tells floor and map; the last time `at_once`, before the shard is let go.
    pub fn tell(&mut self, desk: &Desk<'_>, at_once: bool) {
        let (Some(owned), Some(area)) = (&self.owned, desk.berth.board.delivered(self.shard))
        else {
            return;
        };
        let interval = (!at_once).then_some(desk.config.commit_interval / 2);
        self.teller.tell(area, owned.life, &owned.index, self.settles, interval);
    }

    pub fn report(&self, desk: &Desk<'_>) {
        let (Some(slot), Some(owned)) = (desk.berth.board.shard(self.shard), &self.owned) else {
            return;
        };
        let index = &owned.index;
        slot.set_offset(ShardWord::Indexed, Some(index.position()));
        slot.set_offset(ShardWord::Floor, Some(index.floor()));
        slot.set(ShardWord::FloorMs, index.floor_ms().map_or(0, |at| at.0.max(0) as u64));
        slot.set(ShardWord::IndexBytes, index.bytes());
        slot.set(ShardWord::OpenSegments, index.open_segments() as u64);
        slot.set(ShardWord::OpenSpans, index.open_spans());
        slot.set(ShardWord::NextDueMs, index.next_due().map_or(0, |at| at.0.max(0) as u64));
        slot.set(ShardWord::LiveBatches, index.batches() as u64);
        report_books(slot, &owned.ledger.books(), index.buffered());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_taken_together_are_not_looked_at_together() {
        let now = Duration::from_secs(100);
        let held = (0..20).map(|shard| Held::new(ShardId(shard), now));
        let looks: std::collections::BTreeSet<Duration> = held.map(|h| h.looked_at).collect();
        assert!(looks.len() > 10, "{looks:?}");
        assert!(looks.iter().all(|at| *at <= now && now < *at + LOOK_INTERVAL));
    }
}
