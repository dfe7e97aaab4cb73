//! The reports of boards that are written by hand.

use super::*;
use crate::board::{Offset, Shape};
use serde_json::Value;

const NOW: Duration = Duration::from_secs(100);

fn board() -> Board {
    let board = Board::private(Shape { ingests: 1, flushers: 1, max_shards: 2 });
    board.daemon().set(DaemonWord::BeatMs, 99_000);
    board.daemon().set(DaemonWord::State, DaemonState::Running as u64);
    for slot in [board.ingest(0), board.flusher(0)] {
        slot.set(WorkerWord::State, WorkerState::Healthy as u64);
        slot.set(WorkerWord::BeatMs, 99_500);
    }
    board
}

/// A board whose shard 1 is held, read up to 30 of 50, settled up to 10.
fn board_with_a_shard() -> Board {
    let board = board();
    let shard = board.shard(ShardId(1)).unwrap();
    assert!(shard.take(0));
    shard.set_offset(ShardWord::HighWatermark, Some(Offset(50)));
    shard.set_offset(ShardWord::Position, Some(Offset(30)));
    shard.set_offset(ShardWord::Floor, Some(Offset(10)));
    shard.set(ShardWord::Clock, 1_000_000);
    shard.set(ShardWord::FloorMs, 990_000);
    shard.set(ShardWord::NextDueMs, 1_002_500);
    shard.set(ShardWord::IndexBytes, 20 << 20);
    board
}

fn parsed(board: &Board, before: Option<&Totals>) -> Value {
    serde_json::from_str(&json(board, NOW, before)).unwrap()
}

#[test]
fn each_flaw_degrades_and_is_named() {
    assert_eq!(health(&board(), NOW), Health::Healthy);
    type Flaw = fn(&Board);
    let flaws: [(&str, Flaw); 11] = [
        ("supervisor", |board| board.daemon().set(DaemonWord::BeatMs, 94_000)),
        ("supervisor", |board| board.daemon().set(DaemonWord::BeatMs, 0)),
        ("starting", |board| board.daemon().set(DaemonWord::State, 0)),
        ("flusher/0 is dead", |board| {
            board.flusher(0).set(WorkerWord::State, WorkerState::Dead as u64)
        }),
        ("flusher/0 has not turned", |board| board.flusher(0).set(WorkerWord::BeatMs, 89_000)),
        ("ingest/0 waits for Kafka", |board| board.ingest(0).set(WorkerWord::WaitingFor, 1)),
        ("flusher/0 was restarted 3 times within restart-window", |board| {
            board.flusher(0).set(WorkerWord::RecentRestarts, 3)
        }),
        ("ingest/0 does not consume 3 partitions, whose numbers are 2 or more", |board| {
            board.ingest(0).set(WorkerWord::Unserved, 3)
        }),
        ("shard 0 is not read for 6.0s: backpressure", |board| {
            let shard = board.shard(ShardId(0)).unwrap();
            shard.take(0);
            shard.pause(Paused::Backpressure, 94_000);
        }),
        ("shard 0 has -3 messages unaccounted for, since 6.0s", |board| {
            let shard = board.shard(ShardId(0)).unwrap();
            shard.take(0);
            shard.set_unaccounted(2, 94_000);
            shard.set_unaccounted(-3, 99_000);
        }),
        ("shard 0 has lost 15 offsets to retention, the last 2.0s ago", |board| {
            let shard = board.shard(ShardId(0)).unwrap();
            shard.take(0);
            shard.lose(5, 90_000);
            shard.lose(10, 98_000);
        }),
    ];
    for (name, flaw) in flaws {
        let board = board();
        flaw(&board);
        assert_eq!(health(&board, NOW), Health::Degraded, "{name}");
        assert!(text(&board, NOW, None).contains(name), "{}", text(&board, NOW, None));
        assert!(parsed(&board, None)["flaws"][0].as_str().unwrap().contains(name));
    }
}

#[test]
fn a_short_pause_is_no_flaw_and_going_on_ends_it() {
    let board = board_with_a_shard();
    let shard = board.shard(ShardId(1)).unwrap();
    shard.pause(Paused::Starting, 97_000);
    assert_eq!(health(&board, NOW), Health::Healthy);
    // Another reason does not make the pause younger.
    shard.pause(Paused::Memory, 99_000);
    assert_eq!(health(&board, NOW + Duration::from_secs(3)), Health::Degraded);
    shard.pause(Paused::Flowing, 99_500);
    assert_eq!(health(&board, NOW + Duration::from_secs(3)), Health::Healthy);
}

