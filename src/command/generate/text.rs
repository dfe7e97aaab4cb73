//! How a generated span looks: names and times of a web service, a dozen typed attributes.

use super::spans::Random;
use std::fmt::Write as _;

const SERVICES: [&str; 6] = ["checkout", "catalog", "search", "payments", "accounts", "gateway"];
const OPERATIONS: [&str; 6] =
    ["http.server", "http.client", "db.query", "cache.get", "queue.publish", "template.render"];
const ROUTES: [&str; 6] =
    ["/api/v1/orders/{id}", "/api/v1/items", "/search", "/login", "/cart", "/healthz"];
const HOSTS: [&str; 4] = ["web-7d9f8", "web-1c2aa", "worker-55b0e", "edge-9e331"];

/// What is told of one span; the rest of it is chance.
pub struct Told<'t> {
    pub project: u64,
    pub trace_id: &'t str,
    pub id: u64,
    pub parent: Option<u64>,
    pub is_segment: bool,
    /// Written as `sentry.segment.id`.
    pub segment: Option<u64>,
    pub time: Time,
}

/// When a span began, and how long it lasted.
#[derive(Clone, Copy)]
pub struct Time {
    pub start_ms: f64,
    pub lasts_ms: f64,
}

impl Time {
    pub fn of_root(random: &mut Random, start_ms: f64) -> Time {
        Time { start_ms, lasts_ms: 100.0 + random.below(900) as f64 }
    }

    /// In the midst of its parent's.
    pub fn within(random: &mut Random, parent: Time) -> Time {
        let lasts_ms = parent.lasts_ms * random.below(900) as f64 / 1000.0;
        Time { start_ms: parent.start_ms + (parent.lasts_ms - lasts_ms) / 2.0, lasts_ms }
    }
}

/// The span as JSON.
pub fn write_span(random: &mut Random, told: &Told<'_>) -> String {
    let Told { project, trace_id, id, parent, is_segment, segment, time } = *told;
    let start = time.start_ms / 1000.0;
    let end = start + time.lasts_ms / 1000.0;
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
        is_segment,
    );
    if let Some(segment) = segment {
        attribute(&mut text, "sentry.segment.id", "string", &format!("\"{segment:016x}\""));
    }
    for (name, kind, value) in attributes(random, operation, route) {
        attribute(&mut text, name, kind, &value);
    }
    let url = format!("\"https://shop.example.com{route}?session={:016x}\"", id.rotate_left(17));
    attribute(&mut text, "url.full", "string", &url);
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
        ("user.id", "string", format!("\"user-{:08x}\"", random.bits() as u32)),
        ("sentry.release", "string", quoted("backend@24.11.3+5f1b8c2")),
        ("sentry.environment", "string", quoted("production")),
    ]
}

fn attribute(text: &mut String, name: &str, kind: &str, value: &str) {
    let _ = write!(text, "\"{name}\":{{\"type\":\"{kind}\",\"value\":{value}}},");
}

/// What is no span in one of the ways that happen.
pub fn invalid(random: &mut Random, span: &str) -> String {
    match random.below(4) {
        0 => span[..span.len() / 2].to_owned(),
        1 => span.replacen("\"trace_id\":\"", "\"trace_id\":null,\"was\":\"", 1),
        2 => "not json at all".to_owned(),
        _ => "[]".to_owned(),
    }
}
