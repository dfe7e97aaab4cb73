//! `spanbufd run`: configuration, board, duties, and then the supervisor's loop.
//!
//! The one place where the two stories are tied together: the supervisor gets the workers'
//! main functions as closures and never learns what they do.

use super::{Spec, log as logging, perform};
use crate::board::words::Kind;
use crate::board::{self, Shape};
use crate::config::{Accepts, Config, Flushers, Loaded};
use crate::error::Result;
use crate::supervisor::policy::Limits;
use crate::supervisor::{self, Duty, Pool};
use crate::worker::{self, Berth, flusher, ingest};
use std::rc::Rc;

const SPEC: Spec = Spec {
    name: "run",
    synopsis: "[OPTION]...",
    about: "Runs the daemon until it is told to stop.",
    accepts: Accepts::All,
    free_max: 0,
};

type Main = fn(&Config, &Berth<'_>) -> i32;

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    perform(&SPEC, getopts::Options::new(), args, daemon)
}

/// Runs the daemon and returns its exit status. Needs one thread (P1).
fn daemon(loaded: &Loaded) -> Result<i32> {
    let config = loaded.config.clone();
    logging::init(&config);
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let shape = shape(&config);
    let (board, _instance) = board::create(&config.instance, shape)?;
    let limits = limits(&config);
    let pool = match config.flusher_processes {
        Flushers::Auto => Pool::PerShard,
        Flushers::Fixed(_) => Pool::All,
    };
    supervisor::run(&board, roster(config, shape), limits, pool)
}

fn shape(config: &Config) -> Shape {
    let flushers = match config.flusher_processes {
        Flushers::Auto => config.max_shards,
        Flushers::Fixed(count) => count,
    };
    Shape {
        ingests: config.ingest_workers as usize,
        flushers: flushers as usize,
        max_shards: config.max_shards,
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        unhealthy: config.max_unhealthy,
        start: config.start_timeout,
        restarts_max: config.max_restarts,
        restart_window: config.restart_window,
        leave: config.rebalance_timeout,
        shutdown: config.shutdown_timeout,
    }
}

/// Flushers first: ingest reads a shard only when a flusher holds it.
fn roster(config: Config, shape: Shape) -> Vec<Duty> {
    let config = Rc::new(config);
    let flushers = (0..shape.flushers).map(|n| duty(Kind::Flusher, n, flusher::main, &config));
    let ingests = (0..shape.ingests).map(|n| duty(Kind::Ingest, n, ingest::main, &config));
    flushers.chain(ingests).collect()
}

fn duty(kind: Kind, number: usize, main: Main, config: &Rc<Config>) -> Duty {
    let config = Rc::clone(config);
    Duty {
        kind,
        number,
        main: Box::new(move |board, number| {
            logging::set_process(&format!("{}/{number}", kind.name()));
            worker::birth(kind, number, board, |berth| main(&config, berth))
        }),
    }
}