#[test]
fn what_is_on_its_way_and_what_is_long_ago_are_no_flaws() {
    let board = board_with_a_shard();
    let shard = board.shard(ShardId(1)).unwrap();
    shard.set_unaccounted(7, 96_000);
    assert_eq!(health(&board, NOW), Health::Healthy);
    shard.set_unaccounted(0, 97_000);
    shard.set_unaccounted(7, 98_000);
    assert_eq!(health(&board, NOW + Duration::from_secs(2)), Health::Healthy);
    shard.set_unaccounted(0, 99_000);
    shard.lose(0, 99_000);
    assert_eq!(health(&board, NOW), Health::Healthy);
    shard.lose(1, 99_000);
    assert!(flaws(&board, NOW)[0].contains("has lost 1 "));
    assert!(!flaws(&board, NOW + LOSS_SHOWN).iter().any(|flaw| flaw.contains("lost")));
}

#[test]
fn percentiles_come_from_the_buckets() {
    let board = board();
    let slot = board.flusher(0);
    assert_eq!(percentile(&slot.lateness(), 50), None);
    (0..98).for_each(|_| slot.late(3));
    (0..2).for_each(|_| slot.late(900));
    assert_eq!(percentile(&slot.lateness(), 50), Some(5));
    assert_eq!(percentile(&slot.lateness(), 98), Some(5));
    assert_eq!(percentile(&slot.lateness(), 99), Some(1000));
}

#[test]
fn json_shows_offsets_as_they_are() {
    let board = board();
    let shard = board.shard(ShardId(1)).unwrap();
    assert!(shard.take(0));
    shard.set_offset(ShardWord::Floor, Some(Offset(0)));
    let value = parsed(&board, None);
    assert_eq!(value["shards"][0]["shard"], 1);
    assert_eq!(value["shards"][0]["floor"], 0);
    assert_eq!(value["shards"][0]["holder"], 0);
    assert_eq!(value["shards"][0]["position"], Value::Null);
    assert_eq!(value["shards"][0]["floor_age_ms"], Value::Null);
    for time in ["clock", "paused_since", "floor_time", "next_due"] {
        assert_eq!(value["shards"][0][time], Value::Null, "{time}");
    }
    assert_eq!(value["workers"][0]["heartbeat"], 99_500);
    assert_eq!(value["workers"][0]["progress"], Value::Null);
    assert_eq!(value["workers"][0]["last_exit"], Value::Null);
    assert_eq!(
        (&value["daemon"]["state"], &value["daemon"]["reload"]),
        (&"running".into(), &"idle".into())
    );
}

#[test]
fn lags_and_ages_are_reckoned() {
    let board = board_with_a_shard();
    let value = parsed(&board, None);
    let shard = &value["shards"][0];
    assert_eq!((&shard["position_lag"], &shard["floor_lag"]), (&20.into(), &40.into()));
    assert_eq!((&shard["floor_age_ms"], &shard["overdue_ms"]), (&10_000.into(), &(-2500).into()));
    let text = text(&board, NOW, None);
    let line = text.lines().find(|line| line.starts_with("    1 ")).unwrap();
    let columns: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(columns[3..], ["0", "-2.5s", "20M", "20", "40", "10.0s", "0", "flowing"], "{text}");
}

#[test]
fn a_floor_that_no_flusher_knows_is_the_committed_one() {
    let board = board_with_a_shard();
    let shard = board.shard(ShardId(1)).unwrap();
    shard.set_offset(ShardWord::Floor, None);
    shard.set_offset(ShardWord::Committed, Some(Offset(5)));
    assert_eq!(parsed(&board, None)["shards"][0]["floor_lag"], 45);
}

#[test]
fn rates_count_from_the_last_look() {
    let board = board_with_a_shard();
    let shard = board.shard(ShardId(1)).unwrap();
    shard.add(ShardWord::Read, 1000);
    let before = Totals::read(&board, crate::sys::time::wall_ms() - 2000);
    shard.add(ShardWord::Read, 500);
    let rate = parsed(&board, Some(&before))["rates"]["read"].as_f64().unwrap();
    assert!((200.0..=250.0).contains(&rate), "{rate}");
    assert!(text(&board, NOW, Some(&before)).contains("a second, now: read 2"));
    assert_eq!(parsed(&board, Some(&before))["totals"]["read"], 1500);
}

