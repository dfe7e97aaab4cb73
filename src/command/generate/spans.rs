//! Spans from a seed: the same shape gives the same bytes, everywhere.
//!
//! They look like real ones (`text`): about 1.1 KiB, a dozen typed attributes. Traces are trees of
//! the asked depth, or chains; a trace may go on in a second project. In which order the spans
//! leave is a matter of its own.

use super::text::{Time, Told, invalid, write_span};
use std::collections::{BTreeMap, VecDeque};

/// How long a trace of the overlapping order lasts, log-uniform between these.
const LASTS_MS: (f64, f64) = (50.0, 8_000.0);

/// In which order spans leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Trace after trace, shuffled within a window, so that children come before their parents.
    Shuffled,
    /// All traces at once, in turn, each with its children first. Holds all of them in memory.
    Interleaved,
    /// Traces begin one after the other, last 50 ms to 8 s, and end with their root: the order of
    /// real traffic.
    Overlapping,
}

/// What to make. All shares are 0..1.
#[derive(Clone, Debug)]
pub struct Shape {
    pub seed: u64,
    pub traces: u64,
    /// Bounds of the number of spans in a trace.
    pub spans_min: u64,
    pub spans_max: u64,
    /// Longest chain of parents below a root.
    pub depth: u64,
    pub projects: u64,
    /// Share of traces that are one chain, each span under the one before, whatever the depth.
    pub chains: f64,
    /// Share of traces whose second half is a segment of another project, its root a child of the
    /// first half.
    pub split: f64,
    pub order: Order,
    /// Spans that may overtake each other in the shuffled order; 1 keeps them as they are.
    pub window: usize,
    /// Share of traces whose spans carry `sentry.segment.id`.
    pub with_segment_id: f64,
    /// Share of spans that come twice, byte for byte.
    pub duplicates: f64,
    /// Share of messages that are no spans.
    pub invalid: f64,
    /// Event time of the first message, ms since the epoch, and ms between two messages.
    pub start_ms: i64,
    pub step_ms: f64,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            seed: 1,
            traces: 100,
            spans_min: 4,
            spans_max: 16,
            depth: 8,
            projects: 3,
            chains: 0.0,
            split: 0.0,
            order: Order::Shuffled,
            window: 100,
            with_segment_id: 0.7,
            duplicates: 0.0,
            invalid: 0.0,
            start_ms: 1_700_000_000_000,
            step_ms: 1.0,
        }
    }
}

/// One message.
#[derive(Clone, Debug)]
pub struct Generated {
    pub at_ms: i64,
    /// The key: a trace stays on one partition.
    pub trace_id: String,
    pub payload: String,
}

/// splitmix64: small, fast, and good enough for test data.
pub struct Random(u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// 0..below, for a `below` of at least 1.
    pub fn below(&mut self, below: u64) -> u64 {
        self.bits() % below.max(1)
    }

    /// 0.0..1.0
    fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, share: f64) -> bool {
        self.fraction() < share
    }

    pub fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len() as u64) as usize]
    }
}

/// The spans of a shape, one after the other. Holds those that may still be overtaken.
pub struct Generator {
    shape: Shape,
    random: Random,
    traces_left: u64,
    made: u64,
    /// Trace id and payload; the shuffled order draws from the front of it.
    window: VecDeque<(String, String)>,
    /// The same by place and number, for the other orders.
    queue: BTreeMap<(u64, u64), (String, String)>,
    queued: u64,
}

/// A trace in the making.
struct Trace {
    id: String,
    project: u64,
    spans: u64,
    with_segment_id: bool,
    is_chain: bool,
    is_split: bool,
    /// Where it stands in the order, in microseconds.
    begins_us: f64,
    lasts_us: f64,
}

impl Generator {
    pub fn new(shape: Shape) -> Generator {
        let random = Random(shape.seed);
        Generator {
            traces_left: shape.traces,
            shape,
            random,
            made: 0,
            window: VecDeque::new(),
            queue: BTreeMap::new(),
            queued: 0,
        }
    }

    /// Makes traces until what leaves next cannot be overtaken any more.
    fn fill(&mut self) {
        while self.traces_left > 0 && !self.is_certain() {
            self.make_trace();
            self.traces_left -= 1;
        }
    }

    fn is_certain(&self) -> bool {
        match self.shape.order {
            Order::Shuffled => self.window.len() >= self.shape.window.max(1),
            Order::Interleaved => false,
            Order::Overlapping => {
                let next = self.queue.keys().next();
                next.is_some_and(|&(place, _)| (place as f64) < self.next_begins_us())
            }
        }
    }

    /// When the next trace begins: as evenly as the messages leave.
    fn next_begins_us(&self) -> f64 {
        let shape = &self.shape;
        let spans = (shape.spans_min + shape.spans_max) as f64 / 2.0;
        (shape.traces - self.traces_left) as f64 * spans * shape.step_ms * 1000.0
    }

