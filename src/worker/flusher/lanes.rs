//! Which partition of the output a message goes to. Segments have no key, so any will do.
//!
//! While messages are on their way to a partition, an idempotent client sends nothing more there,
//! and its thread spins while what it holds for it has waited for longer than `linger.ms`. With
//! brokers that take 20 ms to acknowledge, that cost more than all else that a flusher does. So a
//! partition is given what one request holds, which is sent at once, and nothing more before all of
//! it is acknowledged; meanwhile others are given theirs, or what is due waits outside of the
//! client.
//!
//! A partition whose leader stays away keeps what it was given until `message.timeout.ms`. That it
//! is stuck shows after a moment; from then on what it has does not count as in flight. While there
//! is such a one, whoever has acknowledged nothing since is on trial, as is the one itself
//! afterwards: each of these is given a single message. So the dead ones cannot fill the client,
//! and stop no other. When these messages have become too many, only who has acknowledged something
//! is given more: an output that hangs as a whole holds no more than that.

use crate::error::Result;
use crate::kafka::producer::Producer;
use std::time::Duration;

/// What is given to a partition at a time, less than the client's `batch.size`: one request.
const REQUEST_BYTES: usize = 900 << 10;

/// The same where each message is a request of its own: as many as the client has on their way.
const REQUEST_ALONE: usize = 5;

/// What a message takes in a request beside its payload: headers and lengths.
const MESSAGE_BYTES: usize = 256;

/// Who has acknowledged nothing of what he has for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(3);

/// How often the topic is asked for its partitions; the same where something is wrong with one.
const ASK_INTERVAL: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How long that may take: more each time, for far brokers.
const ASK_WAIT: Duration = Duration::from_millis(200);
const ASK_WAIT_MAX: Duration = Duration::from_secs(2);

/// One partition of the output topic.
#[derive(Debug)]
struct Lane {
    partition: u32,
    /// It has a leader; else it only stays for what it still has.
    is_led: bool,
    unacknowledged: usize,
    /// When it was given what it has, or acknowledged some of it.
    moved_at: Duration,
    /// When it acknowledged something last.
    acknowledged_at: Duration,
    /// It acknowledges nothing of what it has.
    is_stuck: bool,
    /// Since when that was so, until it acknowledges something.
    silent_since: Option<Duration>,
}

impl Lane {
    fn new(partition: u32) -> Lane {
        Lane {
            partition,
            is_led: true,
            unacknowledged: 0,
            moved_at: Duration::ZERO,
            acknowledged_at: Duration::ZERO,
            is_stuck: false,
            silent_since: None,
        }
    }
}

/// What was given for the next request.
#[derive(Clone, Copy, Debug, Default)]
struct Request {
    messages: usize,
    bytes: usize,
}

/// All partitions; none while the topic's partitions are not known: then the client chooses.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// Which one was given something last.
    last: usize,
    /// What that is; `None` once it has left.
    request: Option<Request>,
    /// Since when somebody is stuck.
    stuck_since: Option<Duration>,
    /// So much waits for those that are stuck that nobody is tried.
    tries_none: bool,
    /// Messages without an outcome for which the client chose, while no partition was known.
    chosen: usize,
    /// Since when partitions are known.
    known_since: Option<Duration>,
    ask_at: Duration,
    ask_wait: Duration,
    /// Kafka answered when asked last; not yet asked since somebody is stuck.
    is_answered: bool,
}

impl Lanes {
    /// Asks for the topic's partitions when it is time for that.
    pub fn look(&mut self, producer: &Producer, topic: &str, now: Duration) -> Result<()> {
        if now < self.ask_at {
            return Ok(());
        }
        self.ask_at = now + ASK_AGAIN;
        let wait = self.ask_wait.clamp(ASK_WAIT, ASK_WAIT_MAX);
        self.ask_wait = wait * 2;
        self.is_answered = false;
        let partitions = producer.partitions(topic, wait)?;
        self.is_answered = true;
        self.ask_wait = ASK_WAIT;
        self.know(&partitions, now);
        if self.stuck_since.is_none() && self.lanes.iter().any(|lane| lane.is_led) {
            self.ask_at = now + ASK_INTERVAL;
        }
        Ok(())
    }

