//! Redis for those who only look: nothing here writes, not even a time to live.

use super::link::{Command, Reply};
use super::{RedisStore, parse};
use crate::error::Result;
use crate::segment::{BatchId, ShardId};
use crate::store::{Taken, keys};
use std::collections::BTreeMap;

/// Keys asked for in one step of a scan.
const SCAN_STEP: &str = "1000";

/// Which keys of a shard there are.
#[derive(Clone, Debug, Default)]
pub struct ShardKeys {
    pub batches: Vec<BatchId>,
    /// Live batches or marks.
    pub has_lists: bool,
}

/// What there is of one batch's value: 0 bytes when it is not there.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    pub bytes: u64,
    pub expires: bool,
}

impl RedisStore {
    /// A shard's keys in one step, as `take` reads them; `None` where there is no life.
    pub fn see(&mut self, shard: ShardId) -> Result<Option<Taken>> {
        let replies = self.call(|store| {
            let namespace = &store.namespace;
            vec![
                Command::new("MULTI"),
                Command::new("HGETALL").arg(keys::position(namespace, shard)),
                Command::new("ZRANGE").arg(keys::live(namespace, shard)).args([
                    "0",
                    "-1",
                    "WITHSCORES",
                ]),
                Command::new("HGETALL").arg(keys::done(namespace, shard)),
                Command::new("EXEC"),
            ]
        })?;
        match replies.last().and_then(parse::taken) {
            Some(taken) => Ok(taken),
            None => Err(self.unexpected(&format!("look at shard {shard}"), replies.last())),
        }
    }

    /// Length and time to live of the values of batches.
    pub fn values(&mut self, shard: ShardId, ids: &[BatchId]) -> Result<Vec<Value>> {
        let replies = self.call(|store| {
            let both = |id: &BatchId| {
                let key = keys::batch(&store.namespace, shard, *id);
                [Command::new("STRLEN").arg(&key), Command::new("PTTL").arg(&key)]
            };
            ids.iter().flat_map(both).collect()
        })?;
        let value = |pair: &[Reply]| match pair {
            [Reply::Int(bytes), Reply::Int(ttl_ms)] => {
                Ok(Value { bytes: *bytes as u64, expires: *ttl_ms != -1 })
            }
            other => Err(self.unexpected("look at a batch", other.first())),
        };
        replies.chunks_exact(2).map(value).collect()
    }

    /// The keys of every shard under our namespace. A key that comes while this goes on may be
    /// missing.
    pub fn shard_keys(&mut self) -> Result<BTreeMap<ShardId, ShardKeys>> {
        let prefix = format!("{}:{{", self.namespace);
        let mut found: BTreeMap<ShardId, ShardKeys> = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let replies = self.call(|_| {
                let scan = Command::new("SCAN").arg(&cursor);
                vec![scan.arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(SCAN_STEP)]
            })?;
            let Some((next, names)) = replies.first().and_then(scanned) else {
                return Err(self.unexpected("list the keys", replies.first()));
            };
            for name in names {
                note(&mut found, name.strip_prefix(&prefix));
            }
            if next == "0" {
                return Ok(found);
            }
            cursor = next.to_owned();
        }
    }
}

fn scanned(reply: &Reply) -> Option<(&str, Vec<&str>)> {
    let Reply::List(parts) = reply else { return None };
    let [cursor, Reply::List(names)] = parts.as_slice() else { return None };
    Some((cursor.text()?, names.iter().filter_map(Reply::text).collect()))
}

/// Notes one key by what follows the namespace: `7}:p`, `7}:b:ID`.
fn note(found: &mut BTreeMap<ShardId, ShardKeys>, rest: Option<&str>) {
    let Some((shard, rest)) = rest.and_then(|rest| rest.split_once("}:")) else { return };
    let Ok(shard) = shard.parse() else { return };
    let keys = found.entry(ShardId(shard)).or_default();
    match rest {
        "l" | "d" => keys.has_lists = true,
        rest => keys.batches.extend(rest.strip_prefix("b:").and_then(BatchId::parse)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_name() {
        let mut found = BTreeMap::new();
        let id = BatchId(5);
        for name in [&format!("7}}:b:{id}"), "7}:p", "8}:l", "x}:l", "9"] {
            note(&mut found, Some(name));
        }
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [ShardId(7), ShardId(8)]);
        assert_eq!(found[&ShardId(7)].batches, [id]);
        assert!(found[&ShardId(8)].has_lists && !found[&ShardId(7)].has_lists);
    }
}
