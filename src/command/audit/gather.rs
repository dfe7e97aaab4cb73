//! The evidence: what Kafka and Redis say of each shard, in an order that a working daemon
//! cannot make contradict itself.
//!
//! The committed offset is read before Redis and the partition's end after it: floor and
//! position only grow. A shard's own keys are read in one step; values that have gone since
//! then are asked for again with the whole shard.

use super::judge::{Batch, Evidence, Finding, Orphan, judge};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kafka::consumer::Consumer;
use crate::segment::batch;
use crate::segment::{BatchId, Offset, ShardId};
use crate::store::redis::{RedisStore, ShardKeys};
use crate::store::{Identity, Listed, Store, Taken};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// In place of a host in the client's name: it is no member of the group.
const HOST: &str = "audit";

/// Bound of one question to Kafka.
const KAFKA_WAIT: Duration = Duration::from_secs(10);

/// A shard whose values vanish while they are read is read again this often.
const TRIES: usize = 5;

/// Headers asked for in one round trip.
const HEADERS_PER_PAGE: usize = 256;

/// Every partition of the topic, and every shard that Redis has keys of.
pub fn all(config: &Config) -> Result<Vec<Finding>> {
    // Never dropped: that may wait for brokers that do not answer.
    let consumer = std::mem::ManuallyDrop::new(Consumer::create(config, HOST, 0)?);
    let mut store = RedisStore::open_to_look(config)?;
    let partitions = consumer
        .partitions(KAFKA_WAIT)
        .map_err(|why| why.context(format!("bootstrap-servers = {}", config.bootstrap_servers)))?;
    let partitions: BTreeSet<ShardId> = partitions.into_iter().collect();
    let Some(cluster) = consumer.cluster_id(KAFKA_WAIT) else {
        return Err(Error::temporary("no broker has answered"));
    };
    let (topic, group) = (config.input_topic.clone(), config.group_id.clone());
    let identity = Identity { cluster, topic, group };
    let wanted: Vec<ShardId> = partitions.iter().copied().collect();
    let committed: BTreeMap<ShardId, Option<Offset>> = consumer
        .committed(&wanted, KAFKA_WAIT)?
        .into_iter()
        .map(|(shard, committed)| (shard, committed.map(|committed| committed.offset)))
        .collect();
    let keys = store.shard_keys()?;
    let shards: BTreeSet<ShardId> = partitions.iter().chain(keys.keys()).copied().collect();
    let nothing = ShardKeys::default();
    let mut findings = Vec::with_capacity(shards.len());
    for shard in shards {
        let keys = keys.get(&shard).unwrap_or(&nothing);
        let (taken, batches) = read(&mut store, shard)?;
        let range = match partitions.contains(&shard) {
            true => Some(consumer.watermarks(shard, KAFKA_WAIT)?),
            false => None,
        };
        let committed = committed.get(&shard).copied().flatten();
        let orphans = orphans(&mut store, shard, keys, taken.as_ref())?;
        let stray = keys.has_lists && taken.is_none();
        let namespace = config.namespace.clone();
        let evidence =
            Evidence { shard, range, committed, taken, batches, orphans, stray, namespace };
        findings.push(judge(&evidence, &identity, config.limits()));
    }
    Ok(findings)
}

/// A shard's keys and the headers of its batches.
fn read(store: &mut RedisStore, shard: ShardId) -> Result<(Option<Taken>, Vec<Batch>)> {
    for _ in 1..TRIES {
        let (taken, batches) = read_once(store, shard)?;
        if batches.iter().all(|batch| batch.is_ok()) {
            return Ok((taken, batches));
        }
    }
    read_once(store, shard)
}

fn read_once(store: &mut RedisStore, shard: ShardId) -> Result<(Option<Taken>, Vec<Batch>)> {
    let Some(taken) = store.see(shard)? else { return Ok((None, Vec::new())) };
    let mut batches = Vec::with_capacity(taken.listed.len());
    for page in taken.listed.chunks(HEADERS_PER_PAGE) {
        let ids: Vec<BatchId> = page.iter().map(|listed| listed.id).collect();
        let values = store.values(shard, &ids)?;
        let headers = store.headers(shard, page)?;
        for ((listed, header), value) in page.iter().zip(headers).zip(values) {
            batches.push(batch(listed, header.as_deref(), value.bytes));
        }
    }
    Ok((Some(taken), batches))
}

/// The header of a listed batch whose value is there as a whole.
fn batch(listed: &Listed, header: Option<&[u8]>, bytes: u64) -> Batch {
    let id = listed.id;
    if bytes == 0 {
        return Err(format!("batch {id} at offset {} is listed, its value is gone", listed.first));
    }
    let Some(header) = header else {
        return Err(format!("batch {id} ends within its header: {bytes} bytes are left"));
    };
    let header = batch::parse_header(header)
        .map_err(|damage| format!("the header of batch {id} cannot be read: {}", damage.what))?;
    let blocks: u64 = header.blocks.iter().map(|block| u64::from(block.stored_bytes)).sum();
    let whole = u64::from(listed.header_bytes) + blocks;
    if header.id != id {
        return Err(format!("the value of batch {id} is that of {}", header.id));
    }
    if bytes != whole {
        return Err(format!("batch {id} has {bytes} bytes, not {whole}"));
    }
    Ok(header)
}

/// Values that no list names, and that are still there.
fn orphans(
    store: &mut RedisStore,
    shard: ShardId,
    keys: &ShardKeys,
    taken: Option<&Taken>,
) -> Result<Vec<Orphan>> {
    let listed = taken.map_or(&[][..], |taken| &taken.listed);
    let listed: BTreeSet<BatchId> = listed.iter().map(|listed| listed.id).collect();
    let unlisted: Vec<BatchId> =
        keys.batches.iter().copied().filter(|id| !listed.contains(id)).collect();
    let mut orphans = Vec::new();
    for page in unlisted.chunks(HEADERS_PER_PAGE) {
        let values = store.values(shard, page)?;
        for (id, value) in page.iter().zip(values) {
            if value.bytes > 0 {
                orphans.push(Orphan { id: *id, bytes: value.bytes, expires: value.expires });
            }
        }
    }
    Ok(orphans)
}