    fn make_trace(&mut self) {
        let trace = self.new_trace();
        // Event time of the message that leaves next.
        let start_ms = self.shape.start_ms as f64 + self.made as f64 * self.shape.step_ms;
        // Ids, depths and times of the segment's spans so far: every parent is among them.
        let mut tree: Vec<(u64, u64, Time)> = Vec::new();
        let mut project = trace.project;
        for nth in 0..trace.spans {
            let id = self.random.bits();
            let turns = trace.is_split && nth == trace.spans / 2 && nth > 0;
            let parent = choose_parent(&mut self.random, &tree, &trace, self.shape.depth);
            let depth = parent.map_or(0, |at| tree[at].1 + 1);
            let time = match parent {
                Some(at) => Time::within(&mut self.random, tree[at].2),
                None => Time::of_root(&mut self.random, start_ms),
            };
            let parent = parent.map(|at| tree[at].0);
            if turns {
                project += self.shape.projects;
                tree.clear();
            }
            tree.push((id, if turns { 0 } else { depth }, time));
            let span = write_span(
                &mut self.random,
                &Told {
                    project,
                    trace_id: &trace.id,
                    id,
                    parent,
                    is_segment: parent.is_none() || turns,
                    segment: trace.with_segment_id.then_some(tree[0].0),
                    time,
                },
            );
            let place = self.place(&trace, nth);
            self.put(&trace, span, place);
        }
    }

    fn new_trace(&mut self) -> Trace {
        let begins_us = self.next_begins_us();
        let (shape, random) = (&self.shape, &mut self.random);
        let id = format!("{:016x}{:016x}", random.bits(), random.bits());
        let (low, high) = LASTS_MS;
        Trace {
            id,
            project: 1 + random.below(shape.projects),
            spans: shape.spans_min + random.below(shape.spans_max + 1 - shape.spans_min),
            with_segment_id: random.chance(shape.with_segment_id),
            is_chain: shape.chains > 0.0 && random.chance(shape.chains),
            is_split: shape.split > 0.0 && random.chance(shape.split),
            begins_us,
            lasts_us: match shape.order {
                Order::Overlapping => low * (high / low).powf(random.fraction()) * 1000.0,
                _ => 0.0,
            },
        }
    }

    /// Where the nth span of a trace stands among all.
    fn place(&mut self, trace: &Trace, nth: u64) -> u64 {
        match self.shape.order {
            Order::Shuffled => 0,
            Order::Interleaved => trace.spans - nth,
            Order::Overlapping => {
                let share = if nth == 0 { 1.0 } else { self.random.fraction() };
                (trace.begins_us + trace.lasts_us * share) as u64
            }
        }
    }

    /// Queues a span, with a copy or with what is none, as the shares ask.
    fn put(&mut self, trace: &Trace, span: String, place: u64) {
        let twice = self.random.chance(self.shape.duplicates);
        for _ in 0..=u64::from(twice) {
            self.queue(&trace.id, span.clone(), place);
        }
        if self.random.chance(self.shape.invalid) {
            let wrong = invalid(&mut self.random, &span);
            self.queue(&trace.id, wrong, place);
        }
    }

    fn queue(&mut self, trace_id: &str, message: String, place: u64) {
        let message = (trace_id.to_owned(), message);
        if self.shape.order == Order::Shuffled {
            return self.window.push_back(message);
        }
        self.queued += 1;
        self.queue.insert((place, self.queued), message);
    }

    fn take(&mut self) -> Option<(String, String)> {
        if self.shape.order != Order::Shuffled {
            return self.queue.pop_first().map(|(_, message)| message);
        }
        if self.window.is_empty() {
            return None;
        }
        let reach = self.window.len().min(self.shape.window.max(1)) as u64;
        self.window.remove(self.random.below(reach) as usize)
    }
}

/// The first span is the root; the others hang under any that is not too deep.
fn choose_parent(
    random: &mut Random,
    tree: &[(u64, u64, Time)],
    trace: &Trace,
    depth: u64,
) -> Option<usize> {
    if tree.is_empty() {
        return None;
    }
    if trace.is_chain {
        return Some(tree.len() - 1);
    }
    let at = random.below(tree.len() as u64) as usize;
    Some(if tree[at].1 < depth { at } else { 0 })
}

