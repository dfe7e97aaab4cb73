//! librdkafka's properties: ours, with the reason of each, then the user's on top.
//!
//! Those on which a promise hangs may not be set by the user: `config::secret` refuses them.
//! Every row is stated in spanbufd(8).

use crate::config::Config;
use rdkafka::config::ClientConfig;

pub fn consumer(config: &Config, worker: usize) -> ClientConfig {
    let mut settings = common(config, "ingest", worker);
    let ours = [
        ("group.id", config.group_id.as_str()),
        // The floor is committed by hand, after delivery (P6).
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // The only true "caught up".
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
        ("fetch.wait.max.ms", "100"),
    ];
    apply(&mut settings, &ours);
    users(&mut settings, &[&config.kafka, &config.kafka_consumer]);
    settings
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
        ("linger.ms", "5"),
        // Ours is the bound that counts (`IN_FLIGHT_BYTES_MAX`); this one is never reached first.
        ("queue.buffering.max.kbytes", "524288"),
    ];
    apply(&mut settings, &ours);
    users(&mut settings, &[&config.kafka, &config.kafka_producer]);
    settings
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
        settings.set(*name, *value);
    }
}

fn users(settings: &mut ClientConfig, groups: &[&Vec<(String, String)>]) {
    for (name, value) in groups.iter().copied().flatten() {
        settings.set(name, value);
    }
}
