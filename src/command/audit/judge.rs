//! The judgement: what the evidence of one shard means. Pure.
//!
//! A *fault* is what should not be and breaks a promise or will; a *note* is what an operator
//! may want to know and needs not act on.

use crate::segment::batch::Header;
use crate::segment::index::{ChunkRef, DueSegment, Index, Limits, Marks};
use crate::segment::{BatchId, EventMs, IdKey, Offset, ShardId, TraceKey};
use crate::store::books::Books;
use crate::store::{Identity, State, Taken};
use std::collections::BTreeMap;

/// The header of a listed batch, or what is wrong with it.
pub type Batch = Result<Header, String>;

/// A batch's value that no list names.
pub struct Orphan {
    pub id: BatchId,
    pub bytes: u64,
    pub expires: bool,
}

/// What Kafka and Redis say of one shard.
pub struct Evidence {
    pub shard: ShardId,
    /// Lowest and next offset; `None` when the topic has no such partition.
    pub range: Option<(Offset, Offset)>,
    pub committed: Option<Offset>,
    pub taken: Option<Taken>,
    /// One for each listed batch.
    pub batches: Vec<Batch>,
    pub orphans: Vec<Orphan>,
    /// Lists without a life.
    pub stray: bool,
    /// Where in Redis was looked.
    pub namespace: String,
}

/// A half-open range of offsets.
pub type Range = (Offset, Offset);

/// A segment that is not settled; a reject has no name.
pub struct Open {
    pub name: Option<(TraceKey, IdKey)>,
    pub has_root: bool,
    pub due_ms: EventMs,
    pub spans: u32,
    pub bytes: u64,
    pub ranges: Vec<Range>,
}

/// What came out for one shard.
pub struct Finding {
    pub shard: ShardId,
    pub committed: Option<Offset>,
    pub end: Option<Offset>,
    pub state: Option<State>,
    pub batches: usize,
    pub buffered: u64,
    /// By the lowest offset.
    pub open: Vec<Open>,
    pub unsettled: Vec<Range>,
    pub faults: Vec<String>,
    pub notes: Vec<String>,
}

impl Finding {
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    pub fn books(&self) -> Books {
        self.state.as_ref().map_or(Books::default(), |state| state.books)
    }

    pub fn unaccounted(&self) -> i64 {
        self.books().unaccounted(self.buffered)
    }
}

pub fn judge(evidence: &Evidence, ours: &Identity, limits: Limits) -> Finding {
    let mut finding = Finding {
        shard: evidence.shard,
        committed: evidence.committed,
        end: evidence.range.map(|(_, end)| end),
        state: evidence.taken.as_ref().map(|taken| taken.state.clone()),
        batches: evidence.batches.len(),
        buffered: 0,
        open: Vec::new(),
        unsettled: Vec::new(),
        faults: Vec::new(),
        notes: Vec::new(),
    };
    match &evidence.taken {
        Some(taken) => judge_life(&mut finding, evidence, taken, ours, limits),
        None => finding.notes.push(nothing_there(evidence)),
    }
    judge_kafka(&mut finding, evidence);
    judge_keys(&mut finding, evidence);
    finding
}

fn nothing_there(evidence: &Evidence) -> String {
    let namespace = &evidence.namespace;
    match evidence.committed {
        Some(floor) => format!(
            "namespace {namespace} of Redis has no life of it; one will begin at the floor, {floor}"
        ),
        None => format!(
            "nothing is committed and namespace {namespace} of Redis has no life of it: it was \
             never read"
        ),
    }
}

fn judge_life(
    finding: &mut Finding,
    evidence: &Evidence,
    taken: &Taken,
    ours: &Identity,
    limits: Limits,
) {
    let state = &taken.state;
    if state.identity != *ours {
        let Identity { cluster, topic, group } = &state.identity;
        finding.faults.push(format!(
            "its keys belong to topic {topic} of cluster {cluster}, read by group {group}"
        ));
    }
    finding.faults.extend(evidence.batches.iter().filter_map(|batch| batch.clone().err()));
    judge_counts(finding, taken);
    let index = rebuild(evidence, taken, limits);
    finding.buffered = index.buffered();
    list_open(finding, index, evidence);
    let unaccounted = finding.unaccounted();
    if unaccounted != 0 {
        finding.faults.push(format!(
            "the books do not balance: {unaccounted} of {} messages are unaccounted for",
            state.books.read
        ));
    }
    let beyond = evidence.batches.iter().flatten().filter(|header| header.next > state.position);
    for header in beyond {
        let (id, next, position) = (header.id, header.next, state.position);
        finding.faults.push(format!("batch {id} ends at {next}, beyond the position {position}"));
    }
}

