//! Cleaning: what is left of sparse batches, on its way into one batch outside the chain.
//!
//! Chunks move as they are. Which batches are worth it is decided by the index, whether the
//! store agrees by its script (P7).

use super::Desk;
use super::bodies::Bodies;
use super::headers::{header_pages, read_header};
use crate::error::Result;
use crate::segment::batch::{self, CarriedChunk};
use crate::segment::index::{ChunkRef, Index, Marks};
use crate::segment::{BatchId, EventMs, Offset, ShardId};
use crate::store::{Listed, Store};
use crate::sys::random;
use std::collections::BTreeMap;

/// A cleaning in the making: which batches, and which of their chunks are alive.
pub struct Carry {
    pub from: Vec<(Listed, Marks)>,
    pub chunks: Vec<ChunkRef>,
}

impl Carry {
    pub fn plan(index: &Index, sparse: &[BatchId]) -> Option<Carry> {
        let mut carry = Carry { from: Vec::new(), chunks: Vec::new() };
        for &batch in sparse {
            let (chunks, marks) = index.live(batch)?;
            let listed = Listed { id: batch, header_bytes: marks.header_bytes, first: Offset(0) };
            carry.from.push((listed, marks.marks));
            carry.chunks.extend(chunks);
        }
        Some(carry)
    }

    /// Reads the live chunks and packs them under a new id. `None` when something is missing.
    pub fn pack(
        &self,
        desk: &mut Desk<'_>,
        shard: ShardId,
        index: &Index,
    ) -> Result<Option<batch::Batch>> {
        let listed: Vec<Listed> = self.from.iter().map(|(listed, _)| *listed).collect();
        let mut headers = BTreeMap::new();
        for page in header_pages(&listed) {
            for (listed, bytes) in page.iter().zip(desk.store.headers(shard, page)?) {
                let Some(header) = read_header(bytes.as_deref()) else { return Ok(None) };
                headers.insert(listed.id, header);
            }
            desk.berth.beat();
        }
        let mut bodies = Bodies::default();
        if !bodies.read(desk, shard, &self.chunks)? {
            return Ok(None);
        }
        let mut carried = Vec::with_capacity(self.chunks.len());
        for (place, chunk) in self.chunks.iter().enumerate() {
            let header = &headers[&chunk.batch];
            let Some(head) = header.chunks.get(chunk.ordinal as usize) else { return Ok(None) };
            let Some(body) = bodies.get(place) else { return Ok(None) };
            carried.push(CarriedChunk { head, spans: header.spans_of(head), body });
        }
        let at = index.indexed_ms().unwrap_or(EventMs(0));
        let id = BatchId(random::bits128()?);
        Ok(Some(batch::pack_carry(id, at, &carried, desk.config.compression)))
    }
}
