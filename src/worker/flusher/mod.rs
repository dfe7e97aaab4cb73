//! The flusher: takes what is due from the store to Kafka, then settles it.
//!
//! One process serves one shard group and is the only one of its daemon that settles there
//! (P2). Nothing is settled before Kafka has acknowledged all of it (P8), so a crash at any
//! line delivers again and never loses.
//!
//! Waiting never blocks the loop: acknowledgements arrive between two turns, and each turn
//! beats the heart once, whether or not work got done (P3).

mod alone;
mod bodies;
mod carry;
mod claim;
mod early;
mod flight;
mod headers;
mod held;
mod lanes;
mod leaving;
mod ledger;
mod letter;
mod output;
mod owned;
mod pace;
mod pages;
mod rest;
mod round;
mod tell;

use crate::board::words::{ShardWord, WaitingFor, WorkerWord};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::kafka::producer::Producer;
use crate::segment::index::{DueSegment, Index};
use crate::segment::{EventMs, ShardId};
use crate::store::redis::RedisStore;
use crate::sys::time;
use crate::worker::{Backoff, Berth, LEAVING_SHARE, Repeats};
use flight::Flights;
use held::Held;
use lanes::Lanes;
pub use letter::TOO_LARGE;
use output::{ACK_PATIENCE, Silence};
use round::Round;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// What is said not to work, and once to work again.
const SILENT: &str = "the store does not answer; nothing is flushed";

/// Raw bytes of one round, at most (one segment at least). Of a large round fewer blocks are read
/// again by the next.
const ROUND_BYTES_MAX: u64 = 16 << 20;

/// Bytes of segments produced and not yet acknowledged, at most, counted as `flight.rs` does (the
/// client's queue is larger). One segment may pass it.
const IN_FLIGHT_BYTES_MAX: u64 = 8 << 20;

/// While so much of that waits for partitions that are stuck, none is tried of which it is not
/// known that it lives. What was tried last may pass it, by what may be moving.
const STUCK_BYTES_MAX: u64 = 3 * IN_FLIGHT_BYTES_MAX;

/// The same of dead letters, a thousand small ones.
const LETTER_BYTES_MAX: u64 = 2 << 20;

/// The same while the dead-letter topic takes none: only a few try.
const FAILING_LETTER_BYTES_MAX: u64 = 32 << 10;

/// Everything a flusher has besides its shards; handed to the parts of a turn.
struct Desk<'a> {
    config: &'a Config,
    berth: &'a Berth<'a>,
    store: RedisStore,
    producer: Producer,
    lanes: Lanes,
    silence: Silence,
    store_backoff: Backoff,
    kafka_backoff: Backoff,
    /// The same for dead letters: their topic has troubles of its own.
    letter_backoff: Backoff,
    /// Kafka does not take what we have; said, and nothing acknowledged since.
    kafka_waits: bool,
    troubles: Repeats,
    /// The smallest message that the broker refused for its size; larger ones are split.
    refused_bytes: usize,
}

/// Bytes that a round may have: of segments, and of dead letters.
#[derive(Clone, Copy)]
struct Room {
    bytes: u64,
    letter_bytes: u64,
}