fn judge_counts(finding: &mut Finding, taken: &Taken) {
    let counts = [
        ("batches", taken.state.batches, taken.listed.len()),
        ("batches with marks", taken.state.marked, taken.marks.len()),
    ];
    for (what, counted, found) in counts {
        if counted != found as u64 {
            finding.faults.push(format!("{counted} {what} are counted, {found} are there"));
        }
    }
    let listed = |id: &BatchId| taken.listed.iter().any(|listed| listed.id == *id);
    for (id, _) in taken.marks.iter().filter(|(id, _)| !listed(id)) {
        finding.faults.push(format!("batch {id} has marks and is not listed"));
    }
}

/// The index as a flusher that takes the shard now would build it.
fn rebuild(evidence: &Evidence, taken: &Taken, limits: Limits) -> Index {
    let marks: BTreeMap<BatchId, &Marks> = taken.marks.iter().map(|(id, m)| (*id, m)).collect();
    let none = Marks::default();
    let mut index = Index::new(limits, taken.state.position, taken.state.tip);
    for (listed, header) in taken.listed.iter().zip(&evidence.batches) {
        if let Ok(header) = header {
            let marks = marks.get(&listed.id).copied().unwrap_or(&none);
            index.restore(header, listed.header_bytes, marks);
        }
    }
    index.restored();
    index
}

fn list_open(finding: &mut Finding, mut index: Index, evidence: &Evidence) {
    let headers: BTreeMap<BatchId, &Header> =
        evidence.batches.iter().flatten().map(|header| (header.id, header)).collect();
    let mut open = index.letters(usize::MAX, u64::MAX);
    open.extend(index.due(EventMs(i64::MAX), usize::MAX, u64::MAX));
    let mut all = Vec::new();
    for due in open {
        let offsets = offsets(&headers, &due.chunks);
        all.extend(&offsets);
        finding.open.push(described(&due, offsets));
    }
    finding.open.sort_by_key(|open| open.ranges.first().copied());
    finding.unsettled = ranges(all);
}

fn described(due: &DueSegment, offsets: Vec<Offset>) -> Open {
    Open {
        name: due.segment.map(|name| (name.trace, name.id)),
        has_root: due.segment.is_some_and(|name| name.has_root),
        due_ms: due.due_ms,
        spans: due.spans,
        bytes: due.bytes,
        ranges: ranges(offsets),
    }
}

fn offsets(headers: &BTreeMap<BatchId, &Header>, chunks: &[ChunkRef]) -> Vec<Offset> {
    let spans = |chunk: &ChunkRef| {
        let header = headers.get(&chunk.batch)?;
        Some(header.spans_of(header.chunks.get(chunk.ordinal as usize)?))
    };
    chunks.iter().filter_map(spans).flatten().map(|span| span.offset).collect()
}

fn ranges(mut offsets: Vec<Offset>) -> Vec<Range> {
    offsets.sort_unstable();
    offsets.dedup();
    let runs = offsets.chunk_by(|one, next| next.0 == one.0 + 1);
    runs.filter_map(|run| Some((*run.first()?, Offset(run.last()?.0 + 1)))).collect()
}

fn judge_kafka(finding: &mut Finding, evidence: &Evidence) {
    let Some((low, end)) = evidence.range else {
        finding.faults.push("the topic has no such partition, Redis has keys of it".to_owned());
        return;
    };
    let position = evidence.taken.as_ref().map(|taken| taken.state.position);
    if let Some(position) = position
        && position > end
    {
        finding.faults.push(format!(
            "its position {position} lies behind the end of the partition, {end}: the topic was \
             truncated or made anew"
        ));
    }
    if let Some(floor) = evidence.committed
        && floor < low
    {
        finding.faults.push(format!(
            "retention has removed the offsets from the floor, {floor}, to {low}: a loss of Redis \
             would lose what is not settled of them; give the topic more retention"
        ));
    }
    let lowest = finding.unsettled.first().map(|(first, _)| *first);
    if let (Some(floor), Some(lowest)) = (evidence.committed, lowest)
        && lowest < floor
    {
        finding.notes.push(format!(
            "offsets from {lowest} are not settled though the floor is {floor}: delivered before, \
             and skipped when the shard is taken next"
        ));
    }
}

fn judge_keys(finding: &mut Finding, evidence: &Evidence) {
    if evidence.stray {
        finding.faults.push(
            "it has lists of batches without a life: they are dropped when one \
                             begins"
                .to_owned(),
        );
    }
    if !evidence.orphans.is_empty() {
        let bytes: u64 = evidence.orphans.iter().map(|orphan| orphan.bytes).sum();
        finding.notes.push(format!(
            "{} values ({bytes} bytes) are of no live batch: left by a crash or a life that ended; \
             they expire within redis-ttl",
            evidence.orphans.len()
        ));
    }
    for orphan in evidence.orphans.iter().filter(|orphan| !orphan.expires) {
        finding
            .faults
            .push(format!("the value of {} is of no live batch and never expires", orphan.id));
    }
}

#[cfg(test)]
mod tests;
