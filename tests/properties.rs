//! The pure middle of story 1 under random input: codec, index, floor.
//!
//! The index is compared with a naive assembly of all spans, one at a time. Batching, and
//! dropping the index and restoring it from what is stored, must make no difference, with times
//! before, at and behind every deadline. Age and size are left out of it: at those a chunk goes
//! with its first span, so batching may show (they have tests of their own).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "kit/random.rs"]
mod random;

use random::Random;
use spanbufd::segment::batch::{self, Batch, Compression, Place};
use spanbufd::segment::chunk::{Body, Draft, RejectBody};
use spanbufd::segment::index::{DueSegment, Index, Limits, Marks, Reason, Share};
use spanbufd::segment::offset_map::OffsetMap;
use spanbufd::segment::span::{FlagSplice, IdSplice, Span, Splice};
use spanbufd::segment::{BatchId, EventMs, IdKey, Offset};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const LIMITS: Limits =
    Limits { timeout_ms: 60_000, root_timeout_ms: 10_000, max_age_ms: 1 << 40, max_bytes: 1 << 40 };
const LATER: EventMs = EventMs(i64::MAX);

#[derive(Clone, Copy, Debug)]
struct Given {
    project: u64,
    trace: u64,
    id: u64,
    attach: u64,
    at: i64,
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}

fn given(id: u64, attach: u64, seconds: i64) -> Given {
    Given { project: 1, trace: 1, id, attach, at: seconds * 1000 }
}

/// Packs spans from `start` on as one batch behind `previous`.
fn packed(spans: &[Given], start: usize, previous: Option<BatchId>) -> Batch {
    let mut draft = Draft::new(LIMITS.spread_ms());
    for (nth, one) in spans.iter().enumerate() {
        let splice = Splice {
            is_segment: FlagSplice::Insert { at: 1 },
            segment_id: IdSplice::InsertAttributes { at: 1 },
        };
        let span = Span {
            project_id: one.project,
            trace_id: format!("{:032x}", one.trace).into(),
            span_id: hex(one.id).into(),
            attach: hex(one.attach).into(),
            is_segment_span: one.id == one.attach,
            splice,
            payload: b"{}",
        };
        draft.add(&span, Offset((start + nth) as i64), EventMs(one.at));
    }
    let place = Place {
        id: BatchId(start as u128 + 1),
        previous,
        start: Offset(start as i64),
        next: Offset((start + spans.len()) as i64),
        clock: EventMs(spans.last().map_or(0, |one| one.at)),
    };
    batch::pack(&mut draft, place, Compression::Zstd(1))
}

/// (project, segment id, has root, due, offsets)
type Out = (u64, u64, bool, i64, Vec<i64>);

fn out(due: &DueSegment, stored: &BTreeMap<u128, Batch>) -> Out {
    let name = due.segment.unwrap();
    let mut offsets = Vec::new();
    for chunk in &due.chunks {
        let value = &stored[&chunk.batch.0].value;
        let header = batch::parse_header(value).unwrap();
        let raw = header.read_block(chunk.block_no, value).unwrap();
        let head = &header.chunks[chunk.ordinal as usize];
        let Body::Spans(body) = batch::parse_body(head, &raw).unwrap() else { panic!("reject") };
        offsets.extend(body.spans.iter().map(|span| span.offset.0));
    }
    offsets.sort_unstable();
    (name.trace.project, name.id.0, name.has_root, due.due_ms.0, offsets)
}

/// Naive: recomputes each component from its spans.
#[derive(Default)]
struct Naive {
    open: Vec<Vec<(i64, Given)>>,
    out: Vec<Out>,
}

impl Naive {
    fn due(set: &[(i64, Given)]) -> i64 {
        let last = set.iter().map(|(_, one)| one.at).max().unwrap();
        let first = set.iter().map(|(_, one)| one.at).min().unwrap();
        let root = set.iter().any(|(_, one)| one.id == one.attach);
        let wait = if root { LIMITS.root_timeout_ms } else { LIMITS.timeout_ms };
        (last + wait).min(first + LIMITS.max_age_ms)
    }

