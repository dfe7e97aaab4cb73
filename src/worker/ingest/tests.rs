//! The desk without servers: a board of its own, a store and a Kafka that nobody answers for.

use super::desk::Desk;
use super::first::{Commits, is_begin};
use super::patience::Patience;
use super::shard::{Phase, Shard};
use crate::board::words::{ShardWord, WorkerKind};
use crate::board::{Board, Shape};
use crate::config::{Config, StartFrom};
use crate::kafka;
use crate::kafka::consumer::{Consumer, Event};
use crate::kafka::mock::Mock;
use crate::kafka::trouble::Trouble;
use crate::segment::clock::Clock;
use crate::segment::span::Validate;
use crate::segment::{EventMs, Offset, ShardId};
use crate::store::redis::RedisStore;
use crate::store::{Append, Identity, Life, State};
use crate::sys::time;
use crate::worker::Berth;
use std::mem::ManuallyDrop;
use std::time::Duration;

const ID: ShardId = ShardId(0);
const OTHER: ShardId = ShardId(1);
const SPAN: &[u8] = br#"{"project_id":1,"trace_id":"t","span_id":"a"}"#;
const POSITION: Option<Offset> = Some(Offset(5));
const POLL: Duration = Duration::from_millis(100);

/// What stands in the store for the shards of these tests.
fn state() -> State {
    let name = String::new;
    let identity = Identity { cluster: name(), topic: name(), group: name() };
    State::begun(identity, Life(1), Offset(5))
}

/// Port 1 of the loopback interface: nobody listens there.
fn config() -> Config {
    Config {
        bootstrap_servers: "127.0.0.1:1".to_owned(),
        redis_url: "redis://127.0.0.1:1".to_owned(),
        group_id: "group".to_owned(),
        input_topic: "topic".to_owned(),
        validate: Validate::Ids,
        ..Config::default()
    }
}

