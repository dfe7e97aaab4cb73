//! Ingest: Kafka to the store. poll → span → chunk → batch → append → report.
//!
//! Kafka is polled in every turn, also while the store is away, so that the group membership
//! survives. A shard is read only while a flusher of this daemon holds it, so a flusher that
//! cannot start never fills Redis. The loop decides nothing about positions by itself: what
//! the store says is believed, what it does not know is read again from the committed floor
//! (P5, P6).

mod alone;
mod answers;
mod append;
mod confirm;
mod desk;
mod ends;
mod finding;
mod first;
mod floor;
mod flow;
mod maps;
mod patience;
mod pressure;
mod range;
mod rival;
mod shard;
mod strays;
mod tail;
#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::error::Result;
use crate::kafka::consumer::{Consumer, Event};
use crate::sys::{process, time};
use crate::worker::Berth;
use desk::Desk;
use shard::Taken;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// The longest wait for a message: bounds how stale the clock on the board gets.
const POLL_WAIT: Duration = Duration::from_millis(10);

/// How long leaving the group may take, and closing the client as well.
const FAREWELL_WAIT: Duration = Duration::from_secs(3);

/// Messages taken in one turn before the drafts are looked at again.
const MESSAGES_PER_TURN: usize = 10_000;

/// The process's main function; returns its exit status.
pub fn main(config: &Config, berth: &Berth<'_>) -> i32 {
    berth.exit_status(run(config, berth))
}

fn run(config: &Config, berth: &Berth<'_>) -> Result<()> {
    // Never dropped: that may wait for brokers that do not answer; the process leaves by _exit.
    let host = process::host_name();
    let consumer = ManuallyDrop::new(Consumer::open(config, &host, berth.number)?);
    let mut desk = Desk::new(config, berth, berth.store(config)?);
    let ended = work(&consumer, &mut desk);
    // A worker that is replaced comes back under its name; only the daemon's end may be for good.
    if config.leave_on_stop && berth.board.stopping() {
        consumer.leave(desk.farewell_within(FAREWELL_WAIT));
    }
    consumer.close(desk.farewell_within(FAREWELL_WAIT));
    ended
}

fn work(consumer: &Consumer, desk: &mut Desk<'_>) -> Result<()> {
    while !desk.berth.stopping() {
        turn(consumer, desk)?;
    }
    leave(consumer, desk)
}

/// One turn: read, append, look after the shards, report.
fn turn(consumer: &Consumer, desk: &mut Desk<'_>) -> Result<()> {
    desk.berth.beat();
    read(consumer, desk)?;
    desk.append_ripe(false)?;
    desk.berth.beat();
    desk.look_after(consumer)?;
    desk.report();
    Ok(())
}

/// Takes what Kafka has, until a draft is full or there is nothing more.
fn read(consumer: &Consumer, desk: &mut Desk<'_>) -> Result<()> {
    let now = time::monotonic();
    let mut wait = POLL_WAIT;
    for _ in 0..MESSAGES_PER_TURN {
        let Some(event) = consumer.poll(wait) else { return Ok(()) };
        wait = Duration::ZERO;
        match event {
            Event::Message(message) => {
                desk.kafka_gives();
                if desk.read(&message, now) == Taken::Full {
                    return Ok(());
                }
            }
            other => handle(consumer, desk, other)?,
        }
    }
    Ok(())
}

/// Everything that is not a message.
fn handle(consumer: &Consumer, desk: &mut Desk<'_>, event: Event<'_>) -> Result<()> {
    match event {
        Event::Message(_) => {}
        Event::CaughtUp { shard, end } => {
            desk.kafka_gives();
            desk.caught_up(shard, end);
        }
        Event::Assigned(shards) => {
            desk.kafka_gives();
            desk.assigned(&shards);
        }
        Event::Revoked { shards, lost } => desk.revoked(consumer, &shards, lost)?,
        Event::OutOfRange => desk.out_of_range(consumer)?,
        Event::Committed { number, shards } => desk.confirmed(number, &shards),
        Event::CommitFailed { why, too_large } => desk.commit_failed(&why, too_large),
        Event::Trouble(trouble) => desk.trouble(&trouble),
        Event::Fenced(error) => return Err(rival::fenced(desk.berth, error)),
        Event::Fatal(error) => return Err(error),
    }
    Ok(())
}

/// The ordered end: append what is held, let the flushers finish, commit, go. What cannot be
/// done in time stays in Kafka and in the store for the next start.
fn leave(consumer: &Consumer, desk: &mut Desk<'_>) -> Result<()> {
    desk.stop();
    while desk.has_shards() {
        desk.hasten();
        turn(consumer, desk)?;
    }
    Ok(())
}
