//! Messages out: the two fields, the order, the split, the ids.

use super::*;
use crate::segment::span::{Splice, Validate, parse};
use serde_json::Value;
use std::collections::HashSet;

/// A segment of one body whose spans are these messages, at offsets from 10 on.
fn encode_all(texts: &[&str], id: &str, max_bytes: usize) -> Encoded {
    let parsed: Vec<_> =
        texts.iter().map(|text| parse(text.as_bytes(), Validate::Ids).expect("a span")).collect();
    let spans = parsed.iter().enumerate().map(|(at, span)| StoredSpan {
        offset: Offset(10 + at as i64),
        span_id: &span.span_id,
        splice: span.splice,
        payload: span.payload,
    });
    let body = SpansBody { project_id: 1, trace_id: "t", attach: id, spans: spans.collect() };
    let segment = Segment {
        shard: ShardId(3),
        id: IdKey::of(id),
        has_root: true,
        reason: Reason::IdleWithRoot,
        bodies: vec![body],
    };
    encode(&segment, max_bytes)
}

fn json(message: &Outgoing) -> Value {
    serde_json::from_slice(&message.payload).expect("JSON")
}

fn span(rest: &str) -> String {
    format!(r#"{{"project_id":1,"trace_id":"t"{rest}}}"#)
}

/// What UPSTREAM, section 3, says that a span becomes, done the slow way.
fn reference(text: &str, id: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).expect("JSON");
    value["is_segment"] = Value::Bool(value["span_id"] == id);
    if !value["attributes"].is_object() {
        value["attributes"] = Value::Object(Default::default());
    }
    let there = &value["attributes"]["sentry.segment.id"]["value"];
    if there.as_str().unwrap_or_default().is_empty() {
        value["attributes"]["sentry.segment.id"] =
            serde_json::json!({"type": "string", "value": id});
    }
    value
}

#[test]
fn every_form_of_a_span_gets_its_two_fields_and_keeps_the_rest() {
    for id in ["b", "\"\\\u{1}é"] {
        for flag in ["", r#","is_segment":true"#, r#", "is_segment" : null "#] {
            for attributes in [
                "",
                r#","attributes":null"#,
                r#","attributes":"x""#,
                r#","attributes":{ }"#,
                r#","attributes":{"a":{"type":"integer","value":1.50}}"#,
                r#","attributes":{"sentry.segment.id":null,"a":1}"#,
                r#","attributes":{"sentry.segment.id":{"type":"string","value":""}}"#,
                r#","attributes":{"sentry.segment.id":{"type":"string","value":"kept"}}"#,
            ] {
                for order in [false, true] {
                    let own = r#","span_id":"s","parent_span_id":"p","n":1e2"#;
                    let rest =
                        if order { [flag, own, attributes] } else { [attributes, own, flag] };
                    let text = span(&rest.concat());
                    let encoded = encode_all(&[&text], id, 1 << 20);
                    let message = json(&encoded.messages[0]);
                    assert_eq!(message["spans"][0], reference(&text, id), "{text}");
                    assert!(encoded.messages[0].payload.windows(3).any(|w| w == b"1e2"), "{text}");
                }
            }
        }
    }
}

