//! `spanbufd run`: board, duties, supervisor. The only place where both stories meet besides
//! the board: the supervisor gets the workers' main functions as closures and knows no more.

use super::{Spec, load, log as logging, perform};
use crate::board::{Board, Shape, report, words};
use crate::config::table::{Change, TABLE};
use crate::config::{Accepts, Config, Flushers, Loaded};
use crate::error::Result;
use crate::supervisor::policy::Limits;
use crate::supervisor::{self, Duty, Front};
use crate::sys::process;
use crate::worker::{self, Berth, exit_status};
use std::cell::RefCell;

const SPEC: Spec = Spec {
    name: "run",
    synopsis: "[OPTION]...",
    about: "Runs the daemon until it is told to stop.",
    accepts: Accepts::All,
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    perform(&SPEC, getopts::Options::new(), args, |loaded| daemon(args, loaded))
}

fn daemon(args: &[String], loaded: &Loaded) -> Result<i32> {
    let config = &loaded.config;
    logging::init(config);
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let shape = shape(config);
    let (board, lock) = Board::create(&config.instance, shape)?;
    let front = Daemon { args, config: RefCell::new(config.clone()) };
    let ended =
        supervisor::run(&board, lock, duties(&board, shape, &front), limits(config), &front);
    Board::remove(&config.instance);
    ended
}

fn shape(config: &Config) -> Shape {
    let flushers = match config.flusher_processes {
        Flushers::Fixed(count) => count,
        Flushers::Auto => processors().min(config.max_shards),
    };
    Shape {
        ingests: config.ingest_workers as usize,
        flushers: flushers as usize,
        max_shards: config.max_shards,
    }
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

fn limits(config: &Config) -> Limits {
    Limits {
        silence_max: config.max_unhealthy,
        start_max: config.start_timeout,
        restarts_max: config.max_restarts,
        window: config.restart_window,
        stop_max: config.shutdown_timeout,
    }
}

/// A worker's main function, as `worker` declares it.
type Main = fn(&Config, &Berth<'_>) -> i32;

/// A row per kind of worker: word, name, main function.
const KINDS: [(u64, &str, Main); 2] = [
    (words::INGEST, "ingest", worker::ingest::main),
    (words::FLUSHER, "flusher", worker::flusher::main),
];

/// The duties in the order of the board's slots.
fn duties<'a>(board: &'a Board, shape: Shape, front: &'a Daemon<'a>) -> Vec<Duty<'a>> {
    let mut duties = Vec::new();
    for ((kind, kind_name, main), count) in KINDS.into_iter().zip([shape.ingests, shape.flushers]) {
        for number in 0..count {
            let slot = duties.len();
            let body = move || born(board, slot, kind_name, number, main, front);
            duties.push(Duty { kind, kind_name, number, main: Box::new(body) });
        }
    }
    duties
}

/// The first thing that runs in a worker.
fn born(
    board: &Board,
    slot: usize,
    kind_name: &str,
    number: usize,
    main: Main,
    front: &Daemon<'_>,
) -> i32 {
    let config = front.config.borrow();
    logging::set_process(&format!("{kind_name}/{number}"));
    logging::set_level(config.log_level);
    let status = match Berth::new(board, number, board.worker(slot)) {
        Ok(berth) => main(&config, &berth),
        Err(error) => exit_status(Err(error)),
    };
    // The clients are never dropped: that may wait for brokers that do not answer (P1).
    process::exit_now(status)
}

/// The daemon's front door as the supervisor sees it.
struct Daemon<'a> {
    args: &'a [String],
    config: RefCell<Config>,
}

impl Daemon<'_> {
    fn read(&self) -> Result<Loaded> {
        load(&SPEC, getopts::Options::new(), self.args)
    }
}

impl Front for Daemon<'_> {
    fn log_status(&self, board: &Board) {
        for line in report::text(board).lines() {
            log::info!("{line}");
        }
    }

    fn probe(&self) -> i32 {
        let checked = self.read().and_then(|loaded| crate::kafka::check(&loaded.config));
        exit_status(checked)
    }

    fn reload(&self) -> Result<Limits> {
        let loaded = self.read()?;
        for row in TABLE.iter().filter(|row| row.change == Change::Restart) {
            if row.kind.print(&self.config.borrow()) != row.kind.print(&loaded.config) {
                log::warn!("{} has changed: that takes a restart to come into force", row.name);
            }
        }
        let limits = limits(&loaded.config);
        self.config.replace(loaded.config);
        Ok(limits)
    }
}
