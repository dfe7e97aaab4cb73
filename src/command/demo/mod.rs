//! `spanbufd demo`: the real daemon at work, with nothing installed but redis-server.
//!
//! The cast (`cast`): a private redis-server, librdkafka's mock cluster in a process of its own,
//! and this program as the daemon. The demo itself feeds generated spans, reads the segments back,
//! compares the two span by span, and stops everything in order.

mod cast;
mod tree;
mod view;

use super::generate::Sink;
use super::generate::spans::{Generator, Shape};
use super::out::Out;
use super::{Spec, perform};
use crate::board::{self, Board, Found};
use crate::config::{Accepts, Config, Loaded};
use crate::error::{Error, Result};
use crate::kafka::mock::Mock;
use crate::kafka::tap::Tap;
use crate::sys::process::{self, Pid, Send};
use crate::sys::signal::{self, Wake};
use crate::sys::{poll, time};
use cast::{Actor, Folder};
use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::Duration;
use view::{Counts, View};

const INPUT: &str = "ingest-spans";
const OUTPUT: &str = "buffered-segments";
const PARTITIONS: u32 = 4;

/// Spans a second: a pace that a screen can show and any machine can keep.
const RATE: f64 = 2000.0;

/// The mock keeps 5 MiB of a partition, as sent: compressed, that lasts for any demo.
const COMPRESSED: &str = "compression.type=lz4";

/// How long the daemon may take until it reads: the group waits a few seconds for more members.
const READY_MAX: Duration = Duration::from_secs(30);

/// How long the drain may take once nothing is fed any more: the longest timeout, and some.
const DRAIN_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(20);

/// One turn of the demo's loop.
const TURN: Duration = Duration::from_millis(20);

pub(super) const SPEC: Spec = Spec {
    name: "demo",
    synopsis: "[--duration SECONDS] [--seed N]",
    about: "Runs the daemon against a private redis-server and a mock of Kafka, shows what it \
            does, and leaves nothing behind.",
    accepts: Accepts::Only(&[]),
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    let mut own = getopts::Options::new();
    own.optopt("", "duration", "how long spans are fed (default: 15)", "SECONDS");
    own.optopt("", "seed", "same seed, same spans (default: 1)", "N");
    // For the demo itself: the process of the mock cluster. Left out of the help.
    if let [flag, partitions] = args
        && flag == "--serve-mock"
    {
        return serve_mock(partitions);
    }
    perform(&SPEC, own, args, demo)
}

/// The mock cluster's process: its first line is its address; it ends with its standard input.
fn serve_mock(partitions: &str) -> i32 {
    let served = || -> Result<()> {
        let partitions = partitions.parse().unwrap_or(PARTITIONS);
        let mock = Mock::start(&[(INPUT.to_owned(), partitions), (OUTPUT.to_owned(), partitions)])?;
        let mut out = Out::stdout()?;
        out.line(mock.address())?;
        out.flush()?;
        let mut rest = Vec::new();
        // The end of standard input is the sign; an error means the same.
        let _ = std::io::Read::read_to_end(&mut std::io::stdin(), &mut rest);
        Ok(())
    };
    crate::worker::exit_status(served())
}

fn demo(loaded: &Loaded) -> Result<i32> {
    let number = |name: &str, default: u64| match loaded.matches.opt_str(name) {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|_| Error::usage(format!("--{name}: {text:?} is no number")))
        }
    };
    let duration = Duration::from_secs(number("duration", 15)?);
    let seed = number("seed", 1)?;
    let wake = signal::listen_as_supervisor()
        .map_err(|why| Error::temporary(format!("cannot catch signals: {why}")))?;
    let mut out = Out::stdout()?;
    out.line("starting redis-server, the mock of Kafka, and spanbufd; Ctrl-C ends all of it")?;
    out.flush()?;
    let folder = Folder::create()?;
    let shown = Stage::open(&folder, seed, wake)?.play(duration, &mut out);
    if shown.is_err() {
        show_log(&folder, &mut out)?;
    }
    shown
}

