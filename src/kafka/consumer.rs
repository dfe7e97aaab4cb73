//! Reading the input topic: poll, assignment, pause, seek, commit.
//!
//! Rebalance callbacks only queue [`Event`]s. An assigned shard starts paused and unread
//! until the worker has found its position; a revoked one stays ours until the worker gives it
//! back, so that what is pending is written first (librdkafka waits for the unassign call
//! while polling goes on).

use super::chatter::Chatter;
use super::settings;
use super::trouble::Trouble;
use crate::config::{Config, StartFrom};
use crate::error::{Error, Result};
use crate::segment::{Offset, ShardId};
use crate::sys::ends::Asking;
use crate::sys::headers::{self, Header};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::Timeout;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a poll brought.
pub enum Event<'c> {
    Message(Message<'c>),
    /// All that the shard's partition held has been read, markers included (PARTITION_EOF).
    CaughtUp {
        shard: ShardId,
        /// It ended there; `None` when the client did not tell.
        end: Option<Offset>,
    },
    /// These are ours now; each is paused until `start`.
    Assigned(Vec<ShardId>),
    /// The group wants these back: finish, then `give_back`. When `lost`, they are gone already.
    Revoked {
        shards: Vec<ShardId>,
        lost: bool,
    },
    /// Some position is out of its partition's range: retention has eaten what stood there.
    /// The client does not say which; the worker compares.
    OutOfRange,
    /// The group has taken the commit with this number for these shards: they are ours still.
    Committed {
        number: u64,
        shards: Vec<ShardId>,
    },
    /// A commit did not get through: what was committed last is not known.
    /// `too_large`: because brokers take less metadata.
    CommitFailed {
        why: String,
        too_large: bool,
    },
    /// Kafka is away or refuses; the client goes on trying by itself.
    Trouble(Trouble),
    /// Another consumer has joined under our name, and this one is of no use any more.
    Fenced(Error),
    /// This will not mend itself: leave with the error.
    Fatal(Error),
}

/// One input message, borrowed from the client's buffer.
pub struct Message<'c> {
    pub shard: ShardId,
    pub offset: Offset,
    /// Broker or producer time, ms since the epoch.
    pub timestamp_ms: Option<i64>,
    inner: BorrowedMessage<'c>,
}

impl Message<'_> {
    /// `None` for a tombstone.
    pub fn payload(&self) -> Option<&[u8]> {
        self.inner.payload()
    }

    pub fn key(&self) -> Option<&[u8]> {
        self.inner.key()
    }

    pub fn headers(&self) -> Vec<Header<'_>> {
        self.inner.headers().map(headers::read).unwrap_or_default()
    }
}

/// What the group has committed for a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: Offset,
    /// Any tool may have written it.
    pub metadata: Vec<u8>,
}

/// What the callbacks leave for the next poll.
enum Queued {
    Assigned(Vec<ShardId>),
    Revoked { shards: Vec<ShardId>, lost: bool },
    Committed { number: u64, shards: Vec<ShardId> },
    CommitFailed { why: String, too_large: bool },
    Trouble(Trouble),
}

#[derive(Default)]
pub(super) struct Context {
    queue: Mutex<VecDeque<Queued>>,
    chatter: Chatter,
    /// Commits that were answered; they are answered in their order.
    pub(super) answered: AtomicU64,
    /// What the client said of the error that the poll under way is about to return.
    reason: Mutex<String>,
}

impl Context {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Queued>> {
        // Nothing panics while it is held, and the queue would be whole if something did.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, queued: Queued) {
        self.queue().push_back(queued);
    }

    fn reason(&self) -> MutexGuard<'_, String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        self.chatter.log(level, kind, line);
    }

    /// The poll returns the same error, only without its reason.
    fn error(&self, _: KafkaError, reason: &str) {
        reason.clone_into(&mut self.reason());
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let shards = shards_of(list);
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            match assign_paused(consumer, list) {
                Ok(()) => self.push(Queued::Assigned(shards)),
                Err(error) => {
                    let why = format!("cannot assign: {error}");
                    self.push(Queued::Trouble(Trouble::new(error.rdkafka_error_code(), why)));
                }
            }
        } else {
            let lost = consumer.assignment_lost();
            self.push(Queued::Revoked { shards, lost });
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        let number = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        let failed = list.elements().iter().find_map(|elem| elem.error().err());
        self.push(match result.err().or(failed) {
            Some(error) => {
                let too_large = is_metadata_too_large(&error);
                Queued::CommitFailed { why: error.to_string(), too_large }
            }
            None => Queued::Committed { number, shards: shards_of(list) },
        });
    }

    fn main_queue_min_poll_interval(&self) -> Timeout {
        Timeout::After(Duration::from_millis(100))
    }
}

/// Where the partition ended, in what the client says when all of it is read: the event has no
/// other place for that.
fn end_in(reason: &str) -> Option<Offset> {
    let (_, end) = reason.split_once("end of partition at offset ")?;
    Some(Offset(end.split(' ').next()?.parse().ok()?))
}

