//! Writing: produce, acknowledgements, bounded in flight.
//!
//! Only this file can make a [`Delivered`]: what is settled as delivered has been
//! acknowledged by Kafka (P8). When the idempotent client fails for good, all that is in flight
//! is of unknown fate: it is told as failed, and a new client takes over.

use super::chatter::Chatter;
use super::settings;
use super::trouble::Trouble;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::segment::hash::QuickMap;
use crate::sys::headers::{self, Header};
use crate::sys::send;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// While something is in flight the client is served in slices, so that a wait ends when an
/// acknowledgement arrives.
const SLICE: Duration = Duration::from_millis(1);

/// So many slices after it was told to send at once, the client is still told so: its thread has to
/// run meanwhile, or `linger.ms` counts after all.
const URGENT_SLICES: u32 = 5;

/// Clients that one process replaces at most. Each leaves its threads and memory behind; a new
/// process has none of that.
const REBUILDS_MAX: u64 = 5;

/// Says that Kafka acknowledged every message of the work that `ticket` names.
#[derive(Debug)]
pub struct Delivered {
    ticket: u64,
}

impl Delivered {
    pub fn ticket(&self) -> u64 {
        self.ticket
    }
}

/// What became of a ticket: one message, or several that stand or fall together.
#[derive(Debug)]
pub enum Outcome {
    Delivered(Delivered),
    /// The broker takes no message of this size: split, or a dead letter.
    TooLarge {
        ticket: u64,
    },
    /// Not acknowledged (perhaps persisted): deliver again, same content.
    Failed {
        ticket: u64,
        trouble: Trouble,
    },
}

/// A message to send.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    pub topic: &'a str,
    /// `None`: chosen by the key.
    pub partition: Option<u32>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
}

impl Letter<'_> {
    /// What counts of it where a topic bounds its messages.
    pub fn bytes(&self) -> usize {
        let some = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + some(*value));
        some(self.key) + some(self.payload) + headers.sum::<usize>()
    }
}

/// The answer to a send.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    Queued,
    /// The queue is full: poll, then try again.
    Full,
    /// Locally refused for its size.
    TooLarge,
}

/// One delivery report: the ticket, and the error if there was one.
type Report = (u64, Option<(RDKafkaErrorCode, String)>);

#[derive(Default)]
struct Context {
    reports: Mutex<Vec<Report>>,
    /// The last thing that the client said to be wrong.
    trouble: Mutex<Option<Trouble>>,
    chatter: Chatter,
}

impl Context {
    fn reports(&self) -> MutexGuard<'_, Vec<Report>> {
        // Nothing panics while it is held, and the list would be whole if something did.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        self.chatter.log(level, kind, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        // What is wrong with each broker leaves all of them down: that says less.
        let says_less = code == Some(RDKafkaErrorCode::AllBrokersDown) && last.is_some();
        if !says_less && !Trouble::is_about_one_broker(code) {
            *last = Some(Trouble::new(code, reason));
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let error = result.as_ref().err().map(|(error, _)| {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            (code, error.to_string())
        });
        self.reports().push((ticket as u64, error));
    }
}

/// What is known of a ticket that has no outcome yet.
#[derive(Default)]
struct Open {
    queued: usize,
    unreported: usize,
    sealed: bool,
    too_large: bool,
    failed: Option<Trouble>,
}

pub struct Producer {
    settings: ClientConfig,
    /// The second one, where there is one, sends each message as a request of its own.
    clients: Vec<BaseProducer<Context>>,
    /// The topics that are sent to in that way.
    alone: Vec<String>,
    open: QuickMap<u64, Open>,
    outcomes: Vec<Outcome>,
    in_flight_messages: usize,
    urgent_slices: u32,
    rebuilds: u64,
}

impl Producer {
    pub fn open(config: &Config, worker: usize) -> Result<Producer> {
        Producer::with_settings(settings::producer(config, worker))
    }

    /// Of each message it is known by itself whether it is too large.
    pub fn open_for_singles(config: &Config, worker: usize) -> Result<Producer> {
        Producer::with_settings(each_alone(settings::producer(config, worker)))
    }