impl Iterator for Generator {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        self.fill();
        let (trace_id, payload) = self.take()?;
        let at_ms = self.shape.start_ms + (self.made as f64 * self.shape.step_ms) as i64;
        self.made += 1;
        Some(Generated { at_ms, trace_id, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::span::{Validate, parse};
    use std::collections::{HashMap, HashSet};

    #[test]
    fn a_seed_gives_the_same_spans_and_another_seed_others() {
        let make = |seed| -> Vec<String> {
            Generator::new(Shape { seed, ..Shape::default() }).map(|made| made.payload).collect()
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn spans_are_valid_and_of_a_real_size() {
        let made: Vec<Generated> = Generator::new(Shape::default()).collect();
        let bytes: usize = made.iter().map(|made| made.payload.len()).sum();
        for made in &made {
            let span = parse(made.payload.as_bytes(), Validate::Strict).expect("valid");
            assert_eq!(span.trace_id, made.trace_id);
        }
        let mean = bytes / made.len();
        assert!((1000..1300).contains(&mean), "{mean} bytes a span");
    }

    #[test]
    fn every_trace_is_one_tree_with_one_root() {
        let shape = Shape { with_segment_id: 0.0, ..Shape::default() };
        let made: Vec<Generated> = Generator::new(shape).collect();
        let parsed: Vec<_> = made
            .iter()
            .map(|made| parse(made.payload.as_bytes(), Validate::Strict).expect("valid"))
            .collect();
        let ids: HashSet<_> = parsed.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
        assert_eq!(ids.len(), parsed.len());
        assert!(parsed.iter().all(|span| ids.contains(&(&span.trace_id, &span.attach))));
        assert_eq!(parsed.iter().filter(|span| span.is_segment_span).count(), 100);
    }

    #[test]
    fn no_child_is_longer_than_its_parent() {
        let shape = Shape { split: 0.5, chains: 0.2, ..Shape::default() };
        let made = Generator::new(shape)
            .map(|made| serde_json::from_str::<serde_json::Value>(&made.payload).expect("JSON"));
        let made: Vec<_> = made.collect();
        let time = |span: &serde_json::Value| {
            ["start_timestamp", "end_timestamp"].map(|name| span[name].as_f64().expect("a time"))
        };
        let times: HashMap<String, _> =
            made.iter().map(|span| (span["span_id"].to_string(), time(span))).collect();
        let mut children = 0;
        for span in &made {
            let Some([from, to]) = times.get(&span["parent_span_id"].to_string()) else { continue };
            let [start, end] = time(span);
            assert!(*from <= start && start <= end && end <= *to, "{span}");
            children += 1;
        }
        assert!(children > 500, "{children} children");
    }

    #[test]
    fn shares_come_out_as_asked() {
        let shape = Shape { traces: 1000, duplicates: 0.1, invalid: 0.05, ..Shape::default() };
        let made: Vec<Generated> = Generator::new(shape).collect();
        let bad = made
            .iter()
            .filter(|made| parse(made.payload.as_bytes(), Validate::Strict).is_err())
            .count();
        let unique: HashSet<&String> = made.iter().map(|made| &made.payload).collect();
        let share = |count: usize| count as f64 / made.len() as f64;
        assert!((0.03..0.07).contains(&share(bad)), "{bad} of {}", made.len());
        assert!((0.05..0.15).contains(&share(made.len() - unique.len())));
    }

    fn parsed(made: &[Generated]) -> Vec<crate::segment::span::Span<'_>> {
        let payloads = made.iter().map(|made| made.payload.as_bytes());
        payloads.map(|payload| parse(payload, Validate::Strict).expect("valid")).collect()
    }

    #[test]
    fn interleaved_traces_come_in_turn_and_children_first() {
        let (order, spans) = (Order::Interleaved, 50);
        let shape =
            Shape { traces: 4, spans_min: spans, spans_max: spans, order, ..Shape::default() };
        let made: Vec<Generated> = Generator::new(shape).collect();
        assert_eq!(made.len(), 200);
        assert!(made.chunks(4).all(|turn| turn[0].trace_id != turn[1].trace_id));
        let spans = parsed(&made);
        assert!(spans[..196].iter().all(|span| !span.is_segment_span));
        assert!(spans[196..].iter().all(|span| span.is_segment_span));
    }

    #[test]
    fn overlapping_traces_mix_and_end_with_their_root() {
        let shape = Shape { order: Order::Overlapping, ..Shape::default() };
        let made: Vec<Generated> = Generator::new(shape).collect();
        let mut ended = HashSet::new();
        for (made, span) in made.iter().zip(parsed(&made)) {
            assert!(!ended.contains(&made.trace_id), "a span after its root");
            if span.is_segment_span {
                ended.insert(&made.trace_id);
            }
        }
        let neighbours = made.windows(2).filter(|two| two[0].trace_id == two[1].trace_id).count();
        assert!(ended.len() == 100 && neighbours < made.len() / 2, "{neighbours}");
        assert!(made.windows(2).all(|two| two[0].at_ms <= two[1].at_ms));
    }

    #[test]
    fn a_split_trace_has_two_segments_in_two_projects() {
        let shape = Shape { traces: 50, split: 1.0, with_segment_id: 0.0, ..Shape::default() };
        let made: Vec<Generated> = Generator::new(shape).collect();
        let spans = parsed(&made);
        let roots: Vec<_> = spans.iter().filter(|span| span.is_segment_span).collect();
        let scopes: HashSet<_> =
            roots.iter().map(|span| (span.project_id, &span.trace_id)).collect();
        assert_eq!((roots.len(), scopes.len()), (100, 100));
    }

    #[test]
    fn a_chain_is_as_deep_as_it_is_long() {
        let shape = Shape {
            traces: 1,
            chains: 1.0,
            window: 1,
            spans_min: 9,
            spans_max: 9,
            ..Shape::default()
        };
        let shape = Shape { with_segment_id: 0.0, ..shape };
        let made: Vec<Generated> = Generator::new(shape).collect();
        let spans = parsed(&made);
        assert!(spans.windows(2).all(|two| two[1].attach == two[0].span_id));
    }
}
