//! Spans read together become chunks: the unit that is delivered and settled.
//!
//! A chunk holds the spans of one batch that share (project, trace, attach point), so
//! they certainly belong to the same segment, and that lie closer together in event time
//! than the shortest timeout, so that their segment cannot fall due between two of them. The
//! index takes the spans of a batch in one by one, each at its own time; a chunk goes with its
//! first span.

use super::hash::QuickMap;
use super::span::{FlagSplice, IdSplice, Span, Splice};
use super::{EventMs, IdKey, Offset, TraceKey, body};
use std::hash::{Hash, Hasher};

/// What one chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// Spans; `has_root` when a segment span is among them (its id is the attach point).
    Spans { has_root: bool },
    /// One message that could not be parsed, bound for the dead-letter topic, due at once.
    Reject,
}

/// A chunk in a batch's header: all that the index has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    pub kind: ChunkKind,
    /// Zero for a reject.
    pub trace: TraceKey,
    /// Zero for a reject.
    pub attach: IdKey,
    /// Shard clock at the arrival of its first and last span.
    pub first_ms: EventMs,
    pub last_ms: EventMs,
    /// Its spans in `Header::spans`, in input order: `spans_start .. spans_start + spans_count`.
    pub spans_start: u32,
    pub spans_count: u32,
    /// Bytes of its body in the decompressed block, and where it starts there.
    pub block: u32,
    pub body_at: u32,
    pub body_bytes: u32,
}

/// A span in a batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanHead {
    pub id: IdKey,
    pub offset: Offset,
    /// The shard's clock at its arrival: deadlines are decided span by span.
    pub at: EventMs,
}

