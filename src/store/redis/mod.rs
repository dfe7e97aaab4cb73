//! The store in Redis: keys and scripts on one side, the contract of `Store` on the other.
//!
//! Redis holds bytes and who owns them, not the structure of traces. Payload never passes through
//! a script: values are written by plain SETs and counted by tiny scripts that declare every
//! key. Whatever was answered or not, every call may be repeated.

mod link;
mod parse;
mod range;
mod view;

use super::keys;
use super::{
    Append, Appended, Begun, Clean, Epoch, Fenced, FoundEach, Identity, Life, Listed,
    SETTLE_BATCHES_MAX, Settled, State, Store, Taken,
};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::segment::batch::Block;
use crate::segment::index::BatchMarks;
use crate::segment::{BatchId, Offset, ShardId};
use crate::sys::time;
use link::{Command, Link, Reply};
use parse::hex;
use range::Range;
use std::time::Duration;
pub use view::ShardKeys;

/// How often a server that did not evict is asked again.
const EVICTION_INTERVAL: Duration = Duration::from_secs(60);

/// A script file, loaded once per server and again after NOSCRIPT.
#[derive(Clone, Copy)]
enum Script {
    Append,
    Begin,
    Take,
    Settle,
    Clean,
    Drop,
}

const SCRIPTS: [&str; 6] = [
    include_str!("../append.lua"),
    include_str!("../begin.lua"),
    include_str!("../take.lua"),
    include_str!("../settle.lua"),
    include_str!("../clean.lua"),
    include_str!("../drop.lua"),
];

pub struct RedisStore {
    link: Link,
    namespace: String,
    ttl_s: String,
    /// Digests by script, for the connection that they were loaded on.
    digests: Vec<String>,
    loaded_on: u64,
    /// When the server was last seen not to evict; `None` before the first time.
    sound_at: Option<Duration>,
    /// For those who look: no script is loaded, so none can be called.
    looks_only: bool,
}

/// Memory of the server: what it uses, and its `maxmemory` (0: no limit).
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub used_bytes: u64,
    pub max_bytes: u64,
    /// Memory of the machine that it runs on.
    pub host_bytes: u64,
}

impl Memory {
    /// The bound: its own limit, or the machine's memory where it has none; 0 is unknown.
    pub fn limit_bytes(&self) -> u64 {
        if self.max_bytes > 0 { self.max_bytes } else { self.host_bytes }
    }

    /// What is used of the bound; 0 where that is unknown.
    pub fn used_percentage(&self) -> u64 {
        let share = u128::from(self.used_bytes) * 100;
        share.checked_div(self.limit_bytes().into()).map_or(0, |share| share as u64)
    }
}

impl RedisStore {
    /// Opens without connecting: a Redis that is down is found out by the first call.
    pub fn open(config: &Config) -> Result<RedisStore> {
        Ok(RedisStore {
            link: Link::open(config)?,
            namespace: config.namespace.clone(),
            ttl_s: config.redis_ttl.as_secs().max(1).to_string(),
            digests: Vec::new(),
            loaded_on: 0,
            sound_at: None,
            looks_only: false,
        })
    }

    /// The same for a server that was sound for whoever is replaced.
    pub fn open_again(config: &Config) -> Result<RedisStore> {
        Ok(RedisStore { sound_at: Some(Duration::ZERO), ..RedisStore::open(config)? })
    }

    /// For calls that read and no others; see `view.rs`.
    pub fn open_to_look(config: &Config) -> Result<RedisStore> {
        Ok(RedisStore { looks_only: true, ..RedisStore::open(config)? })
    }

    /// Which connection the next call goes over: on another one may be another server, or an
    /// older state of this one. `None`: it will be a new one.
    pub fn connection(&self) -> Option<u64> {
        self.link.current()
    }

    /// From now on no call lasts past `until` (monotonic): the process ends.
    pub fn end_by(&mut self, until: Duration) {
        self.link.end_by(until);
    }

