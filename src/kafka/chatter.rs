//! The client library's own log lines: one a minute of each kind.
//!
//! During an outage librdkafka says the same for every broker and every try. What it means for us
//! is said by the workers; these lines are for whoever looks for the cause.

use rdkafka::config::RDKafkaLogLevel;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When each kind of line was last said, and how many have been left out since.
#[derive(Default)]
pub struct Chatter {
    said: Mutex<HashMap<String, (Instant, u64)>>,
}

impl Chatter {
    /// Passes a line on to our log, unless one of its kind was within the last minute. Called by
    /// the library's threads.
    pub fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        let level = match level {
            // What somebody asked for with the property `debug`.
            RDKafkaLogLevel::Debug => return log::debug!("librdkafka: {kind} {line}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => log::Level::Info,
            _ => log::Level::Warn,
        };
        match self.left_out(kind, Instant::now()) {
            Some(0) => log::log!(level, "librdkafka: {kind} {line}"),
            Some(n) => log::log!(level, "librdkafka: {kind} {line} (and {n} more like it)"),
            None => {}
        }
    }

    /// `None` when it is too soon; else how many were left out since the last one.
    fn left_out(&self, kind: &str, now: Instant) -> Option<u64> {
        // Nothing panics while it is held, and the map would be whole if something did.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match said.get_mut(kind) {
            Some((at, count)) if now.saturating_duration_since(*at) < AGAIN_AFTER => {
                *count += 1;
                None
            }
            Some(entry) => Some(std::mem::replace(entry, (now, 0)).1),
            // The kinds are words in the library's source: the map stays small.
            None => {
                said.insert(kind.to_owned(), (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_of_each_kind() {
        let chatter = Chatter::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(chatter.left_out("FAIL", at(0)), Some(0));
        assert_eq!(chatter.left_out("FAIL", at(1)), None);
        assert_eq!(chatter.left_out("FAIL", at(59)), None);
        assert_eq!(chatter.left_out("REQTMOUT", at(59)), Some(0));
        assert_eq!(chatter.left_out("FAIL", at(60)), Some(2));
        assert_eq!(chatter.left_out("FAIL", at(61)), None);
    }
}