impl Desk<'_> {
    /// Kafka has not just refused what it was given.
    fn kafka_takes(&self) -> bool {
        !self.kafka_backoff.is_failing() || self.kafka_backoff.is_over(time::monotonic())
    }

    /// Whether one more segment may go, with what is in flight.
    fn may_send(&self, flights: &Flights) -> bool {
        flights.have_room() && self.kafka_takes() && self.lanes.takes(self.is_alone())
    }

    /// Whether each message of the output is a request of its own.
    fn is_alone(&self) -> bool {
        self.producer.is_alone(&self.config.output_topic)
    }

    /// What was handed over as one request leaves as such.
    fn send_request(&mut self) {
        // Alone, every message leaves at once anyway.
        if self.lanes.end_request() && !self.is_alone() {
            self.producer.send_now();
        }
    }

    fn look_at_lanes(&mut self) {
        let topic = &self.config.output_topic;
        if let Err(error) = self.lanes.look(&self.producer, topic, time::monotonic()) {
            log::debug!("{error}; the client chooses, or what was known counts");
        }
    }

    /// Bytes of dead letters that may go, with what is in flight; one letter may pass them.
    fn letter_room(&self, flights: &Flights) -> u64 {
        if !self.letter_backoff.is_over(time::monotonic()) {
            return 0;
        }
        let fails = self.letter_backoff.is_failing();
        let most = if fails { FAILING_LETTER_BYTES_MAX } else { LETTER_BYTES_MAX };
        most.saturating_sub(flights.letter_bytes())
    }

    /// A broker refused a batch of messages for its size: send them one by one to find out which.
    fn send_alone(&mut self, letters: bool) {
        let config = self.config;
        let dead_letters = config.dead_letter_topic.as_ref().filter(|_| letters);
        let topic = dead_letters.unwrap_or(&config.output_topic);
        if self.producer.is_alone(topic) {
            return;
        }
        log::warn!(
            "the broker refuses messages to {topic} for their size; sending each one alone from \
             now on"
        );
        if let Err(error) = self.producer.send_alone(topic) {
            self.troubles.warn("cannot send messages alone", &error);
        }
    }

    /// The next try goes without its payload, its headers, its key.
    fn letter_refused(&mut self, bytes: usize) {
        let why = format!("{bytes} bytes; raise max.message.bytes of the dead-letter topic");
        self.troubles.warn("a dead letter is too large for its topic", &Error::temporary(why));
    }

    /// The output takes no message of this size: remembered, so that the next try is smaller.
    fn too_large(&mut self, bytes: usize) {
        self.refused_bytes = self.refused_bytes.min(bytes);
        log::warn!("the output topic takes no message of {bytes} bytes; smaller ones from now on");
    }
}

/// The process's main function; returns its exit status.
pub fn main(config: &Config, berth: &Berth<'_>) -> i32 {
    berth.exit_status(run(config, berth))
}

fn run(config: &Config, berth: &Berth<'_>) -> Result<()> {
    // Never dropped: that may wait for brokers that do not answer; the process leaves by _exit.
    let mut flusher = ManuallyDrop::new(Flusher {
        desk: Desk {
            config,
            berth,
            store: berth.store(config)?,
            producer: Producer::open(config, berth.number)?,
            lanes: Lanes::default(),
            silence: Silence::default(),
            store_backoff: Backoff::new(),
            kafka_backoff: Backoff::new(),
            letter_backoff: Backoff::new(),
            kafka_waits: false,
            troubles: Repeats::new(),
            refused_bytes: usize::MAX,
        },
        held: Vec::new(),
        round: Round::none(),
        flights: Flights::new(config.max_segment_bytes),
        worked_at: Duration::ZERO,
        glance_at: Duration::ZERO,
        is_full: false,
        made_room_at: Duration::ZERO,
        rebuilds: 0,
    });
    while !berth.stopping() {
        flusher.turn()?;
    }
    flusher.leave()
}

struct Flusher<'a> {
    desk: Desk<'a>,
    held: Vec<Held>,
    /// What is due and read, and not yet in flight.
    round: Round,
    flights: Flights,
    worked_at: Duration,
    /// When it is looked whether something is due, if that is before the next work.
    glance_at: Duration,
    /// As much is in flight as may be.
    is_full: bool,
    made_room_at: Duration,
    /// As counted on the board.
    rebuilds: u64,
}

