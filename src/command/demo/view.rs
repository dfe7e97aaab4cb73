//! The live view: on a terminal it is drawn over and over, on a pipe it is a line a second.

use crate::board::report::percentile;
use crate::board::words::{LATENESS_BOUNDS_MS, ShardWord, WorkerKind, WorkerState, WorkerWord};
use crate::board::{Board, ShardId, ShardSlot};
use crate::command::out::Out;
use crate::error::Result;
use std::time::Duration;

/// What the demo itself has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub spans_in: u64,
    pub spans_out: u64,
    pub messages_out: u64,
}

/// The live view. On a terminal it draws over what it drew last, and over nothing else.
pub struct View {
    draws: bool,
    lines: usize,
}

impl View {
    pub fn new(draws: bool) -> View {
        View { draws, lines: 0 }
    }

    /// How often it is worth showing.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(if self.draws { 200 } else { 1000 })
    }

    pub fn show(
        &mut self,
        out: &mut Out,
        seconds: u64,
        counts: Counts,
        board: &Board,
    ) -> Result<()> {
        if !self.draws {
            out.line(format_args!("{seconds:>3} s  {}", summary(counts, board)))?;
            return out.flush();
        }
        let mut lines = vec![
            String::new(),
            format!("{seconds:>3} s  {}", summary(counts, board)),
            String::new(),
        ];
        lines.extend(workers(board));
        lines.push(String::new());
        lines.extend(shard_lines(board));
        if self.lines > 0 {
            // Up to the first line of the last view, then clear to the end of the screen.
            out.bytes(format!("\x1b[{}A\x1b[J", self.lines).as_bytes())?;
        }
        self.lines = lines.len();
        lines.iter().try_for_each(|line| out.line(line))?;
        out.flush()
    }
}

fn workers(board: &Board) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<10} {:<9} {:>8} {:>7} {:>9} {:>9} {:>13}",
        "WORKER", "STATE", "RESTARTS", "SHARDS", "SPANS IN", "BUFFERED", "SEGMENTS OUT"
    )];
    for number in 0..board.ingests() {
        let read = sum(board, None, ShardWord::Read).to_string();
        let count = shards(board).count();
        lines.push(worker(board, WorkerKind::Ingest, number, count, [&read, "-", "-"]));
    }
    for number in 0..board.flushers() {
        let of = |word| sum(board, Some(number), word).to_string();
        let (buffered, segments) = (of(ShardWord::OpenSpans), of(ShardWord::Segments));
        let count = shards(board).filter(|(_, slot)| slot.holder() == Some(number)).count();
        lines.push(worker(board, WorkerKind::Flusher, number, count, ["-", &buffered, &segments]));
    }
    lines
}

fn worker(
    board: &Board,
    kind: WorkerKind,
    number: usize,
    shards: usize,
    cells: [&str; 3],
) -> String {
    let slot = board.worker(kind, number);
    let name = kind.label(number);
    let state = WorkerState::from_word(slot.get(WorkerWord::State)).name();
    let restarts = slot.get(WorkerWord::Restarts);
    let [read, buffered, segments] = cells;
    format!(
        "{name:<10} {state:<9} {restarts:>8} {shards:>7} {read:>9} {buffered:>9} {segments:>13}"
    )
}

/// Over all shards, or those that one flusher holds.
fn sum(board: &Board, flusher: Option<usize>, word: ShardWord) -> u64 {
    let ours = |slot: &ShardSlot<'_>| flusher.is_none() || slot.holder() == flusher;
    shards(board).filter(|(_, slot)| ours(slot)).map(|(_, slot)| slot.get(word)).sum()
}

fn shard_lines(board: &Board) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<10} {:<17} {:>8} {:>9} {:>9} {:>13}",
        "SHARD", "HOLDER", "OPEN", "SPANS IN", "BUFFERED", "SEGMENTS OUT"
    )];
    for (shard, slot) in shards(board) {
        let holder = slot.holder().map_or("-".to_owned(), |number| format!("flusher/{number}"));
        lines.push(format!(
            "{shard:<10} {holder:<17} {:>8} {:>9} {:>9} {:>13}",
            slot.get(ShardWord::OpenSegments),
            slot.get(ShardWord::Read),
            slot.get(ShardWord::OpenSpans),
            slot.get(ShardWord::Segments),
        ));
    }
    lines
}

/// How many shards a flusher holds and ingest knows the position of: what is sent is read.
pub fn ready(board: &Board) -> usize {
    let is_ready = |slot: &ShardSlot<'_>| {
        slot.holder().is_some() && slot.offset(ShardWord::Position).is_some()
    };
    shards(board).filter(|(_, slot)| is_ready(slot)).count()
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
