//! What evidence is a fault, what a note, and what is neither.

use super::*;
use crate::segment::batch::{self, Compression, Place};
use crate::segment::chunk::Draft;
use crate::segment::span::{Validate, parse};
use crate::store::books::Settled;
use crate::store::{Life, Listed};

const LIMITS: Limits =
    Limits { timeout_ms: 60_000, root_timeout_ms: 10_000, max_age_ms: 1 << 40, max_bytes: 1 << 40 };

fn identity() -> Identity {
    Identity { cluster: "c".into(), topic: "t".into(), group: "g".into() }
}

/// A batch with the offsets 10 and 11: two traces of one span each.
fn header() -> Header {
    let mut draft = Draft::new(1000);
    for (nth, trace) in ["t", "0123456789abcdef0123456789abcdef"].into_iter().enumerate() {
        let text = format!(r#"{{"project_id":1,"trace_id":"{trace}","span_id":"s"}}"#);
        let span = parse(text.as_bytes(), Validate::Ids).unwrap();
        draft.add(&span, Offset(10 + nth as i64), EventMs(5));
    }
    let (start, next) = (Offset(10), Offset(12));
    let place = Place { id: BatchId(1), previous: None, start, next, clock: EventMs(5) };
    batch::pack(&mut draft, place, Compression::None).header
}

/// A shard at rest, of which one of two messages is delivered.
fn evidence() -> Evidence {
    let mut marks = Marks::default();
    marks.set(0);
    let settled = Settled { delivered: 1, ..Settled::default() };
    let state = State {
        identity: identity(),
        life: Life(7),
        position: Offset(12),
        tip: Some(BatchId(1)),
        clock: None,
        epoch: None,
        batches: 1,
        marked: 1,
        books: Books { read: 2, settled },
    };
    let listed = vec![Listed { id: BatchId(1), header_bytes: 9, first: Offset(10) }];
    Evidence {
        shard: ShardId(0),
        range: Some((Offset(0), Offset(20))),
        committed: Some(Offset(11)),
        taken: Some(Taken { state, listed, marks: vec![(BatchId(1), marks)] }),
        batches: vec![Ok(header())],
        orphans: Vec::new(),
        stray: false,
        namespace: "spanbuf".to_owned(),
    }
}

fn faults(change: impl FnOnce(&mut Evidence, &mut Taken)) -> Vec<String> {
    let mut evidence = evidence();
    let mut taken = evidence.taken.take().unwrap();
    change(&mut evidence, &mut taken);
    evidence.taken = Some(taken);
    judge(&evidence, &identity(), LIMITS).faults
}

#[test]
fn a_sound_shard_says_what_is_left() {
    let finding = judge(&evidence(), &identity(), LIMITS);
    assert!(finding.is_sound(), "{:?}", finding.faults);
    assert_eq!((finding.buffered, finding.unaccounted()), (1, 0));
    assert_eq!(finding.unsettled, [(Offset(11), Offset(12))]);
    let trace = TraceKey::of(1, "0123456789abcdef0123456789abcdef");
    assert_eq!(finding.open[0].name.map(|(trace, _)| trace), Some(trace));
    assert!(finding.open[0].has_root && finding.open.len() == 1);
}

#[test]
fn each_fault_is_found() {
    type Change = fn(&mut Evidence, &mut Taken);
    let changes: [(&str, Change); 9] = [
        ("belong to topic x", |_, taken| taken.state.identity.topic = "x".into()),
        ("1 of 3 messages", |_, taken| taken.state.books.read = 3),
        ("2 batches are counted, 1 are there", |_, taken| taken.state.batches = 2),
        ("marks and is not listed", |_, taken| taken.marks[0].0 = BatchId(2)),
        ("gone", |evidence, _| evidence.batches = vec![Err("its value is gone".into())]),
        ("beyond the position", |_, taken| taken.state.position = Offset(11)),
        ("behind the end", |evidence, _| evidence.range = Some((Offset(0), Offset(11)))),
        ("retention", |evidence, _| evidence.range = Some((Offset(12), Offset(20)))),
        ("no such partition", |evidence, _| evidence.range = None),
    ];
    for (wanted, change) in changes {
        let found = faults(change);
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}: {found:?}");
    }
}

#[test]
fn what_lies_below_the_floor_and_orphans_are_notes() {
    let mut evidence = evidence();
    evidence.committed = Some(Offset(12));
    evidence.orphans = vec![Orphan { id: BatchId(9), bytes: 5, expires: true }];
    let finding = judge(&evidence, &identity(), LIMITS);
    assert_eq!((finding.faults.len(), finding.notes.len()), (0, 2));
    evidence.orphans[0].expires = false;
    assert!(!judge(&evidence, &identity(), LIMITS).is_sound());
}