    /// Somebody had no leader when last asked for: that it has one again shows when asked again.
    pub fn lack_leaders(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.is_led)
    }

    /// What was believed of the partitions is wrong, or may be.
    pub fn doubt(&mut self) {
        self.ask_at = Duration::ZERO;
    }

    /// These are there, and have a leader or not. Who has none, or is gone, stays while it has
    /// something; and who has none while it has to show that it is back.
    fn know(&mut self, found: &[(u32, bool)], now: Duration) {
        let last = self.lanes.get(self.last).map(|lane| lane.partition);
        for lane in &mut self.lanes {
            let found = found.iter().find(|(partition, _)| *partition == lane.partition);
            lane.is_led = found.is_some_and(|(_, is_led)| *is_led);
            lane.silent_since = lane.silent_since.filter(|_| found.is_some());
        }
        let has_to_show = |lane: &Lane| lane.unacknowledged > 0 || lane.silent_since.is_some();
        self.lanes.retain(|lane| lane.is_led || has_to_show(lane));
        for &(partition, _) in found.iter().filter(|(_, is_led)| *is_led) {
            if !self.lanes.iter().any(|lane| lane.partition == partition) {
                self.lanes.push(Lane::new(partition));
            }
        }
        let place = self.lanes.iter().position(|lane| Some(lane.partition) == last);
        self.last = place.unwrap_or_default();
        if place.is_none() {
            self.request = None;
        }
        self.known_since =
            if self.lanes.is_empty() { None } else { self.known_since.or(Some(now)) };
    }

    /// Notes who is stuck; whether somebody is.
    pub fn look_for_stuck(&mut self, now: Duration) -> bool {
        for lane in &mut self.lanes {
            let waits = now.saturating_sub(lane.moved_at) >= STUCK_AFTER;
            lane.is_stuck = lane.unacknowledged > 0 && waits;
            if lane.is_stuck {
                lane.silent_since.get_or_insert(lane.moved_at);
            }
        }
        let stuck = self.lanes.iter().filter(|lane| lane.is_stuck);
        let since = stuck.map(|lane| lane.moved_at).min();
        if since.is_some() && self.stuck_since.is_none() {
            self.ask_at = self.ask_at.min(now);
            self.is_answered = false;
        }
        self.stuck_since = since;
        since.is_some() || self.is_chosen_stuck(now)
    }

    /// Whether it acknowledges nothing of what it has; `None`: what the client chose for.
    pub fn is_stuck(&self, partition: Option<u32>, now: Duration) -> bool {
        let Some(partition) = partition else { return self.is_chosen_stuck(now) };
        self.lanes.iter().any(|lane| lane.partition == partition && lane.is_stuck)
    }

    fn is_chosen_stuck(&self, now: Duration) -> bool {
        let is_known = |known: Duration| now.saturating_sub(known) >= STUCK_AFTER;
        self.chosen > 0 && self.known_since.is_some_and(is_known)
    }

    /// Somebody is stuck, and others have acknowledged something since.
    pub fn others_live(&self) -> bool {
        let Some(since) = self.stuck_since else { return false };
        let lives = |lane: &Lane| lane.silent_since.is_none() && lane.acknowledged_at >= since;
        self.lanes.iter().any(lives)
    }

    /// The whole output hangs, as far as can be told: nobody who has a leader is free of suspicion,
    /// or, where little was sent, nobody has acknowledged anything since somebody is stuck, and
    /// Kafka does not even say who leads.
    pub fn all_hang(&self) -> bool {
        let all_silent = !self.lanes.iter().any(|lane| lane.is_led && lane.silent_since.is_none());
        all_silent || !(self.is_answered || self.others_live())
    }

    /// Those that have acknowledged nothing for so long.
    pub fn silent_for(&self, so_long: Duration, now: Duration) -> Vec<u32> {
        let is_silent = |since: Duration| now.saturating_sub(since) >= so_long;
        let silent = self.lanes.iter().filter(|lane| lane.silent_since.is_some_and(is_silent));
        silent.map(|lane| lane.partition).collect()
    }

    /// Whether those may be given something of which it is not known that they live.
    pub fn may_try(&mut self, may: bool) {
        self.tries_none = !may;
    }

    /// Whether one more segment may be given now.
    pub fn takes(&self, alone: bool) -> bool {
        self.lanes.is_empty() || self.has_room(alone) || self.next_idle().is_some()
    }

    /// The partition of the next message, `None` where the client is to choose. What does not fit
    /// goes with the last one.
    pub fn give(&mut self, bytes: usize, alone: bool, now: Duration) -> Option<u32> {
        if !self.has_room(alone)
            && let Some(idle) = self.next_idle()
        {
            self.last = idle;
            self.request = None;
        }
        let Some(lane) = self.lanes.get_mut(self.last) else {
            self.chosen += 1;
            return None;
        };
        if lane.unacknowledged == 0 {
            lane.moved_at = now;
        }
        lane.unacknowledged += 1;
        let Request { messages, bytes: given } = self.request.unwrap_or_default();
        let bytes = given + bytes + MESSAGE_BYTES;
        self.request = Some(Request { messages: messages + 1, bytes });
        Some(lane.partition)
    }

    /// Nothing more goes with what was given last; whether there was something.
    pub fn end_request(&mut self) -> bool {
        self.request.take().is_some()
    }

    /// What was given last is a whole request.
    pub fn is_request_full(&self, alone: bool) -> bool {
        self.request.is_some() && !self.has_room(alone)
    }

    /// A message for this partition was acknowledged.
    pub fn acknowledged(&mut self, partition: Option<u32>, now: Duration) {
        if let Some(lane) = self.take_back(partition) {
            (lane.moved_at, lane.acknowledged_at) = (now, now);
            (lane.is_stuck, lane.silent_since) = (false, None);
            // Only a leader acknowledges.
            lane.is_led = true;
        }
    }

    /// A message for this partition failed, or was not queued.
    pub fn failed(&mut self, partition: Option<u32>) {
        self.take_back(partition);
    }

    fn take_back(&mut self, partition: Option<u32>) -> Option<&mut Lane> {
        if partition.is_none() {
            self.chosen = self.chosen.saturating_sub(1);
        }
        let mut lanes = self.lanes.iter_mut();
        let lane = lanes.find(|lane| Some(lane.partition) == partition)?;
        lane.unacknowledged = lane.unacknowledged.saturating_sub(1);
        Some(lane)
    }

    fn has_room(&self, alone: bool) -> bool {
        let most = if self.lanes.get(self.last).is_some_and(|lane| self.is_on_trial(lane)) {
            1
        } else if alone {
            REQUEST_ALONE
        } else {
            usize::MAX
        };
        self.request.is_some_and(|given| given.bytes < REQUEST_BYTES && given.messages < most)
    }

    /// It was stuck itself and has acknowledged nothing since, or somebody is, and it has not.
    fn is_on_trial(&self, lane: &Lane) -> bool {
        let is_unproven = |since: Duration| lane.acknowledged_at < since;
        lane.silent_since.is_some() || self.stuck_since.is_some_and(is_unproven)
    }

    /// The next one that has nothing. Those that were silent themselves are tried one at a time, at
    /// once, so that their return is noticed; those that are unproven only where there is no other,
    /// but all of them, so that the living among them are soon found. Neither is where too much
    /// waits for such already.
    fn next_idle(&self) -> Option<usize> {
        let count = self.lanes.len();
        let idle = |is_meant: &dyn Fn(&Lane) -> bool| {
            let mut places = (1..=count).map(|step| (self.last + step) % count);
            places.find(|&place| {
                let lane = &self.lanes[place];
                lane.is_led && lane.unacknowledged == 0 && is_meant(lane)
            })
        };
        let proven = || idle(&|lane| !self.is_on_trial(lane));
        if self.tries_none {
            return proven();
        }
        let is_silent = |lane: &Lane| lane.silent_since.is_some();
        let is_tried = |lane: &Lane| is_silent(lane) && lane.unacknowledged > 0 && !lane.is_stuck;
        let silent = if self.lanes.iter().any(is_tried) { None } else { idle(&is_silent) };
        silent.or_else(proven).or_else(|| idle(&|lane| !is_silent(lane)))
    }
}

#[cfg(test)]
mod tests;
