//! The quick way against the careful one: wherever it says anything, both say the same.

use super::super::parse_carefully;
use super::*;

/// Messages of every form that matters to one of the two.
const FORMS: [&str; 14] = [
    r#"{"organization_id":1,"project_id":2,"trace_id":"t","span_id":"s","parent_span_id":"p",
        "start_timestamp":1.5,"end_timestamp":2,"received":3.25,"retention_days":90,"status":"ok",
        "name":"a \"b\"","is_segment":false,"attributes":{"a":{"type":"string","value":"x"},
        "sentry.segment.id":{"type":"string","value":"g"}},"more":[1,-2.5,[],{},[true,null]]}"#,
    r#"{"organization_id":1,"project_id":2,"trace_id":"t","span_id":"s","parent_span_id":null,
        "start_timestamp":0,"end_timestamp":2.0,"received":3,"retention_days":65535,"status":"",
        "name":null,"is_segment":true,"attributes":{}}"#,
    r#"{"project_id":0,"trace_id":"té","span_id":"日本","parent_span_id":"","attributes":{"a":1}}"#,
    r#" {"project_id":1,"trace_id":"t","span_id":"s" } "#,
    r#"{"project_id":1,"trace_id":"t","span_id":"s","attributes":{"sentry.segment.id":null}}"#,
    r#"{"project_id":1,"trace_id":"t","span_id":"s","attributes":{"sentry.segment.id":{}}}"#,
    r#"{"project_id":1,"trace_id":"t","span_id":"s","parent_span_id":"p",
        "attributes":{"sentry.segment.id":{"value":"g","value":"h"}}}"#,
    r#"{"project_id":1,"trace_id":"t","span_id":"s","span_id":"r","attributes":null}"#,
    r#"{"project_id":1,"trace_id":"t","span\u005fid":"s","parent_span_id":"p"}"#,
    r#"{"project_id":18446744073709551615,"trace_id":"t","span_id":"s\n","x":"\ud800","y":1e5}"#,
    r#"{"project_id":1.0,"trace_id":"t","span_id":"s"}"#,
    r#"{"project_id":01,"trace_id":"t","span_id":"s"}"#,
    r#"{"project_id":1,"trace_id":"t","span_id":"s","is_segment":null,"x":-,"y":tru}"#,
    r#"[{"project_id":1,"trace_id":"t","span_id":"s"}]"#,
];

/// What a mutation writes: JSON's own characters more often than others.
const PIECES: [&str; 24] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "0",
    "-",
    ".",
    "e",
    " ",
    "\n",
    "\u{1}",
    "é",
    "null",
    "true",
    "\"value\"",
    "\"span_id\"",
    "\"sentry.segment.id\":",
    "\\u0041",
    "{}",
    "1",
];

fn agree(text: &str) -> bool {
    let mut quick = false;
    for validate in [Validate::Ids, Validate::Strict] {
        if let Some(span) = super::span(text, validate) {
            assert_eq!(Ok(span), parse_carefully(text, validate), "{validate:?} {text}");
            quick = true;
        }
    }
    quick
}

/// A xorshift: tests need no better chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

fn mutate(text: &str, chance: &mut Chance) -> String {
    let mut text = text.to_owned();
    for _ in 0..=chance.below(2) {
        let (one, other) = (chance.place(&text), chance.place(&text));
        let (start, end) = (one.min(other), one.max(other));
        match chance.below(8) {
            0..4 => text.insert_str(start, PIECES[chance.below(PIECES.len())]),
            4 | 5 if start < text.len() => drop(text.remove(start)),
            6 => {
                let copy = text.get(start..end).unwrap_or_default().to_owned();
                text.insert_str(start, &copy);
            }
            _ => text = text.get(..end).unwrap_or(&text).to_owned(),
        }
    }
    text
}

#[test]
fn both_ways_say_the_same_of_every_form_and_of_what_mutation_makes_of_it() {
    let mut chance = Chance(0x5eed);
    let mut quick = 0;
    for form in FORMS {
        agree(form);
        for _ in 0..2_000 {
            quick += usize::from(agree(&mutate(form, &mut chance)));
        }
    }
    assert!(quick > 1_000, "only {quick} mutations were still spans to the quick way");
}

#[test]
fn the_usual_forms_need_no_careful_way() {
    for form in &FORMS[..4] {
        assert!(super::span(form, Validate::Ids).is_some(), "{form}");
    }
    for form in &FORMS[..2] {
        assert!(super::span(form, Validate::Strict).is_some(), "{form}");
    }
    assert!(FORMS[4..].iter().all(|form| super::span(form, Validate::Ids).is_none()));
}
