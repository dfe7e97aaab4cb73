//! The desk without servers: a board of its own, a store and a Kafka that nobody answers for.

use super::desk::Desk;
use super::shard::{Phase, Shard};
use crate::board::words::{Kind, ShardWord};
use crate::board::{Board, Shape};
use crate::config::Config;
use crate::kafka::consumer::Consumer;
use crate::segment::clock::Clock;
use crate::segment::{EventMs, Offset, ShardId};
use crate::store::books::Books;
use crate::store::redis::RedisStore;
use crate::store::{Identity, Life, State};
use crate::sys::time;
use crate::worker::Berth;
use std::mem::ManuallyDrop;
use std::time::Duration;

const ID: ShardId = ShardId(0);

/// What stands in the store for the shards of these tests.
fn state() -> State {
    let name = String::new;
    State {
        identity: Identity { cluster: name(), topic: name(), group: name() },
        life: Life(1),
        position: Offset(5),
        tip: None,
        clock: None,
        epoch: None,
        batches: 0,
        marked: 0,
        books: Books::default(),
    }
}

/// Port 1 of the loopback interface: nobody listens there.
fn config() -> Config {
    Config {
        bootstrap_servers: "127.0.0.1:1".to_owned(),
        redis_url: "redis://127.0.0.1:1".to_owned(),
        group_id: "group".to_owned(),
        input_topic: "topic".to_owned(),
        ..Config::default()
    }
}

/// Hands `test` a desk with one flowing shard and a consumer.
fn at_desk(test: impl FnOnce(&mut Desk<'_>, &Consumer)) {
    let (config, board) =
        (config(), Board::private(Shape { ingests: 1, flushers: 1, max_shards: 1 }));
    let berth = Berth::new(&board, Kind::Ingest, 0);
    let Ok(store) = RedisStore::open(&config) else { panic!("no store") };
    let Ok(consumer) = Consumer::create(&config, "host", 0) else { panic!("no consumer") };
    let consumer = ManuallyDrop::new(consumer);
    let mut desk = Desk::new(&config, &berth, store);
    desk.assigned(&[ID]);
    let shard = shard(&mut desk);
    shard.adopt(&state());
    shard.phase = Phase::Flowing;
    test(&mut desk, &consumer);
}

fn shard<'d>(desk: &'d mut Desk<'_>) -> &'d mut Shard {
    match desk.shards.get_mut(&ID) {
        Some(shard) => shard,
        None => panic!("the shard is gone"),
    }
}

/// A turn that began five seconds ago, with a clock that ran then and stood at 1000.
fn late_turn(desk: &mut Desk<'_>) -> Duration {
    let now = time::monotonic();
    let then = now - Duration::from_secs(5);
    desk.begin_turn(then);
    shard(desk).clock = Clock::resume(Some(EventMs(1000)));
    shard(desk).clock.caught_up(then);
    now
}

#[test]
fn a_clock_that_ran_while_the_store_hung_is_not_published() {
    at_desk(|desk, _| {
        late_turn(desk);
        desk.report();
        assert_eq!(desk.slot(ID).get(ShardWord::Clock), 1000);
    });
}

#[test]
fn a_clock_that_ran_while_the_store_hung_is_not_frozen_so() {
    at_desk(|desk, consumer| {
        let now = late_turn(desk);
        shard(desk).phase = Phase::Refused;
        assert!(desk.flow(consumer, now).is_ok());
        desk.begin_turn(now);
        assert_eq!(shard(desk).clock.read(now), Some(EventMs(1000)));
    });
}
