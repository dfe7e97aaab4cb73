//! One assembled segment, drawn as a tree: what the whole work is for.

use serde_json::Value;
use std::collections::BTreeMap;

/// Spans drawn at most; a larger segment ends in a line that says how many follow.
const SPANS_MAX: usize = 24;

/// Draws the segment message `payload` as indented lines; empty when it is no segment.
pub fn draw(payload: &[u8]) -> Vec<String> {
    let Ok(message) = serde_json::from_slice::<Value>(payload) else { return Vec::new() };
    let Some(spans) = message["spans"].as_array() else { return Vec::new() };
    let Some(root) = spans.iter().find(|span| span["is_segment"] == true).or(spans.first()) else {
        return Vec::new();
    };
    let mut children: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for span in spans {
        if let Some(parent) = span["parent_span_id"].as_str()
            && span["span_id"] != root["span_id"]
        {
            children.entry(parent).or_default().push(span);
        }
    }
    let mut lines = vec![format!(
        "segment {} of trace {}: {} spans",
        text(&root["span_id"]),
        text(&root["trace_id"]),
        spans.len()
    )];
    let drawn = draw_below(root, &children, &mut lines);
    if spans.len() > drawn {
        lines.push(format!("  … and {} more", spans.len() - drawn));
    }
    lines
}

/// Depth first with a stack of our own; returns how many spans were drawn.
fn draw_below(
    root: &Value,
    children: &BTreeMap<&str, Vec<&Value>>,
    lines: &mut Vec<String>,
) -> usize {
    // A span, what stands before its name, and what stands before the names below it.
    let mut stack = vec![(root, String::new(), String::new())];
    let mut drawn = 0;
    while let Some((span, branch, margin)) = stack.pop() {
        if drawn == SPANS_MAX {
            break;
        }
        drawn += 1;
        lines.push(line(span, &branch));
        let below = span["span_id"].as_str().and_then(|id| children.get(id));
        for (from_last, child) in below.into_iter().flatten().rev().enumerate() {
            let (branch, gap) =
                if from_last == 0 { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            stack.push((child, format!("{margin}{branch}"), format!("{margin}{gap}")));
        }
    }
    drawn
}

fn line(span: &Value, branch: &str) -> String {
    let from = span["start_timestamp"].as_f64().unwrap_or(0.0);
    let to = span["end_timestamp"].as_f64().unwrap_or(from);
    let name = span["name"].as_str().unwrap_or("(no name)");
    format!("  {branch}{name}  {:.0} ms  {}", (to - from) * 1000.0, text(&span["span_id"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn children_are_drawn_under_their_parent_whatever_the_order() {
        let message = br#"{"flush_id":"x","spans":[
            {"span_id":"c","trace_id":"t","parent_span_id":"b","name":"leaf"},
            {"span_id":"a","trace_id":"t","is_segment":true,"name":"root","start_timestamp":1,
             "end_timestamp":1.25},
            {"span_id":"b","trace_id":"t","parent_span_id":"a","name":"middle"},
            {"span_id":"d","trace_id":"t","parent_span_id":"a","name":"other"}]}"#;
        let lines = draw(message);
        assert_eq!(lines[0], "segment a of trace t: 4 spans");
        assert_eq!(lines[1], "  root  250 ms  a");
        assert_eq!(lines[2], "  ├─ middle  0 ms  b");
        assert_eq!(lines[3], "  │  └─ leaf  0 ms  c");
        assert_eq!(lines[4], "  └─ other  0 ms  d");
    }

    #[test]
    fn what_is_no_segment_draws_nothing() {
        assert!(draw(b"not json").is_empty());
        assert!(draw(br#"{"spans":[]}"#).is_empty());
    }

    #[test]
    fn a_cycle_of_parents_ends() {
        let message = br#"{"spans":[{"span_id":"a","trace_id":"t","parent_span_id":"b"},
            {"span_id":"b","trace_id":"t","parent_span_id":"a"}]}"#;
        assert!(draw(message).len() <= 4);
    }
}
