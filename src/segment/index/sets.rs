//! Which chunks form a segment, and when it is due.
//!
//! A set is a connected part of a trace, kept by union of the smaller into the larger: no
//! recursion, and cycles are nothing special. A sealed set has left the map of nodes, so
//! what arrives later under its ids begins another one.

use super::nodes::{Key, Node, Nodes};
use super::{DueName, DueSegment, Limits, Reason};
use crate::segment::chunk::ChunkKind;
use crate::segment::hash::QuickSet;
use crate::segment::{EventMs, IdKey, Offset, TraceKey};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Counted cost of an id: entry in a half-full table, and its place in the set.
const NODE_BYTES: u64 = 130;
/// Counted cost of a set without its members: entry, heap, first allocations.
const SET_BYTES: u64 = 260;

/// In place of a set's number.
const NONE: u32 = u32::MAX;

/// An id is the id of a segment span; the id of a span that hangs under another; a span
/// hangs under it.
const ROOT: u8 = 1;
const HANGS: u8 = 2;
const HELD: u8 = 4;

/// A span on its way in.
pub struct Arrival {
    /// The chunk that it is in, and how many bytes that brings: 0 but for a chunk's first span.
    pub chunk: u32,
    pub bytes: u64,
    pub kind: ChunkKind,
    pub trace: TraceKey,
    pub attach: IdKey,
    pub id: IdKey,
    pub offset: Offset,
    pub at: EventMs,
}

/// What is due, on its way out: its chunks are numbers still.
pub struct Taken {
    pub due: DueSegment,
    pub chunks: Vec<u32>,
}

struct Sealed {
    name: Option<DueName>,
    reason: Reason,
    due_ms: EventMs,
}

struct Set {
    /// Tells the users of one slot apart in the heap.
    generation: u64,
    trace: TraceKey,
    members: Vec<IdKey>,
    chunks: Vec<u32>,
    first_ms: EventMs,
    last_ms: EventMs,
    spans: u32,
    bytes: u64,
    has_root: bool,
    /// Earliest entry in the heap.
    queued: EventMs,
    /// Rare and large: most sets are taken out in the moment in which they are sealed.
    sealed: Option<Box<Sealed>>,
}

pub struct Sets {
    limits: Limits,
    nodes: Nodes,
    sets: Vec<Option<Set>>,
    free: Vec<u32>,
    /// By chunk number; `NONE` where a chunk is in no set.
    set_of: Vec<u32>,
    /// May name a set too early, never too late: a busy set costs nothing while it waits.
    heap: BinaryHeap<Reverse<(EventMs, u64, u32)>>,
    generation: u64,
    spans: u64,
}

impl Set {
    fn deadline(&self, limits: &Limits) -> (EventMs, Reason) {
        if let Some(sealed) = &self.sealed {
            return (sealed.due_ms, sealed.reason);
        }
        let (idle, reason) = match self.has_root {
            true => (self.last_ms.plus(limits.root_timeout_ms), Reason::IdleWithRoot),
            false => (self.last_ms.plus(limits.timeout_ms), Reason::IdleWithoutRoot),
        };
        let age = self.first_ms.plus(limits.max_age_ms);
        if age < idle { (age, Reason::Age) } else { (idle, reason) }
    }
}

impl Sets {
    pub fn new(limits: Limits) -> Sets {
        Sets {
            limits,
            nodes: Nodes::new(),
            sets: Vec::new(),
            free: Vec::new(),
            set_of: Vec::new(),
            heap: BinaryHeap::new(),
            generation: 0,
            spans: 0,
        }
    }

    /// Takes in one span. Spans come in order of time.
    pub fn arrive(&mut self, arrival: &Arrival, has_root: bool) {
        let hangs = arrival.id != arrival.attach;
        let attach = self.find(arrival, arrival.attach);
        let own = if hangs { self.find(arrival, arrival.id) } else { None };
        if self.is_sealed(arrival.chunk) {
            // Its chunk went off with its first span (age, size): the chunk is the unit.
            return self.join(arrival);
        }
        let set = match (attach, own) {
            (Some(attach), Some(own)) => self.unite(attach.set, own.set),
            (Some(one), None) | (None, Some(one)) => one.set,
            (None, None) => self.new_set(arrival.trace, arrival.at),
        };
        let is_root = has_root && !hangs;
        self.note(set, (arrival.trace, arrival.attach), attach, HELD | (u8::from(is_root) * ROOT));
        if hangs {
            self.note(set, (arrival.trace, arrival.id), own, HANGS);
        }
        self.add_chunk(set, arrival, is_root);
    }

    fn is_sealed(&self, chunk: u32) -> bool {
        let set = self.set_of(chunk).and_then(|number| self.sets[number as usize].as_ref());
        set.is_some_and(|set| set.sealed.is_some())
    }

    fn set_of(&self, chunk: u32) -> Option<u32> {
        self.set_of.get(chunk as usize).copied().filter(|&set| set != NONE)
    }

