//! What is in flight: segments whose messages are produced and not all acknowledged.
//!
//! A flight lands when the last of its messages has an outcome. Only a flight of which every
//! message was acknowledged is settled (P8); any other is given back to the index and delivered
//! again, with the same content and so under the same `flush_id`.

use super::held::Held;
use super::lanes::Lanes;
use super::{Desk, IN_FLIGHT_BYTES_MAX, STUCK_BYTES_MAX, clock};
use crate::board::words::ShardWord;
use crate::kafka::producer::{Delivered, Outcome};
use crate::kafka::trouble::Trouble;
use crate::segment::ShardId;
use crate::segment::hash::QuickMap;
use crate::segment::index::{ChunkRef, DueSegment};
use crate::store::books::Settled;
use crate::sys::time;
use crate::worker::Backoff;
use std::time::Duration;

/// What a segment in flight costs beside its bytes, here and in the client: a million traces of one
/// small span are bounded like a few large ones.
pub const FLIGHT_BYTES: u64 = 2 << 10;

/// In place of a shard's taking.
const NO_TAKING: u64 = u64::MAX;

/// One message without an outcome.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub number: u64,
    pub bytes: usize,
    /// It was a request of its own, so a refusal is about it and no other.
    pub sent_alone: bool,
    /// The partition of the output that it was meant for.
    pub partition: Option<u32>,
}

/// One segment, or its dead letters, or a reject on its way out: all to one topic.
pub struct Flight {
    pub shard: ShardId,
    /// Which taking of the shard it belongs to; after another one it is not ours to settle.
    pub taking: u64,
    pub due: DueSegment,
    /// Messages without an outcome.
    pub tickets: Vec<Ticket>,
    /// Proofs of those that Kafka has acknowledged.
    delivered: Vec<Delivered>,
    /// At least one message was not acknowledged, or could not be queued.
    pub failed: bool,
    /// The output does not take all of it, but only messages smaller than so many bytes: what is
    /// left follows as dead letters.
    pub owes_letters: Option<usize>,
    pub bytes: u64,
    /// What becomes of its messages when it lands whole.
    pub became: Settled,
}

impl Flight {
    pub fn new(shard: ShardId, taking: u64, due: DueSegment) -> Flight {
        Flight {
            shard,
            taking,
            due,
            tickets: Vec::new(),
            delivered: Vec::new(),
            failed: false,
            owes_letters: None,
            bytes: 0,
            became: Settled::default(),
        }
    }

    pub fn is_letters(&self) -> bool {
        self.due.letters_below.is_some()
    }

    /// What waits when it fails: a dead-letter topic that takes nothing stops no segment.
    pub fn backoff<'d>(&self, desk: &'d mut Desk<'_>) -> &'d mut Backoff {
        if self.is_letters() { &mut desk.letter_backoff } else { &mut desk.kafka_backoff }
    }

    /// A message of it was not taken.
    pub fn trouble(&self, desk: &mut Desk<'_>, trouble: &Trouble, now: Duration) {
        self.backoff(desk).failed(now);
        if self.is_letters() {
            return desk.letter_trouble(trouble);
        }
        desk.lanes.doubt();
        desk.trouble(trouble);
    }

    /// A message of it is too large by itself: the next try is smaller.
    pub fn refused(&mut self, desk: &mut Desk<'_>, bytes: usize) {
        self.failed = true;
        match &mut self.due.letters_below {
            Some(below) => {
                *below = bytes.min(*below);
                desk.letter_refused(bytes);
            }
            None => desk.too_large(bytes),
        }
    }
}

/// All flights of this flusher.
pub struct Flights {
    next_ticket: u64,
    next_flight: u64,
    flights: QuickMap<u64, Flight>,
    /// Which flight a ticket belongs to.
    tickets: QuickMap<u64, u64>,
    /// Flights without a message: they land at once.
    empty: Vec<u64>,
    /// Bytes of segments that wait for a partition that is stuck.
    stuck_bytes: u64,
    /// So many of these do not count as moving, at most: what those that were tried may have.
    overlooked_bytes_max: u64,
    /// How many these are of each shard.
    stuck: QuickMap<ShardId, usize>,
    /// How many there are of each shard; dead letters (`true`) by themselves.
    per_shard: QuickMap<(ShardId, bool), usize>,
    to_output: Line,
    to_dead_letters: Line,
}

/// What waits for its outcome at one of the topics.
#[derive(Default)]
struct Line {
    /// Raw bytes of the flights, and what each costs beside them.
    bytes: u64,
    messages: usize,
    /// When something was acknowledged last, or began to wait for it.
    moved_at: Duration,
}

impl Line {
    fn begin(&mut self, flight: &Flight) {
        if self.messages == 0 {
            self.moved_at = time::monotonic();
        }
        self.messages += flight.tickets.len();
        self.bytes += flight.due.bytes + FLIGHT_BYTES;
    }

    fn end(&mut self, outcome: &Outcome, now: Duration) {
        self.messages = self.messages.saturating_sub(1);
        if matches!(outcome, Outcome::Delivered(_)) {
            self.moved_at = now;
        }
    }