/// The daemon's last words, when the demo fails.
fn show_log(folder: &Folder, out: &mut Out) -> Result<()> {
    let log = std::fs::read_to_string(folder.file("spanbufd.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    for line in &lines[lines.len().saturating_sub(20)..] {
        out.line(line)?;
    }
    out.flush()
}

/// Everything that is on stage. The fields drop in this order: daemon first, brokers last.
struct Stage {
    daemon: Actor,
    sink: Sink,
    tap: Tap,
    _redis: Actor,
    _kafka: Actor,
    wake: Wake,
    instance: String,
    spans: Generator,
    /// Span ids that went in and did not come out yet.
    missing: HashSet<String>,
    doubled: u64,
    counts: Counts,
    /// The largest segment seen: the one that is drawn at the end.
    segment: Vec<u8>,
    interrupted: bool,
}

impl Stage {
    fn open(folder: &Folder, seed: u64, wake: Wake) -> Result<Stage> {
        let (redis, redis_url) = cast::redis(folder)?;
        let (kafka, bootstrap_servers) = cast::kafka(PARTITIONS)?;
        let instance = format!("demo-{}", std::process::id());
        let options = [
            ("--instance", instance.as_str()),
            ("--bootstrap-servers", &bootstrap_servers),
            ("--redis-url", &redis_url),
            ("--flusher-processes", "2"),
            ("--max-shards", "16"),
            ("--timeout", "3"),
            ("--root-timeout", "1"),
            ("--kafka-producer", COMPRESSED),
        ];
        let options: Vec<String> = options
            .iter()
            .flat_map(|(name, value)| [name.to_string(), value.to_string()])
            .collect();
        let daemon = cast::daemon(folder, &options)?;
        let compressed = COMPRESSED.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
        let config = Config {
            bootstrap_servers: bootstrap_servers.clone(),
            kafka_producer: compressed.into_iter().collect(),
            ..Config::default()
        };
        let shape = Shape { seed, traces: u64::MAX, window: 200, ..Shape::default() };
        Ok(Stage {
            daemon,
            _redis: redis,
            _kafka: kafka,
            sink: Sink::open(&config, INPUT)?,
            tap: Tap::open(&bootstrap_servers, OUTPUT)?,
            wake,
            instance,
            spans: Generator::new(shape),
            missing: HashSet::new(),
            doubled: 0,
            counts: Counts::default(),
            segment: Vec::new(),
            interrupted: false,
        })
    }

    fn play(mut self, duration: Duration, out: &mut Out) -> Result<i32> {
        self.wait_for_shards(out)?;
        let board = self.feed(duration, out)?;
        let lateness = board.as_ref().map(view::lateness).unwrap_or_default();
        self.stop_daemon()?;
        self.curtain(lateness, out)
    }

    /// Waits until the daemon reads every partition, so that what is fed is seen to move.
    fn wait_for_shards(&mut self, out: &mut Out) -> Result<()> {
        out.line(format_args!("waiting for the group to assign {PARTITIONS} partitions"))?;
        out.flush()?;
        let deadline = time::monotonic() + READY_MAX;
        let mut board = None;
        while !self.interrupted && board.as_ref().map_or(0, view::ready) < PARTITIONS as usize {
            if time::monotonic() > deadline {
                return Err(Error::software("spanbufd run does not get to read its partitions"));
            }
            self.turn()?;
            self.look(&mut board)?;
        }
        Ok(())
    }

    /// Feeds for `duration`, then waits until all is out. Returns the board as last seen.
    fn feed(&mut self, duration: Duration, out: &mut Out) -> Result<Option<Board>> {
        let mut view = View::new(std::io::stdout().is_terminal());
        let began = time::monotonic();
        let mut shown_at = began;
        let mut board = None;
        loop {
            let now = time::monotonic();
            let age = now - began;
            if age < duration && !self.interrupted {
                self.send((age.as_secs_f64() * RATE) as u64)?;
            } else if self.missing.is_empty() || self.interrupted || age > duration + DRAIN_MAX {
                self.look(&mut board)?;
                return Ok(board);
            }
            self.sink.serve(Duration::ZERO)?;
            self.receive();
            self.turn()?;
            if now.saturating_sub(shown_at) >= view.interval() {
                shown_at = now;
                self.look(&mut board)?;
                if let Some(board) = &board {
                    view.show(out, age.as_secs(), self.counts, board)?;
                }
            }
        }
    }

    fn send(&mut self, until: u64) -> Result<()> {
        while self.counts.spans_in < until {
            let Some(made) = self.spans.next() else { return Ok(()) };
            if let Some(id) = span_id(made.payload.as_bytes()) {
                self.missing.insert(id);
            }
            self.sink.send(made.trace_id.as_bytes(), made.payload.as_bytes())?;
            self.counts.spans_in += 1;
        }
        Ok(())
    }

    /// Reads the segments that have come out and strikes their spans off.
    fn receive(&mut self) {
        let (missing, doubled) = (&mut self.missing, &mut self.doubled);
        let (counts, segment) = (&mut self.counts, &mut self.segment);
        let seen = |payload: &[u8]| {
            counts.messages_out += 1;
            for id in span_ids(payload) {
                counts.spans_out += 1;
                *doubled += u64::from(!missing.remove(&id));
            }
            if payload.len() > segment.len() {
                payload.clone_into(segment);
            }
        };
        let mut seen = seen;
        while self.tap.next(Duration::ZERO, &mut seen) {}
    }

    /// Sleeps a turn, and notices Ctrl-C and the daemon's death.
    fn turn(&mut self) -> Result<()> {
        let readable = poll::readable(&[self.wake.descriptor()], TURN)
            .map_err(|why| Error::temporary(format!("cannot wait: {why}")))?;
        if readable && self.wake.take().stop {
            self.interrupted = true;
        }
        match self.daemon.ended() {
            Some(status) => Err(Error::software(format!("spanbufd run ended: {status}"))),
            None => Ok(()),
        }
    }

    fn look(&self, board: &mut Option<Board>) -> Result<()> {
        if let Found::Running(found) = board::find(&self.instance)? {
            *board = Some(found);
        }
        Ok(())
    }

    fn stop_daemon(&mut self) -> Result<()> {
        if let Some(pid) = Pid::new(self.daemon.pid().into()) {
            process::kill(pid, Send::Terminate)
                .map_err(|why| Error::temporary(format!("cannot stop spanbufd run: {why}")))?;
        }
        let status = self.daemon.wait(STOP_MAX)?;
        if !status.success() {
            return Err(Error::software(format!("spanbufd run ended: {status}")));
        }
        // What it flushed on its way out.
        for _ in 0..10 {
            self.receive();
            std::thread::sleep(TURN);
        }
        Ok(())
    }

    /// The summary, and one segment as a tree. An interrupted demo leaves spans in its Redis,
    /// where a daemon's next start would find them: those are buffered, not lost.
    fn curtain(self, (p50, p99): (Option<u64>, Option<u64>), out: &mut Out) -> Result<i32> {
        let left = self.missing.len();
        let ms = |value: Option<u64>| value.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        out.line(format_args!(
            "\nspans in {}, spans out {}, segments out {}",
            self.counts.spans_in, self.counts.spans_out, self.counts.messages_out
        ))?;
        match self.interrupted {
            true => out
                .line(format_args!("interrupted: still buffered {left}, doubled {}", self.doubled)),
            false => out.line(format_args!("lost {left}, doubled {}", self.doubled)),
        }?;
        out.line(format_args!("time past deadline: p50 <= {}, p99 <= {}\n", ms(p50), ms(p99)))?;
        for line in tree::draw(&self.segment) {
            out.line(line)?;
        }
        out.flush()?;
        Ok(i32::from(!self.interrupted && (left > 0 || self.doubled > 0)))
    }
}

fn span_id(span: &[u8]) -> Option<String> {
    let span: serde_json::Value = serde_json::from_slice(span).ok()?;
    span["span_id"].as_str().map(str::to_owned)
}

fn span_ids(message: &[u8]) -> Vec<String> {
    let message: serde_json::Value = serde_json::from_slice(message).unwrap_or_default();
    let spans = message["spans"].as_array().cloned().unwrap_or_default();
    spans.iter().filter_map(|span| span["span_id"].as_str().map(str::to_owned)).collect()
}
