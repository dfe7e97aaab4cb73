//! Which partition of the output a message goes to. Segments have no key, so any will do.
//!
//! While messages are on their way to a partition, an idempotent client sends nothing more there,
//! and its thread spins while what it holds for it has waited for longer than `linger.ms`. With
//! brokers that take 20 ms to acknowledge, that cost more than all else that a flusher does. So a
//! partition is given what one request holds, which is sent at once, and nothing more before all of
//! it is acknowledged; meanwhile others are given theirs, or what is due waits outside of the
//! client.

use crate::error::Result;
use crate::kafka::producer::Producer;
use std::time::Duration;

/// What is given to a partition at a time, less than the client's `batch.size`: one request.
const LOAD_BYTES: usize = 900 << 10;

/// The same where each message is a request of its own: as many as the client has on their way.
const LOAD_ALONE: usize = 5;

/// What a message takes in a request beside its payload: headers and lengths.
const MESSAGE_BYTES: usize = 256;

/// How often the topic is asked for its partitions, and how long it may take.
const ASK_INTERVAL: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(5);
const ASK_WAIT: Duration = Duration::from_millis(200);

/// One partition of the output topic.
#[derive(Debug)]
struct Lane {
    partition: u32,
    unacknowledged: usize,
}

/// All partitions; none while the topic's partitions are not known: then the client chooses.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// Which one was loaded last.
    last: usize,
    /// Messages and bytes that it was given at this time; `None` once it has left.
    load: Option<(usize, usize)>,
    ask_at: Duration,
}

impl Lanes {
    /// Asks for the topic's partitions when it is time for that.
    pub fn look(&mut self, producer: &Producer, topic: &str, now: Duration) -> Result<()> {
        if now < self.ask_at {
            return Ok(());
        }
        self.ask_at = now + ASK_AGAIN;
        let partitions = producer.partitions(topic, ASK_WAIT)?;
        self.ask_at = now + ASK_INTERVAL;
        self.know(&partitions);
        Ok(())
    }

    /// What was believed of the partitions is wrong, or may be.
    pub fn doubt(&mut self) {
        self.ask_at = Duration::ZERO;
    }

    fn know(&mut self, partitions: &[u32]) {
        let before = std::mem::take(&mut self.lanes);
        let underway = |partition: u32| {
            let lane = before.iter().find(|lane| lane.partition == partition);
            lane.map_or(0, |lane| lane.unacknowledged)
        };
        let lane = |&partition: &u32| Lane { partition, unacknowledged: underway(partition) };
        self.lanes = partitions.iter().map(lane).collect();
        self.leave();
    }

    /// Whether one more segment may be sent now.
    pub fn takes(&self, alone: bool) -> bool {
        self.lanes.is_empty() || self.has_room(alone) || self.next_idle().is_some()
    }

    /// The partition of the next message, `None` where the client is to choose. What does not fit
    /// goes with the last one.
    pub fn load(&mut self, bytes: usize, alone: bool) -> Option<u32> {
        if !self.has_room(alone)
            && let Some(idle) = self.next_idle()
        {
            self.last = idle;
            self.load = None;
        }
        let lane = self.lanes.get_mut(self.last)?;
        lane.unacknowledged += 1;
        let (messages, loaded) = self.load.unwrap_or_default();
        self.load = Some((messages + 1, loaded + bytes + MESSAGE_BYTES));
        Some(lane.partition)
    }

    /// Nothing more goes with what was loaded; whether something was.
    pub fn leave(&mut self) -> bool {
        self.load.take().is_some()
    }

    /// What was loaded is a whole request.
    pub fn is_loaded(&self, alone: bool) -> bool {
        self.load.is_some() && !self.has_room(alone)
    }

    /// A message for this partition has an outcome, or was not queued.
    pub fn unload(&mut self, partition: Option<u32>) {
        let mut lanes = self.lanes.iter_mut();
        if let Some(lane) = lanes.find(|lane| Some(lane.partition) == partition) {
            lane.unacknowledged = lane.unacknowledged.saturating_sub(1);
        }
    }

    fn has_room(&self, alone: bool) -> bool {
        self.load.is_some_and(|(messages, bytes)| {
            bytes < LOAD_BYTES && (!alone || messages < LOAD_ALONE)
        })
    }

    fn next_idle(&self) -> Option<usize> {
        let count = self.lanes.len();
        let mut places = (1..=count).map(|step| (self.last + step) % count);
        places.find(|&place| self.lanes[place].unacknowledged == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(partitions: &[u32]) -> Lanes {
        let mut lanes = Lanes::default();
        lanes.know(partitions);
        lanes
    }

    fn fill(lanes: &mut Lanes) -> Option<u32> {
        lanes.load(LOAD_BYTES, false)
    }

    #[test]
    fn without_knowledge_the_client_chooses() {
        let mut lanes = Lanes::default();
        assert!(lanes.takes(false));
        assert_eq!(lanes.load(1, false), None);
        lanes.unload(None);
        assert!(lanes.takes(false));
    }

    #[test]
    fn what_fits_into_a_request_goes_to_one_partition_and_the_rest_to_the_next() {
        let mut lanes = lanes(&[4, 7]);
        let first = lanes.load(LOAD_BYTES / 2, false);
        assert_eq!(lanes.load(LOAD_BYTES / 2, false), first);
        let second = fill(&mut lanes);
        assert_ne!(second, first);
        assert!(!lanes.takes(false), "{lanes:?}");
        // The rest of a segment does not wait.
        assert_eq!(fill(&mut lanes), second);
    }

    #[test]
    fn a_partition_takes_more_only_when_all_is_acknowledged() {
        let mut lanes = lanes(&[0]);
        let (a, b) = (lanes.load(1, false), lanes.load(1, false));
        assert!(lanes.takes(false));
        lanes.leave();
        assert!(!lanes.takes(false));
        lanes.unload(a);
        assert!(!lanes.takes(false));
        lanes.unload(b);
        assert!(lanes.takes(false));
    }

    #[test]
    fn alone_a_request_is_a_message() {
        let mut lanes = lanes(&[0]);
        for _ in 0..LOAD_ALONE {
            assert!(lanes.takes(true));
            lanes.load(1, true);
        }
        assert!(!lanes.takes(true));
        assert!(lanes.takes(false));
    }

    #[test]
    fn partitions_that_are_added_are_free_and_those_that_stay_remember() {
        let mut lanes = lanes(&[0]);
        assert_eq!(fill(&mut lanes), Some(0));
        lanes.know(&[0, 1]);
        assert_eq!(fill(&mut lanes), Some(1));
        assert!(!lanes.takes(false));
        lanes.know(&[1]);
        lanes.unload(Some(0));
        assert!(!lanes.takes(false));
        lanes.unload(Some(1));
        assert!(lanes.takes(false));
    }
}
