//! testkit: Kafka for shell tests, against the mock cluster and Apache Kafka alike.
//!
//!     testkit mock [--brokers N] TOPIC:PARTITIONS…  prints its address, obeys standard input
//!     testkit create-topic BOOTSTRAP TOPIC PARTITIONS [KEY=VALUE…]
//!     testkit produce BOOTSTRAP TOPIC [--at-ms N] [--partition N]
//!         [--transaction commit|abort|abort-each]
//!     testkit consume BOOTSTRAP TOPIC [--until N] [--timeout SECONDS]
//!     testkit delete-records BOOTSTRAP TOPIC PARTITION BEFORE
//!     testkit add-partitions BOOTSTRAP TOPIC TOTAL
//!     testkit delete-topic BOOTSTRAP TOPIC
//!     testkit committed BOOTSTRAP GROUP TOPIC
//!     testkit commit BOOTSTRAP GROUP TOPIC PARTITION OFFSET
//!     testkit setting BOOTSTRAP TOPIC NAME
//!     testkit restarts INSTANCE COUNT           kills flusher/0 and prints how long it was missed
//!
//! An example, so that it is built with the tests and never installed.

mod restarts;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use spanbufd::config::Config;
use spanbufd::kafka::admin::Admin;
use spanbufd::kafka::mock::Mock;
use spanbufd::sys::headers;
use std::collections::HashMap;
use std::future::Future;
use std::io::{BufRead, Write};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["mock", topics @ ..] => mock(topics),
        ["create-topic", bootstrap, topic, partitions, settings @ ..] => {
            create_topic(bootstrap, topic, partitions, settings)
        }
        ["produce", bootstrap, topic, options @ ..] => produce(bootstrap, topic, options),
        ["consume", bootstrap, topic, options @ ..] => consume(bootstrap, topic, options),
        ["delete-records", bootstrap, topic, partition, before] => {
            delete_records(bootstrap, topic, partition, before)
        }
        ["add-partitions", bootstrap, topic, total] => add_partitions(bootstrap, topic, total),
        ["delete-topic", bootstrap, topic] => delete_topic(bootstrap, topic),
        ["committed", bootstrap, group, topic] => committed(bootstrap, group, topic),
        ["commit", bootstrap, group, topic, partition, offset] => {
            commit(bootstrap, group, topic, partition, offset)
        }
        ["setting", bootstrap, topic, name] => setting(bootstrap, topic, name),
        ["restarts", instance, count] => restarts::measure(instance, count),
        _ => Err("usage: see the head of tests/kit/testkit.rs".into()),
    };
    if let Err(why) = outcome {
        let _ = writeln!(std::io::stderr(), "testkit {}: {why}", words.join(" "));
        std::process::exit(1);
    }
}

fn print(line: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn option<T: std::str::FromStr>(options: &[&str], name: &str) -> Option<T> {
    let at = options.iter().position(|word| *word == name)?;
    options.get(at + 1)?.parse().ok()
}

/// Serves until standard input closes. Obeys `topic NAME PARTITIONS`, `down [BROKER]`,
/// `up [BROKER]`, `delay MS`, `refuse REQUEST ERROR TIMES`, `accept REQUEST`,
/// `topic-error NAME ERROR`,
/// `leader NAME PARTITION BROKER|gone` and `coordinator GROUP BROKER`, and answers each with `ok`.
fn mock(words: &[&str]) -> Outcome {
    let brokers = option(words, "--brokers");
    let topics = &words[if brokers.is_some() { 2 } else { 0 }..];
    let named = |text: &&str| {
        let (name, partitions) = text.split_once(':').ok_or("a topic is NAME:PARTITIONS")?;
        Ok((name.to_owned(), partitions.parse()?))
    };
    let topics: Result<Vec<(String, u32)>, Box<dyn std::error::Error>> =
        topics.iter().map(named).collect();
    let mock = Mock::with_brokers(brokers.unwrap_or(1), &topics?)?;
    print(&mock.address())?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["topic", name, partitions] => mock.create_topic(name, partitions.parse()?)?,
            ["down"] => mock.set_up(1, false)?,
            ["up"] => mock.set_up(1, true)?,
            ["down", broker] => mock.set_up(broker.parse()?, false)?,
            ["up", broker] => mock.set_up(broker.parse()?, true)?,
            ["coordinator", group, broker] => mock.set_coordinator(group, broker.parse()?)?,
            ["delay", ms] => mock.set_delay(1, Duration::from_millis(ms.parse()?))?,
            ["refuse", request, error, times] => {
                mock.refuse(request, error, times.parse()?)?;
            }
            ["accept", request] => mock.accept(request)?,
            ["topic-error", name, error] => mock.set_topic_error(name, error)?,
            ["leader", name, partition, "gone"] => {
                mock.set_leader(name, partition.parse()?, None)?;
            }
            ["leader", name, partition, broker] => {
                mock.set_leader(name, partition.parse()?, Some(broker.parse()?))?;
            }
            _ => return Err(format!("unknown order: {line}").into()),
        }
        print("ok")?;
    }
    Ok(())
}

