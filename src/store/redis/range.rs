//! Ranges of batches' values: what lies close together is read with one command.

use crate::segment::{BatchId, ShardId};

/// Reading what nobody wants is cheaper than another command, up to so many bytes.
const GAP_BYTES_MAX: u64 = 4 << 10;

/// One reply is no longer than this, or one block: it is copied more than once on its way.
const RUN_BYTES_MAX: u64 = 256 << 10;

/// Half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub shard: ShardId,
    pub batch: BatchId,
    pub start: u64,
    pub end: u64,
}

/// A range to read, and which of the wanted ones it covers: so many from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub range: Range,
    pub first: usize,
    pub covers: usize,
}

impl Range {
    pub fn new(shard: ShardId, batch: BatchId, at: u32, bytes: u32) -> Range {
        let start = u64::from(at);
        Range { shard, batch, start, end: start + u64::from(bytes) }
    }

    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    fn takes_in(&self, next: &Range) -> bool {
        (self.shard, self.batch) == (next.shard, next.batch)
            && next.start >= self.end
            && next.start - self.end <= GAP_BYTES_MAX
            && next.end - self.start <= RUN_BYTES_MAX
    }
}

/// Joins neighbours that lie close together in one batch.
pub fn joined(wanted: &[Range]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (first, next) in wanted.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.range.takes_in(next) => {
                run.range.end = next.end;
                run.covers += 1;
            }
            _ => runs.push(Run { range: *next, first, covers: 1 }),
        }
    }
    runs
}

/// What was found of a run, told apart: each wanted range of it, `None` where that ends before.
pub fn apart<'b>(
    wanted: &[Range],
    run: &Run,
    found: &'b [u8],
) -> impl Iterator<Item = Option<&'b [u8]>> {
    wanted[run.first..run.first + run.covers].iter().map(|one| {
        let start = (one.start - run.range.start) as usize;
        found.get(start..start + one.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(batch: u128, start: u64, end: u64) -> Range {
        Range { shard: ShardId(0), batch: BatchId(batch), start, end }
    }

    #[test]
    fn neighbours_are_read_together_and_told_apart() {
        let far = 20 + GAP_BYTES_MAX;
        let wanted = [
            range(1, 2, 5),
            range(1, 5, 7),
            range(1, 9, 10),
            range(1, far, far + 2),
            range(2, 12, 14),
        ];
        let runs = joined(&wanted);
        let covers: Vec<usize> = runs.iter().map(|run| run.covers).collect();
        assert_eq!(covers, [3, 1, 1]);
        assert_eq!(runs[0].range, range(1, 2, 10));
        // The second run ends a byte early, the last is missing.
        let found = [b"abcdefgh".to_vec(), b"i".to_vec(), Vec::new()];
        let found = runs.iter().zip(&found);
        let texts: Vec<_> = found.flat_map(|(run, found)| apart(&wanted, run, found)).collect();
        assert_eq!(texts, [Some(&b"abc"[..]), Some(b"de"), Some(b"h"), None, None]);
    }

    #[test]
    fn a_run_is_bounded_and_never_runs_back() {
        let half = RUN_BYTES_MAX / 2;
        let wanted =
            [range(1, 0, half), range(1, half, 2 * half), range(1, 2 * half, 2 * half + 1)];
        let covers: Vec<usize> = joined(&wanted).iter().map(|run| run.covers).collect();
        assert_eq!(covers, [2, 1]);
        assert_eq!(joined(&[range(1, 9, 12), range(1, 3, 5)]).len(), 2);
        assert!(joined(&[]).is_empty());
    }
}
