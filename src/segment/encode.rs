//! A due segment to output messages: splice, deduplicate, split, derive `flush_id`.
//!
//! Every span keeps its bytes except for the two fields that UPSTREAM rules set. Spans
//! with the same id and the same bytes count once. The order is input order, the root first.

use super::chunk::SpansBody;
use super::index::Reason;
use super::{IdKey, Offset, ShardId};

/// What encoding is given: one segment with the bodies of all its chunks.
pub struct Segment<'b> {
    pub shard: ShardId,
    /// The segment's id; its text is the attach point of at least one of the bodies.
    pub id: IdKey,
    pub has_root: bool,
    pub reason: Reason,
    pub bodies: Vec<SpansBody<'b>>,
}

/// One output message.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub payload: Vec<u8>,
    /// 32 hex digits, derived from the spans it carries.
    pub flush_id: String,
    pub spans: u32,
    /// Kafka headers: name and value, bounded in size.
    pub headers: Vec<(&'static str, String)>,
}

/// What became of a segment.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub messages: Vec<Outgoing>,
    /// Repeated spans (same id, same bytes) that were left out.
    pub duplicates: u32,
}

/// Encodes one segment into messages of at most `max_bytes` of spans each; more than one
/// message carries `skip_enrichment`. A single span over the limit goes alone.
pub fn encode(_segment: &Segment<'_>, _max_bytes: usize) -> Encoded {
    todo!()
}

/// The half-open ranges that `offsets` make, for a header: `3:100-105,107-108`, bounded to
/// `max_len` bytes (then it ends in `…`).
pub fn source(_shard: ShardId, _offsets: &mut Vec<Offset>, _max_len: usize) -> String {
    todo!()
}
