//! Where a shard begins: asked of Kafka and of the store, decided once.
//!
//! The store is believed where it knows something; the committed offset is the floor, and where
//! the store knows nothing a new life begins there (P6).

use super::desk::{Desk, KAFKA_WAIT, committed};
use super::shard::Phase;
use crate::board::words::ShardWord;
use crate::error::{Error, Kind, Result};
use crate::kafka::consumer::Consumer;
use crate::segment::{Offset, ShardId};
use crate::store::{Begun, Identity, Life, State, Store};
use crate::sys::{random, time};
use std::time::Duration;

impl Desk<'_> {
    /// Asks Kafka and the store where the shards stand that nobody knows of yet.
    pub(super) fn find(&mut self, consumer: &Consumer, now: Duration) -> Result<()> {
        let wanted: Vec<ShardId> = self
            .shards
            .values()
            .filter(|shard| shard.phase == Phase::Finding && shard.held_at == now)
            .map(|shard| shard.id)
            .collect();
        if wanted.is_empty() || !self.kafka_backoff.is_over(now) || !self.store_backoff.is_over(now)
        {
            return Ok(());
        }
        match self.find_all(consumer, &wanted) {
            Ok(()) => {
                self.kafka_backoff.worked();
                Ok(())
            }
            Err(error) if error.kind() == Kind::Temporary => {
                if !self.store_backoff.is_failing() {
                    self.kafka_backoff.failed(time::monotonic());
                }
                self.troubles.warn("cannot find where to read", &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn find_all(&mut self, consumer: &Consumer, wanted: &[ShardId]) -> Result<()> {
        let identity = self.identity(consumer)?;
        let committed = consumer.committed(wanted, KAFKA_WAIT)?;
        let states = self.store.look(wanted);
        let states = states.inspect_err(|_| self.store_backoff.failed(time::monotonic()))?;
        self.store_backoff.worked();
        for ((id, committed), state) in committed.into_iter().zip(states) {
            let committed = committed.map(|committed| committed.offset);
            if let Some(state) = &state {
                check_identity(id, &state.identity, &identity, &self.config.namespace)?;
            }
            let state = self.settle_position(consumer, id, committed, state, &identity)?;
            self.adopt(id, &state);
            self.berth.beat();
        }
        Ok(())
    }

    /// Decides where a shard begins. The committed offset is the floor: without a life a new
    /// one begins there (P6), and a position below it means that all the store holds is delivered.
    fn settle_position(
        &mut self,
        consumer: &Consumer,
        id: ShardId,
        committed: Option<Offset>,
        state: Option<State>,
        identity: &Identity,
    ) -> Result<State> {
        let floor = match committed {
            Some(floor) => floor,
            None => self.first_floor(consumer, id, state.is_some())?,
        };
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.committed = Some(floor);
        }
        self.slot(id).set_offset(ShardWord::Committed, Some(floor));
        match state {
            Some(state) if committed.is_some() && state.position >= floor => Ok(state),
            state => self.begin(id, identity, floor, state.map(|state| state.life)),
        }
    }

    /// Nothing is committed: a group's very first start, or, where the store has a position, a
    /// topic that was deleted and made again. What it resolves to is committed before anything
    /// is read, so that a crash resolves it to the same.
    fn first_floor(&mut self, consumer: &Consumer, id: ShardId, again: bool) -> Result<Offset> {
        let floor = if again {
            log::warn!(
                "partition {id}: nothing is committed though the store has a position: the topic \
                 was made anew; reading from its beginning"
            );
            consumer.watermarks(id, KAFKA_WAIT)?.0
        } else {
            consumer.start_from(id, KAFKA_WAIT)?
        };
        consumer.commit(&[(id, committed(floor))], true)?;
        Ok(floor)
    }

    fn begin(
        &mut self,
        id: ShardId,
        identity: &Identity,
        floor: Offset,
        replaces: Option<Life>,
    ) -> Result<State> {
        let life = Life(random::bits128()?);
        match self.store.begin(id, identity, life, floor, replaces)? {
            Begun::New(state) => {
                self.slot(id).add(ShardWord::Lives, 1);
                log::info!("shard {id}: a new life begins at offset {floor}");
                Ok(state)
            }
            Begun::Found(state) => {
                check_identity(id, &state.identity, identity, &self.config.namespace)?;
                Ok(state)
            }
        }
    }

    fn adopt(&mut self, id: ShardId, state: &State) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.adopt(state);
            self.slot(id).set_offset(ShardWord::Position, Some(state.position));
        }
    }

    fn identity(&mut self, consumer: &Consumer) -> Result<Identity> {
        if let Some(identity) = &self.identity {
            return Ok(identity.clone());
        }
        let Some(cluster) = consumer.cluster_id(KAFKA_WAIT) else {
            return Err(Error::temporary("no broker has answered yet"));
        };
        let identity = Identity {
            cluster,
            topic: self.config.input_topic.clone(),
            group: self.config.group_id.clone(),
        };
        self.identity = Some(identity.clone());
        Ok(identity)
    }
}

/// Another cluster, topic or group under our keys is never taken over.
fn check_identity(id: ShardId, found: &Identity, ours: &Identity, namespace: &str) -> Result<()> {
    if found == ours {
        return Ok(());
    }
    Err(Error::config(format!(
        "the keys of shard {id} in namespace {namespace} belong to topic {} of cluster {}, read by \
         group {}; we read topic {} of cluster {} as group {}; give this instance a namespace of \
         its own",
        found.topic, found.cluster, found.group, ours.topic, ours.cluster, ours.group
    )))
}
