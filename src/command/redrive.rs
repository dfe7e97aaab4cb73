//! `spanbufd redrive`: dead letters that parse by now go back into the input topic.
//!
//! Reads the dead-letter topic under a group of its own, up to where it ended at the start.
//! Each round is read, written, acknowledged, and only then committed: a second run goes on
//! where the first one ended, and a run that was killed repeats one round at most.

use super::out::Out;
use super::{Spec, perform};
use crate::config::{Accepts, Config, Loaded};
use crate::error::{Error, Result};
use crate::kafka::consumer::{Consumer, Event, Message};
use crate::kafka::producer::{Letter, Outcome, Producer, Sent};
use crate::segment::span;
use crate::segment::{Offset, ShardId};
use crate::sys::headers::Header;
use crate::sys::time;
use crate::worker::flusher::TOO_LARGE;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// In place of a host in the client's name: it is no member of the group.
const HOST: &str = "redrive";

/// Bound of one question to Kafka.
const KAFKA_WAIT: Duration = Duration::from_secs(10);

/// How long nothing may come from the dead-letter topic, or be acknowledged by the input topic.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Between two looks at a silent topic.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Letters that are written, acknowledged and committed together; and their bytes.
const ROUND: usize = 1000;
const ROUND_BYTES: usize = 16 << 20;

/// Letters that stay where they are and are shown one by one.
const SHOWN: u64 = 10;

/// Ours are not the message's own.
const OUR_HEADERS: &[u8] = b"spanbufd-";

pub(super) const SPEC: Spec = Spec {
    name: "redrive",
    synopsis: "[--dry-run] [--again] [--too-large] [OPTION]...",
    about: "Puts dead letters that parse by now, as validate has it, back into the input topic \
            with their key, headers and payload. A second run goes on where the first one ended.",
    accepts: Accepts::All,
    free_max: 0,
};

/// Runs the subcommand with the arguments behind its name.
pub fn run(args: &[String]) -> i32 {
    let mut own = getopts::Options::new();
    own.optflag("", "dry-run", "read and judge; write and commit nothing");
    own.optflag("", "again", "from the beginning of the dead-letter topic");
    own.optflag("", "too-large", "also what was too large for the output topic");
    perform(&SPEC, own, args, redrive)
}

fn redrive(loaded: &Loaded) -> Result<i32> {
    let config = &loaded.config;
    let Some(topic) = &config.dead_letter_topic else {
        return Err(Error::config("no dead-letter-topic is set: there is nothing to redrive"));
    };
    let given = |flag| loaded.matches.opt_present(flag);
    let dry_run = given("dry-run");
    let mut out = Out::stdout()?;
    // Never dropped: that may wait for brokers that do not answer.
    let mut reader = ManuallyDrop::new(Reader::open(config, topic)?);
    let mut writer = ManuallyDrop::new(Writer::open(config, dry_run, given("too-large"))?);
    let total = reader.start(given("again"))?;
    while !reader.places.is_empty() {
        let moved = reader.round(&mut writer, &mut out)?;
        writer.wait(&mut out)?;
        if !dry_run {
            reader.commit(moved)?;
        }
        out.line(format_args!("{} of {total} letters read", writer.counts.read))?;
        out.flush()?;
    }
    let Counts { read, redriven, unreadable, empty, too_large } = writer.counts;
    let would = if dry_run { "would be " } else { "" };
    out.line(format_args!(
        "{read} letters: {redriven} {would}put back into {}, {unreadable} do not parse, {empty} \
         have no payload, {too_large} are too large",
        config.input_topic
    ))?;
    out.flush()?;
    Ok(0)
}

/// The dead-letter topic, up to where it ended at the start.
struct Reader {
    consumer: Consumer,
    places: BTreeMap<ShardId, Place>,
}

/// How far a partition is read, and where it ended at the start.
struct Place {
    next: Offset,
    end: Offset,
}

impl Reader {
    fn open(config: &Config, topic: &str) -> Result<Reader> {
        let mut config = Config {
            input_topic: topic.to_owned(),
            group_id: format!("{}-redrive", config.group_id),
            ..config.clone()
        };
        let observer = ManuallyDrop::new(Consumer::create(&config, HOST, 0)?);
        config.partitions = numbers(&observer.partitions(KAFKA_WAIT)?);
        Ok(Reader { consumer: Consumer::open(&config, HOST, 0)?, places: BTreeMap::new() })
    }

