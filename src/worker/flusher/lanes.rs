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
//! and stop no other.

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
    /// but all of them, so that the living among them are soon found.
    fn next_idle(&self) -> Option<usize> {
        let count = self.lanes.len();
        let idle = |is_meant: &dyn Fn(&Lane) -> bool| {
            let mut places = (1..=count).map(|step| (self.last + step) % count);
            places.find(|&place| {
                let lane = &self.lanes[place];
                lane.is_led && lane.unacknowledged == 0 && is_meant(lane)
            })
        };
        let is_silent = |lane: &Lane| lane.silent_since.is_some();
        let is_tried = |lane: &Lane| is_silent(lane) && lane.unacknowledged > 0 && !lane.is_stuck;
        let silent = if self.lanes.iter().any(is_tried) { None } else { idle(&is_silent) };
        let proven = || idle(&|lane| !self.is_on_trial(lane));
        silent.or_else(proven).or_else(|| idle(&|lane| !is_silent(lane)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn led(partitions: &[u32]) -> Vec<(u32, bool)> {
        partitions.iter().map(|partition| (*partition, true)).collect()
    }

    fn lanes(partitions: &[u32]) -> Lanes {
        let mut lanes = Lanes::default();
        lanes.know(&led(partitions), NOW);
        lanes
    }

    fn give(lanes: &mut Lanes, bytes: usize, alone: bool) -> Option<u32> {
        lanes.give(bytes, alone, NOW)
    }

    fn fill(lanes: &mut Lanes) -> Option<u32> {
        give(lanes, REQUEST_BYTES, false)
    }

    #[test]
    fn without_knowledge_the_client_chooses() {
        let mut lanes = Lanes::default();
        assert!(lanes.takes(false));
        assert_eq!(give(&mut lanes, 1, false), None);
        lanes.acknowledged(None, NOW);
        assert!(lanes.takes(false));
    }

    #[test]
    fn what_fits_into_a_request_goes_to_one_partition_and_the_rest_to_the_next() {
        let mut lanes = lanes(&[4, 7]);
        let first = give(&mut lanes, REQUEST_BYTES / 2, false);
        assert_eq!(give(&mut lanes, REQUEST_BYTES / 2, false), first);
        let second = fill(&mut lanes);
        assert_ne!(second, first);
        assert!(!lanes.takes(false), "{lanes:?}");
        // The rest of a segment does not wait.
        assert_eq!(fill(&mut lanes), second);
    }

    #[test]
    fn a_partition_takes_more_only_when_all_is_acknowledged() {
        let mut lanes = lanes(&[0]);
        let (a, b) = (give(&mut lanes, 1, false), give(&mut lanes, 1, false));
        assert!(lanes.takes(false));
        lanes.end_request();
        assert!(!lanes.takes(false));
        lanes.acknowledged(a, NOW);
        assert!(!lanes.takes(false));
        lanes.failed(b);
        assert!(lanes.takes(false));
    }

    #[test]
    fn alone_a_request_is_a_message() {
        let mut lanes = lanes(&[0]);
        for _ in 0..REQUEST_ALONE {
            assert!(lanes.takes(true));
            give(&mut lanes, 1, true);
        }
        assert!(!lanes.takes(true));
        assert!(lanes.takes(false));
    }

    #[test]
    fn partitions_that_are_added_are_free_and_those_that_stay_remember() {
        let mut lanes = lanes(&[0]);
        assert_eq!(fill(&mut lanes), Some(0));
        lanes.know(&led(&[0, 1]), NOW);
        assert_eq!(fill(&mut lanes), Some(1));
        assert!(!lanes.takes(false));
    }

    #[test]
    fn a_partition_that_comes_back_still_has_what_it_was_given() {
        let mut lanes = lanes(&[0]);
        let (a, b) = (give(&mut lanes, 1, false), give(&mut lanes, 1, false));
        lanes.know(&led(&[]), NOW);
        assert!(lanes.next_idle().is_none());
        lanes.acknowledged(a, NOW);
        lanes.know(&led(&[0]), NOW);
        lanes.end_request();
        assert!(!lanes.takes(false), "it has one still");
        lanes.acknowledged(b, NOW);
        assert_eq!(give(&mut lanes, 1, false), Some(0));
        lanes.know(&led(&[]), NOW);
        lanes.acknowledged(Some(0), NOW);
        lanes.know(&led(&[]), NOW);
        assert_eq!(give(&mut lanes, 1, false), None, "it is gone");
    }

    /// One that lost its leader while it had something, which is returned.
    fn stuck_without_leader() -> (Lanes, Option<u32>) {
        let mut lanes = lanes(&[0]);
        let given = give(&mut lanes, 1, false);
        lanes.end_request();
        lanes.look_for_stuck(NOW + STUCK_AFTER);
        lanes.know(&[(0, false)], NOW);
        (lanes, given)
    }

    #[test]
    fn who_acknowledges_has_a_leader_whatever_was_last_heard() {
        let (mut lanes, given) = stuck_without_leader();
        assert!(lanes.lack_leaders());
        lanes.acknowledged(given, NOW);
        assert!(lanes.takes(false) && !lanes.lack_leaders(), "{lanes:?}");
    }

    #[test]
    fn who_lost_what_it_had_without_a_leader_is_asked_for_still() {
        let (mut lanes, given) = stuck_without_leader();
        lanes.failed(given);
        assert!(!lanes.takes(false) && lanes.lack_leaders(), "{lanes:?}");
        lanes.know(&led(&[0]), NOW);
        assert!(lanes.takes(false) && !lanes.lack_leaders(), "{lanes:?}");
    }

    #[test]
    fn what_is_given_for_a_request_stays_with_its_partition_when_others_are_added() {
        let mut lanes = lanes(&[3, 5]);
        let first = give(&mut lanes, 1, false);
        lanes.know(&led(&[1, 3, 5, 7]), NOW);
        assert_eq!(give(&mut lanes, 1, false), first);
        assert!(lanes.end_request());
    }

    #[test]
    fn who_is_stuck_leaves_one_message_to_each_that_may_be_as_well_and_all_to_the_living() {
        let mut lanes = lanes(&[0, 1, 2, 3, 4]);
        let stuck = (fill(&mut lanes), fill(&mut lanes));
        let now = NOW + STUCK_AFTER;
        assert!(lanes.look_for_stuck(now) && !lanes.others_live());
        assert!(lanes.is_stuck(stuck.0, now) && lanes.is_stuck(stuck.1, now));
        // All others are tried at once, with one message each, and one of them lives.
        let tried = [(); 3].map(|()| lanes.give(1, false, now));
        assert!(!lanes.takes(false), "{lanes:?}");
        let [living, dead @ ..] = tried;
        lanes.acknowledged(living, now);
        lanes.look_for_stuck(now);
        assert!(lanes.others_live());
        // It is given whole requests from then on, beside one that was silent and is tried.
        let now = now + STUCK_AFTER;
        [stuck.0, stuck.1].into_iter().for_each(|stuck| lanes.failed(stuck));
        assert!(lanes.look_for_stuck(now) && dead.iter().all(|dead| lanes.is_stuck(*dead, now)));
        let again = lanes.give(1, false, now);
        assert!(again == stuck.0 || again == stuck.1, "{lanes:?}");
        assert_eq!([(); 2].map(|()| lanes.give(1, false, now)), [living, living]);
        assert!(lanes.end_request() && !lanes.takes(false), "{lanes:?}");
        // When all have acknowledged, nobody is on trial.
        for partition in [living, living, again, dead[0], dead[1]] {
            lanes.acknowledged(partition, now);
        }
        let last = lanes.give(1, false, now);
        assert!(again != last && (last == stuck.0 || last == stuck.1), "{lanes:?}");
        lanes.acknowledged(last, now);
        assert!(!lanes.look_for_stuck(now) && lanes.silent_for(Duration::ZERO, now).is_empty());
        assert!(lanes.give(1, false, now).is_some() && lanes.takes(false));
    }

    #[test]
    fn who_was_silent_is_tried_again_when_it_has_nothing_left_and_said_until_it_answers() {
        let mut lanes = lanes(&[0, 1]);
        let silent = give(&mut lanes, 1, false);
        let now = NOW + STUCK_AFTER;
        lanes.look_for_stuck(now);
        lanes.failed(silent);
        assert!(!lanes.look_for_stuck(now));
        // It has no leader, then it has one again.
        lanes.know(&[0, 1].map(|partition| (partition, Some(partition) != silent)), now);
        assert_ne!(lanes.give(1, false, now), silent);
        lanes.end_request();
        lanes.know(&led(&[0, 1]), now);
        assert_eq!(lanes.silent_for(STUCK_AFTER, now), Vec::from_iter(silent));
        assert_eq!(lanes.give(1, false, now), silent);
        assert!(!lanes.takes(false));
        lanes.acknowledged(silent, now);
        assert!(lanes.silent_for(Duration::ZERO, now).is_empty());
        assert_eq!((lanes.give(1, false, now), lanes.takes(false)), (silent, true));
    }

    #[test]
    fn all_hang_while_one_is_stuck_nobody_acknowledges_and_kafka_does_not_answer() {
        let mut lanes = lanes(&[0, 1, 2]);
        let stuck = give(&mut lanes, 1, false);
        lanes.end_request();
        lanes.is_answered = true;
        let now = NOW + STUCK_AFTER;
        assert!(lanes.look_for_stuck(now) && lanes.all_hang(), "{lanes:?}");
        // An answer tells that it is that one alone, as does what others acknowledge.
        lanes.is_answered = true;
        assert!(lanes.look_for_stuck(now) && !lanes.all_hang(), "{lanes:?}");
        lanes.is_answered = false;
        let living = lanes.give(1, false, now);
        assert!(lanes.all_hang(), "{lanes:?}");
        lanes.acknowledged(living, now);
        assert!(!lanes.all_hang(), "{lanes:?}");
        // Where each is stuck, no answer counts.
        let rest = [(); 2].map(|()| {
            lanes.end_request();
            lanes.give(1, false, now)
        });
        lanes.look_for_stuck(now + STUCK_AFTER);
        lanes.is_answered = true;
        assert!(rest[0] != rest[1] && lanes.all_hang(), "{lanes:?}");
        lanes.acknowledged(stuck, now);
        assert!(!lanes.all_hang(), "{lanes:?}");
    }

    #[test]
    fn what_the_client_chose_is_stuck_when_partitions_are_known_for_a_while() {
        let mut lanes = Lanes::default();
        assert_eq!(give(&mut lanes, 1, false), None);
        assert!(!lanes.look_for_stuck(NOW + STUCK_AFTER), "nobody else could take it");
        lanes.know(&led(&[0]), NOW);
        assert!(!lanes.look_for_stuck(NOW) && lanes.look_for_stuck(NOW + STUCK_AFTER));
        assert!(lanes.is_stuck(None, NOW + STUCK_AFTER));
        lanes.failed(None);
        assert!(!lanes.look_for_stuck(NOW + STUCK_AFTER));
    }
}
