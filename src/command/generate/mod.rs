//! `spanbufd generate`: spans for tests, the demo and benchmarks, to standard output or a topic.

pub mod spans;
mod text;

use super::out::Out;
use super::{Spec, perform};
use crate::config::{Accepts, Config, Loaded};
use crate::error::{Error, Result};
use crate::kafka::producer::{Letter, Outcome, Producer, Sent};
use crate::sys::time;
use spans::{Generated, Generator, Order, Shape};
use std::time::{Duration, Instant};

/// How long the end waits for acknowledgements.
const FLUSH_MAX: Duration = Duration::from_secs(60);

/// Slower is no stream, faster no clock.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1e9;

const SPEC: Spec = Spec {
    name: "generate",
    synopsis: "[OPTION]...",
    about: "Makes spans from a seed and writes them to standard output, one a line, or to a topic.",
    accepts: Accepts::Only(&["bootstrap-servers", "kafka", "kafka-producer"]),
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    let mut own = getopts::Options::new();
    own.optopt("", "seed", "same seed, same spans (default: 1)", "N");
    own.optopt("", "traces", "number of traces (default: 100)", "N");
    own.optopt("", "spans", "stop after this many messages", "N");
    own.optopt("", "spans-per-trace", "number or range (default: 4-16)", "N-M");
    own.optopt("", "depth", "longest chain of parents (default: 8)", "N");
    own.optopt("", "projects", "number of projects (default: 3)", "N");
    own.optopt("", "chains", "share of traces that are one chain (default: 0)", "SHARE");
    own.optopt("", "split", "share of traces over two projects (default: 0)", "SHARE");
    own.optopt("", "order", "shuffled, interleaved or overlapping (default: shuffled)", "ORDER");
    own.optopt("", "window", "messages that a shuffled one may overtake (default: 100)", "N");
    own.optopt("", "with-segment-id", "share of traces with segment ids (default: 0.7)", "SHARE");
    own.optopt("", "duplicates", "share of spans that come twice (default: 0)", "SHARE");
    own.optopt("", "invalid", "share of messages that are no spans (default: 0)", "SHARE");
    own.optopt("", "step-ms", "event time between two messages (default: 1, or by rate)", "MS");
    own.optopt("", "rate", "messages a second (default: as fast as possible)", "N");
    own.optopt("", "topic", "write to this topic, keyed by trace", "TOPIC");
    own.optflag("", "timed", "print {\"at_ms\": ..., \"span\": ...}, for assemble --timed");
    perform(&SPEC, own, args, generate)
}

fn generate(loaded: &Loaded) -> Result<i32> {
    let rate = rate(loaded)?;
    let shape = shape(loaded, rate)?;
    let most = option(loaded, "spans", u64::MAX)?;
    let made = Generator::new(shape).take(most as usize);
    let paced = Paced::new(rate);
    match loaded.matches.opt_str("topic") {
        Some(topic) => to_topic(&loaded.config, &topic, made, paced),
        None => to_stdout(loaded.matches.opt_present("timed"), made, paced),
    }?;
    Ok(0)
}

fn shape(loaded: &Loaded, rate: f64) -> Result<Shape> {
    let plain = Shape::default();
    let (spans_min, spans_max) = match loaded.matches.opt_str("spans-per-trace") {
        Some(text) => range(&text)?,
        None => (plain.spans_min, plain.spans_max),
    };
    let by_rate = if rate > 0.0 { 1000.0 / rate } else { plain.step_ms };
    Ok(Shape {
        seed: option(loaded, "seed", plain.seed)?,
        traces: option(loaded, "traces", plain.traces)?,
        spans_min,
        spans_max,
        depth: option(loaded, "depth", plain.depth)?,
        projects: option(loaded, "projects", plain.projects)?,
        chains: option(loaded, "chains", plain.chains)?,
        split: option(loaded, "split", plain.split)?,
        order: order(loaded)?,
        window: option(loaded, "window", plain.window)?,
        with_segment_id: option(loaded, "with-segment-id", plain.with_segment_id)?,
        duplicates: option(loaded, "duplicates", plain.duplicates)?,
        invalid: option(loaded, "invalid", plain.invalid)?,
        step_ms: option(loaded, "step-ms", by_rate)?,
        ..plain
    })
}

fn order(loaded: &Loaded) -> Result<Order> {
    match loaded.matches.opt_str("order").as_deref() {
        None | Some("shuffled") => Ok(Order::Shuffled),
        Some("interleaved") => Ok(Order::Interleaved),
        Some("overlapping") => Ok(Order::Overlapping),
        Some(other) => Err(Error::usage(format!(
            "--order: {other:?} is none of shuffled, interleaved, overlapping"
        ))),
    }
}

/// Messages a second, 0 for no bound.
fn rate(loaded: &Loaded) -> Result<f64> {
    let rate: f64 = option(loaded, "rate", 0.0)?;
    if rate == 0.0 || (RATE_MIN..=RATE_MAX).contains(&rate) {
        return Ok(rate);
    }
    Err(Error::usage(format!("--rate: {rate} is not from {RATE_MIN} to {RATE_MAX}")))
}

