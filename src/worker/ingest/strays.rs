//! Traces that show up in two shards: the input must be partitioned by trace.
//!
//! A trace that is spread comes out as split segments, each of them looking whole. A sample of
//! the traces is remembered, newest first and bounded, so that it is noticed and said once. It
//! sees the shards of one ingest worker; with one shard a worker there is nothing to compare.

use crate::segment::batch::Header;
use crate::segment::chunk::ChunkKind;
use crate::segment::{ShardId, TraceKey};
use std::collections::{HashMap, VecDeque};

/// One trace in this many is looked at.
const SAMPLE: u128 = 16;

/// Traces remembered at most: some 300 KiB.
const TRACES_MAX: usize = 4096;

#[derive(Default)]
pub struct Strays {
    seen: HashMap<TraceKey, ShardId>,
    oldest_first: VecDeque<TraceKey>,
    said: bool,
}

impl Strays {
    /// Looks at the traces of a batch that was appended for `shard`.
    pub fn look(&mut self, shard: ShardId, header: &Header) {
        if self.said {
            return;
        }
        let spans = header.chunks.iter().filter(|chunk| chunk.kind != ChunkKind::Reject);
        let sampled = spans.map(|chunk| chunk.trace).filter(|key| key.trace % SAMPLE == 0);
        if let Some((trace, other)) = sampled.filter_map(|key| self.note(shard, key)).next() {
            self.said = true;
            log::warn!(
                "a trace is in two partitions: {:032x} of project {} in {other} and {shard}; its \
                 segments will be split: key the messages of the input topic by trace_id (after \
                 partitions were added it passes by itself); said only once",
                trace.trace,
                trace.project
            );
        }
    }

    /// The other shard, if the trace was seen in one.
    fn note(&mut self, shard: ShardId, trace: TraceKey) -> Option<(TraceKey, ShardId)> {
        if let Some(other) = self.seen.get(&trace) {
            return (*other != shard).then_some((trace, *other));
        }
        if self.oldest_first.len() >= TRACES_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(trace, shard);
        self.oldest_first.push_back(trace);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> TraceKey {
        TraceKey { project: 1, trace: n * SAMPLE }
    }

    #[test]
    fn a_trace_in_two_shards_is_found_and_one_in_one_shard_is_not() {
        let mut strays = Strays::default();
        assert_eq!(strays.note(ShardId(0), key(1)), None);
        assert_eq!(strays.note(ShardId(0), key(1)), None);
        assert_eq!(strays.note(ShardId(1), key(2)), None);
        assert_eq!(strays.note(ShardId(1), key(1)), Some((key(1), ShardId(0))));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut strays = Strays::default();
        for n in 0..TRACES_MAX as u128 + 10 {
            strays.note(ShardId(0), key(n + 1));
        }
        assert_eq!(strays.seen.len(), TRACES_MAX);
        assert_eq!(strays.note(ShardId(1), key(1)), None);
    }
}