    fn close(&mut self, set: Vec<(i64, Given)>) {
        let roots = set.iter().filter(|(_, one)| one.id == one.attach).map(|(_, one)| one.id);
        let hangs: BTreeSet<u64> =
            set.iter().filter(|(_, one)| one.id != one.attach).map(|(_, one)| one.id).collect();
        let attach: BTreeSet<u64> = set.iter().map(|(_, one)| one.attach).collect();
        let root = roots.min();
        let top = attach.iter().find(|id| !hangs.contains(id)).copied();
        let id = root.or(top).or(attach.first().copied()).unwrap();
        let mut offsets: Vec<i64> = set.iter().map(|(offset, _)| *offset).collect();
        offsets.sort_unstable();
        self.out.push((set[0].1.project, id, root.is_some(), Naive::due(&set), offsets));
    }

    fn add(&mut self, offset: i64, one: Given) {
        let mut joined = vec![(offset, one)];
        for set in std::mem::take(&mut self.open) {
            let touches = set.iter().any(|(_, other)| {
                let ids = [other.id, other.attach];
                other.project == one.project && (ids.contains(&one.id) || ids.contains(&one.attach))
            });
            match touches {
                true if Naive::due(&set) <= one.at => self.close(set),
                true => joined.extend(set),
                false => self.open.push(set),
            }
        }
        self.open.push(joined);
    }

    fn run(spans: &[Given]) -> Vec<Out> {
        let mut naive = Naive::default();
        spans.iter().enumerate().for_each(|(offset, one)| naive.add(offset as i64, *one));
        std::mem::take(&mut naive.open).into_iter().for_each(|set| naive.close(set));
        naive.out.sort();
        naive.out
    }
}

fn random_spans(random: &mut Random) -> Vec<Given> {
    let (count, ids) = (1 + random.below(60), 2 + random.below(30));
    let mut at = 0;
    let mut one = |_| {
        at += [0, 0, 0, 1, 700, 4000, 9_999, 10_000, 10_001, 60_000][random.below(10) as usize];
        let id = random.below(ids);
        let attach = if random.below(4) == 0 { id } else { random.below(ids) };
        Given { project: 1 + random.below(2), trace: 1, id, attach, at }
    };
    (0..count).map(&mut one).collect()
}

/// Runs through the real index; with `flaky`, flushes, settles and rebuilds at random.
fn run(spans: &[Given], random: &mut Random, flaky: bool) -> Vec<Out> {
    let (mut at, mut tip, mut outs) = (0, None, Vec::new());
    let mut index = Index::new(LIMITS, Offset(0), None);
    let mut stored: BTreeMap<u128, Batch> = BTreeMap::new();
    let mut marks: HashMap<BatchId, Marks> = HashMap::new();
    let mut unsettled: BTreeSet<i64> = BTreeSet::new();
    while at < spans.len() {
        let len = (1 + random.below(9) as usize).min(spans.len() - at);
        let made = packed(&spans[at..at + len], at, tip);
        assert_eq!(batch::parse_header(&made.value).as_ref(), Ok(&made.header));
        index.follow(&made.header, made.header_bytes).unwrap();
        unsettled.extend(at as i64..(at + len) as i64);
        (at, tip) = (at + len, Some(made.header.id));
        stored.insert(made.header.id.0, made);
        if flaky && random.below(3) == 0 {
            let now = EventMs(spans[at - 1].at);
            flush(&mut index, now, &mut stored, &mut marks, &mut unsettled, &mut outs);
        }
        if flaky && random.below(3) == 0 {
            index = Index::new(LIMITS, index.position(), index.tip());
            for one in stored.values().rev() {
                let marks = marks.get(&one.header.id).cloned().unwrap_or_default();
                index.restore(&one.header, one.header_bytes, &marks);
            }
            index.restored();
        }
        let floor = unsettled.first().copied().unwrap_or(at as i64);
        assert_eq!(index.floor(), Offset(floor));
    }
    flush(&mut index, LATER, &mut stored, &mut marks, &mut unsettled, &mut outs);
    assert_eq!((index.batches(), index.open_segments(), index.open_spans()), (0, 0, 0));
    outs.sort();
    outs
}