fn is_metadata_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OffsetMetadataTooLarge)
}

/// Assigns at a placeholder: with "where the group left off" a partition on which nothing is
/// committed would have no fetcher, and could not be sought in later. Nothing is read from there,
/// because every shard is paused until it is started at its position.
fn assign_paused(
    consumer: &BaseConsumer<Context>,
    list: &mut TopicPartitionList,
) -> KafkaResult<()> {
    list.set_all_offsets(Place::Beginning)?;
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
        _ => consumer.assign(list)?,
    }
    consumer.pause(list)
}

fn shards_of(list: &TopicPartitionList) -> Vec<ShardId> {
    list.elements().iter().map(|elem| ShardId(elem.partition() as u32)).collect()
}

/// A revocation under way: what the group wants back, and what of it is not given back yet.
#[derive(Default)]
struct Revocation {
    shards: Vec<ShardId>,
    open: BTreeSet<ShardId>,
}

pub struct Consumer {
    pub(super) inner: Asking<Context>,
    pub(super) topic: String,
    pub(super) group: String,
    /// What the group knows this member by; none with fixed partitions.
    pub(super) member_name: Option<String>,
    pub(super) start_from: StartFrom,
    /// What stands behind an open transaction is not read.
    pub(super) reads_committed: bool,
    revocation: RefCell<Revocation>,
    /// Commits that were sent.
    pub(super) commits: Cell<u64>,
}

impl Consumer {
    /// Makes the client and asks nothing of anybody. A member of the group is named after
    /// instance, `host` and the ingest's number `worker`.
    pub fn create(config: &Config, host: &str, worker: usize) -> Result<Consumer> {
        let settings = settings::consumer(config, host, worker);
        let inner: BaseConsumer<Context> = settings
            .create_with_context(Context::default())
            .map_err(|why| cannot_open(config, &why))?;
        Ok(Consumer {
            inner: Asking::of(inner),
            topic: config.input_topic.clone(),
            group: config.group_id.clone(),
            member_name: settings.get("group.instance.id").map(str::to_owned),
            start_from: config.start_from,
            reads_committed: settings::reads_committed(&settings),
            revocation: RefCell::default(),
            commits: Cell::new(0),
        })
    }

    /// Joins the group, or takes the fixed `partitions`.
    pub fn open(config: &Config, host: &str, worker: usize) -> Result<Consumer> {
        let consumer = Consumer::create(config, host, worker)?;
        let joined = if config.partitions.is_empty() {
            consumer.inner.subscribe(&[&consumer.topic])
        } else {
            consumer.assign_fixed(&config.partitions)
        };
        joined.map_err(|why| cannot_open(config, &why))?;
        Ok(consumer)
    }

    fn assign_fixed(&self, partitions: &[u32]) -> KafkaResult<()> {
        let shards: Vec<ShardId> = partitions.iter().copied().map(ShardId).collect();
        let mut list = self.list(&shards);
        list.set_all_offsets(Place::Beginning)?;
        self.inner.assign(&list)?;
        self.inner.pause(&list)?;
        self.inner.context().push(Queued::Assigned(shards));
        Ok(())
    }