fn at_desk(test: impl FnOnce(&mut Desk<'_>, &Consumer)) {
    at_desk_with(&config(), test);
}

/// Hands `test` a desk with one flowing shard and a consumer.
fn at_desk_with(config: &Config, test: impl FnOnce(&mut Desk<'_>, &Consumer)) {
    let board = Board::private(Shape { ingests: 1, flushers: 1, max_shards: 2 });
    let berth = Berth::new(&board, WorkerKind::Ingest, 0);
    let Ok(store) = RedisStore::open(config) else { panic!("no store") };
    let Ok(consumer) = Consumer::create(config, "host", 0) else { panic!("no consumer") };
    let consumer = ManuallyDrop::new(consumer);
    let mut desk = Desk::new(config, &berth, store);
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

/// What the board says of the clock.
fn published(desk: &mut Desk<'_>) -> u64 {
    desk.report();
    desk.slot(ID).get(ShardWord::Clock)
}

/// Turns until `done`, each with the question that is due.
fn look_until(desk: &mut Desk<'_>, consumer: &Consumer, done: impl Fn(&mut Desk<'_>) -> bool) {
    let until = time::monotonic() + Duration::from_secs(60);
    while !done(desk) && time::monotonic() < until {
        consumer.poll(Duration::from_millis(10));
        desk.look_at_ends(consumer, time::monotonic());
    }
    assert!(done(desk));
}

#[test]
fn a_clock_moves_when_a_broker_says_that_all_is_read_and_stands_while_none_does() {
    let Ok(mock) = Mock::start(&[("topic".to_owned(), 1)]) else { panic!("no mock cluster") };
    at_desk_with(&Config { bootstrap_servers: mock.address(), ..config() }, |desk, consumer| {
        let state = State { position: Offset(0), clock: Some(EventMs(1000)), ..state() };
        shard(desk).adopt(&state);
        shard(desk).phase = Phase::Flowing;
        look_until(desk, consumer, |desk| published(desk) >= 1100);
        assert!(mock.set_up(1, false).is_ok());
        let stood = published(desk);
        look_until(desk, consumer, |desk| desk.unanswered_since.is_some());
        let since = desk.unanswered_since;
        assert_eq!(published(desk), stood, "no answer since {since:?}");
        // The outage does not count when it is over.
        desk.kafka_backoff.worked();
        assert!(mock.set_up(1, true).is_ok());
        look_until(desk, consumer, |desk| published(desk) > stood);
        assert!(published(desk) <= stood + 1000);
    });
}

#[test]
fn what_failed_for_shards_that_are_gone_is_over() {
    at_desk(|desk, consumer| {
        look_until(desk, consumer, |desk| desk.unanswered_since.is_some());
        desk.finding_backoff.failed(time::monotonic());
        let fails =
            |desk: &Desk<'_>| desk.kafka_backoff.is_failing() || desk.finding_backoff.is_failing();
        assert!(fails(desk));
        assert!(desk.revoked(consumer, &[ID], true).is_ok());
        assert!(!fails(desk) && desk.unanswered_since.is_none());
        // What was asked for it before finds no answer later.
        let until = time::monotonic() + Duration::from_secs(6);
        look_until(desk, consumer, |_| time::monotonic() >= until);
        assert!(!fails(desk) && desk.unanswered_since.is_none());
    });
}

#[test]
fn a_broker_that_locks_us_out_keeps_none_from_being_asked_and_is_not_over_while_others_answer() {
    let Ok(mock) = Mock::start(&[("topic".to_owned(), 1)]) else { panic!("no mock cluster") };
    at_desk_with(&Config { bootstrap_servers: mock.address(), ..config() }, |desk, consumer| {
        shard(desk).adopt(&State { position: Offset(0), clock: Some(EventMs(1000)), ..state() });
        shard(desk).phase = Phase::Flowing;
        let (state, why) = (kafka::trouble::State::LockedOut, "certificate has expired".to_owned());
        desk.trouble(&Trouble { state, why });
        look_until(desk, consumer, |desk| published(desk) >= 1100);
        desk.look_at_troubles(consumer, time::monotonic());
        assert!(desk.is_said(&[kafka::trouble::State::LockedOut]));
        desk.locked_out_at = time::monotonic().saturating_sub(Duration::from_secs(60));
        desk.look_at_troubles(consumer, time::monotonic());
        assert!(!desk.is_said(&[kafka::trouble::State::LockedOut]));
    });
}

/// Two shards of a topic of two partitions, led by two brokers, of which nothing is known yet.
fn beside_another(trouble: impl FnOnce(&Mock), test: impl FnOnce(&Mock, &mut Desk<'_>, &Consumer)) {
    let Ok(mock) = Mock::with_brokers(2, &[("topic".to_owned(), 2)]) else { panic!("no mock") };
    for partition in 0..2 {
        assert!(mock.set_leader("topic", partition, Some(partition as i32 + 1)).is_ok());
    }
    at_desk_with(&Config { bootstrap_servers: mock.address(), ..config() }, |desk, consumer| {
        desk.assigned(&[OTHER]);
        for shard in desk.shards.values_mut() {
            shard.adopt(&State { position: Offset(0), clock: Some(EventMs(1000)), ..state() });
            shard.phase = Phase::Flowing;
        }
        look_until(desk, consumer, |desk| {
            clock_of(desk, ID) > 1000 && clock_of(desk, OTHER) > 1000
        });
        trouble(&mock);
        test(&mock, desk, consumer);
    });
}

fn clock_of(desk: &mut Desk<'_>, id: ShardId) -> u64 {
    desk.report();
    desk.slot(id).get(ShardWord::Clock)
}

/// How far a clock goes in these seconds, in ms.
fn goes(desk: &mut Desk<'_>, consumer: &Consumer, id: ShardId, seconds: u64) -> u64 {
    let before = clock_of(desk, id);
    let until = time::monotonic() + Duration::from_secs(seconds);
    look_until(desk, consumer, |_| time::monotonic() >= until);
    clock_of(desk, id) - before
}

#[test]
fn a_partition_without_a_leader_slows_no_other_clock() {
    beside_another(
        |mock| assert!(mock.set_leader("topic", 1, None).is_ok()),
        |mock, desk, consumer| {
            let went = goes(desk, consumer, ID, 8);
            assert!((7000..=8200).contains(&went), "{went} ms in 8 s");
            let stood = clock_of(desk, OTHER);
            assert!(mock.set_leader("topic", 1, Some(2)).is_ok());
            look_until(desk, consumer, |desk| clock_of(desk, OTHER) > stood);
        },
    );
}

#[test]
fn a_broker_that_hangs_slows_no_clock_of_another() {
    beside_another(
        |mock| assert!(mock.set_delay(2, Duration::from_secs(30)).is_ok()),
        |_, desk, consumer| {
            let went = goes(desk, consumer, ID, 8);
            assert!((7000..=8200).contains(&went), "{went} ms in 8 s");
        },
    );
}

#[test]
fn a_far_broker_slows_no_clock() {
    beside_another(
        |mock| assert!((1..=2).all(|id| mock.set_delay(id, Duration::from_millis(1500)).is_ok())),
        |_, desk, consumer| {
            goes(desk, consumer, ID, 3);
            let went = goes(desk, consumer, ID, 8);
            assert!((7000..=8600).contains(&went), "{went} ms in 8 s");
        },
    );
}

#[test]
fn the_clock_goes_back_with_the_store_before_the_position_is_said() {
    at_desk(|desk, _| {
        shard(desk).clock = Clock::resume(Some(EventMs(9000)));
        assert_eq!(published(desk), 9000);
        desk.find_again(ID);
        shard(desk).adopt(&State { clock: Some(EventMs(1000)), ..state() });
        desk.say_found(ID);
        let slot = desk.slot(ID);
        assert_eq!(
            (slot.get(ShardWord::Clock), slot.offset(ShardWord::Position)),
            (1000, POSITION)
        );
    });
}

#[test]
fn a_store_that_stands_elsewhere_lets_no_deadline_pass_what_has_to_be_read_again() {
    at_desk(|desk, _| {
        shard(desk).clock = Clock::resume(Some(EventMs(1000)));
        draft_span(desk);
        desk.find_again(ID);
        assert_eq!(published(desk), 1);
    });
}

/// The store fails, and is not asked for a while.
fn away(desk: &mut Desk<'_>) {
    (0..8).for_each(|_| desk.store_backoff.failed(time::monotonic()));
}

fn draft_span(desk: &mut Desk<'_>) {
    let config = desk.config;
    shard(desk).draft_span(SPAN, config);
}

#[test]
fn what_is_read_is_kept_when_retention_bites_while_the_store_is_away() {
    at_desk(|desk, _| {
        draft_span(desk);
        away(desk);
        assert_eq!(desk.compare_range(ID, Offset(100), Offset(200)).ok(), Some(false));
        let shard = shard(desk);
        let pending = shard.pending.as_ref().map(|pending| &pending.append);
        assert_eq!(pending.map(|append| append.next), Some(Offset(6)));
        assert!(pending.is_some_and(|append| append.batch.is_some()));
        assert_eq!((shard.phase, shard.stranded), (Phase::Refused, true));
        // Once it is stored, what follows is found missing.
        shard.appended();
        assert_eq!((shard.phase, shard.next), (Phase::Starting, Offset(6)));
        shard.phase = Phase::Flowing;
        assert_eq!(desk.compare_range(ID, Offset(100), Offset(200)).ok(), Some(false));
        let pending = self::shard(desk).pending.as_ref().map(|pending| pending.tally.lost);
        assert_eq!(pending, Some(94));
    });
}

#[test]
fn a_batch_on_its_way_into_the_store_is_no_copy() {
    at_desk(|desk, _| {
        draft_span(desk);
        let append = desk.pending(true, time::monotonic()).ok().and_then(|mut all| all.pop());
        let kept = shard(desk).pending.as_ref().map(|pending| &pending.append);
        let bytes = |append: &Append| append.batch.as_ref().map(|batch| batch.value.as_ptr());
        assert!(kept.and_then(bytes).is_some());
        assert_eq!(append.as_ref().and_then(bytes), kept.and_then(bytes));
    });
}

#[test]
fn a_draft_that_is_full_is_not_read_on_while_the_store_is_away() {
    at_desk_with(&Config { max_batch_size: 2, ..config() }, |desk, _| {
        away(desk);
        draft_span(desk);
        assert!(desk.append_ripe(false).is_ok());
        assert_eq!(shard(desk).phase, Phase::Flowing);
        draft_span(desk);
        assert!(desk.append_ripe(false).is_ok());
        assert_eq!(shard(desk).phase, Phase::Refused);
        assert!(!shard(desk).has_draft() && shard(desk).pending.is_some());
    });
}

#[test]
fn whoever_may_be_out_of_range_is_asked_until_kafka_answers_and_read_by_a_new_fetcher() {
    let Ok(mock) = Mock::start(&[("topic".to_owned(), 1)]) else { panic!("no mock cluster") };
    at_desk_with(&Config { bootstrap_servers: mock.address(), ..config() }, |desk, consumer| {
        shard(desk).adopt(&State { position: Offset(0), ..state() });
        shard(desk).phase = Phase::Flowing;
        assert!(mock.set_up(1, false).is_ok());
        assert!(desk.out_of_range(consumer).is_ok());
        assert_eq!((shard(desk).phase, shard(desk).stranded), (Phase::Flowing, false));
        assert!(mock.set_up(1, true).is_ok());
        let until = time::monotonic() + Duration::from_secs(60);
        while shard(desk).doubted && time::monotonic() < until {
            shard(desk).patience = Patience::default();
            assert!(desk.compare_ranges(consumer).is_ok());
        }
        assert_eq!((shard(desk).phase, shard(desk).stranded), (Phase::Starting, true));
    });
}

#[test]
fn ends_that_stay_out_of_reach_hold_the_clock_and_have_the_client_asked() {
    at_desk(|desk, _| {
        let at = Duration::from_millis;
        let shard = shard(desk);
        shard.clock = Clock::resume(Some(EventMs(1000)));
        let hear = |shard: &mut Shard, end, ms| shard.note_end(end, at(ms), at(ms));
        hear(shard, shard.next, 0);
        hear(shard, shard.next, 250);
        assert_eq!(shard.clock.read(), Some(EventMs(1250)));
        for look in 1..=16 {
            assert_eq!(shard.phase, Phase::Flowing);
            hear(shard, Offset(30), 250 + look * 50);
        }
        assert_eq!(shard.phase, Phase::Flowing);
        hear(shard, Offset(30), 1500);
        assert_eq!((shard.clock.read(), shard.phase), (Some(EventMs(1250)), Phase::Starting));
    });
}

#[test]
fn a_seek_has_the_client_say_again_that_all_is_read() {
    let Ok(mock) = Mock::start(&[("topic".to_owned(), 1)]) else { panic!("no mock cluster") };
    let config =
        Config { bootstrap_servers: mock.address(), partitions: vec![0], ..self::config() };
    let Ok(consumer) = Consumer::open(&config, "host", 0) else { panic!("no consumer") };
    let consumer = ManuallyDrop::new(consumer);
    let until = time::monotonic() + Duration::from_secs(60);
    for _ in 0..2 {
        let start = || consumer.start(&[(ID, Offset(0))], Duration::from_secs(2));
        while start().is_ok_and(|ready| ready.is_empty()) && time::monotonic() < until {}
        let end = Some(Offset(0));
        let caught_up =
            |event| matches!(event, Event::CaughtUp { shard: ID, end: at } if at == end);
        while !consumer.poll(POLL).is_some_and(caught_up) {
            assert!(time::monotonic() < until);
        }
    }
}

#[test]
fn only_who_has_the_first_partition_begins_the_group() {
    let Ok(mock) = Mock::start(&[("topic".to_owned(), 2)]) else { panic!("no mock cluster") };
    let start_from = StartFrom::Latest;
    let config = Config { bootstrap_servers: mock.address(), start_from, ..config() };
    at_desk_with(&config, |desk, consumer| {
        let other = ShardId(1);
        let nothing = || Commits::from([(other, None)]);
        let states = [(other, None)].into();
        desk.shards.clear();
        desk.assigned(&[other]);
        assert!(desk.see_begin(consumer, nothing(), &states).is_ok_and(|found| found.is_none()));
        let waits = |shard: &Shard| !shard.patience.is_over(time::monotonic());
        assert!(desk.shards.get(&other).is_some_and(waits));
        desk.assigned(&[ID]);
        // Once by noting it, and once by finding the note.
        for _ in 0..2 {
            let Ok(Some(found)) = desk.see_begin(consumer, nothing(), &states) else {
                panic!("the group does not begin")
            };
            assert!(found[&other].as_ref().is_some_and(is_begin));
            desk.shards.remove(&ID);
        }
    });
}
