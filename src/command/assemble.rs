//! `spanbufd assemble`: story 1 on standard input and output, without Kafka and Redis.
//!
//! The same parse, grouping, packing, index and encoding as the daemon's: each batch is packed
//! into bytes and read back from them. With `--timed` the input brings its own clock, and
//! segments come out when they fall due on it; at the end of input the clock runs on until
//! nothing is left.

use super::out::{self, Out};
use super::{Spec, perform};
use crate::config::{Accepts, Config, Loaded};
use crate::error::{Error, Result};
use crate::segment::batch::{self, Batch, Place};
use crate::segment::chunk::{Draft, SpansBody};
use crate::segment::encode::{self, Segment};
use crate::segment::index::{DueName, DueSegment, Index};
use crate::segment::span::{self, Reject};
use crate::segment::{BatchId, EventMs, Offset, ShardId, body};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::io::BufRead;

/// Everything is one shard here.
const SHARD: ShardId = ShardId(0);

/// Later than any deadline: the clock of the end of input.
const END: EventMs = EventMs(i64::MAX);

const SPEC: Spec = Spec {
    name: "assemble",
    synopsis: "[--timed] [--explain] [OPTION]... <SPANS >SEGMENTS",
    about: "Assembles spans, one a line on standard input, into segment messages, one a line on \
            standard output. Lines that are no spans are reported on standard error.",
    accepts: Accepts::Only(&[
        "timeout",
        "root-timeout",
        "max-segment-age",
        "max-segment-bytes",
        "validate",
        "compression",
    ]),
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    let mut own = getopts::Options::new();
    own.optflag("", "timed", "lines are {\"at_ms\": ..., \"span\": ...}; timeouts apply");
    own.optflag("", "explain", "print {\"at_ms\": ..., \"reason\": ..., \"message\": ...}");
    own.optopt("", "batch", "lines that are read together (default: 1000)", "N");
    perform(&SPEC, own, args, assemble)
}

fn assemble(loaded: &Loaded) -> Result<i32> {
    let batch_lines = match loaded.matches.opt_str("batch") {
        None => 1000,
        Some(text) => text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            Error::usage(format!("--batch: {text:?} is no number of lines, such as 1000"))
        })?,
    };
    let mut work = Work::new(&loaded.config, loaded.matches.opt_present("explain"))?;
    let timed = loaded.matches.opt_present("timed");
    for (number, line) in std::io::stdin().lock().split(b'\n').enumerate() {
        let line =
            line.map_err(|why| Error::temporary(format!("cannot read standard input: {why}")))?;
        work.line(number, &line, timed)?;
        if work.draft.len() >= batch_lines {
            work.append()?;
        }
        if work.out.is_closed() {
            return Ok(0);
        }
    }
    work.append()?;
    work.flush(END)?;
    work.out.flush()?;
    Ok(0)
}

struct Work<'c> {
    config: &'c Config,
    explain: bool,
    draft: Draft,
    index: Index,
    /// Batches by id, as a store would hold them; a batch goes when the index forgets it.
    batches: HashMap<BatchId, Batch>,
    clock: EventMs,
    next: Offset,
    out: Out,
}

impl<'c> Work<'c> {
    fn new(config: &'c Config, explain: bool) -> Result<Work<'c>> {
        let limits = config.limits();
        Ok(Work {
            config,
            explain,
            draft: Draft::new(limits.spread_ms()),
            index: Index::new(limits, Offset(0), None),
            batches: HashMap::new(),
            clock: EventMs(0),
            next: Offset(0),
            out: Out::stdout()?,
        })
    }

    fn line(&mut self, number: usize, line: &[u8], timed: bool) -> Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        let offset = Offset(number as i64);
        let read = if timed { timed_line(line) } else { Ok((self.clock, line)) };
        let parsed = read.and_then(|(at, span)| Ok((at, span::parse(span, self.config.validate)?)));
        match parsed {
            Ok((at, span)) => {
                self.clock = self.clock.max(at);
                self.draft.add(&span, offset, self.clock);
            }
            Err(reject) => {
                let why = Error::temporary(format!("line {}: {}", number + 1, reject.reason));
                out::complain(&why, SPEC.name);
            }
        }
        self.next = Offset(number as i64 + 1);
        Ok(())
    }

