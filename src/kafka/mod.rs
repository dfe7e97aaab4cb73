//! Story 1, at the edges: the one room that names rdkafka.
//!
//! The rest of the program sees messages, events and acknowledgements as plain types. A
//! client is opened in the process that uses it, after the fork, and never dropped: the
//! process leaves by `_exit` (P1).
#![forbid(unsafe_code)]

pub mod admin;
mod chatter;
mod commit;
pub mod consumer;
mod farewell;
pub mod map_topic;
pub mod metadata;
pub mod mock;
pub mod producer;
mod questions;
mod settings;
pub mod tap;
pub mod trouble;

use crate::config::Config;
use crate::error::Result;

/// Builds both clients' configurations as the workers will, properties of the user included.
/// Asks nobody, since these clients know no broker, and joins no group: it would fence
/// the worker of the same name that a reload is to spare. The clients are left to the end of the
/// process.
pub fn check(config: &Config) -> Result<()> {
    let config = Config { bootstrap_servers: String::new(), ..config.clone() };
    std::mem::forget(consumer::Consumer::create(&config, "", 0)?);
    std::mem::forget(producer::Producer::open(&config, 0)?);
    Ok(())
}

/// Why librdkafka does not take a property of the user's, behind "PROP "; opens nothing.
pub fn refuses(name: &str, value: &str) -> Option<String> {
    settings::refuses(name, value)
}

/// The version of librdkafka that is linked in.
pub fn version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Offset, ShardId};
    use consumer::{Consumer, Event};
    use std::mem::ManuallyDrop;
    use std::time::{Duration, Instant};

    #[test]
    fn a_check_connects_to_nobody() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let bootstrap_servers = listener.local_addr()?.to_string();
        let config = Config { bootstrap_servers, ..Config::default() };
        check(&config)?;
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            assert!(listener.accept().is_err(), "somebody came");
            std::thread::sleep(Duration::from_millis(10));
        }
        // Who knows a broker comes at once.
        std::mem::forget(producer::Producer::open(&config, 0)?);
        let deadline = Instant::now() + Duration::from_secs(30);
        while listener.accept().is_err() {
            assert!(Instant::now() < deadline, "nobody came");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Whoever joins afterwards has all partitions, and keeps them: there is no other member.
    #[test]
    fn a_check_joins_no_group() -> Result<()> {
        let mock = mock::Mock::start(&[("ingest-spans".to_owned(), 2)])?;
        let config = Config { bootstrap_servers: mock.address(), ..Config::default() };
        check(&config)?;
        let consumer = ManuallyDrop::new(Consumer::open(&config, "host", 1)?);
        let mut deadline = Instant::now() + Duration::from_secs(60);
        let mut assigned = Vec::new();
        while Instant::now() < deadline {
            match consumer.poll(Duration::from_millis(50)) {
                Some(Event::Assigned(shards)) => {
                    assigned.extend(shards);
                    deadline = Instant::now() + Duration::from_secs(1);
                }
                Some(Event::Revoked { shards, .. }) => panic!("another member takes {shards:?}"),
                _ => {}
            }
        }
        assigned.sort_unstable();
        assert_eq!(assigned, [ShardId(0), ShardId(1)]);
        Ok(())
    }

    /// A broker takes or refuses each partition of a commit by itself.
    #[test]
    fn a_commit_that_is_refused_for_one_partition_is_not_done() -> Result<()> {
        let mock = mock::Mock::start(&[("ingest-spans".to_owned(), 1)])?;
        let config = Config { bootstrap_servers: mock.address(), ..Config::default() };
        let consumer = ManuallyDrop::new(Consumer::create(&config, "host", 1)?);
        let commit = |shards: &[u32]| {
            let of = |shard: &u32| (ShardId(*shard), Offset(0), String::new());
            let commits: Vec<_> = shards.iter().map(of).collect();
            consumer.commit_now(&commits, Duration::from_secs(2))
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = commit(&[0]) {
            assert!(Instant::now() < deadline, "{error}");
        }
        assert!(commit(&[0, 7]).is_err());
        Ok(())
    }
}
