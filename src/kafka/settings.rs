//! librdkafka's properties: ours, with the reason of each, then the user's on top.
//!
//! Those on which a promise hangs may not be set by the user: `config::property` refuses them.
//! Every row is stated in spanbufd(8).

use crate::config::{Config, property};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

/// Longer than any host name of Linux; Kafka's limit for the whole is 249.
const HOST_CHARS_MAX: usize = 64;

pub fn consumer(config: &Config, host: &str, worker: usize) -> ClientConfig {
    let mut settings = common(config, "ingest", worker);
    if config.partitions.is_empty() {
        // A static member: the group keeps its partitions for it while it is replaced or upgraded.
        settings.set("group.instance.id", member_name(&config.instance, host, worker));
    }
    let ours = [
        ("group.id", config.group_id.as_str()),
        // The floor is committed by hand, after delivery (P6).
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // What lies behind the last message may be markers: only the client knows.
        ("enable.partition.eof", "true"),
        // Never silently to the end when retention has eaten the floor.
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("check.crcs", "true"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        // With a small prefetch limit the default of a second stalls the consumer.
        ("fetch.queue.backoff.ms", "5"),
        // Bounds the process: the default is 64 MiB.
        ("queued.max.messages.kbytes", "16384"),
        // A broker answers the questions of a connection in their order: those for the ends of
        // partitions wait behind a fetch that has nothing to bring yet.
        ("fetch.wait.max.ms", "50"),
        // A connection on which nothing is answered is given up for a new one; the default is 60 s.
        ("socket.timeout.ms", "10000"),
        // A question for a topic that is missing must not make it, with one partition.
        ("allow.auto.create.topics", "false"),
    ];
    apply(&mut settings, &ours);
    users(&mut settings, &[&config.kafka, &config.kafka_consumer]);
    settings
}

/// Whether this client reads only what is committed. The client is asked: it takes a value in any
/// case and with spaces before it.
pub fn reads_committed(settings: &ClientConfig) -> bool {
    let native = settings.create_native_config();
    let level = native.and_then(|native| native.get("isolation.level"));
    level.as_deref() != Ok("read_uncommitted")
}

pub fn producer(config: &Config, worker: usize) -> ClientConfig {
    let mut settings = common(config, "flusher", worker);
    // A message holds at most `max-segment-bytes` of spans, or one span larger than that.
    let message_bytes_max = (config.max_segment_bytes * 2 + (1 << 20)).min(1_000_000_000);
    let message_bytes_max = message_bytes_max.to_string();
    let ours = [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        // An outage of Kafka is waited out; what is in flight stays in Redis anyway.
        ("message.timeout.ms", "300000"),
        ("message.max.bytes", message_bytes_max.as_str()),
        // As long as handing over what one request holds may take, which is then sent at once
        // (`worker::flusher::lanes`): requests have their price here and at the broker.
        ("linger.ms", "20"),
        // Ours is the bound that counts (`IN_FLIGHT_BYTES_MAX`); this one is never reached first.
        ("queue.buffering.max.kbytes", "524288"),
    ];
    apply(&mut settings, &ours);
    users(&mut settings, &[&config.kafka, &config.kafka_producer]);
    settings
}

/// What the group knows a member by: the same after a restart, and no other's. Kafka takes the
/// same characters as for topics.
fn member_name(instance: &str, host: &str, worker: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '-' };
    let host: String = host.chars().map(plain).take(HOST_CHARS_MAX).collect();
    format!("{instance}_{host}_{worker}")
}

/// For the offset-map topic. A record is one value of which the last counts: written twice it says
/// the same, and one of a shard is under way at a time, so there is no order to be kept.
pub fn map_producer(config: &Config, worker: usize) -> ClientConfig {
    let mut settings = common(config, "maps", worker);
    let ours = [
        ("enable.idempotence", "false"),
        ("acks", "all"),
        // What was not written in this time is written anew, with a newer map.
        ("message.timeout.ms", "10000"),
        ("linger.ms", "5"),
    ];
    apply(&mut settings, &ours);
    users(&mut settings, &[&config.kafka, &config.kafka_producer]);
    settings
}