    /// Packs the draft, has the index follow it, and flushes what that shows to be due.
    fn append(&mut self) -> Result<()> {
        if self.draft.is_empty() {
            return Ok(());
        }
        let number = self.batches.len() as u128 + self.next.0 as u128;
        let place = Place {
            id: BatchId(number << 64 | self.next.0 as u128),
            previous: self.index.tip(),
            start: self.index.position(),
            next: self.next,
            clock: self.clock,
        };
        let batch = batch::pack(&mut self.draft, place, self.config.compression);
        self.draft.clear();
        let header = batch::parse_header(&batch.value[..batch.header_bytes as usize])
            .map_err(|damage| Error::software(format!("cannot read a batch: {}", damage.what)))?;
        self.index
            .follow(&header, batch.header_bytes)
            .map_err(|_| Error::software("cannot follow the chain of batches"))?;
        self.batches.insert(batch.header.id, batch);
        self.flush(self.clock)
    }

    /// Writes out everything that is due at `now`, in the order of the deadlines.
    fn flush(&mut self, now: EventMs) -> Result<()> {
        loop {
            let due = self.index.due(now, 100, u64::MAX);
            if due.is_empty() {
                return Ok(());
            }
            for due in due {
                self.write(&due)?;
                for marks in self.index.settle(&due.chunks) {
                    if marks.done {
                        self.batches.remove(&marks.batch);
                    }
                }
            }
        }
    }

    fn write(&mut self, due: &DueSegment) -> Result<()> {
        let Some(DueName { id, has_root, .. }) = due.segment else { return Ok(()) };
        let bytes: Result<Vec<Vec<u8>>> =
            due.chunks.iter().map(|chunk| self.body(chunk.batch, chunk.block_no)).collect();
        let bytes = bytes?;
        let mut bodies: Vec<SpansBody<'_>> = Vec::with_capacity(bytes.len());
        for (chunk, block) in due.chunks.iter().zip(&bytes) {
            let at = chunk.body_at as usize;
            let body = block.get(at..at + chunk.body_bytes as usize).unwrap_or_default();
            bodies.push(body::spans(body, chunk.spans).map_err(|damage| {
                Error::software(format!("cannot read a chunk: {}", damage.what))
            })?);
        }
        let segment = Segment { shard: SHARD, id, has_root, reason: due.reason, bodies };
        let encoded = encode::encode(&segment, self.config.max_segment_bytes as usize);
        for message in encoded.messages {
            if self.explain {
                let reason = encode::reason(due.reason);
                let start = format!("{{\"at_ms\":{},\"reason\":\"{reason}\"", due.due_ms.0);
                self.out.bytes(format!("{start},\"message\":").as_bytes())?;
                self.out.bytes(&message.payload)?;
                self.out.line("}")?;
            } else {
                self.out.bytes(&message.payload)?;
                self.out.line("")?;
            }
        }
        Ok(())
    }

    fn body(&self, batch: BatchId, block_no: u32) -> Result<Vec<u8>> {
        let missing = || Error::software("a batch is missing");
        let batch = self.batches.get(&batch).ok_or_else(missing)?;
        let block = batch.header.read_block(block_no, &batch.value);
        block.map_err(|damage| Error::software(format!("cannot read a block: {}", damage.what)))
    }
}

/// `{"at_ms": N, "span": {…}}`; the span's bytes as they are.
fn timed_line(line: &[u8]) -> std::result::Result<(EventMs, &[u8]), Reject> {
    let wrong = |why: String| Reject { reason: format!("no timed line: {why}") };
    let members: HashMap<String, &RawValue> =
        serde_json::from_slice(line).map_err(|why| wrong(why.to_string()))?;
    let (Some(at), Some(span)) = (members.get("at_ms"), members.get("span")) else {
        return Err(wrong("it takes at_ms and span".to_owned()));
    };
    let at = at.get().parse().map_err(|_| wrong("at_ms is no number".to_owned()))?;
    Ok((EventMs(at), span.get().as_bytes()))
}