    /// What INFO says of the server's memory.
    pub fn memory(&mut self) -> Result<Memory> {
        self.link.begin();
        let info = self.info()?;
        let number = |key| parse::info(&info, key).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Memory {
            used_bytes: number("used_memory"),
            max_bytes: number("maxmemory"),
            host_bytes: number("total_system_memory"),
        })
    }

    fn info(&mut self) -> Result<String> {
        let reply = self.link.call(&[Command::new("INFO").arg("memory")])?.pop();
        match reply {
            Some(Reply::Bytes(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            other => Err(self.unexpected("INFO memory", other.as_ref())),
        }
    }

    /// The server must not evict our keys, which may change under us, and must know our scripts,
    /// which are loaded on every new connection.
    fn prepare(&mut self) -> Result<()> {
        self.link.connect()?;
        if self.looks_only {
            return Ok(());
        }
        let now = time::monotonic();
        let is_new = self.loaded_on != self.link.connections;
        if is_new || self.sound_at.is_none_or(|at| now.saturating_sub(at) >= EVICTION_INTERVAL) {
            self.check_eviction(now)?;
        }
        if is_new {
            self.load_scripts()?;
            self.loaded_on = self.link.connections;
        }
        Ok(())
    }

    /// At the start a server that may evict is an error of the configuration. One that was sound
    /// before is waited for: everything pauses until somebody mends it.
    fn check_eviction(&mut self, now: Duration) -> Result<()> {
        let info = self.info()?;
        match parse::check_eviction(&info, &self.link.address) {
            Ok(()) => {
                self.sound_at = Some(now);
                Ok(())
            }
            Err(error) if self.sound_at.is_some() => {
                // Asked again by the next call, not in a minute.
                self.sound_at = Some(Duration::ZERO);
                Err(Error::temporary(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    fn load_scripts(&mut self) -> Result<()> {
        let load = |source: &&str| Command::new("SCRIPT").arg("LOAD").arg(source);
        let commands: Vec<Command> = SCRIPTS.iter().map(load).collect();
        self.digests.clear();
        for reply in self.link.call(&commands)? {
            match reply.text() {
                Some(digest) => self.digests.push(digest.to_owned()),
                None => return Err(self.unexpected("SCRIPT LOAD", Some(&reply))),
            }
        }
        Ok(())
    }

    /// Calls; when the server has forgotten the scripts (restart, failover, SCRIPT FLUSH), loads
    /// them and calls the whole again: a script cannot be mended inside a pipeline, and every
    /// call may be repeated.
    fn call(&mut self, make: impl Fn(&RedisStore) -> Vec<Command>) -> Result<Vec<Reply>> {
        self.link.begin();
        self.prepare()?;
        let commands = make(self);
        let replies = self.link.call(&commands)?;
        let forgotten =
            |reply: &Reply| matches!(reply, Reply::Refused { code, .. } if code == "NOSCRIPT");
        if !replies.iter().any(forgotten) {
            return Ok(replies);
        }
        // Their batches need not be there twice.
        drop(commands);
        self.load_scripts()?;
        let commands = make(self);
        self.link.call(&commands)
    }

    fn script(&self, script: Script, keys: &[String]) -> Command {
        let digest = self.digests.get(script as usize).map_or("", String::as_str);
        Command::new("EVALSHA").arg(digest).arg(keys.len().to_string()).args(keys)
    }

    /// `p`, `l` and `d` of a shard, then the values of these batches.
    fn keys(&self, shard: ShardId, batches: impl IntoIterator<Item = BatchId>) -> Vec<String> {
        let ns = &self.namespace;
        let mut all = vec![keys::position(ns, shard), keys::live(ns, shard), keys::done(ns, shard)];
        all.extend(batches.into_iter().map(|id| keys::batch(ns, shard, id)));
        all
    }

    fn set(&self, shard: ShardId, id: BatchId, value: &[u8]) -> Command {
        let key = keys::batch(&self.namespace, shard, id);
        Command::new("SET").arg(key).arg(value).arg("EX").arg(&self.ttl_s)
    }

    /// What cannot be answered as a condition: an error that names the remedy where there is one.
    fn unexpected(&self, doing: &str, reply: Option<&Reply>) -> Error {
        parse::unexpected(doing, &self.link.address, reply)
    }

    fn append_commands(&self, append: &Append) -> Vec<Command> {
        let ns = &self.namespace;
        let p = keys::position(ns, append.shard);
        let l = keys::live(ns, append.shard);
        let b = match &append.batch {
            Some(batch) => keys::batch(ns, append.shard, batch.header.id),
            None => p.clone(),
        };
        let script = self
            .script(Script::Append, &[p, l, b])
            .arg(hex(append.life.0))
            .arg(append.position.to_string())
            .arg(append.tip.map_or(String::new(), |tip| tip.to_string()))
            .arg(append.next.to_string())
            .arg(append.clock.0.to_string())
            .arg(&self.ttl_s);
        match &append.batch {
            None => vec![script],
            Some(batch) => {
                let id = batch.header.id;
                let script = script
                    .arg(id.to_string())
                    .arg(batch.value.len().to_string())
                    .arg(parse::member(id, batch.header_bytes))
                    .arg(batch.header.spans.len().to_string());
                vec![self.set(append.shard, id, &batch.value), script]
            }
        }
    }

    fn appended(&self, shard: ShardId, set: Option<Reply>, script: &Reply) -> Result<Appended> {
        if let Some(Reply::Refused { code, text }) = &set
            && !parse::is_passing(code)
        {
            return Err(self.unexpected(&format!("append to shard {shard} ({text})"), set.as_ref()));
        }
        let refused_set = match set {
            Some(Reply::Refused { code, text }) => Some(text + parse::remedy(&code)),
            _ => None,
        };
        match (parse::answer(script), script) {
            (Some("done"), _) => Ok(Appended::Done),
            (Some("lost"), _) => Ok(Appended::Lost),
            (Some("stale"), _) => Ok(Appended::Stale),
            (Some("novalue"), _) => Ok(Appended::Refused(
                refused_set.unwrap_or_else(|| "the batch's value did not stay".to_owned()),
            )),
            (_, Reply::Refused { code, text }) if parse::is_passing(code) => {
                Ok(Appended::Refused(format!("{text}{}", parse::remedy(code))))
            }
            _ => Err(self.unexpected(&format!("append to shard {shard}"), Some(script))),
        }
    }

    fn fenced(&self, doing: &str, shard: ShardId, reply: Option<&Reply>) -> Result<Fenced> {
        match reply.and_then(parse::answer) {
            Some("done") => Ok(Fenced::Done),
            Some("refused") => Ok(Fenced::Refused),
            _ => Err(self.unexpected(&format!("{doing} in shard {shard}"), reply)),
        }
    }

    /// What values of batches hold in these ranges, each as it comes: less where one ends before.
    fn ranges<'r>(
        &mut self,
        wanted: impl Iterator<Item = &'r Range>,
        mut each: impl FnMut(usize, Vec<u8>),
    ) -> Result<()> {
        let mut wanted = wanted.peekable();
        if wanted.peek().is_none() {
            return Ok(());
        }
        self.link.begin();
        self.prepare()?;
        let namespace = &self.namespace;
        let commands = wanted.map(|range| {
            Command::new("GETRANGE")
                .arg(keys::batch(namespace, range.shard, range.batch))
                .arg(range.start.to_string())
                .arg(range.end.saturating_sub(1).to_string())
        });
        let mut refused = None;
        let mut nth = 0;
        self.link.call_each(commands, |reply| {
            match reply {
                Reply::Bytes(found) => each(nth, found),
                Reply::Nil => each(nth, Vec::new()),
                other => refused = Some(other),
            }
            nth += 1;
        })?;
        match refused {
            None => Ok(()),
            refused => Err(self.unexpected("read a batch", refused.as_ref())),
        }
    }
}

impl Store for RedisStore {
    fn look(&mut self, shards: &[ShardId]) -> Result<Vec<Option<State>>> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        let replies = self.call(|store| {
            let get = |shard: &ShardId| {
                Command::new("HGETALL").arg(keys::position(&store.namespace, *shard))
            };
            shards.iter().map(get).collect()
        })?;
        let states = replies.iter().zip(shards);
        states
            .map(|(reply, shard)| match parse::state(reply) {
                Some(state) => Ok(state),
                None => Err(self.unexpected(&format!("look at shard {shard}"), Some(reply))),
            })
            .collect()
    }

    fn begin(
        &mut self,
        shard: ShardId,
        identity: &Identity,
        life: Life,
        position: Offset,
        replaces: Option<Life>,
    ) -> Result<Begun> {
        let replies = self.call(|store| {
            vec![
                store
                    .script(Script::Begin, &store.keys(shard, []))
                    .arg(hex(life.0))
                    .arg(position.to_string())
                    .arg(replaces.map_or(String::new(), |life| hex(life.0)))
                    .args([&identity.cluster, &identity.topic, &identity.group, &store.ttl_s]),
            ]
        })?;
        let doing = format!("begin a life in shard {shard}");
        match replies.first() {
            Some(Reply::List(parts)) => match (parts.first().and_then(Reply::text), parts.get(1)) {
                (Some(answer), Some(found)) => match parse::state(found).flatten() {
                    // Found under our own life: an earlier try whose reply was lost.
                    Some(state) if answer == "new" || state.life == life => Ok(Begun::New(state)),
                    Some(state) => Ok(Begun::Found(state)),
                    None => Err(self.unexpected(&doing, Some(found))),
                },
                _ => Err(self.unexpected(&doing, replies.first())),
            },
            other => Err(self.unexpected(&doing, other)),
        }
    }

    fn append(&mut self, appends: &[Append]) -> Result<Vec<Appended>> {
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        let replies = self.call(|store| {
            appends.iter().flat_map(|append| store.append_commands(append)).collect()
        })?;
        let mut replies = replies.into_iter();
        let mut answers = Vec::with_capacity(appends.len());
        for append in appends {
            let set = append.batch.as_ref().and_then(|_| replies.next());
            let Some(script) = replies.next() else {
                return Err(self.unexpected("append", None));
            };
            answers.push(self.appended(append.shard, set, &script)?);
        }
        Ok(answers)
    }

    fn take(&mut self, shard: ShardId, epoch: Epoch) -> Result<Option<Taken>> {
        let replies = self.call(|store| {
            let command = store.script(Script::Take, &store.keys(shard, []));
            vec![command.arg(hex(epoch.0)).arg(&store.ttl_s)]
        })?;
        match replies.first().and_then(parse::taken) {
            Some(taken) => Ok(taken),
            None => Err(self.unexpected(&format!("take shard {shard}"), replies.first())),
        }
    }

    fn list(&mut self, shard: ShardId, from: Offset) -> Result<Vec<Listed>> {
        let replies = self.call(|store| {
            vec![Command::new("ZRANGEBYSCORE").arg(keys::live(&store.namespace, shard)).args([
                &from.to_string(),
                "+inf",
                "WITHSCORES",
            ])]
        })?;
        match replies.first().and_then(parse::listed) {
            Some(listed) => Ok(listed),
            None => Err(self.unexpected(&format!("list shard {shard}"), replies.first())),
        }
    }

    fn headers(&mut self, shard: ShardId, listed: &[Listed]) -> Result<Vec<Option<Vec<u8>>>> {
        let range = |one: &Listed| Range::new(shard, one.id, 0, one.header_bytes);
        let wanted: Vec<Range> = listed.iter().map(range).collect();
        let mut headers = Vec::with_capacity(wanted.len());
        self.ranges(wanted.iter(), |nth, bytes| {
            headers.push((bytes.len() == wanted[nth].len()).then_some(bytes));
        })?;
        Ok(headers)
    }

    fn fetch(&mut self, wanted: &[(ShardId, BatchId, Block)], each: FoundEach<'_>) -> Result<()> {
        let range = |(shard, id, block): &(ShardId, BatchId, Block)| {
            Range::new(*shard, *id, block.at, block.stored_bytes)
        };
        let wanted: Vec<Range> = wanted.iter().map(range).collect();
        let runs = range::joined(&wanted);
        self.ranges(runs.iter().map(|run| &run.range), |nth, bytes| {
            let run = &runs[nth];
            for (place, found) in range::apart(&wanted, run, &bytes).enumerate() {
                each(run.first + place, found);
            }
        })
    }

    fn settle(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        marks: &[BatchMarks],
        settled: &Settled,
    ) -> Result<Fenced> {
        debug_assert!(marks.len() <= SETTLE_BATCHES_MAX, "a settle of {} batches", marks.len());
        // To the script no marks mean that nothing is left: a batch without any is not told of.
        let told = |marks: &&BatchMarks| marks.done || !marks.marks.0.is_empty();
        let marks: Vec<&BatchMarks> = marks.iter().filter(told).collect();
        let replies = self.call(|store| {
            let ids = marks.iter().map(|marks| marks.batch);
            let mut command = store
                .script(Script::Settle, &store.keys(shard, ids))
                .arg(hex(epoch.0))
                .arg(&store.ttl_s)
                .args(settled.values().map(|sum| sum.to_string()));
            for marks in &marks {
                let bits: &[u8] = if marks.done { b"" } else { &marks.marks.0 };
                command = command
                    .arg(marks.batch.to_string())
                    .arg(parse::member(marks.batch, marks.header_bytes))
                    .arg(bits);
            }
            vec![command]
        })?;
        self.fenced("settle", shard, replies.first())
    }

    fn clean(&mut self, clean: &Clean) -> Result<Fenced> {
        let carry = &clean.carry;
        let replies = self.call(|store| {
            let from = clean.from.iter().map(|(listed, _)| listed.id);
            let ids = std::iter::once(carry.header.id).chain(from);
            let mut command = store
                .script(Script::Clean, &store.keys(clean.shard, ids))
                .arg(hex(clean.epoch.0))
                .arg(&store.ttl_s)
                .arg(carry.value.len().to_string())
                .arg(parse::member(carry.header.id, carry.header_bytes))
                .arg(carry.header.start.to_string());
            for (listed, marks) in &clean.from {
                command = command
                    .arg(listed.id.to_string())
                    .arg(parse::member(listed.id, listed.header_bytes))
                    .arg(&marks.0);
            }
            vec![store.set(clean.shard, carry.header.id, &carry.value), command]
        })?;
        // A refused value says more than the script that did not find it.
        match replies.first() {
            Some(refused @ Reply::Refused { .. }) => {
                Err(self.unexpected(&format!("clean in shard {}", clean.shard), Some(refused)))
            }
            _ => self.fenced("clean", clean.shard, replies.get(1)),
        }
    }

    fn renew(&mut self, shard: ShardId, batches: &[BatchId]) -> Result<()> {
        let replies = self.call(|store| {
            let keys = store.keys(shard, batches.iter().copied()).into_iter();
            keys.map(|key| Command::new("EXPIRE").arg(key).arg(&store.ttl_s)).collect()
        })?;
        match replies.iter().find(|reply| matches!(reply, Reply::Refused { .. })) {
            Some(refused) => {
                Err(self.unexpected(&format!("renew the keys of shard {shard}"), Some(refused)))
            }
            None => Ok(()),
        }
    }

    fn drop_life(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        life: Life,
        batches: &[BatchId],
    ) -> Result<Fenced> {
        // Batches beyond the bound are left to their time to live.
        let known = &batches[..batches.len().min(SETTLE_BATCHES_MAX)];
        let replies = self.call(|store| {
            let command = store.script(Script::Drop, &store.keys(shard, known.iter().copied()));
            vec![command.arg(hex(epoch.0)).arg(hex(life.0))]
        })?;
        self.fenced("drop the life", shard, replies.first())
    }
}