impl Flusher<'_> {
    /// One turn: when it is time to work, take and let go, index, flush, settle, clean; until it is
    /// time again, take acknowledgements, and send more in their place.
    fn turn(&mut self) -> Result<()> {
        self.desk.berth.beat();
        let now = time::monotonic();
        if now >= self.work_at() {
            self.worked_at = now;
            self.search(now);
            if self.desk.store_backoff.is_over(now) {
                let outcome = self.work(now);
                self.sort(outcome)?;
            }
            self.report();
        } else if self.is_full && self.desk.may_send(&self.flights) {
            let outcome = self.flush();
            self.sort(outcome)?;
        } else if now >= self.glance_at && self.may_have_due(now, Duration::ZERO) {
            let outcome = self.work(now);
            self.sort(outcome)?;
        } else if self.letters_may_go(now) {
            let outcome = self.flush_letters();
            self.sort(outcome)?;
        }
        let wait = self.rest();
        self.acknowledge(wait);
        self.look_at_kafka(time::monotonic());
        self.desk.troubles.tell(time::monotonic());
        self.desk.producer.mend()
    }

    /// The ordered end: what is in flight lands and is settled. Servers that do not answer are not
    /// waited for longer than the supervisor waits for us.
    fn leave(&mut self) -> Result<()> {
        let mut until = Duration::MAX;
        loop {
            until = until.min(self.desk.berth.leave_by(self.desk.config, LEAVING_SHARE));
            self.desk.store.end_by(until);
            self.turn()?;
            if self.held.is_empty() {
                return Ok(());
            }
            if time::monotonic() >= until {
                log::warn!(
                    "leaving with {} bytes in flight and {} shards unfinished, because Kafka or \
                     Redis does not answer: what is not settled is delivered again",
                    self.flights.bytes(),
                    self.held.len()
                );
                return Ok(());
            }
        }
    }

    /// Sorts what failed, once: the store is away (try again), or this cannot go on.
    fn sort(&mut self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Ok(()) => {
                self.desk.store_backoff.worked();
                self.desk.troubles.works(SILENT);
                // Who has nothing in flight, and nothing that failed, does not wait, whatever was
                // last said of Kafka.
                let has_something = self.flights.bytes() > 0 || !self.desk.kafka_takes();
                let waits = self.desk.kafka_waits && has_something;
                let what = if waits { WaitingFor::Kafka } else { WaitingFor::Nothing };
                self.desk.berth.waiting_for(what);
                Ok(())
            }
            Err(error) if error.kind() == Kind::Temporary => {
                self.desk.store_backoff.failed(time::monotonic());
                self.desk.berth.waiting_for(WaitingFor::Redis);
                self.desk.troubles.warn(SILENT, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn work(&mut self, now: Duration) -> Result<()> {
        for held in self.held.iter_mut().filter(|held| held.alone.may_work(now)) {
            held.pace.note(clock(&self.desk, held.shard), now);
            let followed = held.follow(&mut self.desk, now);
            held.contain(&mut self.desk, followed)?;
            self.desk.berth.beat();
        }
        self.flush()?;
        self.make_room(now)?;
        for held in self.held.iter_mut().filter(|held| held.alone.may_work(time::monotonic())) {
            let kept = keep(&mut self.desk, held, now);
            let works = kept.is_ok();
            held.contain(&mut self.desk, kept)?;
            if works {
                held.alone.works(held.shard, &mut self.desk.troubles);
            }
            self.desk.berth.beat();
        }
        self.let_go(now);
        Ok(())
    }

    // --- which shards are ours ---

    /// Takes free shards that are meant for us; marks those that are not any more.
    fn search(&mut self, now: Duration) {
        let berth = self.desk.berth;
        let stopping = berth.stopping();
        for held in &mut self.held {
            let leaving = stopping || !is_desired(berth, held.shard);
            held.leaving = leaving.then(|| held.leaving.unwrap_or(now));
        }
        if stopping {
            return;
        }
        for number in 0..berth.board.max_shards() {
            let shard = ShardId(number);
            if !is_desired(berth, shard) || self.held.iter().any(|held| held.shard == shard) {
                continue;
            }
            if let Some(slot) = berth.board.shard(shard)
                && slot.take(berth.number)
            {
                slot.set_offset(ShardWord::Floor, None);
                // Whoever held it before says nothing more.
                if let Some(area) = berth.board.delivered(shard) {
                    area.close();
                }
                self.held.push(Held::new(shard, now));
            }
        }
    }

    // --- flushing ---

    /// Hands on what is due, round by round, until nothing is due or enough is in flight.
    fn flush(&mut self) -> Result<()> {
        if let Some(held) = self.held.iter_mut().find(|held| self.round.is_of(held))
            && held.leaving.is_some()
        {
            self.round.give_back(held);
        }
        let handed = self.hand_on_rounds();
        self.desk.send_request();
        self.is_full = matches!(handed, Ok(true));
        handed.map(drop)
    }

    /// Whether it ended because enough is in flight.
    fn hand_on_rounds(&mut self) -> Result<bool> {
        // Who has a leader again is not known before it is asked for, also while all are busy, or
        // have none and nothing. Whoever has nothing to send makes no topic by asking.
        if self.flights.bytes() > 0 || self.desk.lanes.lack_leaders() {
            self.desk.look_at_lanes();
        }
        while self.desk.may_send(&self.flights) {
            if self.round.is_over() && !self.begin_round(Held::due)? {
                self.round.rest(time::monotonic());
                return Ok(false);
            }
            self.hand_on_round()?;
        }
        Ok(true)
    }

    /// Hands on dead letters alone: segments are gathered for the next work.
    fn flush_letters(&mut self) -> Result<()> {
        if self.begin_round(|held, _, room| held.letters(room))? {
            self.hand_on_round()
        } else {
            Ok(())
        }
    }

    fn hand_on_round(&mut self) -> Result<()> {
        self.desk.look_at_lanes();
        let handed = self.round.hand_on(&mut self.desk, &mut self.held, &mut self.flights);
        self.contain_round(handed)?;
        self.desk.berth.beat();
        Ok(())
    }

    /// What is wrong with the round's shard alone ends the round and no more.
    fn contain_round(&mut self, outcome: Result<()>) -> Result<()> {
        let Some(held) = self.held.iter_mut().find(|held| self.round.is_of(held)) else {
            return outcome;
        };
        if outcome.as_ref().is_err_and(Error::is_of_one_shard) {
            self.round.give_back(held);
        }
        held.contain(&mut self.desk, outcome)
    }

    /// Begins a round with what `pick` takes out of the first shard that has some; false when none
    /// has. Each shard is the first in turn.
    fn begin_round(
        &mut self,
        pick: impl Fn(&mut Held, &Desk<'_>, Room) -> Vec<DueSegment>,
    ) -> Result<bool> {
        let letter_bytes = self.desk.letter_room(&self.flights);
        let room = Room { bytes: ROUND_BYTES_MAX, letter_bytes };
        for _ in 0..self.held.len() {
            self.held.rotate_left(1);
            let Some(held) = self.held.last_mut() else { break };
            if !held.alone.may_work(time::monotonic()) {
                continue;
            }
            let due = pick(held, &self.desk, room);
            if !due.is_empty() {
                let begun = self.round.begin(&mut self.desk, held, due);
                held.contain(&mut self.desk, begun)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Serves the producer and turns its outcomes into settled chunks, or into work again.
    fn acknowledge(&mut self, wait: Duration) {
        let mut landed = self.flights.land_empty();
        let outcomes = self.desk.producer.poll(wait);
        let now = time::monotonic();
        let flights = &mut self.flights;
        let desk = &mut self.desk;
        landed.extend(outcomes.into_iter().filter_map(|one| flights.note(one, desk, now)));
        let hangs = flights.stuck_for(now) >= ACK_PATIENCE;
        flight::finish(desk, &mut self.held, landed, hangs);
    }

    // --- the board ---

    fn report(&mut self) {
        let slot = self.desk.berth.board.flusher(self.desk.berth.number);
        let index_bytes = self.held.iter().filter_map(Held::index).map(Index::bytes).sum();
        slot.set(WorkerWord::IndexBytes, index_bytes);
        slot.set(WorkerWord::InFlightBytes, self.flights.bytes());
        let rebuilds = self.desk.producer.rebuilds();
        if rebuilds > self.rebuilds {
            slot.add(WorkerWord::Producers, rebuilds - self.rebuilds);
            self.rebuilds = rebuilds;
        }
        for held in &mut self.held {
            held.close(&self.desk, self.flights.any(held.shard));
            held.tell(&self.desk, false);
            held.report(&self.desk);
        }
    }
}

/// What a held shard needs besides: settle, and when all is told look and clean; renew.
fn keep(desk: &mut Desk<'_>, held: &mut Held, now: Duration) -> Result<()> {
    if held.is_time_to_settle(now) {
        held.settle(desk, now)?;
        held.look_closely(desk, now)?;
        held.clean(desk, now)?;
    }
    held.renew(desk, now)
}

fn is_desired(berth: &Berth<'_>, shard: ShardId) -> bool {
    let wanted = berth.number as u64 + 1;
    berth.board.shard(shard).is_some_and(|slot| slot.get(ShardWord::Desired) == wanted)
}

/// The shard's clock as ingest last published it.
fn clock(desk: &Desk<'_>, shard: ShardId) -> Option<EventMs> {
    let at = desk.berth.board.shard(shard)?.get(ShardWord::Clock);
    if at == 0 { None } else { Some(EventMs(at as i64)) }
}