    /// A producer with librdkafka properties of one's own, for tools and tests.
    pub fn with_settings(settings: ClientConfig) -> Result<Producer> {
        let client = create(&settings)?;
        Ok(Producer {
            settings,
            clients: vec![client],
            alone: Vec::new(),
            open: QuickMap::default(),
            outcomes: Vec::new(),
            in_flight_messages: 0,
            urgent_slices: 0,
            rebuilds: 0,
        })
    }

    /// Queues one message of `ticket`. After the last one call `seal`. A ticket of which one
    /// message could not be queued never becomes delivered.
    pub fn send(&mut self, ticket: u64, letter: &Letter<'_>) -> std::result::Result<Sent, Trouble> {
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(letter.topic, ticket as usize)
                .headers(headers::make(letter.headers));
        record.partition = letter.partition.map(|number| number as i32);
        record.key = letter.key;
        record.payload = letter.payload;
        let sender = usize::from(self.is_alone(letter.topic));
        let Some(client) = self.clients.get(sender) else { return Ok(Sent::Full) };
        match client.send(record) {
            Ok(()) => {
                let open = self.open.entry(ticket).or_default();
                open.queued += 1;
                open.unreported += 1;
                self.in_flight_messages += 1;
                Ok(Sent::Queued)
            }
            Err((error, _)) => self.not_queued(ticket, letter.topic, &error),
        }
    }

    fn not_queued(
        &mut self,
        ticket: u64,
        topic: &str,
        error: &KafkaError,
    ) -> std::result::Result<Sent, Trouble> {
        let why = format!("cannot produce to {topic}: {error}");
        let trouble = Trouble::new(error.rdkafka_error_code(), why);
        if let Some(open) = self.open.get_mut(&ticket) {
            open.failed = Some(trouble.clone());
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Ok(Sent::Full),
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Ok(Sent::TooLarge),
            // `mend` replaces the client.
            Some(RDKafkaErrorCode::Fatal) => Ok(Sent::Full),
            _ => Err(trouble),
        }
    }

    /// No more messages will be sent for this ticket: its outcome may be told.
    pub fn seal(&mut self, ticket: u64) {
        self.open.entry(ticket).or_default().sealed = true;
        self.conclude(ticket);
    }