/// A chunk's body, read back from a block: what encoding needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'b> {
    Spans(SpansBody<'b>),
    Reject(RejectBody<'b>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpansBody<'b> {
    pub project_id: u64,
    pub trace_id: &'b str,
    /// The attach point that all its spans share.
    pub attach: &'b str,
    /// In input order.
    pub spans: Vec<StoredSpan<'b>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSpan<'b> {
    pub offset: Offset,
    pub span_id: &'b str,
    pub splice: Splice,
    pub payload: &'b [u8],
}

/// A rejected message with everything the dead-letter topic gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectBody<'b> {
    pub offset: Offset,
    /// The message's own time stamp in ms, `None` when it had none.
    pub timestamp_ms: Option<i64>,
    pub reason: &'b str,
    /// `None` for a tombstone.
    pub payload: Option<&'b [u8]>,
    pub key: Option<&'b [u8]>,
    pub headers: Vec<(&'b [u8], Option<&'b [u8]>)>,
}

/// What was read of one shard and is not yet in the store: the batch in the making.
///
/// Copies what it is given, so the messages can be let go at once.
pub struct Draft {
    spread_ms: i64,
    /// Texts and payloads in arrival order; a reject's body is here already encoded.
    arena: Vec<u8>,
    staged: Vec<Staged>,
}

/// A range of the arena.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    at: usize,
    len: usize,
}

struct Staged {
    kind: ChunkKind,
    trace: TraceKey,
    attach: IdKey,
    head: SpanHead,
    at: EventMs,
    splice: Splice,
    trace_id: Piece,
    attach_id: Piece,
    span_id: Piece,
    payload: Piece,
}

/// A chunk of the draft, before it has a place in a block.
pub(super) struct Grouped {
    pub head: ChunkHead,
    /// Its trace has a root in the draft, or it is a reject: it probably falls due with the others
    /// of that kind.
    pub is_complete: bool,
    /// Numbers of its messages in the draft, in input order.
    members: Vec<u32>,
    /// The last message of its trace in the draft.
    last: u32,
}

const NO_TRACE: TraceKey = TraceKey { project: 0, trace: 0 };
const NO_SPLICE: Splice =
    Splice { is_segment: FlagSplice::Insert { at: 0 }, segment_id: IdSplice::Keep };

impl Draft {
    /// `spread_ms`: the shortest of the timeouts; a chunk spans less event time than that.
    pub fn new(spread_ms: i64) -> Draft {
        Draft { spread_ms, arena: Vec::new(), staged: Vec::new() }
    }

    /// Adds a span that arrived at `offset` with the shard's clock at `at`.
    pub fn add(&mut self, span: &Span<'_>, offset: Offset, at: EventMs) {
        let id = IdKey::of(&span.span_id);
        let staged = Staged {
            kind: ChunkKind::Spans { has_root: span.is_segment_span },
            trace: TraceKey::of(span.project_id, &span.trace_id),
            attach: IdKey::of(&span.attach),
            head: SpanHead { id, offset, at },
            at,
            splice: span.splice,
            trace_id: self.keep(span.trace_id.as_bytes()),
            attach_id: self.keep(span.attach.as_bytes()),
            span_id: self.keep(span.span_id.as_bytes()),
            payload: self.keep(span.payload),
        };
        self.staged.push(staged);
    }

    /// Adds a message that is no span.
    pub fn reject(&mut self, reject: &RejectBody<'_>, at: EventMs) {
        let start = self.arena.len();
        body::put_reject(&mut self.arena, reject);
        self.staged.push(Staged {
            kind: ChunkKind::Reject,
            trace: NO_TRACE,
            attach: IdKey(0),
            head: SpanHead { id: IdKey(0), offset: reject.offset, at },
            at,
            splice: NO_SPLICE,
            trace_id: Piece::default(),
            attach_id: Piece::default(),
            span_id: Piece::default(),
            payload: Piece { at: start, len: self.arena.len() - start },
        });
    }

    /// Number of messages held.
    pub fn len(&self) -> usize {
        self.staged.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, as counted against `max-batch-bytes`.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.staged.len() * size_of::<Staged>()
    }

    /// Forgets everything, keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.staged.clear();
    }

    /// The chunks that the messages make, in the order in which they probably fall due; see `rank`.
    pub(super) fn group(&self) -> Vec<Grouped> {
        let mut chunks = self.collect();
        rank(&mut chunks);
        chunks
    }

    fn collect(&self) -> Vec<Grouped> {
        let mut chunks: Vec<Grouped> = Vec::new();
        let mut open: QuickMap<Scope<'_>, usize> = QuickMap::default();
        for (number, staged) in self.staged.iter().enumerate() {
            let number = number as u32;
            if staged.kind == ChunkKind::Reject {
                chunks.push(Grouped::begin(staged, number));
                continue;
            }
            let (trace, attach) = (self.piece(staged.trace_id), self.piece(staged.attach_id));
            let scope = Scope { keys: (staged.trace, staged.attach), trace, attach };
            let last = open.entry(scope).or_insert(usize::MAX);
            match chunks.get_mut(*last) {
                Some(chunk) if staged.at.since(chunk.head.first_ms) < self.spread_ms => {
                    chunk.join(staged, number);
                }
                _ => {
                    *last = chunks.len();
                    chunks.push(Grouped::begin(staged, number));
                }
            }
        }
        chunks
    }

    /// The span heads of a chunk, in input order.
    pub(super) fn heads(&self, chunk: &Grouped) -> impl Iterator<Item = SpanHead> {
        chunk.members.iter().map(|&number| self.staged[number as usize].head)
    }

    /// Writes the body of a chunk.
    pub(super) fn put_body(&self, chunk: &Grouped, out: &mut Vec<u8>) {
        let first = &self.staged[chunk.members[0] as usize];
        if first.kind == ChunkKind::Reject {
            out.extend_from_slice(self.piece(first.payload));
            return;
        }
        let (trace, attach) = (self.piece(first.trace_id), self.piece(first.attach_id));
        body::put_shared(out, first.trace.project, trace, attach);
        let mut before = 0i64;
        for &number in &chunk.members {
            let span = &self.staged[number as usize];
            let delta = span.head.offset.0.wrapping_sub(before);
            before = span.head.offset.0;
            let (id, payload) = (self.piece(span.span_id), self.piece(span.payload));
            body::put_span(out, delta, id, span.splice, payload);
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Piece {
        let at = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Piece { at, len: bytes.len() }
    }

    fn piece(&self, piece: Piece) -> &[u8] {
        &self.arena[piece.at..piece.at + piece.len]
    }
}

/// What the spans of a chunk share: told apart by the texts, because a body has room for one of
/// each, and found by the keys, which are at hand.
#[derive(PartialEq, Eq)]
struct Scope<'d> {
    keys: (TraceKey, IdKey),
    trace: &'d [u8],
    attach: &'d [u8],
}

impl Hash for Scope<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.keys.hash(state);
    }
}