#[test]
fn the_root_comes_first_and_the_others_in_input_order() {
    let texts: Vec<String> = ["c", "a", "b", "d"]
        .map(|id| span(&format!(r#","span_id":"{id}","parent_span_id":"b""#)))
        .to_vec();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let message = json(&encode_all(&texts, "b", 1 << 20).messages[0]);
    let ids: Vec<&str> = message["spans"]
        .as_array()
        .expect("spans")
        .iter()
        .filter_map(|s| s["span_id"].as_str())
        .collect();
    assert_eq!(ids, ["b", "c", "a", "d"]);
    let flags: Vec<bool> = message["spans"]
        .as_array()
        .expect("spans")
        .iter()
        .filter_map(|s| s["is_segment"].as_bool())
        .collect();
    assert_eq!(flags, [true, false, false, false]);
}

#[test]
fn identical_spans_count_once_and_changed_ones_are_kept() {
    let a = span(r#","span_id":"a","v":1"#);
    let other = span(r#","span_id":"a","v":2"#);
    let encoded = encode_all(&[&a, &a, &other, &a], "a", 1 << 20);
    assert_eq!(encoded.duplicates, 2);
    assert_eq!(json(&encoded.messages[0])["spans"].as_array().map(Vec::len), Some(2));
    assert_eq!(encoded.messages[0].offsets, [Offset(10), Offset(12)]);
}

#[test]
fn a_large_segment_is_split_and_every_part_is_flagged() {
    let texts: Vec<String> =
        (0..10).map(|n| span(&format!(r#","span_id":"{n}","x":"{}""#, "y".repeat(100)))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let whole = encode_all(&texts, "0", 1 << 20);
    assert!(json(&whole.messages[0]).get("skip_enrichment").is_none());
    let size = json(&whole.messages[0])["spans"][1].to_string().len();
    let encoded = encode_all(&texts, "0", 3 * size + size / 2);
    assert_eq!(encoded.messages.len(), 4);
    let mut ids = HashSet::new();
    let mut offsets = Vec::new();
    for message in &encoded.messages {
        assert_eq!(json(message)["skip_enrichment"], true);
        ids.insert(message.flush_id.clone());
        offsets.extend(message.offsets.iter().map(|offset| offset.0));
    }
    assert_eq!(ids.len(), 4, "parts carry different ids");
    assert_eq!(offsets, (10..20).collect::<Vec<_>>());
}

#[test]
fn a_single_span_over_the_limit_goes_alone_and_flagged() {
    let big = span(&format!(r#","span_id":"a","x":"{}""#, "y".repeat(1000)));
    let encoded = encode_all(&[&big], "a", 100);
    assert_eq!(encoded.messages.len(), 1);
    assert_eq!(json(&encoded.messages[0])["skip_enrichment"], true);
}

#[test]
fn the_flush_id_follows_from_the_content() {
    let (a, b) = (span(r#","span_id":"a""#), span(r#","span_id":"b","parent_span_id":"a""#));
    let id = |texts: &[&str]| encode_all(texts, "a", 1 << 20).messages[0].flush_id.clone();
    assert_eq!(id(&[&a, &b]), id(&[&a, &b]));
    assert_eq!(id(&[&a, &b]), id(&[&a, &a, &b]), "a copy changes nothing");
    assert_ne!(id(&[&a, &b]), id(&[&a]));
    assert_eq!(id(&[&a]).len(), 32);
}

#[test]
fn the_source_names_ranges_in_the_order_of_the_spans_and_is_bounded() {
    let offsets = |list: &[i64]| list.iter().copied().map(Offset).collect::<Vec<_>>();
    let text = source(ShardId(3), &offsets(&[107, 100, 101, 102, 105]), 1024);
    assert_eq!(text, "3:107-108,100-103,105-106");
    let many: Vec<Offset> = (0..1000).map(|n| Offset(n * 2)).collect();
    let cut = source(ShardId(3), &many, 100);
    assert!(cut.len() <= 103 && cut.ends_with('…'), "{cut}");
    assert_eq!(source(ShardId(3), &[], 100), "3:");
}

/// No message makes these, but somebody else's batch in Redis may.
#[test]
fn an_edit_that_inserts_where_the_other_replaces_goes_first() {
    let replace = FlagSplice::Replace { start: 0, end: 4 };
    for (is_segment, segment_id, expected) in [
        (replace, IdSplice::Keep, "true}"),
        (
            replace,
            IdSplice::InsertMember { at: 0, empty: false },
            r#""sentry.segment.id":{"type":"string","value":"b"},true}"#,
        ),
        (
            FlagSplice::Insert { at: 0 },
            IdSplice::ReplaceMember { start: 0, end: 4 },
            r#""is_segment":true,{"type":"string","value":"b"}}"#,
        ),
    ] {
        let splice = Splice { is_segment, segment_id };
        let span = StoredSpan { offset: Offset(1), span_id: "b", splice, payload: b"null}" };
        let mut out = Vec::new();
        let splices = Splices::of("b");
        splices.write(&span, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
        assert_eq!(splices.size(&span), out.len());
    }
}
