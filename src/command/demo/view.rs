//! The live view: on a terminal it is drawn over and over, on a pipe it is a line a second.

use crate::board::report::percentile;
use crate::board::words::{Kind, LATENESS_BOUNDS_MS, ShardWord, WorkerState, WorkerWord};
use crate::board::{Board, ShardId, ShardSlot};
use crate::command::out::Out;
use crate::error::Result;

/// What the demo itself has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub spans_in: u64,
    pub spans_out: u64,
    pub messages_out: u64,
}

/// Draws one view over the last one.
pub fn draw(out: &mut Out, seconds: u64, counts: Counts, board: &Board) -> Result<()> {
    out.bytes(b"\x1b[H\x1b[J")?;
    out.line(format_args!("spanbufd demo, {seconds} s  (Ctrl-C ends it in order)\n"))?;
    out.line(summary(counts, board))?;
    out.line(format_args!("\n{:<12} {:<9} {:>8}", "WORKER", "STATE", "RESTARTS"))?;
    for (kind, count) in [(Kind::Ingest, board.ingests()), (Kind::Flusher, board.flushers())] {
        for number in 0..count {
            let slot = board.worker(kind, number);
            let state = WorkerState::from_word(slot.get(WorkerWord::State)).name();
            let name = format!("{}/{number}", kind.name());
            let restarts = slot.get(WorkerWord::Restarts);
            out.line(format_args!("{name:<12} {state:<9} {restarts:>8}"))?;
        }
    }
    let heads = ["READ", "BUFFERED", "OPEN", "SEGMENTS OUT"];
    out.line(format_args!(
        "\n{:<6} {:<12} {:>10} {:>10} {:>8} {:>14}",
        "SHARD", "HOLDER", heads[0], heads[1], heads[2], heads[3]
    ))?;
    for (shard, slot) in shards(board) {
        let holder = slot.holder().map_or("-".to_owned(), |number| format!("flusher/{number}"));
        out.line(format_args!(
            "{shard:<6} {holder:<12} {:>10} {:>10} {:>8} {:>14}",
            slot.get(ShardWord::Read),
            slot.get(ShardWord::OpenSpans),
            slot.get(ShardWord::OpenSegments),
            slot.get(ShardWord::Segments),
        ))?;
    }
    out.flush()
}

/// The line for a pipe.
pub fn line(out: &mut Out, seconds: u64, counts: Counts, board: &Board) -> Result<()> {
    out.line(format_args!("{seconds:>3} s  {}", summary(counts, board)))?;
    out.flush()
}

fn summary(counts: Counts, board: &Board) -> String {
    let buffered: u64 = shards(board).map(|(_, slot)| slot.get(ShardWord::OpenSpans)).sum();
    format!(
        "spans in {}, buffered {buffered}, spans out {}, segments out {}",
        counts.spans_in, counts.spans_out, counts.messages_out
    )
}

fn shards(board: &Board) -> impl Iterator<Item = (u32, ShardSlot<'_>)> {
    (0..board.max_shards())
        .filter_map(|number| Some((number, board.shard(ShardId(number))?)))
        .filter(|(_, slot)| slot.desired().is_some() || slot.holder().is_some())
}

/// Median and 99th percentile of the time past deadline over all flushers, in ms: the upper
/// bounds of their buckets.
pub fn lateness(board: &Board) -> (Option<u64>, Option<u64>) {
    let mut sums = [0u64; LATENESS_BOUNDS_MS.len()];
    for number in 0..board.flushers() {
        for (sum, count) in sums.iter_mut().zip(board.flusher(number).lateness()) {
            *sum += count;
        }
    }
    (percentile(&sums, 50), percentile(&sums, 99))
}
