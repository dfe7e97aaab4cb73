//! Whether the output moves: its troubles are said once with what to do, and once when that is
//! over.

use super::{Desk, Flusher};
use crate::error::Error;
use crate::kafka::trouble::{State, Trouble};
use std::time::Duration;

/// Without any acknowledgement for so long, the output is said to be away.
pub const ACK_PATIENCE: Duration = Duration::from_secs(10);

/// Said of dead letters, which have a topic and troubles of their own.
const LETTERS_SILENT: &str = "the dead-letter topic acknowledges nothing";

/// Whose troubles these are; stands behind the state.
const OUTPUT: &str = "output";
const LETTERS: &str = "dead letters";

/// What is known of partitions of the output that acknowledge nothing.
#[derive(Default)]
pub struct Silence {
    /// Those of which it was said.
    said: Vec<u32>,
    /// When nothing at all had been acknowledged for long.
    away_at: Duration,
}

impl Desk<'_> {
    /// The client cannot write, or was refused something.
    pub fn trouble(&mut self, trouble: &Trouble) {
        self.kafka_waits = true;
        self.fails(OUTPUT, trouble);
    }

    /// The same of a dead letter: no segment waits for it.
    pub fn letter_trouble(&mut self, trouble: &Trouble) {
        self.fails(LETTERS, trouble);
    }

    pub fn letters_acknowledged(&mut self) {
        self.troubles.works(LETTERS_SILENT);
        self.works(LETTERS);
    }

    fn fails(&mut self, side: &str, trouble: &Trouble) {
        self.troubles.warn(&said(trouble.state, side), &Error::temporary(trouble.advice()));
    }

    fn works(&mut self, side: &str) {
        for state in State::ALL {
            self.troubles.works(&said(state, side));
        }
    }

    /// Something was acknowledged: whatever was said to be wrong with Kafka is over.
    pub fn kafka_acknowledges(&mut self) {
        if !self.kafka_waits {
            return;
        }
        self.kafka_waits = false;
        self.works(OUTPUT);
    }

    /// Says which partitions acknowledge nothing though others do. After an outage of all each may
    /// take a while to come back.
    fn tell_silent(&mut self, now: Duration) {
        let silent = self.lanes.silent_for(ACK_PATIENCE, now);
        let (silent_still, over): (Vec<u32>, Vec<u32>) =
            self.silence.said.iter().partition(|partition| silent.contains(partition));
        self.silence.said = silent_still;
        for partition in over {
            self.troubles.works(&silent_partition(partition));
        }
        if now < self.silence.away_at + ACK_PATIENCE {
            return;
        }
        for partition in &silent {
            let why = "what it was given waits up to message.timeout.ms, and others get the rest; \
                       look at its leader and replicas";
            self.troubles.warn(&silent_partition(*partition), &Error::temporary(why));
        }
        self.silence.said = silent;
    }
}

impl Flusher<'_> {
    /// Says when the output does not move: what the client reports, and, since it waits out what
    /// it can for minutes, that nothing is acknowledged.
    pub(super) fn look_at_kafka(&mut self, now: Duration) {
        if let Some(trouble) = self.desk.producer.trouble() {
            self.desk.trouble(&trouble);
        }
        self.flights.look_for_stuck(&mut self.desk.lanes, now);
        if self.flights.letters_stuck_for(now) >= ACK_PATIENCE {
            let why = "segments do not wait for it; look at its leader and replicas";
            self.desk.troubles.warn(LETTERS_SILENT, &Error::temporary(why));
        }
        let stuck = self.flights.stuck_for(now);
        if stuck < ACK_PATIENCE || self.desk.lanes.others_live() {
            return self.desk.tell_silent(now);
        }
        self.desk.silence.away_at = now;
        let why = format!("nothing was acknowledged for {} s", stuck.as_secs());
        self.desk.trouble(&Trouble { state: State::Away, why });
    }
}

/// What is said not to work, and once to work again.
fn said(state: State, side: &str) -> String {
    format!("{} ({side})", state.name())
}

/// The same of a partition of the output.
fn silent_partition(partition: u32) -> String {
    format!("partition {partition} of the output acknowledges nothing")
}
