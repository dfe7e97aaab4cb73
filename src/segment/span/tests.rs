//! What is a span, what is not, and where its two fields are set.

use super::*;

fn ids(text: &str) -> Span<'_> {
    parse(text.as_bytes(), Validate::Ids).expect("a span")
}

fn reason(text: &str, validate: Validate) -> String {
    parse(text.as_bytes(), validate).expect_err("no span").reason
}

const FULL: &str = r#"{"organization_id":1,"project_id":2,"trace_id":"t","span_id":"s",
    "parent_span_id":"p","start_timestamp":1.5,"end_timestamp":2,"received":3,
    "retention_days":90,"status":"ok","name":null}"#;

#[test]
fn a_span_hangs_under_its_segment_id_before_its_parent() {
    let child = r#"{"project_id":1,"trace_id":"t","span_id":"s","parent_span_id":"p"}"#;
    assert_eq!(ids(child).attach, "p");
    let explicit = r#"{"project_id":1,"trace_id":"t","span_id":"s","parent_span_id":"p",
        "attributes":{"sentry.segment.id":{"type":"string","value":"g"}}}"#;
    assert_eq!(ids(explicit).attach, "g");
    assert!(!ids(explicit).is_segment_span);
}

#[test]
fn a_segment_span_hangs_under_itself_whatever_else_it_says() {
    for text in [
        r#"{"project_id":1,"trace_id":"t","span_id":"s"}"#,
        r#"{"project_id":1,"trace_id":"t","span_id":"s","parent_span_id":null}"#,
        r#"{"project_id":1,"trace_id":"t","span_id":"s","parent_span_id":"p","is_segment":true}"#,
        r#"{"project_id":1,"trace_id":"t","span_id":"s","parent_span_id":"p","is_segment":true,
            "attributes":{"sentry.segment.id":{"value":"g"}}}"#,
    ] {
        let span = ids(text);
        assert_eq!((span.attach.as_ref(), span.is_segment_span), ("s", true), "{text}");
    }
}

#[test]
fn the_schema_is_checked_only_when_strict() {
    assert!(parse(FULL.as_bytes(), Validate::Strict).is_ok());
    for (from, to, word) in [
        ("\"end_timestamp\":2,", "\"end_timestamp\":\"2\",", "end_timestamp"),
        ("\"received\":3,", "", "received is missing"),
        ("\"start_timestamp\":1.5", "\"start_timestamp\":-1", "negative"),
        ("\"retention_days\":90", "\"retention_days\":65536", "retention_days"),
        ("\"status\":\"ok\"", "\"status\":null", "status"),
        ("\"organization_id\":1", "\"organization_id\":-1", "organization_id"),
        ("\"name\":null", "\"name\":5", "name"),
    ] {
        let text = FULL.replace(from, to);
        assert_ne!(text, FULL, "{from} was replaced");
        assert!(reason(&text, Validate::Strict).contains(word), "{text}");
        assert!(parse(text.as_bytes(), Validate::Ids).is_ok(), "{text}");
    }
}

#[test]
fn what_assembly_needs_is_always_checked() {
    for (from, to) in [
        ("\"trace_id\":\"t\"", "\"trace_id\":null"),
        ("\"span_id\":\"s\"", "\"span_id\":null"),
        ("\"span_id\":\"s\"", "\"span_id\":\"\""),
        ("\"project_id\":2", "\"project_id\":\"2\""),
        ("\"project_id\":2", "\"project_id\":-2"),
        ("\"project_id\":2,", ""),
        ("\"parent_span_id\":\"p\"", "\"parent_span_id\":7"),
        ("\"name\":null", "\"is_segment\":1"),
        ("\"name\":null", "\"attributes\":{\"sentry.segment.id\":{\"value\":1}}"),
    ] {
        let text = FULL.replace(from, to);
        assert_ne!(text, FULL, "{from} was replaced");
        assert!(parse(text.as_bytes(), Validate::Ids).is_err(), "{text}");
    }
}