    fn stuck_for(&self, now: Duration) -> Duration {
        if self.messages == 0 { Duration::ZERO } else { now.saturating_sub(self.moved_at) }
    }
}

impl Flights {
    pub fn new(max_segment_bytes: u64) -> Flights {
        let moving_bytes_max = IN_FLIGHT_BYTES_MAX + max_segment_bytes;
        Flights {
            next_ticket: 0,
            next_flight: 0,
            flights: QuickMap::default(),
            tickets: QuickMap::default(),
            empty: Vec::new(),
            stuck_bytes: 0,
            overlooked_bytes_max: STUCK_BYTES_MAX + moving_bytes_max,
            stuck: QuickMap::default(),
            per_shard: QuickMap::default(),
            to_output: Line::default(),
            to_dead_letters: Line::default(),
        }
    }

    /// Raw bytes of all that is in flight, and what each flight costs beside them.
    pub fn bytes(&self) -> u64 {
        self.to_output.bytes + self.to_dead_letters.bytes
    }

    /// The same of segments, without what waits for a partition that is stuck. What waits for those
    /// that lived and died later counts beside what was tried: so all of it has a bound.
    pub fn moving_bytes(&self) -> u64 {
        let overlooked = self.stuck_bytes.min(self.overlooked_bytes_max);
        self.to_output.bytes.saturating_sub(overlooked)
    }

    /// Whether one more segment may be in flight.
    pub fn have_room(&self) -> bool {
        self.moving_bytes() < IN_FLIGHT_BYTES_MAX
    }

    /// Notes who is stuck, what waits for them, and whether that is too much to try others.
    pub fn look_for_stuck(&mut self, lanes: &mut Lanes, now: Duration) {
        self.stuck_bytes = 0;
        self.stuck.clear();
        if lanes.look_for_stuck(now) {
            self.note_stuck(|partition| lanes.is_stuck(partition, now));
        }
        lanes.may_try(self.stuck_bytes < STUCK_BYTES_MAX);
    }

    fn note_stuck(&mut self, is_stuck: impl Fn(Option<u32>) -> bool) {
        let waits = |flight: &&Flight| {
            !flight.is_letters() && flight.tickets.iter().any(|ticket| is_stuck(ticket.partition))
        };
        for flight in self.flights.values().filter(waits) {
            self.stuck_bytes += flight.due.bytes + FLIGHT_BYTES;
            *self.stuck.entry(flight.shard).or_default() += 1;
        }
    }

    /// The same of dead letters.
    pub fn letter_bytes(&self) -> u64 {
        self.to_dead_letters.bytes
    }

    /// Something of this shard is in flight.
    pub fn any(&self, shard: ShardId) -> bool {
        self.segments(shard) + self.count(shard, true) > 0
    }

    /// Segments of this shard that are in flight.
    pub fn segments(&self, shard: ShardId) -> usize {
        self.count(shard, false)
    }

    /// Those of them that wait for a partition that is stuck.
    pub fn stuck_segments(&self, shard: ShardId) -> usize {
        self.stuck.get(&shard).copied().unwrap_or(0)
    }

    fn count(&self, shard: ShardId, letters: bool) -> usize {
        self.per_shard.get(&(shard, letters)).copied().unwrap_or(0)
    }

    /// The shard is let go: what is left of it in flight is nobody's, whoever takes it next.
    pub fn disown(&mut self, shard: ShardId) {
        let left = self.flights.values_mut().filter(|flight| flight.shard == shard);
        left.for_each(|flight| flight.taking = NO_TAKING);
    }

    /// How long messages for the output have been waiting without a single acknowledgement.
    pub fn stuck_for(&self, now: Duration) -> Duration {
        self.to_output.stuck_for(now)
    }

    /// The same of dead letters.
    pub fn letters_stuck_for(&self, now: Duration) -> Duration {
        self.to_dead_letters.stuck_for(now)
    }

    fn line(&mut self, letters: bool) -> &mut Line {
        if letters { &mut self.to_dead_letters } else { &mut self.to_output }
    }

    pub fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    pub fn launch(&mut self, flight: Flight) {
        self.next_flight += 1;
        let number = self.next_flight;
        self.line(flight.is_letters()).begin(&flight);
        for ticket in &flight.tickets {
            self.tickets.insert(ticket.number, number);
        }
        if flight.tickets.is_empty() {
            self.empty.push(number);
        }
        *self.per_shard.entry((flight.shard, flight.is_letters())).or_default() += 1;
        self.flights.insert(number, flight);
    }

    /// Takes out the flights that had no message to wait for.
    pub fn land_empty(&mut self) -> Vec<Flight> {
        let empty = std::mem::take(&mut self.empty);
        empty.into_iter().filter_map(|number| self.land(number)).collect()
    }

    fn land(&mut self, number: u64) -> Option<Flight> {
        let flight = self.flights.remove(&number)?;
        self.line(flight.is_letters()).bytes -= flight.due.bytes + FLIGHT_BYTES;
        if let Some(count) = self.per_shard.get_mut(&(flight.shard, flight.is_letters())) {
            *count -= 1;
        }
        Some(flight)
    }