    /// Notes the set of a chunk; true when it had none.
    fn put_in(&mut self, chunk: u32, set: u32) -> bool {
        let at = chunk as usize;
        if self.set_of.len() <= at {
            self.set_of.resize(at + 1, NONE);
        }
        std::mem::replace(&mut self.set_of[at], set) == NONE
    }

    /// One more span of a chunk whose set is sealed already.
    fn join(&mut self, arrival: &Arrival) {
        let Some(number) = self.set_of(arrival.chunk) else { return };
        if let Some(set) = self.sets[number as usize].as_mut() {
            set.spans += 1;
            self.spans += 1;
            // None, but for a foreign chunk whose first span is not its earliest.
            set.bytes += arrival.bytes;
        }
    }

    fn add_chunk(&mut self, number: u32, arrival: &Arrival, is_root: bool) {
        let is_new = self.put_in(arrival.chunk, number);
        let Some(set) = self.sets[number as usize].as_mut() else { return };
        if is_new {
            set.chunks.push(arrival.chunk);
        }
        set.spans += 1;
        self.spans += 1;
        set.bytes += arrival.bytes;
        set.first_ms = set.first_ms.min(arrival.at);
        set.last_ms = set.last_ms.max(arrival.at);
        set.has_root |= is_root;
        if set.bytes > self.limits.max_bytes {
            self.seal(number, Reason::Size, arrival.at);
        }
        self.queue(number);
    }

    /// What is known of an id of the span; nothing if its set's deadline passed before the span
    /// came: then that set is sealed.
    fn find(&mut self, arrival: &Arrival, id: IdKey) -> Option<Node> {
        let node = *self.nodes.get(&(arrival.trace, id))?;
        let (due_ms, reason) = self.sets[node.set as usize].as_ref()?.deadline(&self.limits);
        if due_ms <= arrival.at {
            self.seal(node.set, reason, due_ms);
            return None;
        }
        Some(node)
    }

    /// Names the set and takes its ids out of the map.
    fn seal(&mut self, number: u32, reason: Reason, due_ms: EventMs) {
        let Some(set) = self.sets[number as usize].as_mut() else { return };
        if set.sealed.is_some() {
            return;
        }
        // Roots first, then what hangs under nothing, then any attach point.
        let mut best: Option<(u8, IdKey)> = None;
        for &id in &set.members {
            let flags = self.nodes.remove(&(set.trace, id)).map_or(0, |node| node.flags);
            let rank = match flags {
                flags if flags & ROOT != 0 => 0,
                flags if flags & HELD == 0 => continue,
                flags if flags & HANGS == 0 => 1,
                _ => 2,
            };
            best = Some(best.map_or((rank, id), |best| best.min((rank, id))));
        }
        set.members = Vec::new();
        let (trace, has_root) = (set.trace, set.has_root);
        let name = best.map(|(_, id)| DueName { trace, id, has_root });
        set.sealed = Some(Box::new(Sealed { name, reason, due_ms }));
    }

    /// Adds to the flags of an id in the set, which is new there unless `known`.
    fn note(&mut self, number: u32, key: Key, known: Option<Node>, flags: u8) {
        match known {
            Some(node) if node.flags & flags == flags => {}
            Some(_) => {
                if let Some(node) = self.nodes.get_mut(&key) {
                    node.flags |= flags;
                }
            }
            None => {
                self.nodes.insert(key, Node { set: number, flags });
                if let Some(set) = self.sets[number as usize].as_mut() {
                    set.members.push(key.1);
                }
            }
        }
    }

    fn new_set(&mut self, trace: TraceKey, at: EventMs) -> u32 {
        self.generation += 1;
        let set = Set {
            generation: self.generation,
            trace,
            members: Vec::new(),
            chunks: Vec::new(),
            first_ms: at,
            last_ms: at,
            spans: 0,
            bytes: 0,
            has_root: false,
            queued: EventMs(i64::MAX),
            sealed: None,
        };
        match self.free.pop() {
            Some(number) => {
                self.sets[number as usize] = Some(set);
                number
            }
            None => {
                self.sets.push(Some(set));
                (self.sets.len() - 1) as u32
            }
        }
    }

    fn unite(&mut self, a: u32, b: u32) -> u32 {
        if a == b {
            return a;
        }
        let size = |number: u32| {
            let set = self.sets[number as usize].as_ref();
            set.map_or(0, |set| set.members.len() + set.chunks.len())
        };
        let (into, from) = if size(a) >= size(b) { (a, b) } else { (b, a) };
        let Some(gone) = self.sets[from as usize].take() else { return into };
        self.free.push(from);
        for &id in &gone.members {
            if let Some(node) = self.nodes.get_mut(&(gone.trace, id)) {
                node.set = into;
            }
        }
        gone.chunks.iter().for_each(|&chunk| self.set_of[chunk as usize] = into);
        if let Some(set) = self.sets[into as usize].as_mut() {
            set.members.extend(gone.members);
            set.chunks.extend(gone.chunks);
            set.first_ms = set.first_ms.min(gone.first_ms);
            set.last_ms = set.last_ms.max(gone.last_ms);
            set.spans += gone.spans;
            set.bytes += gone.bytes;
            set.has_root |= gone.has_root;
        }
        into
    }