    /// Serves the client for at most `wait` and returns the outcomes there are; returns as soon
    /// as there is one.
    pub fn poll(&mut self, wait: Duration) -> Vec<Outcome> {
        let deadline = Instant::now() + wait;
        self.serve();
        while self.outcomes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.rest(left);
            self.serve();
        }
        std::mem::take(&mut self.outcomes)
    }

    /// Waits for `left`, or for a slice of it while something is in flight. The wrapper's own
    /// waiting spins through its last millisecond.
    fn rest(&mut self, left: Duration) {
        if self.in_flight_messages == 0 {
            return std::thread::sleep(left);
        }
        let urgent = self.urgent_slices > 0 && left >= SLICE;
        match self.clients.first().filter(|_| urgent) {
            Some(client) => {
                self.urgent_slices -= 1;
                send::send_now(client, SLICE);
            }
            None => std::thread::sleep(SLICE.min(left)),
        }
    }

    fn serve(&mut self) {
        self.clients.iter().for_each(|client| client.poll(Duration::ZERO));
        self.take_reports();
    }

    /// Sends what is queued, without waiting for more of it.
    pub fn send_now(&mut self) {
        if let Some(client) = self.clients.first() {
            send::send_now(client, SLICE);
            self.urgent_slices = URGENT_SLICES;
        }
    }

    /// The partitions of a topic, and whether they have a leader.
    pub fn partitions(&self, topic: &str, wait: Duration) -> Result<Vec<(u32, bool)>> {
        let failed = |why| Error::temporary(format!("cannot ask for partitions of {topic}: {why}"));
        let Some(client) = self.clients.first() else { return Ok(Vec::new()) };
        let metadata = client.client().fetch_metadata(Some(topic), wait).map_err(failed)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        Ok(partitions.map(|found| (found.id() as u32, found.leader() >= 0)).collect())
    }

    /// From now on every message to this topic is a request of its own. A broker judges the size of
    /// a whole batch of messages, so only then does a refusal tell anything about a single one.
    pub fn send_alone(&mut self, topic: &str) -> Result<()> {
        if self.alone.is_empty() {
            self.clients.push(create(&each_alone(self.settings.clone()))?);
        }
        self.alone.push(topic.to_owned());
        Ok(())
    }

    /// Whether every message to this topic is a request of its own.
    pub fn is_alone(&self, topic: &str) -> bool {
        self.alone.iter().any(|alone| alone == topic)
    }

    fn take_reports(&mut self) {
        let take =
            |client: &BaseProducer<Context>| std::mem::take(&mut *client.context().reports());
        let reports: Vec<Report> = self.clients.iter().flat_map(take).collect();
        for (ticket, error) in reports {
            self.in_flight_messages -= 1;
            let Some(open) = self.open.get_mut(&ticket) else { continue };
            open.unreported -= 1;
            match error {
                None => {}
                Some((RDKafkaErrorCode::MessageSizeTooLarge, _)) => open.too_large = true,
                Some((code, why)) => open.failed = Some(Trouble::new(Some(code), why)),
            }
            self.conclude(ticket);
        }
    }

    /// Puts a new client in the place of one that has failed for good. An error means that this
    /// process should end: it has failed too often here.
    pub fn mend(&mut self) -> Result<()> {
        let failed = |client: &BaseProducer<Context>| client.client().fatal_error().is_some();
        if self.clients.iter().any(failed) { self.rebuild() } else { Ok(()) }
    }

    /// Clients that failed for good and were replaced.
    pub fn rebuilds(&self) -> u64 {
        self.rebuilds
    }

    /// What the client has said to be wrong since the last call.
    pub fn trouble(&self) -> Option<Trouble> {
        let last = |client: &BaseProducer<Context>| {
            client.context().trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        self.clients.iter().filter_map(last).next_back()
    }

    /// Tells the outcome of a ticket that is sealed and of which every message is reported.
    fn conclude(&mut self, ticket: u64) {
        let Some(open) = self.open.get(&ticket) else { return };
        if !open.sealed || open.unreported > 0 {
            return;
        }
        let Some(open) = self.open.remove(&ticket) else { return };
        self.outcomes.push(match open {
            Open { failed: Some(trouble), .. } => Outcome::Failed { ticket, trouble },
            Open { too_large: true, .. } => Outcome::TooLarge { ticket },
            // Nothing was ever queued, so nothing was acknowledged (P8).
            Open { queued: 0, .. } => {
                Outcome::Failed { ticket, trouble: Trouble::new(None, "never queued") }
            }
            _ => Outcome::Delivered(Delivered { ticket }),
        });
    }

    /// The client has failed for good: a new one takes its place. The old one is never dropped,
    /// since that may wait for brokers that do not answer.
    fn rebuild(&mut self) -> Result<()> {
        let fatal = self.clients.iter().find_map(|client| client.client().fatal_error());
        let why = fatal.map_or(String::new(), |(_, why)| why);
        self.rebuilds += 1;
        if self.rebuilds > REBUILDS_MAX {
            return Err(Error::temporary(format!(
                "the producer failed for good {} times, at last with: {why}; starting this worker \
                 anew",
                self.rebuilds
            )));
        }
        log::warn!("the producer failed ({why}); all in flight is sent again by a new one");
        let mut clients = vec![create(&self.settings)?];
        if !self.alone.is_empty() {
            clients.push(create(&each_alone(self.settings.clone()))?);
        }
        std::mem::forget(std::mem::replace(&mut self.clients, clients));
        self.in_flight_messages = 0;
        let trouble = Trouble::new(Some(RDKafkaErrorCode::Fatal), why);
        for (ticket, open) in std::mem::take(&mut self.open) {
            let trouble = trouble.clone();
            if open.sealed {
                self.outcomes.push(Outcome::Failed { ticket, trouble });
            } else {
                self.open.insert(ticket, Open { failed: Some(trouble), ..Open::default() });
            }
        }
        Ok(())
    }
}

fn create(settings: &ClientConfig) -> Result<BaseProducer<Context>> {
    settings.create_with_context(Context::default()).map_err(|why| {
        Error::around_config(format!(
            "cannot open a producer: {why}; check kafka and kafka-producer"
        ))
    })
}

/// The same for a client that sends each message as a request of its own.
fn each_alone(mut settings: ClientConfig) -> ClientConfig {
    settings.set("batch.num.messages", "1");
    settings
}