/// Orders chunks by when they probably fall due, so that neighbours are wanted at the same time and
/// a block is not fetched again for each of them. The root comes last in live traffic: a trace with
/// a root here falls due `root-timeout` after its last span here, together with the others of that
/// kind. Of the other traces nothing is known; what is rejected is due at once.
fn rank(chunks: &mut [Grouped]) {
    let mut traces: QuickMap<TraceKey, (bool, u32)> = QuickMap::default();
    for chunk in chunks.iter().filter(|chunk| chunk.head.kind != ChunkKind::Reject) {
        let (rooted, last) = traces.entry(chunk.head.trace).or_default();
        *rooted |= chunk.head.kind == ChunkKind::Spans { has_root: true };
        *last = chunk.members.last().copied().unwrap_or(0).max(*last);
    }
    for chunk in &mut *chunks {
        if let Some(&(rooted, last)) = traces.get(&chunk.head.trace) {
            (chunk.is_complete, chunk.last) = (rooted, last);
        }
    }
    chunks.sort_by_key(|chunk| (!chunk.is_complete, chunk.last));
}

impl Grouped {
    fn begin(staged: &Staged, number: u32) -> Grouped {
        let head = ChunkHead {
            kind: staged.kind,
            trace: staged.trace,
            attach: staged.attach,
            first_ms: staged.at,
            last_ms: staged.at,
            spans_start: 0,
            spans_count: 1,
            block: 0,
            body_at: 0,
            body_bytes: 0,
        };
        let is_complete = staged.kind == ChunkKind::Reject;
        Grouped { head, is_complete, members: vec![number], last: number }
    }

    fn join(&mut self, staged: &Staged, number: u32) {
        self.members.push(number);
        self.head.spans_count += 1;
        self.head.last_ms = self.head.last_ms.max(staged.at);
        if staged.kind == (ChunkKind::Spans { has_root: true }) {
            self.head.kind = staged.kind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::{self, Compression, Header, Place};
    use super::super::{BatchId, span};
    use super::*;

    /// A batch of spans of 1 KiB: (trace, id, parent or 0 for a root).
    fn packed(spans: &[(u32, u32, u32)]) -> Header {
        let mut draft = Draft::new(1000);
        for (offset, (trace, id, parent)) in (0..).zip(spans) {
            let parent = if *parent == 0 { String::new() } else { format!("p{parent}") };
            let parent = if parent.is_empty() { "null".into() } else { format!("\"{parent}\"") };
            let ids =
                format!(r#""trace_id":"t{trace}","span_id":"p{id}","parent_span_id":{parent}"#);
            let payload = format!(r#"{{"project_id":1,{ids},"x":"{}"}}"#, "x".repeat(950));
            let span = span::parse(payload.as_bytes(), span::Validate::Ids);
            draft.add(&span.unwrap_or_else(|why| panic!("{why:?}")), Offset(offset), EventMs(0));
        }
        let next = Offset(spans.len() as i64);
        let (id, start, clock) = (BatchId(1), Offset(0), EventMs(0));
        let place = Place { id, previous: None, start, next, clock };
        batch::pack(&mut draft, place, Compression::None).header
    }

    /// Traces in the order of their chunks, each once for every row of neighbours.
    fn order(header: &Header) -> Vec<TraceKey> {
        let mut traces: Vec<TraceKey> = header.chunks.iter().map(|chunk| chunk.trace).collect();
        traces.dedup();
        traces
    }

    fn keys(traces: impl IntoIterator<Item = u32>) -> Vec<TraceKey> {
        traces.into_iter().map(|trace| TraceKey::of(1, &format!("t{trace}"))).collect()
    }

    #[test]
    fn traces_with_their_root_come_first_and_each_trace_stands_together() {
        // Open, rooted, open, rooted; chunks of one trace by several attach points.
        let header = packed(&[
            (1, 11, 9),
            (2, 21, 22),
            (3, 31, 9),
            (4, 40, 0),
            (1, 12, 8),
            (2, 23, 21),
            (2, 22, 0),
            (3, 32, 31),
            (4, 41, 40),
        ]);
        // By the last message of each trace: of 2 before 4, of 1 before 3.
        assert_eq!(order(&header), keys([2, 4, 1, 3]));
    }

    #[test]
    fn open_traces_have_small_blocks_of_their_own() {
        let rooted = (0..40).map(|trace| (trace, 1, 0));
        let open = (40..80).map(|trace| (trace, 1, 2));
        let long = (0..40).map(|id| (99, id + 2, id + 3));
        let header = packed(&rooted.chain(open).chain(long).collect::<Vec<_>>());
        let sizes: Vec<u32> = header.blocks.iter().map(|block| block.raw_bytes / 1024).collect();
        // 40 KiB that fall due together, then traces for themselves, at last one long trace.
        assert!((38..64).contains(&sizes[0]), "{sizes:?}");
        let last = sizes.len() - 1;
        assert!(sizes[1..last].iter().all(|size| (1..=2).contains(size)), "{sizes:?}");
        assert!((38..64).contains(&sizes[last]), "{sizes:?}");
    }
}