    /// Notes one outcome, that came at `now`; returns the flight when it was the last one.
    pub fn note(&mut self, outcome: Outcome, desk: &mut Desk<'_>, now: Duration) -> Option<Flight> {
        let number = match &outcome {
            Outcome::Delivered(delivered) => delivered.ticket(),
            Outcome::TooLarge { ticket } | Outcome::Failed { ticket, .. } => *ticket,
        };
        let in_flight = self.tickets.remove(&number)?;
        let letters = self.flights.get(&in_flight)?.is_letters();
        self.line(letters).end(&outcome, now);
        let flight = self.flights.get_mut(&in_flight)?;
        let at = flight.tickets.iter().position(|ticket| ticket.number == number)?;
        let ticket = flight.tickets.swap_remove(at);
        if !letters {
            match outcome {
                Outcome::Delivered(_) => desk.lanes.acknowledged(ticket.partition, now),
                _ => desk.lanes.failed(ticket.partition),
            }
        }
        match outcome {
            Outcome::Delivered(delivered) => flight.delivered.push(delivered),
            Outcome::TooLarge { .. } if ticket.sent_alone => flight.refused(desk, ticket.bytes),
            Outcome::TooLarge { .. } => {
                desk.send_alone(letters);
                flight.failed = true;
            }
            Outcome::Failed { trouble, .. } => {
                flight.failed = true;
                flight.trouble(desk, &trouble, now);
            }
        }
        if flight.tickets.is_empty() { self.land(in_flight) } else { None }
    }
}

/// What has landed of one shard and was acknowledged, message by message.
struct Landed {
    /// Its place among the shards that are held.
    held: usize,
    chunks: Vec<ChunkRef>,
    became: Settled,
}

/// What flights that have landed say of the topic that they were bound for.
#[derive(Default)]
struct News {
    acknowledged: bool,
    failed: bool,
}

impl News {
    fn note(&mut self, flight: &Flight) {
        self.acknowledged |= !flight.delivered.is_empty();
        self.failed |= flight.failed;
    }

    fn tell(&self, backoff: &mut Backoff) {
        if self.acknowledged && !self.failed {
            backoff.worked();
        }
    }
}

/// Flights have landed: what was acknowledged is settled, once for each shard, the rest is due
/// again. When a shard was taken anew meanwhile, the new index knows nothing of the flight and
/// delivers again. `hangs`: the output has acknowledged nothing for long.
pub fn finish(desk: &mut Desk<'_>, all: &mut [Held], flights: Vec<Flight>, hangs: bool) {
    let mut landed: Vec<Landed> = Vec::new();
    let (mut output, mut dead_letters) = (News::default(), News::default());
    for flight in flights {
        let news = if flight.is_letters() { &mut dead_letters } else { &mut output };
        news.note(&flight);
        let ours = |held: &Held| held.shard == flight.shard && held.taking == flight.taking;
        let Some(held) = all.iter().position(ours) else { continue };
        if flight.failed {
            all[held].give_back(flight.due);
            continue;
        }
        count(desk, &flight);
        if let delivered_below @ Some(_) = flight.owes_letters {
            let letters_below = Some(usize::MAX);
            all[held].give_back(DueSegment { letters_below, delivered_below, ..flight.due });
            continue;
        }
        match landed.iter_mut().find(|landed| landed.held == held) {
            Some(landed) => {
                landed.chunks.extend(flight.due.chunks);
                landed.became = landed.became.plus(&flight.became);
            }
            None => landed.push(Landed { held, chunks: flight.due.chunks, became: flight.became }),
        }
    }
    output.tell(&mut desk.kafka_backoff);
    dead_letters.tell(&mut desk.letter_backoff);
    if dead_letters.acknowledged {
        desk.letters_acknowledged();
    }
    // Letters tell that Kafka is there, but nothing of an output that takes no segment, or hangs.
    let takes = !hangs && !desk.kafka_backoff.is_failing();
    if output.acknowledged || dead_letters.acknowledged && takes {
        desk.kafka_acknowledges();
    }
    if output.acknowledged || dead_letters.acknowledged {
        desk.berth.moved();
    }
    for Landed { held, chunks, became } in landed {
        all[held].mark(&chunks, &became);
    }
}

fn count(desk: &Desk<'_>, flight: &Flight) {
    let Some(slot) = desk.berth.board.shard(flight.shard) else { return };
    slot.add(ShardWord::DeadLetters, flight.became.dead_letters);
    slot.add(ShardWord::Dropped, flight.became.dropped);
    if flight.is_letters() {
        return;
    }
    slot.add(ShardWord::Duplicates, flight.became.duplicates);
    slot.add(ShardWord::Delivered, flight.became.delivered);
    slot.add(ShardWord::Segments, 1);
    slot.add(ShardWord::Messages, flight.delivered.len() as u64);
    slot.add(ShardWord::OutBytes, flight.bytes);
    if let Some(now) = clock(desk, flight.shard) {
        let late_ms = now.since(flight.due.due_ms).max(0) as u64;
        desk.berth.board.flusher(desk.berth.number).late(late_ms);
    }
}
