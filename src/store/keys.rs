//! The names of the Redis keys, and nothing else.
//!
//! All keys of a shard share the hash tag `{S}`, so that they live on one node of a cluster.

use crate::segment::{BatchId, ShardId};

/// `p`: life, position, tip, clock, epoch, counters (hash).
pub fn position(namespace: &str, shard: ShardId) -> String {
    format!("{namespace}:{{{shard}}}:p")
}

/// `l`: live batches by first offset (zset; member `ID:HEADER-BYTES`).
pub fn live(namespace: &str, shard: ShardId) -> String {
    format!("{namespace}:{{{shard}}}:l")
}

/// `d`: batch id to marks, the settled chunks (hash).
pub fn done(namespace: &str, shard: ShardId) -> String {
    format!("{namespace}:{{{shard}}}:d")
}

/// `b:ID`: one batch (string).
pub fn batch(namespace: &str, shard: ShardId, id: BatchId) -> String {
    format!("{namespace}:{{{shard}}}:b:{id}")
}