fn flush(
    index: &mut Index,
    now: EventMs,
    stored: &mut BTreeMap<u128, Batch>,
    marks: &mut HashMap<BatchId, Marks>,
    unsettled: &mut BTreeSet<i64>,
    outs: &mut Vec<Out>,
) {
    for due in index.due(now, usize::MAX, u64::MAX) {
        let one = out(&due, stored);
        one.4.iter().for_each(|offset| assert!(unsettled.remove(offset)));
        outs.push(one);
        for batch in index.settle(&due.chunks) {
            if batch.done {
                stored.remove(&batch.batch.0);
            }
            marks.insert(batch.batch, batch.marks);
        }
    }
}

#[test]
fn any_batching_gives_what_the_naive_assembly_gives() {
    for seed in 1..2000 {
        let mut random = Random(seed);
        let spans = random_spans(&mut random);
        let expected = Naive::run(&spans);
        assert_eq!(run(&spans, &mut random, false), expected, "seed {seed}");
        assert_eq!(run(&spans, &mut random, true), expected, "seed {seed}, flaky");
    }
}

#[test]
fn a_chain_of_100_000_in_any_direction_is_one_segment() {
    for up in [true, false] {
        let one = |nth: u64| if up { nth } else { 99_999 - nth };
        let chain: Vec<Given> =
            (0..100_000).map(|nth| given(one(nth), one(nth).saturating_sub(1), 0)).collect();
        let made = packed(&chain, 0, None);
        let mut index = Index::new(LIMITS, Offset(0), None);
        index.follow(&made.header, made.header_bytes).unwrap();
        let due = index.due(EventMs(10_000), 9, u64::MAX);
        assert_eq!((due.len(), due[0].spans), (1, 100_000));
    }
}

#[test]
fn damaged_bytes_give_damage_and_never_a_panic() {
    let mut random = Random(7);
    let spans = random_spans(&mut random);
    let made = packed(&spans, 0, None);
    for cut in 0..made.header_bytes as usize {
        assert!(batch::parse_header(&made.value[..cut]).is_err());
    }
    for _ in 0..20_000 {
        let mut value = made.value.clone();
        let at = random.below(made.header_bytes.into()) as usize;
        value[at] ^= 1 + random.below(255) as u8;
        assert!(batch::parse_header(&value).is_err());
        let noise: Vec<u8> = (0..random.below(99)).map(|_| random.below(256) as u8).collect();
        let head = &made.header.chunks[0];
        let mut long = noise.clone();
        long.resize(head.body_bytes as usize, 3);
        let _ = batch::parse_body(head, &noise);
        let _ = batch::parse_body(head, &long);
    }
}

#[test]
fn rejects_come_back_whole_and_wait_in_a_line_without_a_deadline() {
    let reject = |offset| RejectBody {
        offset: Offset(offset),
        timestamp_ms: Some(-1),
        reason: "no trace_id",
        payload: None,
        key: Some(b""),
        headers: vec![(b"h", None), (b"\xff\0", Some(b"x"))],
    };
    let mut draft = Draft::new(10);
    (5..8).for_each(|offset| draft.reject(&reject(offset), EventMs(77)));
    let (id, start, next) = (BatchId(1), Offset(5), Offset(8));
    let place = Place { id, previous: None, start, next, clock: EventMs(77) };
    let made = batch::pack(&mut draft, place, Compression::None);
    let mut index = Index::new(LIMITS, Offset(5), None);
    index.follow(&made.header, made.header_bytes).unwrap();
    let raw = made.header.read_block(0, &made.value).unwrap();
    assert_eq!(batch::parse_body(&made.header.chunks[0], &raw), Ok(Body::Reject(reject(5))));
    // No clock decides, nobody misses a deadline, and room is made with segments.
    assert!(index.due(LATER, 9, u64::MAX).is_empty() && index.next_due().is_none());
    assert!(index.oldest(9, u64::MAX).is_empty());
    assert_eq!((index.open_segments(), index.open_spans()), (3, 3));
    let ordinals = |letters: &[DueSegment]| -> Vec<u32> {
        letters.iter().map(|one| one.chunks[0].ordinal).collect()
    };
    assert!(index.letters(0, u64::MAX).is_empty());
    let mut first = index.letters(2, 1);
    assert_eq!((ordinals(&first), first[0].letters_below), (vec![0], Some(usize::MAX)));
    // What comes back stands last, and knows what was refused of it.
    first[0].letters_below = Some(9);
    index.give_back(first.remove(0));
    let letters = index.letters(9, u64::MAX);
    assert_eq!((ordinals(&letters), letters[2].letters_below), (vec![1, 2, 0], Some(9)));
    assert_eq!((index.open_spans(), index.floor()), (0, Offset(5)));
    letters.into_iter().for_each(|one| index.give_back(one));
    // What is known to be delivered leaves the line.
    index.settle_known(Offset(7), &OffsetMap::default());
    assert_eq!((index.open_spans(), ordinals(&index.letters(9, u64::MAX))), (1, vec![2]));
}

