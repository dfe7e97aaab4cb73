//! `spanbufd run`: configuration, board, duties, and then the supervisor's loop.
//!
//! The one place where the two stories are tied together: the supervisor gets the workers'
//! main functions as closures and never learns what they do.

use super::last_lines::LastLines;
use super::{Spec, check, load, log as logging, perform, version};
use crate::board::words::WorkerKind;
use crate::board::{self, Shape};
use crate::config::{self, Accepts, Config, Flushers, Loaded, Reloaded};
use crate::error::Result;
use crate::supervisor::policy::Limits;
use crate::supervisor::{self, Duty, Front, Pool};
use crate::worker::{self, Berth, flusher, ingest};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const SPEC: Spec = Spec {
    name: "run",
    synopsis: "[OPTION]...",
    about: "Runs the daemon until it is told to stop.",
    accepts: Accepts::All,
    free_max: 0,
};

/// A pool of flushers that is too large is kept so long: a rebalance must not cost it.
const SHRINK_AFTER: Duration = Duration::from_secs(60);

type Main = fn(&Config, &Berth<'_>) -> i32;

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    perform(&SPEC, getopts::Options::new(), args, |loaded| daemon(args, loaded))
}

/// Runs the daemon and returns its exit status. Needs one thread (P1).
fn daemon(args: &[String], loaded: &Loaded) -> Result<i32> {
    let config = &loaded.config;
    logging::init(config);
    log::info!("{}", introduction(loaded));
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    if config.dead_letter_topic.is_none() {
        log::warn!(
            "no dead-letter-topic is set: what cannot be parsed or sent is dropped, and counted"
        );
    }
    let shape = shape(config);
    let (board, _instance) = board::create(&config.instance, shape)?;
    let pool = match config.flusher_processes {
        Flushers::Auto => Pool::PerShard,
        Flushers::Fixed(_) => Pool::All,
    };
    let door = Door::new(args, config.clone());
    let ended = supervisor::run(&board, roster(&door.current, shape)?, limits(config), pool, &door);
    if let Ok(status) = ended {
        log::info!("stopped, with status {status}");
    }
    ended
}

/// What starts here, and what it is to do.
fn introduction(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let file = loaded.matches.opt_str("config");
    format!(
        "{} starts: instance {}, {}, {} to {} at {}, group {}, Redis at {}",
        version(),
        config.instance,
        file.map_or("no file".to_owned(), |file| format!("file {file}")),
        config.input_topic,
        config.output_topic,
        config.bootstrap_servers,
        config.group_id,
        config.redis_url_masked(),
    )
}

/// A configuration that workers are born with.
struct Current {
    config: RefCell<Config>,
    /// All of them have run with it.
    is_proven: Cell<bool>,
}

impl Current {
    fn new(config: Config) -> Current {
        Current { config: RefCell::new(config), is_proven: Cell::new(false) }
    }

    fn set(&self, config: Config, is_proven: bool) {
        self.config.replace(config);
        self.is_proven.set(is_proven);
    }
}

/// Reads the configuration again, for the supervisor.
struct Door<'a> {
    args: &'a [String],
    current: Rc<Current>,
    /// What comes back: the last proven one, or the first.
    before: Current,
}

impl Door<'_> {
    fn new(args: &[String], config: Config) -> Door<'_> {
        let current = Rc::new(Current::new(config.clone()));
        Door { args, current, before: Current::new(config) }
    }

    /// What is written now, as far as it may come into force.
    fn load(&self) -> Result<Reloaded> {
        let loaded = load(&SPEC, getopts::Options::new(), self.args)?;
        config::reload(&self.current.config.borrow(), loaded.config)
    }

    /// The workers' own level comes with their birth.
    fn come_into_force(&self) -> Limits {
        let config = self.current.config.borrow();
        logging::set_level(config.log_level);
        limits(&config)
    }
}

