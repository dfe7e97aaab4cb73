//! The choices of packing side by side: what each costs ingest and flusher, and what it stores.
//!
//! Spans go through draft, batch and index as they do in the daemon, and come out in rounds of
//! 25 ms of event time, as live traffic does; a round reads each block that it wants once. No
//! Kafka, no Redis.

use crate::Fallible;
use crate::stages::{BATCH, Line, batches, cost, read, unpack_block};
use spanbufd::config::Config;
use spanbufd::segment::batch::{self, Batch, Compression, Header, Packing};
use spanbufd::segment::chunk::Draft;
use spanbufd::segment::index::Index;
use spanbufd::segment::{BatchId, EventMs, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const ROUND_MS: usize = 25;
const KIB: usize = 1024;

const BATCHES: [usize; 4] = [100, 300, 1000, 3000];
const LEVELS: [Compression; 5] = [
    Compression::None,
    Compression::Zstd(-3),
    Compression::Zstd(-1),
    Compression::Zstd(1),
    Compression::Zstd(3),
];
/// KiB of a block of single traces, of its base, and of what falls due together.
const BLOCKS: [(usize, Option<usize>, usize); 9] = [
    (2, None, 64),
    (8, None, 64),
    (16, None, 64),
    (64, None, 64),
    (2, Some(4), 64),
    (2, Some(8), 64),
    (2, Some(16), 64),
    (4, Some(8), 64),
    (2, Some(8), 32),
];

/// One table for each choice, the others as by default.
pub fn sweep(file: &str) -> Fallible<String> {
    let spans = read(file)?;
    let usual = Packing::from(Compression::Zstd(1));
    let mut out = String::new();
    head(&mut out, "batch")?;
    for size in BATCHES {
        row(&mut out, &size.to_string(), &spans, size, usual)?;
    }
    head(&mut out, "compression")?;
    for compression in LEVELS {
        row(
            &mut out,
            &format!("{compression:?}"),
            &spans,
            BATCH,
            Packing { compression, ..usual },
        )?;
    }
    head(&mut out, "block KiB")?;
    for (alone, base, together) in BLOCKS {
        let packing = Packing {
            compression: usual.compression,
            block_bytes: alone * KIB,
            base_bytes: base.map(|base| base * KIB),
            together_bytes: together * KIB,
        };
        let name = format!("{alone}/{}/{together}", base.unwrap_or_default());
        row(&mut out, &name, &spans, BATCH, packing)?;
    }
    Ok(out)
}

fn head(out: &mut String, title: &str) -> Fallible<()> {
    writeln!(out, "{title:>12}  pack us  unpack us  stored B  header B  reads/1000  times read")?;
    Ok(())
}

fn row(
    out: &mut String,
    name: &str,
    spans: &[Line],
    size: usize,
    packing: Packing,
) -> Fallible<()> {
    let count = spans.len();
    let draft = cost(count, || drop(batches(spans, size, |_, _| ())));
    let pack = |draft: &mut Draft, place| batch::pack(draft, place, packing);
    let packed = batches(spans, size, pack);
    let packing_us = cost(count, || drop(batches(spans, size, pack))) - draft;
    let reads = reads(&packed);
    let unpacking_us = cost(count, || read_blocks(&packed, &reads));
    let sum = |of: &dyn Fn(&Batch) -> usize| packed.iter().map(of).sum::<usize>();
    let raw = |block: &batch::Block| block.raw_bytes as usize;
    let all: usize = sum(&|batch| batch.header.blocks.iter().map(raw).sum());
    let read: usize =
        reads.iter().map(|&(nth, block)| raw(&packed[nth].header.blocks[block])).sum();
    writeln!(
        out,
        "{name:>12} {packing_us:>8.2} {unpacking_us:>10.2} {:>9} {:>9} {:>11.0} {:>11.2}",
        sum(&|batch| batch.value.len()) / count,
        sum(&|batch| batch.header_bytes as usize) / count,
        reads.len() as f64 * 1e3 / count as f64,
        read as f64 / all as f64
    )?;
    Ok(())
}

/// Each base is read once, when it is first wanted.
fn read_blocks(packed: &[Batch], reads: &[(usize, usize)]) {
    let mut bases: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    for &(nth, block) in reads {
        let batch = &packed[nth];
        let base = batch.header.base.filter(|_| batch.header.blocks[block].on_base);
        let base =
            base.map(|base| &*bases.entry(nth).or_insert_with(|| unpack_block(batch, base, None)));
        std::hint::black_box(unpack_block(batch, block as u32, base.map(Vec::as_slice)));
    }
}

/// Which block of which batch the rounds read, in order.
fn reads(packed: &[Batch]) -> Vec<(usize, usize)> {
    let numbers: BTreeMap<BatchId, usize> =
        packed.iter().enumerate().map(|(nth, batch)| (batch.header.id, nth)).collect();
    let limits = Config::default().limits();
    let mut index = Index::new(limits, Offset(0), None);
    let mut reads = Vec::new();
    let clock = |header: &Header| header.chunks.iter().map(|chunk| chunk.last_ms).max();
    let mut now = packed.first().and_then(|batch| clock(&batch.header)).unwrap_or(EventMs(0));
    for batch in packed {
        let until = clock(&batch.header).unwrap_or(now);
        rounds(&mut index, now, until, &numbers, &mut reads);
        now = now.max(until);
        std::hint::black_box(index.follow(&batch.header, batch.header_bytes).is_ok());
    }
    rounds(&mut index, now, now.plus(limits.timeout_ms), &numbers, &mut reads);
    reads
}

fn rounds(
    index: &mut Index,
    from: EventMs,
    until: EventMs,
    numbers: &BTreeMap<BatchId, usize>,
    reads: &mut Vec<(usize, usize)>,
) {
    let tick = |at: EventMs| at.0.div_euclid(ROUND_MS as i64);
    for round in tick(from) + 1..=tick(until) {
        let due = index.due(EventMs(round * ROUND_MS as i64), usize::MAX, u64::MAX);
        let chunks: Vec<_> = due.into_iter().flat_map(|segment| segment.chunks).collect();
        let wanted: BTreeSet<_> =
            chunks.iter().map(|at| (numbers[&at.batch], at.block_no as usize)).collect();
        reads.extend(wanted);
        index.settle(&chunks);
    }
}