/// Column heads and columns must not drift apart.
#[test]
fn the_columns_stand_under_their_heads() {
    let board = board_with_a_shard();
    board.flusher(0).set(WorkerWord::Pid, 4_194_304);
    let text = text(&board, NOW, None);
    let ends_at = |head: &str, line: &str, name: &str, value: &str| {
        let head = text.lines().find(|text| text.starts_with(head)).unwrap();
        let line = text.lines().find(|text| text.starts_with(line)).unwrap();
        assert_eq!(
            head.find(name).unwrap() + name.len(),
            line.find(value).unwrap() + value.len(),
            "{name}\n{text}"
        );
    };
    ends_at("WORKER", "flusher/0", "PID", "4194304");
    ends_at("WORKER", "flusher/0", "HEARTBEAT", "0.5s");
    ends_at("SHARD", "    1", "OLDEST-DUE", "-2.5s");
    ends_at("SHARD", "    1", "FLOOR-AGE", "10.0s");
}

fn exposed(board: &Board) -> String {
    prometheus(board, NOW, "here", 1)
}

#[test]
fn metrics_have_the_words_names_and_base_units() {
    let board = board_with_a_shard();
    board.ingest(0).set(WorkerWord::MovedMs, 98_750);
    board.flusher(0).add(WorkerWord::Restarts, 2);
    board.shard(ShardId(1)).unwrap().add(ShardWord::ReadBytes, 7);
    let text = exposed(&board);
    for line in [
        "spanbufd_status{daemon=\"here\"} 1",
        "spanbufd_daemon_state{daemon=\"here\",state=\"running\"} 1",
        "spanbufd_daemon_heartbeat_age_seconds{daemon=\"here\"} 1",
        "# TYPE spanbufd_worker_restarts_total counter",
        "spanbufd_worker_restarts_total{daemon=\"here\",worker=\"flusher/0\"} 2",
        "spanbufd_worker_progress_age_seconds{daemon=\"here\",worker=\"ingest/0\"} 1.25",
        "# HELP spanbufd_shard_read_bytes_total payload bytes of these",
        "spanbufd_shard_read_bytes_total{daemon=\"here\",shard=\"1\"} 7",
        "# TYPE spanbufd_shard_index_bytes gauge",
        "spanbufd_shard_index_bytes{daemon=\"here\",shard=\"1\"} 20971520",
        "# HELP spanbufd_shard_position next offset to append",
        "spanbufd_shard_position{daemon=\"here\",shard=\"1\"} 30",
        "spanbufd_shard_overdue_seconds{daemon=\"here\",shard=\"1\"} -2.5",
        "spanbufd_shard_floor_lag{daemon=\"here\",shard=\"1\"} 40",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
}

/// One is not known, and the other has not been.
#[test]
fn what_is_null_has_no_sample() {
    let text = exposed(&board_with_a_shard());
    for name in ["spanbufd_shard_indexed", "spanbufd_worker_last_exit"] {
        assert!(text.contains(&format!("# TYPE {name} gauge\n")));
        assert!(!text.contains(&format!("{name}{{")), "{text}");
    }
}

#[test]
fn a_family_is_declared_once_and_its_samples_follow() {
    let board = board_with_a_shard();
    let (mut declared, mut under) = (std::collections::BTreeSet::new(), "");
    let text = exposed(&board);
    for line in text.lines() {
        match line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            Some((name, _)) => {
                assert!(declared.insert(name), "{name} twice");
                under = name;
            }
            None if line.starts_with("# HELP ") => {}
            None => assert!(line.starts_with(under), "{line} under {under}"),
        }
    }
}

#[test]
fn the_buckets_of_the_histogram_hold_what_is_below_them() {
    let board = board();
    (0..3).for_each(|_| board.flusher(0).late(2));
    board.flusher(0).late(u64::MAX);
    let text = exposed(&board);
    let value = |end: &str| {
        let name = format!("spanbufd_worker_lateness_seconds_{end}");
        let line = text.lines().find(|line| line.starts_with(&name));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    let of = "daemon=\"here\",worker=\"flusher/0\"";
    let bucket = |bound: &str| value(&format!("bucket{{{of},le=\"{bound}\"}}"));
    let buckets = ["0.001", "0.002", "600", "+Inf"].map(|bound| bucket(bound).unwrap());
    assert_eq!(buckets, ["0", "3", "3", "4"]);
    assert_eq!(value(&format!("count{{{of}}}")).unwrap(), "4");
}
