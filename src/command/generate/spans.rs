//! Spans from a seed: the same shape gives the same bytes, everywhere.
//!
//! They look like real ones: about 1.1 KiB, a dozen typed attributes, names and times of a web
//! service. Traces are trees of the asked depth; what leaves is shuffled within a window, so
//! that children come before their parents and traces mix.

use std::fmt::Write as _;

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
    /// Spans that may overtake each other; 1 keeps the order.
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
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// 0..below, for a `below` of at least 1.
    fn below(&mut self, below: u64) -> u64 {
        self.next() % below.max(1)
    }

    fn chance(&mut self, share: f64) -> bool {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 * 1.0 < share
    }

    fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len() as u64) as usize]
    }
}

/// The spans of a shape, one after the other. Holds one window of them.
pub struct Generator {
    shape: Shape,
    random: Random,
    traces_left: u64,
    made: u64,
    window: Vec<(String, String)>,
}

impl Generator {
    pub fn new(shape: Shape) -> Generator {
        let random = Random(shape.seed);
        Generator { traces_left: shape.traces, shape, random, made: 0, window: Vec::new() }
    }

    fn fill(&mut self) {
        let wanted = self.shape.window.max(1);
        while self.window.len() < wanted && self.traces_left > 0 {
            self.traces_left -= 1;
            self.make_trace();
        }
    }

    fn make_trace(&mut self) {
        let shape = self.shape.clone();
        let random = &mut self.random;
        let trace_id = format!("{:016x}{:016x}", random.next(), random.next());
        let project = 1 + random.below(shape.projects);
        let count = shape.spans_min + random.below(shape.spans_max + 1 - shape.spans_min);
        let with_id = random.chance(shape.with_segment_id);
        // Ids and depths of the spans made so far: every parent is among them.
        let mut tree: Vec<(u64, u64)> = Vec::new();
        for at in 0..count {
            let id = random.next();
            let parent = choose_parent(random, &tree, shape.depth);
            let depth = parent.map_or(0, |at| tree[at].1 + 1);
            let parent = parent.map(|at| tree[at].0);
            tree.push((id, depth));
            let segment = with_id.then_some(tree[0].0);
            let start = self.made as f64 * shape.step_ms + at as f64;
            let start_ms = shape.start_ms as f64 + start;
            let span = write_span(random, project, &trace_id, id, parent, segment, start_ms);
            let twice = random.chance(shape.duplicates);
            for _ in 0..=u64::from(twice) {
                self.window.push((trace_id.clone(), span.clone()));
            }
            if random.chance(shape.invalid) {
                self.window.push((trace_id.clone(), invalid(random, &span)));
            }
        }
    }
}

/// The first span is the root; the others hang under any that is not too deep.
fn choose_parent(random: &mut Random, tree: &[(u64, u64)], depth: u64) -> Option<usize> {
    if tree.is_empty() {
        return None;
    }
    let at = random.below(tree.len() as u64) as usize;
    Some(if tree[at].1 < depth { at } else { 0 })
}

impl Iterator for Generator {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        self.fill();
        if self.window.is_empty() {
            return None;
        }
        let reach = self.window.len().min(self.shape.window.max(1)) as u64;
        let (trace_id, payload) = self.window.remove(self.random.below(reach) as usize);
        let at_ms = self.shape.start_ms + (self.made as f64 * self.shape.step_ms) as i64;
        self.made += 1;
        Some(Generated { at_ms, trace_id, payload })
    }
}

const SERVICES: [&str; 6] = ["checkout", "catalog", "search", "payments", "accounts", "gateway"];
const OPERATIONS: [&str; 6] =
    ["http.server", "http.client", "db.query", "cache.get", "queue.publish", "template.render"];
const ROUTES: [&str; 6] =
    ["/api/v1/orders/{id}", "/api/v1/items", "/search", "/login", "/cart", "/healthz"];
const HOSTS: [&str; 4] = ["web-7d9f8", "web-1c2aa", "worker-55b0e", "edge-9e331"];

fn write_span(
    random: &mut Random,
    project: u64,
    trace_id: &str,
    id: u64,
    parent: Option<u64>,
    segment: Option<u64>,
    start_ms: f64,
) -> String {
    let start = start_ms / 1000.0;
    let end = start + random.below(900) as f64 / 1000.0;
    let operation = random.pick(&OPERATIONS);
    let route = random.pick(&ROUTES);
    let mut text = String::with_capacity(1300);
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "{{\"organization_id\":1,\"project_id\":{project},\"trace_id\":\"{trace_id}\",\
         \"span_id\":\"{id:016x}\",\"parent_span_id\":{},\"start_timestamp\":{start:.6},\
         \"end_timestamp\":{end:.6},\"received\":{:.6},\"retention_days\":90,\"status\":\"ok\",\
         \"is_segment\":{},\"name\":\"{operation} {route}\",\"attributes\":{{",
        parent.map_or("null".to_owned(), |parent| format!("\"{parent:016x}\"")),
        end + 0.25,
        parent.is_none(),
    );
    if let Some(segment) = segment {
        attribute(&mut text, "sentry.segment.id", "string", &format!("\"{segment:016x}\""));
    }
    for (name, kind, value) in attributes(random, operation, route) {
        attribute(&mut text, name, kind, &value);
    }
    text.pop();
    text.push_str("}}");
    text
}

fn attributes(
    random: &mut Random,
    operation: &str,
    route: &str,
) -> Vec<(&'static str, &'static str, String)> {
    let quoted = |text: &str| format!("\"{text}\"");
    let address = format!("\"10.{}.{}.{}\"", random.below(4), random.below(256), random.below(256));
    vec![
        ("sentry.op", "string", quoted(operation)),
        ("http.route", "string", quoted(route)),
        ("service.name", "string", quoted(random.pick(&SERVICES))),
        ("host.name", "string", quoted(random.pick(&HOSTS))),
        ("http.response.status_code", "integer", "200".to_owned()),
        ("http.response.body.size", "integer", random.below(65_536).to_string()),
        ("server.address", "string", address),
        ("thread.id", "integer", random.below(64).to_string()),
        ("db.rows", "double", format!("{}.5", random.below(1000))),
        ("sentry.sampled", "boolean", random.chance(0.9).to_string()),
        ("user.id", "string", format!("\"user-{:08x}\"", random.next() as u32)),
        ("sentry.release", "string", quoted("backend@24.11.3+5f1b8c2")),
        ("sentry.environment", "string", quoted("production")),
    ]
}

fn attribute(text: &mut String, name: &str, kind: &str, value: &str) {
    let _ = write!(text, "\"{name}\":{{\"type\":\"{kind}\",\"value\":{value}}},");
}

/// What is no span in one of the ways that happen.
fn invalid(random: &mut Random, span: &str) -> String {
    match random.below(4) {
        0 => span[..span.len() / 2].to_owned(),
        1 => span.replacen("\"trace_id\":\"", "\"trace_id\":null,\"was\":\"", 1),
        2 => "not json at all".to_owned(),
        _ => "[]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::span::{Validate, parse};
    use std::collections::HashSet;

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
}