impl Front for Door<'_> {
    fn probe(&self) -> i32 {
        logging::set_process("probe");
        worker::exit_status(self.load().and_then(|reloaded| check::validate(&reloaded.config)))
    }

    fn reload(&self) -> Result<Limits> {
        let Reloaded { config, waiting } = self.load()?;
        for name in waiting {
            log::warn!("{name} has changed: that takes a restart to come into force");
        }
        self.current.set(config, false);
        Ok(self.come_into_force())
    }

    fn prove(&self) {
        self.before.set(self.current.config.borrow().clone(), true);
        self.current.is_proven.set(true);
    }

    fn restore(&self) -> Limits {
        self.current.set(self.before.config.borrow().clone(), self.before.is_proven.get());
        self.come_into_force()
    }
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
        shrink_after: SHRINK_AFTER,
    }
}

/// Flushers first: ingest reads a shard only when a flusher holds it.
fn roster(current: &Rc<Current>, shape: Shape) -> Result<Vec<Duty>> {
    let last_lines = LastLines::of(shape.flushers + shape.ingests)?;
    let flushers = (0..shape.flushers).map(|n| (WorkerKind::Flusher, n, flusher::main as Main));
    let ingests = (0..shape.ingests).map(|n| (WorkerKind::Ingest, n, ingest::main as Main));
    let of = |((kind, n, main), last): ((WorkerKind, usize, Main), LastLines)| {
        duty(kind, n, main, current, last)
    };
    Ok(flushers.chain(ingests).zip(last_lines).map(of).collect())
}

fn duty(
    kind: WorkerKind,
    number: usize,
    main: Main,
    current: &Rc<Current>,
    last: LastLines,
) -> Duty {
    let current = Rc::clone(current);
    let of_the_dead = last.clone();
    Duty {
        kind,
        number,
        main: Box::new(move |board, number| {
            let (config, is_proven) = (current.config.borrow(), current.is_proven.get());
            logging::keep_last_lines(&last);
            logging::set_process(&kind.label(number));
            logging::set_level(config.log_level);
            worker::birth(kind, number, board, is_proven, |berth| main(&config, berth))
        }),
        last_lines: Box::new(move || of_the_dead.read()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who reads a board believes no larger one.
    #[test]
    fn the_largest_board_of_the_options_can_be_read() {
        let highest = |name| {
            let range = config::table::find(name).map(|row| row.kind.range()).unwrap_or_default();
            range.rsplit(' ').next().and_then(|high| high.parse::<u64>().ok()).unwrap_or(u64::MAX)
        };
        let (ingests, shards) = (highest("ingest-workers"), highest("max-shards"));
        assert!(Shape::believed(ingests, shards, shards).is_some());
        assert!(Shape::believed(ingests + 1, 1, 1).is_none());
        assert!(Shape::believed(1, 1, shards + 1).is_none());
    }

    /// A reload that comes while another is on trial does not make that one the proven one.
    #[test]
    fn what_comes_back_is_the_last_proven_one() {
        let path = std::env::temp_dir().join(format!("spanbufd-door-{}", std::process::id()));
        let args = ["--config".to_owned(), path.display().to_string()];
        let door = Door::new(&args, Config::default());
        let reload = |restarts: u32| {
            let written = std::fs::write(&path, format!("max-restarts = {restarts}\n"));
            written.unwrap_or_else(|why| panic!("{why}"));
            door.reload().map(|limits| limits.restarts_max).ok()
        };
        assert_eq!((reload(1), reload(2)), (Some(1), Some(2)));
        assert_eq!(door.restore().restarts_max, 10);
        assert!(!door.current.is_proven.get(), "the first one never ran");
        assert_eq!(reload(3), Some(3));
        door.prove();
        assert_eq!(reload(4), Some(4));
        assert_eq!(door.restore().restarts_max, 3);
        assert!(door.current.is_proven.get());
        let _ = std::fs::remove_file(&path);
    }
}