fn option<T: std::str::FromStr>(loaded: &Loaded, name: &str, default: T) -> Result<T> {
    let Some(text) = loaded.matches.opt_str(name) else { return Ok(default) };
    text.parse().map_err(|_| Error::usage(format!("--{name}: {text:?} is no number")))
}

/// `N` or `N-M`, both at least 1.
fn range(text: &str) -> Result<(u64, u64)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.parse::<u64>(), high.parse::<u64>()) {
        (Ok(low), Ok(high)) if 1 <= low && low <= high => Ok((low, high)),
        _ => Err(Error::usage(format!("--spans-per-trace: {text:?} is no range such as 4-16"))),
    }
}

/// Holds back what would come faster than the rate.
struct Paced {
    rate: f64,
    started: Instant,
    count: u64,
}

impl Paced {
    fn new(rate: f64) -> Paced {
        Paced { rate, started: Instant::now(), count: 0 }
    }

    /// How long the next message has to wait.
    fn wait(&mut self) -> Duration {
        if self.rate <= 0.0 {
            return Duration::ZERO;
        }
        let due = Duration::from_secs_f64(self.count as f64 / self.rate);
        self.count += 1;
        due.saturating_sub(self.started.elapsed())
    }
}

fn to_stdout(timed: bool, made: impl Iterator<Item = Generated>, mut paced: Paced) -> Result<()> {
    let mut out = Out::stdout()?;
    for made in made {
        let wait = paced.wait();
        if !wait.is_zero() {
            out.flush()?;
            std::thread::sleep(wait);
        }
        match timed {
            true => {
                out.line(format_args!("{{\"at_ms\":{},\"span\":{}}}", made.at_ms, made.payload))
            }
            false => out.line(&made.payload),
        }?;
        if out.is_closed() {
            return Ok(());
        }
    }
    out.flush()
}

fn to_topic(
    config: &Config,
    topic: &str,
    made: impl Iterator<Item = Generated>,
    mut paced: Paced,
) -> Result<()> {
    let mut sink = Sink::open(config, topic)?;
    for made in made {
        sink.serve(paced.wait())?;
        sink.send(made.trace_id.as_bytes(), made.payload.as_bytes())?;
    }
    sink.finish()?;
    let mut out = Out::stdout()?;
    out.line(format_args!("{} messages acknowledged by {topic}", sink.acknowledged))?;
    out.flush()
}

/// A topic to write to, every message of it acknowledged in the end.
pub struct Sink {
    producer: Producer,
    topic: String,
    next: u64,
    pub acknowledged: u64,
}

impl Sink {
    pub fn open(config: &Config, topic: &str) -> Result<Sink> {
        let producer = Producer::open(config, 0)?;
        Ok(Sink { producer, topic: topic.to_owned(), next: 0, acknowledged: 0 })
    }

    /// Queues one message, waiting for room.
    pub fn send(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        let ticket = self.next;
        self.next += 1;
        let topic = self.topic.clone();
        let letter = Letter {
            topic: &topic,
            partition: None,
            key: Some(key),
            payload: Some(payload),
            headers: &[],
        };
        loop {
            match self.producer.send(ticket, &letter)? {
                Sent::Queued => break,
                Sent::Full => self.serve(Duration::from_millis(10))?,
                Sent::TooLarge => {
                    return Err(Error::temporary(format!("{} bytes are too large", payload.len())));
                }
            }
        }
        self.producer.seal(ticket);
        if ticket.is_multiple_of(1000) { self.serve(Duration::ZERO) } else { Ok(()) }
    }

    /// Takes acknowledgements for at least `wait`.
    pub fn serve(&mut self, wait: Duration) -> Result<()> {
        let until = time::monotonic() + wait;
        loop {
            let left = until.saturating_sub(time::monotonic());
            for outcome in self.producer.poll(left) {
                match outcome {
                    Outcome::Delivered(_) => self.acknowledged += 1,
                    Outcome::TooLarge { .. } => {
                        return Err(Error::temporary("the broker takes no message of this size"));
                    }
                    Outcome::Failed { trouble, .. } => return Err(Error::temporary(trouble.why)),
                }
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    /// Waits until every message is acknowledged.
    pub fn finish(&mut self) -> Result<()> {
        let deadline = Instant::now() + FLUSH_MAX;
        while self.acknowledged < self.next {
            if Instant::now() > deadline {
                let left = self.next - self.acknowledged;
                return Err(Error::temporary(format!(
                    "{left} of {} messages for topic {} are not acknowledged after {} s; check \
                     bootstrap-servers, and that the topic is there",
                    self.next,
                    self.topic,
                    FLUSH_MAX.as_secs()
                )));
            }
            self.serve(Duration::from_millis(20))?;
        }
        Ok(())
    }
}