/// Waits for a future that another thread completes: the client's admin calls are such.
fn wait_for<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn setting(bootstrap: &str, topic: &str, name: &str) -> Outcome {
    let config = Config { bootstrap_servers: bootstrap.to_owned(), ..Config::default() };
    let found = Admin::open(&config, Duration::from_secs(10))?.setting(topic, name)?;
    print(&found.unwrap_or_default())
}

fn create_topic(bootstrap: &str, topic: &str, partitions: &str, settings: &[&str]) -> Outcome {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let mut new = NewTopic::new(topic, partitions.parse()?, TopicReplication::Fixed(1));
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or("a setting is KEY=VALUE")?;
        new = new.set(name, value);
    }
    for result in wait_for(admin.create_topics([&new], &AdminOptions::new()))? {
        result.map_err(|(name, why)| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn add_partitions(bootstrap: &str, topic: &str, total: &str) -> Outcome {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let new = NewPartitions::new(topic, total.parse()?);
    for result in wait_for(admin.create_partitions([&new], &AdminOptions::new()))? {
        result.map_err(|(name, why)| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn delete_topic(bootstrap: &str, topic: &str) -> Outcome {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    for result in wait_for(admin.delete_topics(&[topic], &AdminOptions::new()))? {
        result.map_err(|(name, why)| format!("{name}: {why}"))?;
    }
    Ok(())
}

/// Does what retention does: removes everything before an offset.
fn delete_records(bootstrap: &str, topic: &str, partition: &str, before: &str) -> Outcome {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition.parse()?, Offset::Offset(before.parse()?))?;
    wait_for(admin.delete_records(&list, &AdminOptions::new()))?;
    Ok(())
}

/// Remembers the first message that the broker refused.
#[derive(Default)]
struct Strict {
    refused: Mutex<Option<String>>,
}

impl ClientContext for Strict {}

impl ProducerContext for Strict {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let (Err((why, _)), Ok(mut refused)) = (result, self.refused.lock()) {
            refused.get_or_insert(why.to_string());
        }
    }
}

/// One line a message. A line with the member `"raw"` is an envelope: raw (a text, or null for a
/// tombstone), key, partition, at_ms, headers. Any other line is a message as it is, keyed by its
/// trace_id. With `--transaction` all of them are one transaction, and on the brokers' disks before
/// that is ended; with `abort-each` every line is one.
fn produce(bootstrap: &str, topic: &str, options: &[&str]) -> Outcome {
    let transaction: Option<String> = option(options, "--transaction");
    let mut settings = ClientConfig::new();
    if transaction.is_some() {
        settings.set("transactional.id", format!("{topic}-{}", std::process::id()));
    }
    let producer: BaseProducer<Strict> = settings
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("message.max.bytes", "25000000")
        // As soon after an outage as a Java client; librdkafka waits up to 10 s.
        .set("reconnect.backoff.max.ms", "1000")
        .create_with_context(Strict::default())?;
    let at_ms: Option<i64> = option(options, "--at-ms");
    let partition: Option<i32> = option(options, "--partition");
    if transaction.is_some() {
        producer.init_transactions(Duration::from_secs(30))?;
        producer.begin_transaction()?;
    }
    let mut count = 0u64;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let value: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        let is_envelope = value.get("raw").is_some();
        let envelope = if is_envelope { &value } else { &Value::Null };
        let payload = if is_envelope { envelope["raw"].as_str() } else { Some(line.as_str()) };
        let key = if is_envelope { envelope["key"].as_str() } else { value["trace_id"].as_str() };
        let mut record = BaseRecord::<str, str>::to(topic).headers(named(&envelope["headers"]));
        record.payload = payload;
        record.key = key;
        record.timestamp = envelope["at_ms"].as_i64().or(at_ms);
        record.partition = envelope["partition"].as_i64().map(|n| n as i32).or(partition);
        while let Err((why, same)) = producer.send(record) {
            if why.rdkafka_error_code() != Some(rdkafka::error::RDKafkaErrorCode::QueueFull) {
                return Err(why.into());
            }
            producer.poll(Duration::from_millis(10));
            record = same;
        }
        count += 1;
        if transaction.as_deref() == Some("abort-each") {
            producer.flush(Duration::from_secs(60))?;
            producer.abort_transaction(Duration::from_secs(30))?;
            producer.begin_transaction()?;
        }
    }
    producer.flush(Duration::from_secs(60))?;
    if producer.in_flight_count() > 0 {
        return Err(format!("{} messages not acknowledged", producer.in_flight_count()).into());
    }
    let refused = producer.context().refused.lock().ok().and_then(|mut why| why.take());
    if let Some(why) = refused {
        return Err(why.into());
    }
    match transaction.as_deref() {
        Some("commit") => producer.commit_transaction(Duration::from_secs(30))?,
        Some("abort" | "abort-each") => producer.abort_transaction(Duration::from_secs(30))?,
        Some(other) => return Err(format!("{other} is neither commit nor abort").into()),
        None => {}
    }
    print(&count.to_string())
}

/// Each character of a header's name stands for one byte: some names are no text.
fn named(members: &Value) -> OwnedHeaders {
    let members: Vec<(Vec<u8>, Option<&str>)> = members
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, text)| (name.chars().map(|one| one as u8).collect(), text.as_str()))
        .collect();
    let headers: Vec<(&[u8], Option<&[u8]>)> =
        members.iter().map(|(name, text)| (name.as_slice(), text.map(str::as_bytes))).collect();
    headers::make(&headers)
}