#[test]
fn of_a_segment_the_letters_come_back_without_its_deadline() {
    let made = packed(&[given(1, 1, 0), given(2, 1, 1)], 0, None);
    let mut index = Index::new(LIMITS, Offset(0), None);
    index.follow(&made.header, made.header_bytes).unwrap();
    let due = index.due(LATER, 9, u64::MAX).remove(0);
    assert_eq!((due.letters_below, due.delivered_below), (None, None));
    let (letters_below, delivered_below) = (Some(usize::MAX), Some(7));
    index.give_back(DueSegment { letters_below, delivered_below, ..due.clone() });
    assert!(index.due(LATER, 9, u64::MAX).is_empty());
    assert_eq!(index.live_share(), Share { letters: due.bytes, all: due.bytes });
    let memory = index.memory_share();
    assert!(memory.letters > memory.all / 3 && memory.letters < memory.all, "{memory:?}");
    // However often they come back, they are cut by the bound that the rest went out by.
    let letters = index.letters(9, u64::MAX).remove(0);
    index.give_back(letters);
    let letters = index.letters(9, u64::MAX).remove(0);
    assert_eq!((letters.segment, &letters.chunks), (due.segment, &due.chunks));
    assert_eq!((index.live_share().letters, index.memory_share().letters), (0, 0));
    assert_eq!(letters.delivered_below, Some(7));
    assert!(index.settle(&letters.chunks)[0].done);
    assert_eq!(index.floor(), Offset(2));
}

#[test]
fn a_batch_follows_over_offsets_without_a_batch_and_never_overlaps() {
    let first = packed(&[given(1, 1, 0)], 0, None);
    let other_tip = packed(&[given(2, 2, 1)], 5, None);
    let overlapping = packed(&[given(2, 2, 1)], 0, Some(first.header.id));
    let behind = packed(&[given(2, 2, 1)], 5, Some(first.header.id));
    let mut index = Index::new(LIMITS, Offset(0), None);
    index.follow(&first.header, first.header_bytes).unwrap();
    for wrong in [other_tip, overlapping] {
        assert!(index.follow(&wrong.header, wrong.header_bytes).is_err());
    }
    index.follow(&behind.header, behind.header_bytes).unwrap();
    assert_eq!((index.position(), index.open_spans()), (Offset(6), 2));
}

#[test]
fn s13_s14_what_comes_after_the_read_begins_anew() {
    let (a, b, x) = (0xa, 0xb, 0xc);
    let first = packed(&[given(a, b, 0), given(b, b, 0)], 0, None);
    let late = packed(&[given(x, b, 12)], 2, Some(first.header.id));
    let mut index = Index::new(LIMITS, Offset(0), None);
    index.follow(&first.header, first.header_bytes).unwrap();
    assert!(index.due(EventMs(5_000), 9, 99).is_empty());
    let due = index.due(EventMs(11_000), 9, 999);
    assert_eq!((due.len(), due[0].spans, due[0].segment.unwrap().id), (1, 2, IdKey(b)));
    index.follow(&late.header, late.header_bytes).unwrap();
    let marks = index.settle(&due[0].chunks);
    assert!(marks.len() == 1 && marks[0].done);
    assert!(index.due(EventMs(71_999), 9, 999).is_empty());
    let due = index.due(EventMs(72_000), 9, 999);
    assert_eq!((due.len(), due[0].spans), (1, 1));
    assert!(!due[0].segment.unwrap().has_root);
}

