//! Story 1, at rest: the log of batches, behind one trait.
//!
//! Contract of every implementation (the properties in `tests/store.rs` hold for both):
//!
//! - **P5** `append` makes a batch count only if position, tip and life are the ones it
//!   follows; a repeat of what already counts answers [`Appended::Done`].
//! - **P6** `begin` starts a life only where none is, or replaces exactly the life it names.
//! - **P7** a batch is immutable; `settle` and `clean` touch only batches that are listed, only
//!   under the epoch that `take` wrote, and can be repeated after a lost reply.
//!
//! Every call has one deadline for all its replies. An `Err` means that the answer is
//! unknown: the caller asks again or compares with [`Store::look`].
#![forbid(unsafe_code)]

pub mod books;
pub mod keys;
pub mod memory;
pub mod redis;

use crate::error::Result;
use crate::segment::batch::{Batch, Block};
use crate::segment::index::{BatchMarks, Marks};
use crate::segment::{BatchId, EventMs, Offset, ShardId};
use books::{Books, Settled};
use std::rc::Rc;

/// Batches that one settle names at most: bounds a script's time.
pub const SETTLE_BATCHES_MAX: usize = 500;

/// Whose data a shard's keys are; another identity is a configuration error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: String,
    pub topic: String,
    pub group: String,
}

/// One unbroken history of a shard's buffer: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life(pub u128);

/// Who may settle: 128 random bits, written by `take`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u128);

/// What a shard's `p` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub identity: Identity,
    pub life: Life,
    /// The next offset to be read.
    pub position: Offset,
    pub tip: Option<BatchId>,
    /// As of the last append; `None` before the first.
    pub clock: Option<EventMs>,
    /// `None` when no flusher ever took the shard.
    pub epoch: Option<Epoch>,
    /// Live batches, and entries in `d`, as counted by the scripts.
    pub batches: u64,
    pub marked: u64,
    pub books: Books,
}

impl State {
    /// Of a life that has just begun: nothing is appended, and nobody has taken it.
    pub fn begun(identity: Identity, life: Life, position: Offset) -> State {
        State {
            identity,
            life,
            position,
            tip: None,
            clock: None,
            epoch: None,
            batches: 0,
            marked: 0,
            books: Books::default(),
        }
    }
}

/// What `begin` found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// A new life, at the position that was asked for.
    New(State),
    /// There is one already; nothing was changed.
    Found(State),
}

/// One batch of one shard, or (`batch: None`) a move of the position alone, over gaps.
#[derive(Clone, Debug)]
pub struct Append {
    pub shard: ShardId,
    pub life: Life,
    /// Position and tip that it follows.
    pub position: Offset,
    pub tip: Option<BatchId>,
    /// The position after it.
    pub next: Offset,
    pub clock: EventMs,
    /// Shared with whoever keeps it to try the same again: it may be large.
    pub batch: Option<Rc<Batch>>,
}

/// The answer to one append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It counts (now, or since an earlier try whose reply was lost).
    Done,
    /// The store stands elsewhere: throw away what was read, believe the store.
    Stale,
    /// The shard has no life: Redis lost it.
    Lost,
    /// Not now (OOM, LOADING, READONLY, …): pause the shard, try the same again.
    Refused(String),
}

/// A listed batch: member and score of `l`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: BatchId,
    pub header_bytes: u32,
    pub first: Offset,
}

/// What `take` hands to a shard's new owner, read in the same script that wrote the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub state: State,
    /// By first offset.
    pub listed: Vec<Listed>,
    /// By batch.
    pub marks: Vec<(BatchId, Marks)>,
}

impl Taken {
    /// The counters agree with what is there. When not, the life has a hole.
    pub fn whole(&self) -> bool {
        self.state.batches == self.listed.len() as u64
            && self.state.marked == self.marks.len() as u64
    }
}

/// The answer to settle, clean and drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    Done,
    /// Another owner took the shard, the life is gone, or batches are not those that the caller
    /// knows: let go and take again.
    Refused,
}

/// A rewrite of sparse batches into one carry.
#[derive(Clone, Debug)]
pub struct Clean {
    pub shard: ShardId,
    pub epoch: Epoch,
    /// The batches it replaces with the marks they must still have (no marks: empty).
    pub from: Vec<(Listed, Marks)>,
    pub carry: Batch,
}

/// Takes what was found of one of several blocks: its place among them, and its stored bytes.
pub type FoundEach<'f> = &'f mut dyn FnMut(usize, Option<&[u8]>);

pub trait Store {
    /// Reads each shard's state; `None` where there is no life.
    fn look(&mut self, shards: &[ShardId]) -> Result<Vec<Option<State>>>;

    /// Begins a life at `position` where none is, or in place of `replaces`, whose keys go.
    fn begin(
        &mut self,
        shard: ShardId,
        identity: &Identity,
        life: Life,
        position: Offset,
        replaces: Option<Life>,
    ) -> Result<Begun>;

    /// Appends for many shards in one round trip; one answer each, in order. The outer error
    /// means that no answer is known.
    fn append(&mut self, appends: &[Append]) -> Result<Vec<Appended>>;

    /// Writes `epoch` and reads everything, in one step; `None` where there is no life.
    fn take(&mut self, shard: ShardId, epoch: Epoch) -> Result<Option<Taken>>;

    /// Batches listed with a first offset of at least `from`, in order.
    fn list(&mut self, shard: ShardId, from: Offset) -> Result<Vec<Listed>>;

    /// The header bytes of batches; `None` where the value is missing or shorter.
    fn headers(&mut self, shard: ShardId, listed: &[Listed]) -> Result<Vec<Option<Vec<u8>>>>;

    /// The stored bytes of blocks, handed to `each` as they come, with the place among those that
    /// are wanted; `None` where the value is missing or shorter. An error may come behind some.
    fn fetch(&mut self, wanted: &[(ShardId, BatchId, Block)], each: FoundEach<'_>) -> Result<()>;

    /// Records what is settled, for one shard, and in the same step what the books then say:
    /// `settled` is the life's sum with these marks included. At most [`SETTLE_BATCHES_MAX`].
    /// Refused with a sum below the stored one (it is late, and more was told since), and with
    /// marks of a batch that is not listed, unless it repeats what the store has.
    fn settle(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        marks: &[BatchMarks],
        settled: &Settled,
    ) -> Result<Fenced>;

    /// Replaces sparse batches by their carry. May be repeated after a lost reply.
    fn clean(&mut self, clean: &Clean) -> Result<Fenced>;

    /// Renews the time to live of the shard's own keys and of these batches. Needed when
    /// nothing else writes for a third of `redis-ttl`.
    fn renew(&mut self, shard: ShardId, batches: &[BatchId]) -> Result<()>;

    /// Drops a life that has a hole, with the batches that are known.
    fn drop_life(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        life: Life,
        batches: &[BatchId],
    ) -> Result<Fenced>;
}
