//! benchkit: loads topics for the benchmark, and measures what is physically possible.
//!
//!     benchkit load BOOTSTRAP TOPIC PARTITIONS FILE   timed lines, stamped as they say
//!     benchkit replay BOOTSTRAP TOPIC FILE            timed lines at their own speed, stamped now
//!     benchkit drain BOOTSTRAP TOPIC                  a bare consumer that discards
//!     benchkit copy BOOTSTRAP FROM TO                 a bare producer of the messages of FROM
//!     benchkit set SOCKET COUNT BYTES                 plain pipelined SETs, ten at a time
//!     benchkit parse FILE                             every span into a serde_json::Value
//!     benchkit stages FILE                            our own steps, each by itself: see stages.rs
//!     benchkit sweep FILE                             batches, levels, blocks: see sweep.rs
//!     benchkit curves [SPANS]                         the index as it grows: see curves.rs
//!
//! Timed lines are what `spanbufd generate --timed` prints. Each command prints one JSON object
//! with the count of what it did, its seconds and its own CPU seconds; `replay` also tells how late
//! it was at most.

mod curves;
mod stages;
mod sweep;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// The last message of each partition is stamped so much later: all before it falls due.
const END_MS: i64 = 3_600_000;

/// How long a producer gathers: to fill requests, or as one of many that each send what they have.
/// Clocks go by what arrives, so what arrives in lumps makes segments late.
const FULL_MS: &str = "20";
const SOON_MS: &str = "5";

/// What is due within so long is sent at once: a sleep for each message is a load of its own.
const TICK: Duration = Duration::from_millis(1);

/// What a pipeline holds.
const PIPELINE: usize = 10;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["load", bootstrap, topic, partitions, file] => load(bootstrap, topic, partitions, file),
        ["replay", bootstrap, topic, file] => replay(bootstrap, topic, file),
        ["drain", bootstrap, topic] => drain(bootstrap, topic),
        ["copy", bootstrap, from, to] => copy(bootstrap, from, to),
        ["set", socket, count, bytes] => set(socket, count, bytes),
        ["parse", file] => parse(file),
        ["stages", file] => stages::stages(file),
        ["sweep", file] => sweep::sweep(file).map(Value::String),
        ["curves"] => curves::curves("1000000").map(Value::String),
        ["curves", most] => curves::curves(most).map(Value::String),
        _ => Err("usage: see the head of tests/kit/benchkit.rs".into()),
    };
    let done = outcome.and_then(|found| match found {
        Value::String(table) => Ok(write!(std::io::stdout(), "{table}")?),
        figures => Ok(writeln!(std::io::stdout(), "{figures}")?),
    });
    if let Err(why) = done {
        let _ = writeln!(std::io::stderr(), "benchkit {}: {why}", words.join(" "));
        std::process::exit(1);
    }
}

/// Wall time and CPU time of the whole process since it was made.
struct Meter {
    began: Instant,
    cpu_s: f64,
}

impl Meter {
    fn start() -> Meter {
        Meter { began: Instant::now(), cpu_s: cpu_s() }
    }

    fn read(&self, count: u64, bytes: u64) -> Value {
        let (wall, cpu) = (self.began.elapsed().as_secs_f64(), cpu_s() - self.cpu_s);
        json!({ "count": count, "bytes": bytes, "seconds": wall, "cpu_s": cpu })
    }
}

/// CPU seconds of all threads there are.
fn cpu_s() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ran = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    ran.sum::<f64>() / 1e9
}

/// The parts of a timed line: event time, key (the trace id), span.
fn timed(line: &str) -> Fallible<(i64, &str, &str)> {
    let parts = line.strip_prefix("{\"at_ms\":").and_then(|rest| rest.split_once(",\"span\":"));
    let (at_ms, span) = parts.ok_or("no timed line")?;
    let span = span.strip_suffix('}').ok_or("no timed line")?;
    let name = "\"trace_id\":\"";
    let at = span.find(name).ok_or("a span without a trace")? + name.len();
    Ok((at_ms.parse()?, &span[at..at + 32], span))
}

fn lines(file: &str) -> Fallible<impl Iterator<Item = std::io::Result<String>>> {
    Ok(BufReader::with_capacity(1 << 20, std::fs::File::open(file)?).lines())
}

fn producer(bootstrap: &str, linger_ms: &str) -> Fallible<BaseProducer> {
    let producer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", linger_ms)
        .set("message.max.bytes", "25000000")
        .set("queue.buffering.max.kbytes", "262144")
        .create()?;
    Ok(producer)
}

/// Sends one record, waiting for room.
fn send(producer: &BaseProducer, mut record: BaseRecord<'_, [u8], [u8]>) -> Fallible<()> {
    while let Err((why, same)) = producer.send(record) {
        if why.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(why.into());
        }
        serve(producer, Duration::from_millis(1));
        record = same;
    }
    Ok(())
}

/// Takes what is there, then waits: the wrapper's own waiting spins through its last millisecond.
fn serve(producer: &BaseProducer, wait: Duration) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(wait);
}

fn finish(producer: &BaseProducer) -> Fallible<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while producer.in_flight_count() > 0 {
        if Instant::now() > deadline {
            return Err("not everything was acknowledged".into());
        }
        serve(producer, Duration::from_millis(1));
    }
    Ok(())
}

