//! The daemon under test: real processes with made-up work, each behaviour by its name.

use super::SHARDS;
use super::TICK;
use spanbufd::board::words::{DaemonWord, OwnershipWord, WorkerKind, WorkerWord};
use spanbufd::board::{self, Board, Shape, ShardId};
use spanbufd::command::last_lines::LastLines;
use spanbufd::command::log as logging;
use spanbufd::config::Config;
use spanbufd::error::Result;
use spanbufd::supervisor::policy::Limits;
use spanbufd::supervisor::{self, Duty, Pool};
use spanbufd::worker::{Berth, birth};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

type Work = fn(&Berth<'_>) -> i32;

/// Runs it; the arguments are instance, number of flushers, behaviour.
pub fn daemon(args: &[String]) -> i32 {
    let [instance, flushers, behaviour] = args else { return 64 };
    let flushers: usize = flushers.parse().unwrap();
    logging::init(&Config { log_level: log::LevelFilter::Debug, ..Config::default() });
    let shape = Shape { ingests: 1, flushers, max_shards: SHARDS };
    let (board, _instance) = match board::create(instance, shape) {
        Ok(made) => made,
        Err(error) => {
            log::error!("{error}");
            return error.exit_status().into();
        }
    };
    let is_auto = matches!(behaviour.as_str(), "auto" | "tide" | "wide");
    let pool = if is_auto { Pool::PerShard } else { Pool::All };
    let front = Front { behaviour, is_new: Rc::new(Cell::new(false)) };
    let duties = roster(flushers, behaviour, &front.is_new);
    supervisor::run(&board, duties, limits(behaviour), pool, &front).unwrap()
}

fn limits(behaviour: &str) -> Limits {
    let (restarts_max, window) = match behaviour {
        "crash" => (3, 600.0),
        "unborn" => (1, 600.0),
        // Less than one hang takes.
        "hung" => (2, 1.4),
        "forgiven" => (2, 4.0),
        "killed" => (1000, 1.0),
        _ => (1000, 600.0),
    };
    let short = matches!(behaviour, "unborn" | "hanging");
    Limits {
        unhealthy: Duration::from_millis(1500),
        start: Duration::from_millis(if short { 700 } else { 5000 }),
        restarts_max,
        restart_window: Duration::from_secs_f64(window),
        leave: Duration::from_secs(5),
        shutdown: Duration::from_millis(if behaviour == "patient" { 60_000 } else { 1000 }),
        shrink_after: Duration::from_secs(1),
    }
}

fn roster(flushers: usize, behaviour: &str, is_new: &Rc<Cell<bool>>) -> Vec<Duty> {
    let flusher: Work = match behaviour {
        "crash" => |_| 75,
        "misconfigured" => |_| 78,
        "stuck" | "patient" => stuck,
        "unborn" => unborn,
        "spin" => |berth| once(berth, spin),
        "hung" => hang,
        "hungry" => |berth| once(berth, eat),
        "panic" => |berth| once(berth, |_| panic!("a bug\nof two lines")),
        "talk" => |berth| once(berth, talk),
        "rejecting" => reject,
        "late" => reject_late,
        _ => flush,
    };
    let ingest: Work = if behaviour == "tide" { tide } else { ingest };
    let last_lines = LastLines::of(flushers + 1).unwrap();
    let kinds = (0..flushers).map(|n| (WorkerKind::Flusher, n, flusher));
    let kinds = kinds.chain([(WorkerKind::Ingest, 0, ingest)]);
    let rejects = matches!(behaviour, "rejecting" | "late");
    kinds
        .zip(last_lines)
        .map(|((kind, number, work), last)| {
            let (of_the_dead, is_new) = (last.clone(), Rc::clone(is_new));
            let main = move |board: &Board, number| {
                logging::keep_last_lines(&last);
                logging::set_process(&kind.label(number));
                // What reads the new configuration is work of the same kind, but for one.
                let work = if rejects && !is_new.get() && kind == WorkerKind::Flusher {
                    flush
                } else {
                    work
                };
                birth(kind, number, board, false, work)
            };
            let last_lines = Box::new(move || of_the_dead.read());
            Duty { kind, number, main: Box::new(main), last_lines }
        })
        .collect()
}

/// Configuration is one bit: the old one or the new one.
struct Front<'a> {
    behaviour: &'a str,
    is_new: Rc<Cell<bool>>,
}

