//! What two options may not say together.
//!
//! One rule a function of the whole `Config`: pure, without Kafka or Redis. A clash names
//! the options it is about, so that the caller can say where each of them was set.

use super::{Config, Flushers};
use std::time::Duration;

/// Two options that contradict each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Clash {
    /// The one that has to change first.
    pub option: &'static str,
    pub other: &'static str,
    /// What is wrong, behind "OPTION and OTHER: ", and what to do.
    pub why: String,
}

fn clash(option: &'static str, other: &'static str, why: impl Into<String>) -> Result<(), Clash> {
    Err(Clash { option, other, why: why.into() })
}

/// The first contradiction, in the order of the table.
pub fn judge(config: &Config) -> Result<(), Clash> {
    topics_differ(config)?;
    partitions_are_servable(config)?;
    flushers_have_work(config)?;
    passwords_stand_once(config)?;
    ages_reach(config)
}

/// Reading what we write would feed segments back as spans, and compaction eats what is no map.
fn topics_differ(config: &Config) -> Result<(), Clash> {
    let topics = [
        ("input-topic", Some(&config.input_topic)),
        ("output-topic", Some(&config.output_topic)),
        ("dead-letter-topic", config.dead_letter_topic.as_ref()),
        ("offset-map-topic", config.offset_map_topic.as_ref()),
    ];
    for (nth, (option, topic)) in topics.iter().enumerate() {
        let same = |(_, other): &&(&str, Option<&String>)| topic.is_some() && other == topic;
        if let Some((other, _)) = topics[..nth].iter().find(same) {
            return clash(option, other, "must not be the same topic");
        }
    }
    Ok(())
}

fn partitions_are_servable(config: &Config) -> Result<(), Clash> {
    let Some(last) = config.partitions.iter().max() else { return Ok(()) };
    if config.ingest_workers > 1 {
        let why = "a fixed list is read by one worker; set ingest-workers = 1, \
                   or leave the partitions to the group";
        return clash("ingest-workers", "partitions", why);
    }
    if *last >= config.max_shards {
        let why = format!("partition {last} has no slot; max-shards must be above it");
        return clash("partitions", "max-shards", why);
    }
    Ok(())
}

/// A shard has one flusher: what is more than the shards would be processes that never do anything.
fn flushers_have_work(config: &Config) -> Result<(), Clash> {
    match config.flusher_processes {
        Flushers::Fixed(count) if count > config.max_shards => {
            let why = format!("{count} flushers for at most {} shards", config.max_shards);
            clash("flusher-processes", "max-shards", why)
        }
        _ => Ok(()),
    }
}

fn passwords_stand_once(config: &Config) -> Result<(), Clash> {
    let in_url = super::secret::is_secret("redis-url", &config.redis_url);
    if in_url && config.redis_password_file.is_some() {
        return clash("redis-password-file", "redis-url", "both hold a password; keep one");
    }
    Ok(())
}

/// A segment must end by its own deadline before its age ends it, and by either long before
/// its keys expire.
fn ages_reach(config: &Config) -> Result<(), Clash> {
    let age = config.max_segment_age;
    let too_long = |option: &'static str| {
        clash(option, "max-segment-age", "must not be longer than max-segment-age")
    };
    if config.timeout > age {
        return too_long("timeout");
    }
    if config.root_timeout > age {
        return too_long("root-timeout");
    }
    let needed: Duration = age + config.timeout.max(config.root_timeout);
    if config.redis_ttl <= needed {
        let why = format!(
            "redis-ttl must be above max-segment-age and the longer timeout together, {} s; \
             else keys expire before their segments are flushed",
            super::value::print_seconds(needed)
        );
        return clash("redis-ttl", "max-segment-age", why);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(change: impl Fn(&mut Config)) -> Option<(&'static str, &'static str)> {
        let mut config = Config::default();
        change(&mut config);
        judge(&config).err().map(|clash| (clash.option, clash.other))
    }

    #[test]
    fn the_defaults_agree() {
        assert_eq!(verdict(|_| {}), None);
    }

    #[test]
    fn topics() {
        let same = Some(("output-topic", "input-topic"));
        assert_eq!(verdict(|c| c.output_topic = c.input_topic.clone()), same);
        let input = |c: &mut Config| c.dead_letter_topic = Some(c.input_topic.clone());
        assert_eq!(verdict(input), Some(("dead-letter-topic", "input-topic")));
        let output = |c: &mut Config| c.dead_letter_topic = Some(c.output_topic.clone());
        assert_eq!(verdict(output), Some(("dead-letter-topic", "output-topic")));
        let maps = |c: &mut Config| c.offset_map_topic = Some(c.output_topic.clone());
        assert_eq!(verdict(maps), Some(("offset-map-topic", "output-topic")));
        assert_eq!(verdict(|c| c.dead_letter_topic = Some("letters".into())), None);
        assert_eq!(verdict(|c| c.offset_map_topic = None), None);
    }

    #[test]
    fn partitions() {
        let two = |c: &mut Config| (c.partitions, c.ingest_workers) = (vec![0, 1], 2);
        assert_eq!(verdict(two), Some(("ingest-workers", "partitions")));
        let beyond = |c: &mut Config| (c.partitions, c.max_shards) = (vec![0, 4], 4);
        assert_eq!(verdict(beyond), Some(("partitions", "max-shards")));
        assert_eq!(verdict(|c| (c.partitions, c.max_shards) = (vec![0, 3], 4)), None);
    }

    #[test]
    fn flushers() {
        let fixed = |count, shards| {
            verdict(|c| (c.flusher_processes, c.max_shards) = (Flushers::Fixed(count), shards))
        };
        assert_eq!(fixed(4, 4), None);
        assert_eq!(fixed(5, 4), Some(("flusher-processes", "max-shards")));
        assert_eq!(fixed(u32::MAX, 65_536), Some(("flusher-processes", "max-shards")));
        assert_eq!(verdict(|c| (c.flusher_processes, c.max_shards) = (Flushers::Auto, 1)), None);
    }

    #[test]
    fn ages_at_their_boundary() {
        let seconds = Duration::from_secs;
        assert_eq!(verdict(|c| c.timeout = seconds(600)), None);
        let over = |c: &mut Config| c.timeout = seconds(600) + Duration::from_millis(1);
        assert_eq!(verdict(over), Some(("timeout", "max-segment-age")));
        let root = |c: &mut Config| c.root_timeout = seconds(601);
        assert_eq!(verdict(root), Some(("root-timeout", "max-segment-age")));
        let ttl = Some(("redis-ttl", "max-segment-age"));
        assert_eq!(verdict(|c| c.redis_ttl = seconds(660)), ttl);
        assert_eq!(verdict(|c| c.redis_ttl = seconds(661)), None);
    }

    #[test]
    fn passwords() {
        let both = |c: &mut Config| {
            c.redis_url = "redis://:pw@h/0".into();
            c.redis_password_file = Some("/run/secret".into());
        };
        assert_eq!(verdict(both), Some(("redis-password-file", "redis-url")));
    }
}
