//! What flows and what waits: holders, backpressure and memory decide, per shard.

use super::desk::{Desk, HOLDER_GRACE, KAFKA_WAIT};
use super::pressure::Facts;
use super::shard::Phase;
use crate::board::words::{Paused, ShardWord, WorkerWord};
use crate::board::{Board, ShardSlot};
use crate::config::Config;
use crate::error::Result;
use crate::kafka::consumer::Consumer;
use crate::segment::{EventMs, Offset, ShardId};
use crate::sys::time;
use crate::worker::is_above;
use std::time::Duration;

impl Desk<'_> {
    /// Decides which shards may not be read, and says so once per change.
    pub(super) fn hold_back(&mut self, now: Duration) {
        let board = self.berth.board;
        for shard in self.shards.values_mut() {
            let Some(slot) = board.shard(shard.id) else { continue };
            let held = now.saturating_sub(shard.held_at) <= HOLDER_GRACE;
            let facts = facts(self.config, board, slot);
            let behind = shard.pressure.holds(&facts, self.config.backpressure, now);
            let hold = match () {
                () if !held => Some(Paused::NoHolder),
                () if self.memory_short => Some(Paused::Memory),
                () if behind => Some(Paused::Backpressure),
                () => None,
            };
            if hold != shard.hold && (held || shard.hold.is_some()) {
                say_hold(shard.id, hold);
            }
            shard.hold = hold;
        }
    }

    /// Whether the store's memory is short: of its own limit, or of the host's where it has none;
    /// never where neither is known. A store that refuses appends for want of memory does answer,
    /// so it is asked all the same.
    pub(super) fn look_at_memory(&mut self) {
        if !self.memory_short && !self.store_backoff.is_over(time::monotonic()) {
            return;
        }
        let Ok(memory) = self.store.memory() else {
            self.memory_short = false;
            return self.store_backoff.failed(time::monotonic());
        };
        let percentage = self.config.max_memory_percentage.into();
        let used = memory.used_percentage();
        self.memory_short = is_above(percentage, 100, used, self.memory_short);
    }

    /// Starts what is found and held, pauses what may not flow.
    pub(super) fn flow(&mut self, consumer: &Consumer) -> Result<()> {
        let mut start = Vec::new();
        let mut pause = Vec::new();
        let now = time::monotonic();
        for shard in self.shards.values_mut() {
            let idle = shard.is_idle();
            match shard.phase {
                Phase::Starting if shard.hold.is_none() => {
                    start.push((shard.id, shard.position));
                }
                Phase::Flowing if shard.hold.is_some() && idle => shard.phase = Phase::Starting,
                _ => {}
            }
            shard.stand_unless_flowing(now);
            if shard.open && shard.phase != Phase::Flowing {
                shard.open = false;
                pause.push(shard.id);
            }
        }
        if !pause.is_empty() {
            consumer.pause(&pause)?;
        }
        self.start(consumer, &start)
    }

    fn start(&mut self, consumer: &Consumer, positions: &[(ShardId, Offset)]) -> Result<()> {
        let stranded =
            |(id, _): &(ShardId, Offset)| self.shards.get(id).is_some_and(|shard| shard.stranded);
        let (stranded, sound): (Vec<_>, Vec<_>) = positions.iter().copied().partition(stranded);
        let mut started = Vec::new();
        if !stranded.is_empty() {
            consumer.restart(&stranded)?;
            started.extend(stranded.iter().map(|(id, _)| *id));
        }
        if !sound.is_empty() {
            match consumer.start(&sound, KAFKA_WAIT) {
                Ok(ready) => started.extend(ready),
                Err(error) => self.troubles.warn("cannot seek to the positions", &error),
            }
        }
        for id in started {
            if let Some(shard) = self.shards.get_mut(&id) {
                shard.phase = Phase::Flowing;
                shard.open = true;
                shard.stranded = false;
            }
        }
        Ok(())
    }
}

/// What the board says of the flusher behind a shard.
fn facts(config: &Config, board: &Board, slot: ShardSlot<'_>) -> Facts {
    let event_ms = |word| match slot.get(word) {
        0 => None,
        at => Some(EventMs(at as i64)),
    };
    let index_bytes = |flusher| board.flusher(flusher).get(WorkerWord::IndexBytes);
    Facts {
        clock: event_ms(ShardWord::Clock),
        next_due: event_ms(ShardWord::NextDueMs),
        position: slot.offset(ShardWord::Position),
        indexed: slot.offset(ShardWord::Indexed),
        index_bytes: slot.holder().map_or(0, index_bytes),
        max_index_bytes: config.max_index_bytes,
    }
}

fn say_hold(id: ShardId, hold: Option<Paused>) {
    match hold {
        None => log::info!("shard {id} is being read"),
        Some(Paused::NoHolder) => log::info!("shard {id} is paused: no flusher holds it"),
        Some(Paused::Memory) => log::warn!(
            "shard {id} is paused: Redis uses more than max-memory-percentage of its memory; \
             raise maxmemory or add room"
        ),
        Some(_) => log::warn!("shard {id} is paused: its flusher does not keep up"),
    }
}