impl supervisor::Front for Front<'_> {
    fn probe(&self) -> i32 {
        match self.behaviour {
            "rejecting" | "wide" => 0,
            // The next one is no good, which is found out before it is tried.
            "late" => i32::from(self.is_new.get()),
            "stuck" => {
                std::thread::sleep(Duration::from_millis(300));
                0
            }
            "hanging" => loop {
                std::thread::sleep(TICK);
            },
            _ => 1,
        }
    }

    fn reload(&self) -> Result<Limits> {
        self.is_new.set(true);
        Ok(limits(self.behaviour))
    }

    fn prove(&self) {}

    fn restore(&self) -> Limits {
        self.is_new.set(false);
        limits(self.behaviour)
    }
}

/// Takes what it should, gives back what it should not have; beats always.
fn flush(berth: &Berth<'_>) -> i32 {
    flush_until(berth, || false)
}

/// Until it finds that this will not work as configured.
fn flush_until(berth: &Berth<'_>, hopeless: impl Fn() -> bool) -> i32 {
    loop {
        berth.beat();
        if hopeless() {
            return 78;
        }
        let mut held = 0;
        for shard in (0..SHARDS).map(|n| berth.board.shard(ShardId(n)).unwrap()) {
            if shard.desired() == Some(berth.number) && !berth.stopping() {
                shard.take(berth.number);
            } else {
                shard.give_back(berth.number);
            }
            held += usize::from(shard.holder() == Some(berth.number));
        }
        if berth.stopping() && held == 0 {
            return 0;
        }
        std::thread::sleep(TICK);
    }
}

/// Owns all shards; leaves when nobody holds one any more.
fn ingest(berth: &Berth<'_>) -> i32 {
    own(berth, SHARDS, 1);
    leave_last(berth)
}

fn leave_last(berth: &Berth<'_>) -> i32 {
    let free = || (0..SHARDS).all(|n| berth.board.shard(ShardId(n)).unwrap().holder().is_none());
    // Who is replaced leaves alone: the flushers keep what they hold.
    while !(berth.stopping() && (free() || !berth.board.stopping())) {
        berth.beat();
        std::thread::sleep(TICK);
    }
    0
}

/// Owns none, all, two, none and then all: each for longer than a pool is kept too large.
fn tide(berth: &Berth<'_>) -> i32 {
    for (generation, count) in [(1, 0), (2, SHARDS), (3, 2), (4, 0)] {
        own(berth, count, generation);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until && !berth.stopping() {
            berth.beat();
            std::thread::sleep(TICK);
        }
    }
    own(berth, SHARDS, 5);
    leave_last(berth)
}

fn own(berth: &Berth<'_>, count: u32, generation: u64) {
    for shard in 0..SHARDS {
        let row = berth.board.ownership(0, ShardId(shard)).unwrap();
        row.set(OwnershipWord::Wanted, u64::from(shard < count));
        row.set(OwnershipWord::Assigned, generation + 1);
    }
}

/// Alive, and deaf to every request.
fn stuck(berth: &Berth<'_>) -> i32 {
    loop {
        berth.beat();
        std::thread::sleep(TICK);
    }
}

/// Never shows a sign of health.
fn unborn(_: &Berth<'_>) -> i32 {
    loop {
        std::thread::sleep(TICK);
    }
}

/// In its first life, and if it is flusher/0, it comes to a bad end; else it is a good one.
fn once(berth: &Berth<'_>, end: Work) -> i32 {
    // A death stands on the board before its replacement is born.
    if berth.number > 0 || berth.slot().get(WorkerWord::LastExit) > 0 {
        return flush(berth);
    }
    let until = Instant::now() + Duration::from_millis(100);
    while Instant::now() < until {
        berth.beat();
        std::thread::sleep(TICK);
    }
    end(berth)
}

/// A loop that never comes back to its head.
fn spin(_: &Berth<'_>) -> i32 {
    loop {
        std::hint::spin_loop();
    }
}

/// Healthy at first sight, each time.
fn hang(berth: &Berth<'_>) -> i32 {
    berth.beat();
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// Takes memory until the kernel takes it.
fn eat(berth: &Berth<'_>) -> i32 {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        berth.beat();
        // Written, or else it costs nothing.
        eaten.push(vec![eaten.len() as u8 | 1; 1 << 20]);
    }
}

fn talk(_: &Berth<'_>) -> i32 {
    for n in 1..=5 {
        log::info!(target: "spanbufd", "line {n}");
    }
    log::error!(target: "spanbufd", "cannot go on: the moon is away; wait for it");
    75
}

/// The new configuration suits nobody but flusher/0.
fn reject(berth: &Berth<'_>) -> i32 {
    if berth.number == 0 { flush(berth) } else { 78 }
}

/// The same, and flusher/1 finds out only when another reload was refused.
fn reject_late(berth: &Berth<'_>) -> i32 {
    let refused = || berth.board.daemon().get(DaemonWord::ReloadFailed) > 0;
    flush_until(berth, || berth.number == 1 && refused())
}