#[test]
fn an_id_that_many_spans_would_carry_is_bounded() {
    let long = "p".repeat(ID_BYTES_MAX);
    let longest = "p".repeat(ID_BYTES_MAX - 1);
    let parent = |id: &str| FULL.replace("\"p\"", &format!("\"{id}\""));
    let segment = |id: &str| {
        let attributes = format!(r#""attributes":{{"sentry.segment.id":{{"value":"{id}"}}}}"#);
        FULL.replace("\"name\":null", &attributes)
    };
    for text in [parent(&long), segment(&long)] {
        assert!(reason(&text, Validate::Ids).contains("too long"), "{}", &text[..200]);
        let root = text.replace("\"status\"", "\"is_segment\":true,\"status\"");
        assert_eq!(ids(&root).attach, "s", "nobody else carries it");
    }
    assert_eq!(ids(&parent(&longest)).attach, longest);
    assert_eq!(ids(&segment(&longest)).attach, longest);
}

#[test]
fn what_is_no_json_object_is_rejected_with_a_bounded_reason() {
    for text in ["", " ", "null", "[]", "5", "{", "{} {}", "not json", "{\"a\":tru}"] {
        let reason = reason(text, Validate::Ids);
        assert!(!reason.is_empty() && reason.len() < 500, "{text}: {reason}");
    }
    assert!(parse(b"{\"project_id\":1,\"trace_id\":\"\xff\"}", Validate::Ids).is_err());
}

#[test]
fn escapes_in_keys_and_ids_are_understood() {
    let text = r#"{"project_id":1,"trace\u005fid":"t","span_id":"\u0061b","parent_span_id":"p",
        "is_s\u0065gment":true}"#;
    let span = ids(text);
    assert_eq!((span.trace_id.as_ref(), span.span_id.as_ref()), ("t", "ab"));
    assert!(span.is_segment_span);
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    let text = r#"{"project_id":1,"trace_id":"t","span_id":"a","parent_span_id":"p",
        "is_segment":true,"span_id":"b","is_segment":false,
        "attributes":{"sentry.segment.id":{"value":"x","value":"y"}}}"#;
    let span = ids(text);
    assert_eq!((span.span_id.as_ref(), span.attach.as_ref()), ("b", "y"));
    assert!(matches!(span.splice.is_segment, FlagSplice::Replace { start, end }
        if &text[start as usize..end as usize] == "false"));
}

#[test]
fn decoys_in_other_places_do_not_count() {
    let text = r#"{"project_id":1,"trace_id":"t","span_id":"s","parent_span_id":"p",
        "sentry.segment.id":"no","data":{"is_segment":true,"span_id":"no"},
        "attributes":{"x":{"value":{"sentry.segment.id":{"value":"no"}}},"is_segment":true}}"#;
    let span = ids(text);
    assert_eq!(span.attach, "p");
    assert!(matches!(span.splice.is_segment, FlagSplice::Insert { .. }));
    assert!(matches!(span.splice.segment_id, IdSplice::InsertMember { empty: false, .. }));
}

#[test]
fn large_numbers_and_deep_nesting_pass() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = format!(
        r#"{{"project_id":18446744073709551615,"trace_id":"t","span_id":"s","deep":{deep},
            "n":123456789012345678901234567890,"attributes":{{"d":{deep}}}}}"#
    );
    assert_eq!(ids(&text).project_id, u64::MAX);
}

#[test]
fn every_form_of_attributes_has_its_splice() {
    let splice = |attributes: &str| {
        let text = format!(r#"{{"project_id":1,"trace_id":"t","span_id":"s"{attributes}}}"#);
        ids(&text).splice.segment_id
    };
    assert!(matches!(splice(""), IdSplice::InsertAttributes { at: 1 }));
    assert!(matches!(splice(r#","attributes":null"#), IdSplice::ReplaceAttributes { .. }));
    assert!(matches!(splice(r#","attributes":[1]"#), IdSplice::ReplaceAttributes { .. }));
    let empty = splice(r#","attributes": { } "#);
    assert!(matches!(empty, IdSplice::InsertMember { empty: true, .. }));
    let null = splice(r#","attributes":{"sentry.segment.id":null}"#);
    assert!(matches!(null, IdSplice::ReplaceMember { .. }));
    let blank = splice(r#","attributes":{"sentry.segment.id":{"value":""}}"#);
    assert!(matches!(blank, IdSplice::ReplaceMember { .. }));
    let kept = splice(r#","attributes":{"sentry.segment.id":{"value":"x"}}"#);
    assert_eq!(kept, IdSplice::Keep);
}