    /// Begins where the last run ended (`again`: at the beginning). Returns how many offsets
    /// there are to read.
    fn start(&mut self, again: bool) -> Result<u64> {
        let Some(Event::Assigned(shards)) = self.consumer.poll(KAFKA_WAIT) else {
            return Err(Error::temporary("the dead-letter topic was not assigned"));
        };
        let mut total = 0;
        for (shard, committed) in self.consumer.committed(&shards, KAFKA_WAIT)? {
            let (low, end) = self.consumer.watermarks(shard, KAFKA_WAIT)?;
            let next = committed.filter(|_| !again).map_or(low, |at| at.offset.max(low));
            if next < end {
                total += end.0.abs_diff(next.0);
                self.places.insert(shard, Place { next, end });
            }
        }
        self.seek()?;
        Ok(total)
    }

    fn seek(&self) -> Result<()> {
        let mut waiting: Vec<(ShardId, Offset)> =
            self.places.iter().map(|(shard, place)| (*shard, place.next)).collect();
        let until = time::monotonic() + SILENCE_MAX;
        while !waiting.is_empty() {
            let started = self.consumer.start(&waiting, KAFKA_WAIT)?;
            waiting.retain(|(shard, _)| !started.contains(shard));
            if time::monotonic() > until {
                return Err(Error::temporary("cannot seek in the dead-letter topic"));
            }
        }
        Ok(())
    }

    /// Hands on as many letters as one round has; returns how far it came.
    fn round(&mut self, writer: &mut Writer<'_>, out: &mut Out) -> Result<Moved> {
        let (mut letters, mut bytes) = (0, 0);
        let mut moved = Moved::new();
        let mut heard_at = time::monotonic();
        while letters < ROUND && bytes < ROUND_BYTES && !self.places.is_empty() {
            let quiet = time::monotonic().saturating_sub(heard_at) > SILENCE_MAX;
            match self.consumer.poll(POLL_WAIT) {
                Some(Event::Message(message)) => {
                    heard_at = time::monotonic();
                    if read(&mut self.places, &mut moved, &message) {
                        letters += 1;
                        bytes += message.payload().map_or(0, <[u8]>::len);
                        writer.judge(&message, out)?;
                    }
                }
                Some(Event::CaughtUp { shard, .. }) => {
                    self.places.remove(&shard);
                }
                Some(Event::Fenced(error) | Event::Fatal(error)) => return Err(error),
                _ if quiet => {
                    return Err(Error::temporary("nothing comes from the dead-letter topic"));
                }
                _ => {}
            }
        }
        Ok(moved)
    }

    fn commit(&self, moved: Moved) -> Result<()> {
        let commit = |(shard, offset)| (shard, offset, String::new());
        let commits: Vec<(ShardId, Offset, String)> = moved.into_iter().map(commit).collect();
        if commits.is_empty() { Ok(()) } else { self.consumer.commit_now(&commits, KAFKA_WAIT) }
    }
}

/// Where each partition is to be read next.
type Moved = BTreeMap<ShardId, Offset>;

/// Notes that a letter was read; false when it is beyond what this run reads.
fn read(places: &mut BTreeMap<ShardId, Place>, moved: &mut Moved, message: &Message<'_>) -> bool {
    let Some(place) = places.get_mut(&message.shard) else { return false };
    if message.offset < place.next {
        return false;
    }
    let ours = message.offset < place.end;
    place.next = Offset(message.offset.0 + 1);
    if place.next >= place.end {
        places.remove(&message.shard);
    }
    if ours {
        moved.insert(message.shard, Offset(message.offset.0 + 1));
    }
    ours
}

fn numbers(shards: &[ShardId]) -> Vec<u32> {
    shards.iter().map(|shard| shard.0).collect()
}

#[derive(Default)]
struct Counts {
    read: u64,
    redriven: u64,
    unreadable: u64,
    empty: u64,
    too_large: u64,
}

/// The input topic.
struct Writer<'a> {
    config: &'a Config,
    producer: Producer,
    dry_run: bool,
    /// Letters of spans that were too large for the output go back, too.
    with_large: bool,
    /// A letter goes back to the partition that it came from, while that is there.
    partitions: Vec<u32>,
    counts: Counts,
    shown: u64,
    next_ticket: u64,
    /// Which letters are on their way.
    waiting: BTreeMap<u64, (ShardId, Offset)>,
}