fn load(bootstrap: &str, topic: &str, partitions: &str, file: &str) -> Fallible<Value> {
    let producer = producer(bootstrap, FULL_MS)?;
    let meter = Meter::start();
    let (mut count, mut bytes, mut last) = (0, 0, (0, String::new(), String::new()));
    for line in lines(file)? {
        let line = line?;
        let (at_ms, key, span) = timed(&line)?;
        let record = BaseRecord::to(topic).key(key.as_bytes()).payload(span.as_bytes());
        send(&producer, record.timestamp(at_ms))?;
        (count, bytes) = (count + 1, bytes + span.len() as u64);
        last = (at_ms, key.to_owned(), span.to_owned());
    }
    finish(&producer)?;
    let (at_ms, key, span) = last;
    for partition in 0..partitions.parse()? {
        // A trace of its own, so that it belongs to nothing.
        let span = span.replace(&key, &format!("{partition:032x}"));
        let record = BaseRecord::<[u8], [u8]>::to(topic).payload(span.as_bytes());
        send(&producer, record.partition(partition).timestamp(at_ms + END_MS))?;
    }
    finish(&producer)?;
    Ok(meter.read(count, bytes))
}

fn replay(bootstrap: &str, topic: &str, file: &str) -> Fallible<Value> {
    let producer = producer(bootstrap, SOON_MS)?;
    let meter = Meter::start();
    let (mut count, mut bytes, mut first, mut late) = (0, 0, None, Duration::ZERO);
    for line in lines(file)? {
        let line = line?;
        let (at_ms, key, span) = timed(&line)?;
        let due = Duration::from_millis((at_ms - *first.get_or_insert(at_ms)) as u64);
        let passed = meter.began.elapsed();
        late = late.max(passed.saturating_sub(due));
        if due > passed {
            serve(&producer, TICK.max(due - passed));
        }
        send(&producer, BaseRecord::to(topic).key(key.as_bytes()).payload(span.as_bytes()))?;
        (count, bytes) = (count + 1, bytes + span.len() as u64);
    }
    finish(&producer)?;
    let mut figures = meter.read(count, bytes);
    figures["late_ms"] = (late.as_millis() as u64).into();
    Ok(figures)
}

/// Reads all of a topic, from its beginning to the ends that it has by then.
fn read_all(bootstrap: &str, topic: &str, mut seen: impl FnMut(&[u8])) -> Fallible<Value> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "benchkit")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    let meter = Meter::start();
    let (mut count, mut bytes) = (0, 0);
    consumer.assign(&list)?;
    let mut ended = std::collections::BTreeSet::new();
    while ended.len() < list.count() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let payload = message.payload().unwrap_or_default();
                (count, bytes) = (count + 1, bytes + payload.len() as u64);
                seen(payload);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(why)) => return Err(why.into()),
            None => {}
        }
    }
    // Before the client goes, and its threads with what they have used.
    Ok(meter.read(count, bytes))
}

fn drain(bootstrap: &str, topic: &str) -> Fallible<Value> {
    read_all(bootstrap, topic, |payload| {
        std::hint::black_box(payload);
    })
}

fn copy(bootstrap: &str, from: &str, to: &str) -> Fallible<Value> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    read_all(bootstrap, from, |payload| messages.push(payload.to_vec()))?;
    let producer = producer(bootstrap, FULL_MS)?;
    let meter = Meter::start();
    for message in &messages {
        send(&producer, BaseRecord::to(to).payload(message))?;
    }
    finish(&producer)?;
    let bytes = messages.iter().map(|message| message.len() as u64).sum();
    Ok(meter.read(messages.len() as u64, bytes))
}

fn set(socket: &str, count: &str, bytes: &str) -> Fallible<Value> {
    let (count, bytes): (usize, usize) = (count.parse()?, bytes.parse()?);
    let mut stream = UnixStream::connect(socket)?;
    let value = vec![b'x'; bytes];
    let meter = Meter::start();
    for first in (0..count).step_by(PIPELINE) {
        let mut commands = Vec::with_capacity(PIPELINE * (bytes + 64));
        let numbers = first..(first + PIPELINE).min(count);
        for number in numbers.clone() {
            let key = format!("benchkit:{number}");
            write!(commands, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${bytes}\r\n", key.len())?;
            commands.extend_from_slice(&value);
            commands.extend_from_slice(b"\r\n");
        }
        stream.write_all(&commands)?;
        let mut answers = vec![0; numbers.len() * b"+OK\r\n".len()];
        stream.read_exact(&mut answers)?;
        if answers.chunks(5).any(|answer| answer != b"+OK\r\n") {
            return Err("Redis refuses".into());
        }
    }
    Ok(meter.read(count as u64, (count * bytes) as u64))
}

fn parse(file: &str) -> Fallible<Value> {
    let lines: Vec<String> = lines(file)?.collect::<Result<_, _>>()?;
    let spans: Vec<&str> = lines.iter().filter_map(|line| Some(timed(line).ok()?.2)).collect();
    let meter = Meter::start();
    for span in &spans {
        let value: Value = serde_json::from_str(span)?;
        std::hint::black_box(value);
    }
    Ok(meter.read(spans.len() as u64, spans.iter().map(|span| span.len() as u64).sum()))
}
