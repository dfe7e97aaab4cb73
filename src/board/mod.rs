//! What both stories share: words in shared memory, one writer each (P4).
//!
//! A board is made anew at every start; one left by a crash is unlinked first, so that a
//! straggler writes into its orphan. No lock lives here: a process can die at any instruction
//! and the board stays readable.
#![forbid(unsafe_code)]

pub mod words;

use crate::segment::{Offset, ShardId};
use words::{OwnershipWord, ShardWord, WorkerWord};

/// The board as this process maps it.
pub struct Board {}

/// One worker's slot.
#[derive(Clone, Copy)]
pub struct WorkerSlot<'b> {
    _board: &'b Board,
}

/// One shard's slot.
#[derive(Clone, Copy)]
pub struct ShardSlot<'b> {
    _board: &'b Board,
}

/// What one ingest worker says of one shard.
#[derive(Clone, Copy)]
pub struct OwnershipRow<'b> {
    _board: &'b Board,
}

impl Board {
    /// Shards that have a slot: numbers below this.
    pub fn max_shards(&self) -> u32 {
        todo!()
    }

    pub fn ingest(&self, _number: usize) -> WorkerSlot<'_> {
        todo!()
    }

    pub fn flusher(&self, _number: usize) -> WorkerSlot<'_> {
        todo!()
    }

    pub fn ingests(&self) -> usize {
        todo!()
    }

    pub fn flushers(&self) -> usize {
        todo!()
    }

    /// `None` when the shard's number has no slot on this board.
    pub fn shard(&self, _shard: ShardId) -> Option<ShardSlot<'_>> {
        todo!()
    }

    pub fn ownership(&self, _ingest: usize, _shard: ShardId) -> Option<OwnershipRow<'_>> {
        todo!()
    }

    /// Whether the supervisor is winding down.
    pub fn stopping(&self) -> bool {
        todo!()
    }
}

impl WorkerSlot<'_> {
    pub fn get(&self, _word: WorkerWord) -> u64 {
        todo!()
    }

    pub fn set(&self, _word: WorkerWord, _value: u64) {
        todo!()
    }

    pub fn add(&self, _word: WorkerWord, _more: u64) {
        todo!()
    }

    /// Counts one lateness in ms (acknowledged minus due) in the worker's histogram.
    pub fn late(&self, _ms: u64) {
        todo!()
    }
}

impl ShardSlot<'_> {
    pub fn get(&self, _word: ShardWord) -> u64 {
        todo!()
    }

    pub fn set(&self, _word: ShardWord, _value: u64) {
        todo!()
    }

    pub fn add(&self, _word: ShardWord, _more: u64) {
        todo!()
    }

    /// An offset word, `None` when not known.
    pub fn offset(&self, _word: ShardWord) -> Option<Offset> {
        todo!()
    }

    pub fn set_offset(&self, _word: ShardWord, _offset: Option<Offset>) {
        todo!()
    }

    /// The flusher that holds the shard.
    pub fn holder(&self) -> Option<usize> {
        todo!()
    }

    /// Takes the shard for `flusher` if it is free; says whether it did.
    pub fn take(&self, _flusher: usize) -> bool {
        todo!()
    }

    /// Gives the shard back if `flusher` holds it.
    pub fn give_back(&self, _flusher: usize) -> bool {
        todo!()
    }
}

impl OwnershipRow<'_> {
    pub fn get(&self, _word: OwnershipWord) -> u64 {
        todo!()
    }

    pub fn set(&self, _word: OwnershipWord, _value: u64) {
        todo!()
    }
}
