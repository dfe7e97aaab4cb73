//! The offset map against sets of numbers, under random input.

use super::*;
use std::collections::BTreeSet;

/// xorshift64*: seeded, so that a failure can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn offsets(numbers: &BTreeSet<i64>) -> Vec<Offset> {
    numbers.iter().copied().map(Offset).collect()
}

fn named(settled: &OffsetMap, below: i64) -> BTreeSet<i64> {
    (0..below).filter(|&at| settled.has(Offset(at))).collect()
}

/// A map of offsets below 3000, and the same as a set.
fn random_map(random: &mut Random) -> (OffsetMap, BTreeSet<i64>) {
    let from = random.below(500) as i64;
    let upto = from + random.below(2500) as i64;
    let sparse = 1 + random.below(30);
    let open: BTreeSet<i64> = (0..3000).filter(|_| random.below(sparse) == 0).collect();
    let wanted = (from..upto).filter(|at| !open.contains(at)).collect();
    (OffsetMap::all_but(Offset(from), Offset(upto), offsets(&open)), wanted)
}

#[test]
fn it_names_all_but_the_open_offsets() {
    let mut random = Random(1);
    for _ in 0..100 {
        let (settled, wanted) = random_map(&mut random);
        assert_eq!(named(&settled, 3000), wanted);
        assert_eq!(settled.len(), wanted.len() as u64);
        assert_eq!(settled.end().map(|end| end.0 - 1), wanted.last().copied());
    }
}

#[test]
fn joining_and_clipping_are_those_of_sets() {
    let mut random = Random(2);
    for _ in 0..100 {
        let ((a, set_a), (b, set_b)) = (random_map(&mut random), random_map(&mut random));
        let both: BTreeSet<i64> = set_a.union(&set_b).copied().collect();
        assert_eq!(named(&a.and(&b), 3000), both);
        assert_eq!(a.and(&b), b.and(&a));
        let floor = random.below(3000) as i64;
        let above: BTreeSet<i64> = set_a.range(floor..).copied().collect();
        assert_eq!(named(&a.above(Offset(floor)), 3000), above);
    }
}

#[test]
fn it_comes_back_whole_or_names_fewer_in_the_room_there_is() {
    let mut random = Random(3);
    for _ in 0..100 {
        let (settled, wanted) = random_map(&mut random);
        let whole = settled.encode(usize::MAX);
        assert_eq!(OffsetMap::decode(&whole), Ok(settled.clone()));
        let limit = random.below(whole.len() as u64 + 1) as usize;
        let stored = settled.encode(limit);
        assert!(stored.len() <= limit);
        let Ok(less) = OffsetMap::decode(&stored) else { panic!("cannot be read back") };
        assert!(named(&less, 3000).is_subset(&wanted), "names more than is settled");
    }
}

#[test]
fn the_short_runs_go_first() {
    // One long run, then every other offset or so.
    let mut random = Random(6);
    let open = (10_000..30_000).filter(|_| random.below(2) == 0).map(Offset).collect();
    let settled = OffsetMap::all_but(Offset(0), Offset(30_000), open);
    let Ok(less) = OffsetMap::decode(&settled.encode(40)) else { panic!("cannot be read back") };
    assert!(less.has(Offset(0)) && less.has(Offset(9_999)));
    assert!(less.len() < 11_000, "{} offsets", less.len());
}

#[test]
fn what_is_no_map_is_damage_and_never_a_panic() {
    let mut random = Random(4);
    assert_eq!(OffsetMap::decode(&[]), Ok(OffsetMap::default()));
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..random.below(60)).map(|_| random.below(256) as u8).collect();
        let _ = OffsetMap::decode(&bytes);
        let (settled, _) = random_map(&mut random);
        let mut stored = settled.encode(usize::MAX);
        if let Some(at) = (!stored.is_empty()).then(|| random.below(stored.len() as u64) as usize) {
            stored[at] ^= 1 << random.below(8);
            assert!(OffsetMap::decode(&stored).is_err());
        }
    }
    let count_alone = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(OffsetMap::decode(&sound(&count_alone)).is_err(), "a count with nothing behind it");
    let beyond = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 5];
    assert!(OffsetMap::decode(&sound(&beyond)).is_err(), "offsets that there are not");
}

/// These numbers as a map would be stored.
fn sound(raw: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(raw, 1).unwrap_or_default();
    [&[FORM][..], &checksum(&packed), &packed].concat()
}

#[test]
fn fifty_thousand_open_spans_behind_a_pinned_floor() {
    // Density of open spans per thousand, and the bytes that a map may take at most.
    for (density, at_most) in [(950, 3_200), (500, 17_500), (50, 40_000)] {
        let mut random = Random(5);
        let mut open = vec![Offset(7)];
        let mut at = 1_000_000;
        while open.len() < 50_000 {
            if random.below(1000) < density {
                open.push(Offset(at));
            }
            at += 1;
        }
        let stored = OffsetMap::all_but(Offset(7), Offset(at), open).encode(usize::MAX).len();
        assert!(stored <= at_most, "{stored} bytes at {density} in 1000");
    }
}