    /// The next thing that happened, waiting at most `wait`.
    pub fn poll(&self, wait: Duration) -> Option<Event<'_>> {
        if let Some(queued) = self.queued() {
            return Some(queued);
        }
        match self.inner.poll(wait) {
            Some(Ok(message)) => Some(Event::Message(Message {
                shard: ShardId(message.partition() as u32),
                offset: Offset(message.offset()),
                timestamp_ms: message.timestamp().to_millis(),
                inner: message,
            })),
            Some(Err(error)) => self.sort(error),
            None => self.queued(),
        }
    }

    pub(super) fn queued(&self) -> Option<Event<'_>> {
        let queued = self.inner.context().queue().pop_front()?;
        Some(match queued {
            Queued::Assigned(shards) => Event::Assigned(shards),
            Queued::Revoked { shards, lost } => {
                let mut revocation = self.revocation.borrow_mut();
                revocation.shards.extend(&shards);
                revocation.open.extend(&shards);
                Event::Revoked { shards, lost }
            }
            Queued::Committed { number, shards } => Event::Committed { number, shards },
            Queued::CommitFailed { why, too_large } => Event::CommitFailed { why, too_large },
            Queued::Trouble(trouble) => Event::Trouble(trouble),
        })
    }

    /// Sorts what a poll failed with: a condition, a trouble that passes, or the end; `None` when
    /// one broker of several is away, which the client's own line says.
    fn sort(&self, error: KafkaError) -> Option<Event<'static>> {
        Some(match error {
            KafkaError::PartitionEOF(partition) => {
                let end = end_in(&self.inner.context().reason());
                Event::CaughtUp { shard: ShardId(partition as u32), end }
            }
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => Event::OutOfRange,
            KafkaError::MessageConsumptionFatal(code) => self.fatal(code),
            _ => {
                let code = error.rdkafka_error_code();
                if Trouble::is_about_one_broker(code) {
                    return None;
                }
                let why = self.inner.context().reason().clone();
                let why = if why.is_empty() { error.to_string() } else { why };
                Event::Trouble(Trouble::new(code, why))
            }
        })
    }

    /// The client says only that it is over; the reason is asked for.
    fn fatal(&self, code: RDKafkaErrorCode) -> Event<'static> {
        let found = self.inner.client().fatal_error();
        let (code, why) = found.unwrap_or_else(|| (code, code.to_string()));
        match code {
            RDKafkaErrorCode::FencedInstanceId => Event::Fenced(Error::config(format!(
                "another consumer of group {} uses our group.instance.id ({why}): two daemons of \
                 one instance name on hosts of one name; give each daemon its own instance",
                self.group
            ))),
            _ => Event::Fatal(Error::temporary(format!(
                "the consumer of {} failed: {why}",
                self.topic
            ))),
        }
    }

    /// Sets the read position of assigned shards and lets them flow. Answers which of them
    /// could be set; the others (fetcher not ready yet) are tried again by the caller.
    ///
    /// Resumed first: only the seek wakes the thread that fetches, which else sleeps on for up
    /// to a second. What was fetched before the seek is thrown away by it.
    pub fn start(&self, positions: &[(ShardId, Offset)], wait: Duration) -> Result<Vec<ShardId>> {
        let list = self.list_at(positions)?;
        let all: Vec<ShardId> = positions.iter().map(|(shard, _)| *shard).collect();
        self.resume(&all)?;
        let sought = self.inner.seek_partitions(list, wait);
        let sought = match sought {
            Ok(sought) => sought,
            Err(why) => {
                self.pause(&all)?;
                return Err(self.error("seek in", why));
            }
        };
        let is_ready = |shard: &ShardId| {
            let elem = sought.find_partition(&self.topic, shard.0 as i32);
            elem.is_some_and(|elem| elem.error().is_ok())
        };
        let (ready, not_ready): (Vec<ShardId>, Vec<ShardId>) = all.into_iter().partition(is_ready);
        if !not_ready.is_empty() {
            self.pause(&not_ready)?;
        }
        Ok(ready)
    }

    /// Starts shards whose position was out of range: the client has given up their fetchers, and
    /// only a new assignment in place makes new ones. They stay ours in the group.
    pub fn restart(&self, positions: &[(ShardId, Offset)]) -> Result<()> {
        let list = self.list_at(positions)?;
        let again = match self.inner.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self
                .inner
                .incremental_unassign(&list)
                .and_then(|()| self.inner.incremental_assign(&list)),
            _ => self.assign_with(&list),
        };
        again.map_err(|why| self.error("assign again in", why))?;
        self.resume(&positions.iter().map(|(shard, _)| *shard).collect::<Vec<_>>())
    }

    /// Outside of the cooperative protocol an assignment is only ever made as a whole: the
    /// others keep where they are.
    fn assign_with(&self, changed: &TopicPartitionList) -> KafkaResult<()> {
        let mut all = self.inner.position()?;
        for elem in changed.elements() {
            all.set_partition_offset(&self.topic, elem.partition(), elem.offset())?;
        }
        self.inner.assign(&all)
    }

    pub fn pause(&self, shards: &[ShardId]) -> Result<()> {
        self.inner.pause(&self.list(shards)).map_err(|why| self.error("pause", why))
    }

    fn resume(&self, shards: &[ShardId]) -> Result<()> {
        self.inner.resume(&self.list(shards)).map_err(|why| self.error("resume", why))
    }

    /// Completes a revocation: the shards may go to another member. The group takes a revocation
    /// back as a whole, so they go when the last of its shards is given back.
    pub fn give_back(&self, shards: &[ShardId]) -> Result<()> {
        let mut revocation = self.revocation.borrow_mut();
        for shard in shards {
            revocation.open.remove(shard);
        }
        if !revocation.open.is_empty() {
            return Ok(());
        }
        let all = std::mem::take(&mut revocation.shards);
        let given = match self.inner.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.inner.incremental_unassign(&self.list(&all)),
            _ => self.inner.unassign(),
        };
        given.map_err(|why| self.error("give back partitions of", why))
    }

    pub(super) fn list(&self, shards: &[ShardId]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for shard in shards {
            list.add_partition(&self.topic, shard.0 as i32);
        }
        list
    }

    fn list_at(&self, positions: &[(ShardId, Offset)]) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (shard, offset) in positions {
            list.add_partition_offset(&self.topic, shard.0 as i32, Place::Offset(offset.0))
                .map_err(|why| self.error("set positions in", why))?;
        }
        Ok(list)
    }

    pub(super) fn error(&self, doing: &str, why: KafkaError) -> Error {
        Error::temporary(format!("cannot {doing} {}: {why}", self.topic))
    }
}

fn cannot_open(config: &Config, why: &KafkaError) -> Error {
    Error::around_config(format!(
        "cannot open a consumer for {}: {why}; check bootstrap-servers, kafka and kafka-consumer",
        config.bootstrap_servers
    ))
}
