//! Reading the input topic: poll, assignment, pause, seek, commit.
//!
//! Rebalance callbacks only queue [`Event`]s. An assigned shard starts paused and unread
//! until the worker has found its position; a revoked one stays ours until the worker gives it
//! back, so that what is pending is written first.

use crate::config::Config;
use crate::error::Result;
use crate::segment::{Offset, ShardId};
use std::time::Duration;

/// What a poll brought.
pub enum Event<'c> {
    Message(Message<'c>),
    /// All that the shard's partition held has been read (PARTITION_EOF).
    CaughtUp(ShardId),
    /// These are ours now; each is paused until `start`.
    Assigned(Vec<ShardId>),
    /// The group wants these back: finish, then `give_back`. When `lost`, they are gone already.
    Revoked {
        shards: Vec<ShardId>,
        lost: bool,
    },
    /// Retention has eaten what stood at the position: count the gap, go on at `earliest`.
    OutOfRange {
        shard: ShardId,
    },
    /// Kafka is away or refuses; the client goes on trying by itself.
    Trouble(String),
    /// This will not mend itself: leave with the error.
    Fatal(crate::error::Error),
}

/// One input message, borrowed from the client's buffer.
pub struct Message<'c> {
    pub shard: ShardId,
    pub offset: Offset,
    /// Broker or producer time, ms since the epoch.
    pub timestamp_ms: Option<i64>,
    // private: the BorrowedMessage
    _message: std::marker::PhantomData<&'c ()>,
}

impl Message<'_> {
    /// `None` for a tombstone.
    pub fn payload(&self) -> Option<&[u8]> {
        todo!()
    }

    pub fn key(&self) -> Option<&[u8]> {
        todo!()
    }

    pub fn headers(&self) -> Vec<(&str, Option<&[u8]>)> {
        todo!()
    }
}

/// What the group has committed for a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: Offset,
    pub metadata: String,
}

pub struct Consumer {}

impl Consumer {
    /// Joins the group (or takes the fixed `partitions`). `worker` is the ingest's number.
    pub fn open(_config: &Config, _worker: usize) -> Result<Consumer> {
        todo!()
    }

    /// The cluster's id, `None` while no broker has answered.
    pub fn cluster_id(&self, _wait: Duration) -> Option<String> {
        todo!()
    }

    /// The next thing that happened, waiting at most `wait`.
    pub fn poll(&self, _wait: Duration) -> Option<Event<'_>> {
        todo!()
    }

    /// Sets the read position of assigned shards and lets them flow. Answers which of them
    /// could be set; the others (fetcher not ready yet) are tried again by the caller.
    pub fn start(&self, _positions: &[(ShardId, Offset)], _wait: Duration) -> Result<Vec<ShardId>> {
        todo!()
    }

    pub fn pause(&self, _shards: &[ShardId]) -> Result<()> {
        todo!()
    }

    pub fn resume(&self, _shards: &[ShardId]) -> Result<()> {
        todo!()
    }

    /// Completes a revocation: the shards may go to another member.
    pub fn give_back(&self, _shards: &[ShardId]) -> Result<()> {
        todo!()
    }

    /// The group's committed offsets. `None` only when the broker says "nothing committed".
    pub fn committed(
        &self,
        _shards: &[ShardId],
        _wait: Duration,
    ) -> Result<Vec<(ShardId, Option<Committed>)>> {
        todo!()
    }

    /// Where `start-from` points to in a shard: the very first start of a group.
    pub fn start_from(&self, _shard: ShardId, _wait: Duration) -> Result<Offset> {
        todo!()
    }

    /// Lowest and next offset of a shard's partition.
    pub fn watermarks(&self, _shard: ShardId, _wait: Duration) -> Result<(Offset, Offset)> {
        todo!()
    }

    /// Commits offsets with metadata. `wait`: synchronous (at start and stop).
    pub fn commit(&self, _commits: &[(ShardId, Committed)], _wait: bool) -> Result<()> {
        todo!()
    }

    /// Leaves in order: hands in what is left to hand in, then closes, bounded by `wait`.
    pub fn close(self, _wait: Duration) {
        todo!()
    }
}