#[test]
fn a_carry_takes_over_what_is_left_of_a_sparse_batch() {
    // One root in ten seconds' reach, and a child without a root that stays.
    let mut spans: Vec<Given> = (1..40).map(|id| given(id, id, 0)).collect();
    spans.push(given(50, 51, 0));
    let made = packed(&spans, 0, None);
    let mut index = Index::new(LIMITS, Offset(0), None);
    index.follow(&made.header, made.header_bytes).unwrap();
    for due in index.due(EventMs(10_000), 99, u64::MAX) {
        index.settle(&due.chunks);
    }
    assert_eq!(index.sparse(u64::MAX, 9).batches, vec![made.header.id]);
    let (live, _) = index.live(made.header.id).unwrap();
    let head = &made.header.chunks[live[0].ordinal as usize];
    let raw = made.header.read_block(live[0].block_no, &made.value).unwrap();
    let body = &raw[head.body_at as usize..(head.body_at + head.body_bytes) as usize];
    let start = head.spans_start as usize;
    let chunk = batch::CarriedChunk { head, spans: &made.header.spans[start..start + 1], body };
    let carry = batch::pack_carry(BatchId(99), EventMs(0), &[chunk], Compression::Zstd(1));
    index.moved(&[made.header.id], &carry.header, carry.header_bytes, &live);
    assert_eq!((index.batches(), index.floor()), (1, Offset(39)));
    let due = index.due(EventMs(60_000), 9, u64::MAX);
    assert_eq!((due.len(), due[0].chunks[0].batch), (1, BatchId(99)));
    assert!(index.settle(&due[0].chunks)[0].done);
}

#[test]
fn a_header_stays_small() {
    // (spans a segment, most header bytes a span)
    for (size, most) in [(1, 44), (8, 14)] {
        let one = |id| Given { trace: id / size, ..given(id, id - id % size, 0) };
        let spans: Vec<Given> = (0..4000).map(one).collect();
        let made = packed(&spans, 0, None);
        let each = made.header_bytes as usize / spans.len();
        assert!(each <= most, "{each} bytes a span in segments of {size}");
    }
}

/// Packs and indexes one batch; returns what is due at the end: (spans, chunks, due, reason).
fn all_due(limits: Limits, spans: &[Given]) -> Vec<(u32, usize, i64, Reason)> {
    let made = packed(spans, 0, None);
    let mut index = Index::new(limits, Offset(0), None);
    index.follow(&made.header, made.header_bytes).unwrap();
    let due = index.due(LATER, 99, u64::MAX);
    assert_eq!((index.open_segments(), index.open_spans()), (0, 0));
    due.iter().map(|due| (due.spans, due.chunks.len(), due.due_ms.0, due.reason)).collect()
}

#[test]
fn at_the_age_limit_a_chunk_goes_whole_with_its_first_span() {
    let limits = Limits { max_age_ms: 100_000, ..LIMITS };
    let child = |id, at| Given { project: 1, trace: 1, id, attach: 50, at };
    let spans = [child(1, 0), child(2, 50_000), child(3, 99_999), child(4, 100_001)];
    assert_eq!(all_due(limits, &spans), [(4, 3, 100_000, Reason::Age)]);
}

#[test]
fn at_the_size_limit_a_segment_is_due_at_once_and_the_next_one_has_its_name() {
    let limits = Limits { max_bytes: 100, ..LIMITS };
    let child = |id, at| Given { project: 1, trace: 1, id, attach: 50, at };
    let spans = [child(1, 0), child(2, 20_000), child(3, 40_000), child(4, 60_000)];
    let due = all_due(limits, &spans);
    assert_eq!(due.iter().map(|due| due.0).sum::<u32>(), 4);
    assert!(due.iter().any(|due| due.3 == Reason::Size), "{due:?}");
}

#[test]
fn the_oldest_are_taken_before_their_time_and_come_back_due() {
    let spans = [given(1, 1, 0), given(2, 2, 5), given(3, 3, 9)];
    let made = packed(&spans, 0, None);
    let mut index = Index::new(LIMITS, Offset(0), None);
    index.follow(&made.header, made.header_bytes).unwrap();
    let mut early = index.oldest(1, u64::MAX);
    assert_eq!(early[0].segment.unwrap().id, IdKey(1));
    assert_eq!((index.open_segments(), index.floor()), (2, Offset(0)));
    // By bytes one segment at least, and no second one beyond the bound.
    index.give_back(early.remove(0));
    let early = index.oldest(9, 1);
    assert_eq!(early.len(), 1);
    early.into_iter().for_each(|due| index.give_back(due));
    assert_eq!(index.due(EventMs(0), 9, u64::MAX).len(), 1);
}