fn everything(
    consumer: &BaseConsumer,
    topic: &str,
    at: Offset,
) -> Result<TopicPartitionList, Box<dyn std::error::Error>> {
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        list.add_partition_offset(topic, partition.id(), at)?;
    }
    Ok(list)
}

/// Prints every message from the beginning; ends at `--until` messages (default: at the end of
/// all partitions) or after `--timeout` seconds, which is then a failure when fewer came.
fn consume(bootstrap: &str, topic: &str, options: &[&str]) -> Outcome {
    let until: Option<u64> = option(options, "--until");
    let limit = Duration::from_secs(option(options, "--timeout").unwrap_or(30));
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "testkit")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()?;
    let list = everything(&consumer, topic, Offset::Beginning)?;
    consumer.assign(&list)?;
    let deadline = Instant::now() + limit;
    let (mut count, mut ended) = (0, std::collections::BTreeSet::new());
    while until.map_or(ended.len() < list.count(), |until| count < until) {
        if Instant::now() > deadline {
            return Err(format!("{count} messages after {} s", limit.as_secs()).into());
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                print(&describe(&message).to_string())?;
                count += 1;
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(())
}

fn describe(message: &BorrowedMessage<'_>) -> Value {
    let text =
        |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let mut headers = serde_json::Map::new();
    for (name, value) in message.headers().map(headers::read).unwrap_or_default() {
        headers.insert(name.iter().copied().map(char::from).collect(), json!(text(value)));
    }
    json!({
        "partition": message.partition(),
        "offset": message.offset(),
        "at_ms": message.timestamp().to_millis(),
        "key": text(message.key()),
        "value": text(message.payload()),
        "headers": headers,
    })
}

/// Commits an offset for a group without members.
fn commit(bootstrap: &str, group: &str, topic: &str, partition: &str, offset: &str) -> Outcome {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition.parse()?, Offset::Offset(offset.parse()?))?;
    Ok(consumer.commit(&list, rdkafka::consumer::CommitMode::Sync)?)
}

/// Prints a line a partition: what the group has committed, and where the partition ends.
fn committed(bootstrap: &str, group: &str, topic: &str) -> Outcome {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create()?;
    let list = everything(&consumer, topic, Offset::Invalid)?;
    let list = consumer.committed_offsets(list, Duration::from_secs(10))?;
    let metadata: HashMap<i32, Vec<u8>> = spanbufd::sys::metadata::of(&list).into_iter().collect();
    for elem in list.elements() {
        let wait = Duration::from_secs(10);
        let (low, high) = consumer.fetch_watermarks(topic, elem.partition(), wait)?;
        let offset = match elem.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let line = json!({
            "partition": elem.partition(),
            "committed": offset,
            "metadata": metadata.get(&elem.partition()).map(|text| String::from_utf8_lossy(text)),
            "low": low,
            "high": high,
        });
        print(&line.to_string())?;
    }
    Ok(())
}
