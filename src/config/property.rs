//! librdkafka's properties, by name: which are one and the same, and which are not the user's.
//!
//! The client takes several names for one property, and the last one set wins, in no order that
//! anybody could rely on. So whoever compares or sets a property does it by its [`one_name`].

/// Other names and the one that they stand for, as librdkafka has them.
const ALIASES: &[(&str, &str)] = &[
    ("acks", "request.required.acks"),
    ("bootstrap.servers", "metadata.broker.list"),
    ("compression.type", "compression.codec"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("retries", "message.send.max.retries"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
];

/// Properties that belong to spanbufd, and what to use or know instead.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "use the option bootstrap-servers"),
    ("group.id", "use the option group-id"),
    ("group.instance.id", "it is made from instance, host and worker; use the option instance"),
    ("group.protocol", "hand-over of partitions is built on the classic protocol"),
    ("group.remote.assignor", "hand-over of partitions is built on the classic protocol"),
    ("auto.offset.reset", "use the option start-from; lost offsets are counted, not skipped"),
    ("enable.auto.commit", "offsets are committed when their spans are delivered"),
    ("auto.commit.enable", "offsets are committed when their spans are delivered"),
    ("enable.auto.offset.store", "offsets are committed when their spans are delivered"),
    ("auto.commit.interval.ms", "use the option commit-interval"),
    ("enable.partition.eof", "it tells when a shard is caught up"),
    ("enable.idempotence", "nothing may be lost or reordered on the way out"),
    ("acks", "nothing is settled before all replicas have it"),
    ("delivery.report.only.error", "nothing is settled before it is acknowledged"),
    ("transactional.id", "segments are not written in transactions"),
];

/// Of all names of a property the one to compare and to set.
pub fn one_name(name: &str) -> &str {
    let plain = without_topic(name);
    ALIASES.iter().find(|(alias, _)| *alias == plain).map_or(plain, |(_, name)| name)
}

/// Properties of topics are known with `topic.` in front, too; of all others these begin with it.
fn without_topic(name: &str) -> &str {
    let is_of_the_client = name.starts_with("topic.metadata.") || name == "topic.blacklist";
    let plain = name.strip_prefix("topic.").filter(|_| !is_of_the_client);
    plain.unwrap_or(name)
}

/// Why the property is not the user's to set; `None` when it is.
pub fn owner_of(name: &str) -> Option<&'static str> {
    let is_it = |(owned, _): &&(&str, &str)| one_name(owned) == one_name(name);
    OWNED.iter().find(is_it).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::properties;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn promises_are_not_the_users_to_break_by_whatever_name() {
        for name in [
            "enable.auto.commit",
            "auto.commit.enable",
            "request.required.acks",
            "topic.acks",
            "topic.auto.offset.reset",
            "metadata.broker.list",
        ] {
            assert!(owner_of(name).is_some(), "{name}");
        }
        for name in ["linger.ms", "topic.request.timeout.ms", "topic.metadata.refresh.sparse"] {
            assert!(owner_of(name).is_none(), "{name}");
        }
    }

    /// A row of the client's own list: `name | ... | Alias for `other`: ...`. What is an alias for
    /// topics only, and a property of the client by itself, is that property.
    #[test]
    fn aliases_are_those_of_the_client() {
        let list = properties::list();
        let name_of = |line: &'_ str| line.split('|').next().unwrap_or_default().trim().to_owned();
        let other_of = |line: &str| {
            let (_, other) = line.split_once("Alias for `")?;
            Some(other.split('`').next()?.to_owned())
        };
        let (aliases, names): (Vec<&str>, Vec<&str>) =
            list.lines().partition(|line| other_of(line).is_some());
        let names: BTreeSet<String> = names.into_iter().map(name_of).collect();
        let theirs = aliases.into_iter().filter_map(|line| Some((name_of(line), other_of(line)?)));
        let theirs: BTreeMap<String, String> =
            theirs.filter(|(name, _)| !names.contains(name)).collect();
        let ours = ALIASES.iter().map(|(name, other)| (name.to_string(), other.to_string()));
        assert_eq!(ours.collect::<BTreeMap<_, _>>(), theirs);
        for name in names.iter().filter(|name| name.starts_with("topic.")) {
            assert_eq!(one_name(name), name);
        }
    }
}
