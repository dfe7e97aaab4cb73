//! Blocks on their base, and headers that name one.

use super::*;
use crate::segment::chunk::Body;
use crate::segment::span::{FlagSplice, IdSplice, Span, Splice};

/// A hundred traces without a root, each of a span of 300 bytes or so.
fn open_traces(compression: Compression) -> Batch {
    let mut draft = Draft::new(10);
    for id in 0..100_u64 {
        let text = format!("{:016x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(18);
        let splice = Splice {
            is_segment: FlagSplice::Insert { at: 1 },
            segment_id: IdSplice::InsertAttributes { at: 1 },
        };
        let span = Span {
            project_id: 1,
            trace_id: format!("{id:032x}").into(),
            span_id: format!("{id:016x}").into(),
            attach: "ffffffffffffffff".into(),
            is_segment_span: false,
            splice,
            payload: text.as_bytes(),
        };
        draft.add(&span, Offset(id as i64), EventMs(0));
    }
    let (id, start, next) = (BatchId(7), Offset(0), Offset(100));
    let place = Place { id, previous: None, start, next, clock: EventMs(0) };
    pack(&mut draft, place, compression)
}

fn stored<'b>(batch: &'b Batch, block: &Block) -> &'b [u8] {
    &batch.value[block.at as usize..(block.at + block.stored_bytes) as usize]
}

#[test]
fn small_blocks_are_packed_on_the_first_of_them() {
    let made = open_traces(Compression::Zstd(1));
    let header = parse_header(&made.value).unwrap();
    assert_eq!((&header, header.base), (&made.header, Some(0)));
    let on_base: Vec<bool> = header.blocks.iter().map(|block| block.on_base).collect();
    assert!(on_base.len() > 10 && on_base.iter().skip(1).all(|on_base| *on_base), "{on_base:?}");
    assert!(!on_base[0]);
    for (head, span) in header.chunks.iter().zip(&header.spans) {
        let raw = header.read_block(head.block, &made.value).unwrap();
        let Body::Spans(body) = parse_body(head, &raw).unwrap() else { panic!("a reject") };
        assert_eq!(body.trace_id, format!("{:032x}", span.offset.0));
        assert_eq!(body.spans[0].payload.len(), 16 * 18);
    }
}

#[test]
fn what_is_packed_on_a_base_is_smaller_and_nothing_without_it() {
    let made = open_traces(Compression::Zstd(1));
    let block = made.header.blocks[1];
    assert!(block.stored_bytes * 4 < block.raw_bytes, "{block:?}");
    assert!(unpack_block(&block, None, stored(&made, &block)).is_err());
    let base = block.base(&made.header.blocks, made.header.base).unwrap();
    let mut other = unpack_block(&base, None, stored(&made, &base)).unwrap();
    other.fill(b'x');
    let foreign = unpack_block(&block, Some(&other), stored(&made, &block));
    assert_ne!(foreign.ok(), made.header.read_block(1, &made.value).ok());
}

#[test]
fn what_cannot_be_packed_on_a_base_spoils_no_later_base() {
    let text: Vec<u8> = (0..7000u32).map(|n| (n / 7) as u8).collect();
    let mut seed = 1u64;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u8
    });
    let noise: Vec<u8> = noise.take(1500).collect();
    for _ in 0..3 {
        let mut packer = Packer::new(Compression::Zstd(1).into());
        let head = &open_traces(Compression::None).header.chunks[0];
        for body in [&text, &text, &noise, &noise] {
            packer.place(head.clone(), false, |raw| raw.extend_from_slice(body));
        }
        let Packed { blocks, base, .. } = packer.finish();
        let on_base: Vec<bool> = blocks.iter().map(|block| block.on_base).collect();
        assert_eq!((base, on_base), (Some(0), vec![false, true, false, false]));
    }
}

#[test]
fn nothing_uncompressed_needs_a_base() {
    let made = open_traces(Compression::None);
    assert_eq!(made.header.base, None);
    assert!(made.header.blocks.iter().all(|block| !block.on_base));
    let last = made.header.blocks.len() as u32 - 1;
    assert!(made.header.read_block(last, &made.value).is_ok());
    assert!(made.header.read_block(last + 1, &made.value).is_err());
}

#[test]
fn a_header_whose_base_is_none_is_damage() {
    let header = open_traces(Compression::Zstd(1)).header;
    let refused = |base, on_base: &[u32]| {
        let mut header = Header { base, ..header.clone() };
        for (number, block) in (0..).zip(&mut header.blocks) {
            block.on_base = on_base.contains(&number);
        }
        parse_header(&put_header(&header)).is_err()
    };
    assert!(!refused(Some(0), &[1, 2]) && !refused(Some(2), &[3]) && !refused(None, &[]));
    assert!(refused(None, &[1]), "nothing to be packed on");
    assert!(refused(Some(2), &[1]), "before its base");
    assert!(refused(Some(1), &[1]), "on itself");
    assert!(refused(Some(header.blocks.len() as u32), &[]), "not there");
}
