//! Log lines: one event a line, one write(2) a line.
//!
//! All processes of a daemon share one stream, so a line is formatted whole, kept below
//! 4 KiB (a pipe takes that much at once), and handed to the kernel in one call. Control
//! characters are escaped: an event can never look like two. Losing a line is never an error,
//! also when the reader of the stream has gone; the next that gets through says how many.
//! librdkafka's and the redis crate's messages come the same way, through the `log` facade; so
//! do panics.

use super::last_lines::LastLines;
use crate::config::{Config, LogFormat, date};
use crate::sys::{poll, time};
use log::{Level, Record};
use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

/// With the line's end; pipe(7): writes of up to PIPE_BUF bytes are not torn.
const LINE_BYTES_MAX: usize = 4095;

/// How long a line may wait for room in the stream.
const ROOM_WAIT: Duration = Duration::from_millis(100);

/// The last line found no room.
static FULL: AtomicBool = AtomicBool::new(false);

/// Lines of this process that nobody could take, and of which nobody has been told.
static LOST_LINES: AtomicU64 = AtomicU64::new(0);
static PROCESS: RwLock<String> = RwLock::new(String::new());

/// Where this process keeps its last lines; one thread at a time.
static LAST_LINES: Mutex<Option<LastLines>> = Mutex::new(None);

/// Starts logging to standard error as configured. Called once, before the first fork.
pub fn init(config: &Config) {
    let journal = match config.log_format {
        LogFormat::Auto => stderr_is_journal(),
        LogFormat::Text => false,
        LogFormat::Journal => true,
    };
    let started = env_logger::Builder::new()
        .filter_level(log::LevelFilter::Trace)
        .format(move |buffer, record| {
            let (line, message) = line(journal, record);
            keep(record.level(), line[message..].trim_end());
            buffer.write_all(line.as_bytes())
        })
        .target(env_logger::Target::Pipe(Box::new(Stderr { journal })))
        .try_init();
    // Only a second call fails, and then the first one's logger goes on.
    let _ = started;
    std::panic::set_hook(Box::new(|panic| log::error!("BUG: {panic}")));
    set_level(config.log_level);
}

/// Changes what is logged from now on in this process.
pub fn set_level(level: log::LevelFilter) {
    log::set_max_level(level);
}

/// Names this process in its lines, such as `flusher/3`; called again after a fork.
pub fn set_process(name: &str) {
    let mut process = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    *process = name.to_owned();
    // What the parent lost is the parent's to tell.
    LOST_LINES.store(0, Ordering::Relaxed);
}

/// From now on the last lines of this process are also kept there.
pub fn keep_last_lines(last: &LastLines) {
    last.clear();
    *LAST_LINES.lock().unwrap_or_else(PoisonError::into_inner) = Some(last.clone());
}

fn keep(level: Level, message: &str) {
    let last = LAST_LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(last) = last.as_ref() {
        last.keep(&format!("{level} {message}"));
    }
}

/// systemd.exec(5): the variable alone proves nothing, it is inherited by every child; only
/// when it names the very stream that standard error is, the journal reads it.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

/// The whole line, and where its message begins.
fn line(journal: bool, record: &Record<'_>) -> (String, usize) {
    let process = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    let mut line = if journal {
        format!("<{}>", priority(record.level()))
    } else {
        format!("{} {:<5} ", date::print_utc(time::wall_ms()), record.level())
    };
    if !process.is_empty() {
        line.push_str(&process);
        line.push_str(": ");
    }
    let message = line.len();
    let mut escaping = Escaping { line: &mut line };
    let target = record.target();
    let foreign = target != "spanbufd" && !target.starts_with("spanbufd::");
    let text = record.args().to_string();
    // librdkafka's wrapper names it in the text as well.
    let is_named = text.strip_prefix(target).is_some_and(|rest| rest.starts_with(':'));
    let written = match foreign && !is_named {
        true => write!(escaping, "{target}: {text}"),
        false => escaping.write_str(&text),
    };
    // The only failure is that the line is full.
    if written.is_err() {
        cut(&mut line);
    }
    line.push('\n');
    (line, message)
}

/// sd-daemon(3): the priorities of syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Shortens a line that grew too long, and marks it.
fn cut(line: &mut String) {
    let mut end = (LINE_BYTES_MAX - "…\n".len()).min(line.len());
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line.push('…');
}

/// Appends to a line, escaping control characters; fails once the line is too long.
struct Escaping<'l> {
    line: &'l mut String,
}

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() || c == '\u{2028}' || c == '\u{2029}' {
                write!(self.line, "{}", c.escape_default())?;
            } else {
                self.line.push(c);
            }
            if self.line.len() > LINE_BYTES_MAX - 1 {
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Standard error, one write(2) a line, never an error to the caller and never a long wait: a
/// reader that stands still must not stop a worker, or the supervisor.
struct Stderr {
    journal: bool,
}

impl Stderr {
    /// Waits a moment for room; not again before a line has got through.
    fn has_room() -> bool {
        let wait = if FULL.load(Ordering::Relaxed) { Duration::ZERO } else { ROOM_WAIT };
        // Whatever poll(2) cannot tell, the write tells.
        let room = poll::writable(io::stderr().as_fd(), wait).unwrap_or(true);
        FULL.store(!room, Ordering::Relaxed);
        room
    }

    /// Hands over one line; says whether the stream took it.
    fn put(line: &[u8]) -> bool {
        if !Self::has_room() {
            return false;
        }
        loop {
            match io::stderr().write(line) {
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                // A second write of the rest could land inside another process's line.
                written => return written.is_ok_and(|bytes| bytes == line.len()),
            }
        }
    }

    /// Says how many lines are missing here.
    fn tell_lost(&self) {
        let lost = LOST_LINES.load(Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let text = format_args!("{lost} lines are missing here: nobody took them");
        let record = Record::builder().args(text).level(Level::Warn).target("spanbufd").build();
        if Self::put(line(self.journal, &record).0.as_bytes()) {
            LOST_LINES.fetch_sub(lost, Ordering::Relaxed);
        }
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.tell_lost();
        if !Self::put(line) {
            LOST_LINES.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