impl<'a> Writer<'a> {
    fn open(config: &'a Config, dry_run: bool, with_large: bool) -> Result<Writer<'a>> {
        let observer = ManuallyDrop::new(Consumer::create(config, HOST, 0)?);
        Ok(Writer {
            config,
            producer: Producer::open_for_singles(config, 0)?,
            dry_run,
            with_large,
            partitions: numbers(&observer.partitions(KAFKA_WAIT)?),
            counts: Counts::default(),
            shown: 0,
            next_ticket: 0,
            waiting: BTreeMap::new(),
        })
    }

    /// Puts a letter back if it parses by now.
    fn judge(&mut self, message: &Message<'_>, out: &mut Out) -> Result<()> {
        self.counts.read += 1;
        let Some(payload) = message.payload() else {
            self.counts.empty += 1;
            return Ok(());
        };
        let letter = (message.shard, message.offset);
        if let Err(reject) = span::parse(payload, self.config.validate) {
            self.counts.unreadable += 1;
            return self.show(letter, &format!("is no span: {}", reject.reason), out);
        }
        let headers = message.headers();
        if let Some(reason) = reason(&headers).filter(|reason| reason.starts_with(TOO_LARGE))
            && !self.with_large
        {
            self.counts.too_large += 1;
            return self.show(letter, &format!("was {reason}"), out);
        }
        if self.dry_run {
            self.counts.redriven += 1;
            return Ok(());
        }
        self.send(message, payload, &headers, out)
    }

    /// Shows one of the first letters that stay where they are.
    fn show(&mut self, letter: (ShardId, Offset), why: &str, out: &mut Out) -> Result<()> {
        self.shown += 1;
        if self.shown > SHOWN {
            return Ok(());
        }
        out.line(format_args!("letter {}/{} {why}", letter.0, letter.1))
    }

    fn refused(&mut self, letter: (ShardId, Offset), out: &mut Out) -> Result<()> {
        self.counts.too_large += 1;
        let why = format!("is too large for {}", self.config.input_topic);
        self.show(letter, &why, out)
    }

    fn send(
        &mut self,
        message: &Message<'_>,
        payload: &[u8],
        headers: &[Header<'_>],
        out: &mut Out,
    ) -> Result<()> {
        let partition = origin(headers, &self.config.input_topic);
        let kept: Vec<Header<'_>> =
            headers.iter().copied().filter(|(name, _)| !name.starts_with(OUR_HEADERS)).collect();
        let letter = Letter {
            topic: &self.config.input_topic,
            partition: partition.filter(|partition| self.partitions.contains(partition)),
            key: message.key(),
            payload: Some(payload),
            headers: &kept,
        };
        self.next_ticket += 1;
        let at = (message.shard, message.offset);
        loop {
            match self.producer.send(self.next_ticket, &letter)? {
                Sent::Queued => break,
                Sent::TooLarge => return self.refused(at, out),
                Sent::Full => self.serve(POLL_WAIT, out)?,
            }
        }
        self.producer.seal(self.next_ticket);
        self.waiting.insert(self.next_ticket, at);
        Ok(())
    }

    /// Waits until all that was sent is acknowledged.
    fn wait(&mut self, out: &mut Out) -> Result<()> {
        let mut heard_at = time::monotonic();
        while !self.waiting.is_empty() {
            let before = self.waiting.len();
            self.serve(POLL_WAIT, out)?;
            let now = time::monotonic();
            if self.waiting.len() < before {
                heard_at = now;
            }
            if now.saturating_sub(heard_at) > SILENCE_MAX {
                return Err(Error::temporary("the input topic acknowledges nothing"));
            }
        }
        Ok(())
    }

    fn serve(&mut self, wait: Duration, out: &mut Out) -> Result<()> {
        for outcome in self.producer.poll(wait) {
            match outcome {
                Outcome::Delivered(delivered) => {
                    self.waiting.remove(&delivered.ticket());
                    self.counts.redriven += 1;
                }
                Outcome::TooLarge { ticket } => {
                    if let Some(letter) = self.waiting.remove(&ticket) {
                        self.refused(letter, out)?;
                    }
                }
                Outcome::Failed { trouble, .. } => return Err(Error::temporary(trouble.why)),
            }
        }
        Ok(())
    }
}

/// The partition that a letter came from, when it came from `topic`.
fn origin(headers: &[Header<'_>], topic: &str) -> Option<u32> {
    let partition = text(headers, b"spanbufd-partition")?.parse().ok()?;
    (text(headers, b"spanbufd-topic") == Some(topic)).then_some(partition)
}

/// Why it is a letter.
fn reason<'h>(headers: &[Header<'h>]) -> Option<&'h str> {
    text(headers, b"spanbufd-reason")
}

/// The last header of that name: ours stand behind the message's own.
fn text<'h>(headers: &[Header<'h>], wanted: &[u8]) -> Option<&'h str> {
    let (_, value) = headers.iter().rev().find(|(name, _)| *name == wanted)?;
    std::str::from_utf8((*value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_of_another_topic_has_no_partition_here() {
        let headers: [Header<'_>; 2] =
            [(b"spanbufd-topic", Some(b"spans")), (b"spanbufd-partition", Some(b"7"))];
        assert_eq!(origin(&headers, "spans"), Some(7));
        assert_eq!(origin(&headers, "others"), None);
        assert_eq!(origin(&headers[..1], "spans"), None);
    }
}