#[test]
fn what_lies_below_the_floor_is_settled_unread() {
    let spans = [given(1, 1, 0), given(2, 2, 0), given(3, 3, 0)];
    let made = packed(&spans, 0, None);
    let mut index = Index::new(LIMITS, Offset(0), None);
    index.follow(&made.header, made.header_bytes).unwrap();
    let marks = index.settle_known(Offset(2), &OffsetMap::default());
    assert_eq!((marks.len(), marks[0].done), (1, false));
    assert_eq!((index.floor(), index.open_segments()), (Offset(2), 1));
    assert!(index.settle_known(Offset(3), &OffsetMap::default())[0].done);
    assert_eq!(index.floor(), Offset(3));
}

#[test]
fn the_offset_map_is_what_the_index_has_settled_and_settles_a_store_that_forgot() {
    let mut random = Random(31);
    for _ in 0..100 {
        let spans = random_spans(&mut random);
        let mut index = Index::new(LIMITS, Offset(0), None);
        let mut stored = Vec::new();
        for start in (0..spans.len()).step_by(7) {
            let part = &spans[start..spans.len().min(start + 7)];
            let batch = packed(part, start, index.tip());
            index.follow(&batch.header, batch.header_bytes).unwrap();
            stored.push(batch);
        }
        let all: BTreeSet<i64> = (0..spans.len() as i64).collect();
        let taken = index.due(LATER, random.below(4) as usize, u64::MAX);
        let mut delivered = BTreeSet::new();
        for due in taken {
            for chunk in &due.chunks {
                let header = stored.iter().find(|b| b.header.id == chunk.batch).unwrap();
                let head = &header.header.chunks[chunk.ordinal as usize];
                let heads = header.header.spans_of(head);
                delivered.extend(heads.iter().map(|span| span.offset.0));
            }
            index.settle(&due.chunks);
        }
        let open: BTreeSet<i64> = all.difference(&delivered).copied().collect();
        let floor = open.first().copied().unwrap_or(spans.len() as i64);
        let map = index.settled();
        let named: BTreeSet<i64> = all.iter().copied().filter(|&at| map.has(Offset(at))).collect();
        assert_eq!(named, delivered.range(floor..).copied().collect());

        let mut again = Index::new(LIMITS, index.position(), index.tip());
        stored.iter().for_each(|b| again.restore(&b.header, b.header_bytes, &Marks::default()));
        again.restored();
        again.settle_known(Offset(floor), &OffsetMap::decode(&map.encode(usize::MAX)).unwrap());
        assert_eq!(again.open_spans(), open.len() as u64);
        assert_eq!((again.floor(), again.settled()), (index.floor(), map));
    }
}

#[test]
fn a_changed_header_with_a_right_checksum_never_panics() {
    let mut random = Random(11);
    let spans = random_spans(&mut random);
    let made = packed(&spans, 0, None);
    let header = &made.value[..made.header_bytes as usize];
    let (mut read, mut refused) = (0, 0);
    for _ in 0..50_000 {
        let mut bytes = header[..header.len() - 8].to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.below(256) as u8;
        }
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes);
        for sum in [checksum.to_be_bytes(), checksum.to_le_bytes()] {
            let changed = [&bytes[..], &sum[..]].concat();
            match batch::parse_header(&changed) {
                Ok(header) => {
                    read += 1;
                    let mut index = Index::new(LIMITS, header.start, header.previous);
                    let _ = index.follow(&header, made.header_bytes);
                    let _ = index.due(LATER, usize::MAX, u64::MAX);
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
}

#[test]
fn a_damaged_block_is_damage() {
    let spans = random_spans(&mut Random(13));
    let made = packed(&spans, 0, None);
    let block = made.header.blocks[0];
    let stored = &made.value[block.at as usize..(block.at + block.stored_bytes) as usize];
    assert!(batch::unpack_block(&block, None, stored).is_ok());
    for at in 0..stored.len() {
        let mut bytes = stored.to_vec();
        bytes[at] ^= 1;
        assert!(batch::unpack_block(&block, None, &bytes).is_err());
        assert!(batch::unpack_block(&block, None, &stored[..at]).is_err());
    }
}