/// For reading the offset-map topic from its beginning. The group is named because a client must
/// name one; it neither joins nor commits.
pub fn map_consumer(config: &Config, worker: usize) -> ClientConfig {
    let mut settings = common(config, "maps", worker);
    let ours = [
        ("group.id", config.group_id.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
        ("check.crcs", "true"),
        ("fetch.queue.backoff.ms", "5"),
        ("queued.max.messages.kbytes", "16384"),
    ];
    apply(&mut settings, &ours);
    users(&mut settings, &[&config.kafka, &config.kafka_consumer]);
    settings
}

/// For questions that belong to neither client.
pub fn admin(config: &Config) -> ClientConfig {
    let mut settings = common(config, "admin", 0);
    users(&mut settings, &[&config.kafka]);
    settings
}

/// Why a property is not taken, whatever the others are.
pub fn refuses(name: &str, value: &str) -> Option<String> {
    match ClientConfig::new().set(name, value).create_native_config().err()? {
        KafkaError::ClientConfig(_, why, _, _) => Some(format!("is refused by librdkafka: {why}")),
        other => Some(format!("is refused by librdkafka: {other}")),
    }
}

fn common(config: &Config, kind: &str, worker: usize) -> ClientConfig {
    let mut settings = ClientConfig::new();
    let client_id = format!("spanbufd-{}-{kind}-{worker}", config.instance);
    let ours = [
        ("bootstrap.servers", config.bootstrap_servers.as_str()),
        ("client.id", client_id.as_str()),
        ("socket.keepalive.enable", "true"),
        // New partitions of the input topic are seen within this time.
        ("topic.metadata.refresh.interval.ms", "30000"),
    ];
    apply(&mut settings, &ours);
    settings
}

fn apply(settings: &mut ClientConfig, properties: &[(&str, &str)]) {
    for (name, value) in properties {
        set(settings, name, value);
    }
}

fn users(settings: &mut ClientConfig, groups: &[&Vec<(String, String)>]) {
    for (name, value) in groups.iter().copied().flatten() {
        set(settings, name, value);
    }
}

/// Each property goes to the client under one name, or which value counts would be chance.
fn set(settings: &mut ClientConfig, name: &str, value: &str) {
    settings.set(property::one_name(name), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_named_after_instance_host_and_worker() {
        assert_eq!(member_name("default", "web-3.example", 2), "default_web-3.example_2");
        assert_eq!(member_name("a", "b_c/d", 0), "a_b-c-d_0");
        assert!(member_name(&"i".repeat(100), &"h".repeat(300), 63).len() <= 249);
    }

    #[test]
    fn only_members_of_a_group_have_a_name() {
        let mut config = Config::default();
        let name =
            |config: &Config| consumer(config, "h", 1).get("group.instance.id").map(str::to_owned);
        assert_eq!(name(&config), Some(format!("{}_h_1", config.instance)));
        config.partitions = vec![3];
        assert_eq!(name(&config), None);
    }

    #[test]
    fn what_is_ours_reaches_the_client() {
        let config = Config::default();
        let has = |settings: ClientConfig, name: &str, value: &str| {
            let native = settings.create_native_config();
            assert_eq!(native.and_then(|native| native.get(name)), Ok(value.to_owned()), "{name}");
        };
        has(consumer(&config, "h", 0), "enable.auto.commit", "false");
        has(consumer(&config, "h", 0), "auto.offset.reset", "error");
        has(producer(&config, 0), "acks", "-1");
        has(producer(&config, 0), "message.timeout.ms", "300000");
        has(producer(&config, 0), "bootstrap.servers", &config.bootstrap_servers);
    }

    #[test]
    fn what_is_read_is_what_the_client_understands() {
        let reads = |level: &str| {
            let kafka_consumer = vec![("isolation.level".to_owned(), level.to_owned())];
            reads_committed(&consumer(&Config { kafka_consumer, ..Config::default() }, "h", 0))
        };
        assert!(reads_committed(&consumer(&Config::default(), "h", 0)));
        assert!(reads("read_committed") && reads(" Read_Committed"));
        for level in ["read_uncommitted", "READ_UNCOMMITTED", " read_uncommitted"] {
            assert!(!reads(level), "{level:?}");
        }
    }

    #[test]
    fn what_the_user_sets_counts_by_whatever_name() {
        let user = |name: &str| vec![(name.to_owned(), "77".to_owned())];
        let by = ["queue.buffering.max.ms", "topic.delivery.timeout.ms"];
        for (name, ours) in by.into_iter().zip(["linger.ms", "message.timeout.ms"]) {
            let config = Config { kafka_producer: user(name), ..Config::default() };
            let native = producer(&config, 0).create_native_config();
            assert_eq!(native.and_then(|native| native.get(ours)), Ok("77".to_owned()), "{name}");
        }
        let config = Config {
            kafka: user("sasl.mechanisms"),
            kafka_consumer: vec![("sasl.mechanism".to_owned(), "PLAIN".to_owned())],
            ..Config::default()
        };
        let native = consumer(&config, "h", 0).create_native_config();
        let mechanism = native.and_then(|native| native.get("sasl.mechanism"));
        assert_eq!(mechanism, Ok("PLAIN".to_owned()));
    }
}