    fn queue(&mut self, number: u32) {
        let Some(set) = self.sets[number as usize].as_mut() else { return };
        let (due_ms, _) = set.deadline(&self.limits);
        if due_ms < set.queued {
            set.queued = due_ms;
            self.heap.push(Reverse((due_ms, set.generation, number)));
        }
    }

    pub fn take_due(&mut self, now: EventMs, max_segments: usize, max_bytes: u64) -> Vec<Taken> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < max_segments {
            let Some(&Reverse((at, generation, number))) = self.heap.peek() else { break };
            if at > now {
                break;
            }
            let found = self.sets[number as usize].as_mut();
            let Some(set) = found.filter(|set| set.generation == generation) else {
                self.heap.pop();
                continue;
            };
            let (due_ms, reason) = set.deadline(&self.limits);
            if due_ms > at {
                self.heap.pop();
                set.queued = due_ms;
                self.heap.push(Reverse((due_ms, generation, number)));
                continue;
            }
            bytes += set.bytes;
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            self.heap.pop();
            taken.extend(self.take(number, reason, due_ms));
        }
        taken
    }

    pub fn take_oldest(&mut self, max_segments: usize, max_bytes: u64) -> Vec<Taken> {
        let open = self.sets.iter().enumerate();
        let mut open: Vec<(EventMs, u64, u32)> = open
            .filter_map(|(number, set)| {
                let set = set.as_ref()?;
                Some((set.first_ms, set.generation, number as u32))
            })
            .collect();
        if open.len() > max_segments {
            // Few of many: only those are put in order.
            open.select_nth_unstable(max_segments);
            open.truncate(max_segments);
        }
        open.sort_unstable();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for (_, _, number) in open {
            let Some(set) = self.sets[number as usize].as_ref() else { continue };
            bytes += set.bytes;
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            let due_ms = set.deadline(&self.limits).0;
            taken.extend(self.take(number, Reason::Pressure, due_ms));
        }
        taken
    }

    fn take(&mut self, number: u32, reason: Reason, due_ms: EventMs) -> Option<Taken> {
        self.seal(number, reason, due_ms);
        let set = self.sets[number as usize].take()?;
        self.free.push(number);
        set.chunks.iter().for_each(|&chunk| self.set_of[chunk as usize] = NONE);
        self.spans -= u64::from(set.spans);
        let due = DueSegment {
            segment: set.sealed.and_then(|sealed| sealed.name),
            reason,
            due_ms,
            letters_below: None,
            delivered_below: None,
            spans: set.spans,
            bytes: set.bytes,
            chunks: Vec::new(),
        };
        Some(Taken { due, chunks: set.chunks })
    }

    /// A segment comes back from flight: sealed as it was, due as it was.
    pub fn put_back(&mut self, back: Taken, first_ms: EventMs) {
        let Taken { due, chunks } = back;
        let trace = due.segment.map_or(TraceKey { project: 0, trace: 0 }, |name| name.trace);
        let number = self.new_set(trace, first_ms);
        for &chunk in &chunks {
            self.put_in(chunk, number);
        }
        self.spans += u64::from(due.spans);
        if let Some(set) = self.sets[number as usize].as_mut() {
            set.chunks = chunks;
            set.spans = due.spans;
            set.bytes = due.bytes;
            // Due at once, also when it was taken before its time.
            let early = due.reason == Reason::Pressure;
            let due_ms = if early { due.due_ms.min(first_ms) } else { due.due_ms };
            let (name, reason) = (due.segment, due.reason);
            set.sealed = Some(Box::new(Sealed { name, reason, due_ms }));
        }
        self.queue(number);
    }

    /// Chunks with (spans, bytes) that are settled though nobody took them.
    pub fn remove(&mut self, chunks: &[(u32, (u32, u64))]) {
        let mut touched = QuickSet::default();
        let gone: QuickSet<u32> = chunks.iter().map(|&(chunk, _)| chunk).collect();
        for &(chunk, (spans, bytes)) in chunks {
            let Some(number) = self.set_of(chunk) else { continue };
            self.set_of[chunk as usize] = NONE;
            self.spans -= u64::from(spans);
            if let Some(set) = self.sets[number as usize].as_mut() {
                set.spans -= spans;
                set.bytes -= bytes;
            }
            touched.insert(number);
        }
        for number in touched {
            let Some(set) = self.sets[number as usize].as_mut() else { continue };
            set.chunks.retain(|chunk| !gone.contains(chunk));
            if set.chunks.is_empty() {
                // Its ids leave the map with it; for what reason, nobody sees.
                self.take(number, Reason::Age, EventMs(0));
            }
        }
    }

    pub fn next_due(&self) -> Option<EventMs> {
        if self.len() == 0 {
            return None;
        }
        self.heap.peek().map(|&Reverse((at, ..))| at)
    }

    pub fn len(&self) -> usize {
        self.sets.len() - self.free.len()
    }

    pub fn spans(&self) -> u64 {
        self.spans
    }

    pub fn bytes(&self) -> u64 {
        self.nodes.len() as u64 * NODE_BYTES + self.len() as u64 * SET_BYTES
    }
}
