//! How long a killed flusher is missed: from SIGKILL until its replacement is healthy, and until
//! it has taken the same shards and built their indexes, so that what is due goes out.

use crate::{Outcome, print};
use spanbufd::board::words::{ShardWord, WorkerState, WorkerWord};
use spanbufd::board::{self, Board, Found, ShardId};
use spanbufd::sys::process::{self, Pid, Send};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_micros(100);

/// Between two kills: the backoff after a restart must have been forgotten, else it is measured.
const PAUSE: Duration = Duration::from_millis(1500);

const LIMIT: Duration = Duration::from_secs(30);

/// Kills flusher/0 that often and prints median, min and max.
pub fn measure(instance: &str, count: &str) -> Outcome {
    let (mut healthy, mut flushing) = (Vec::new(), Vec::new());
    for _ in 0..count.parse()? {
        std::thread::sleep(PAUSE);
        let (first, second) = kill(instance)?;
        healthy.push(first);
        flushing.push(second);
    }
    print(&format!("restart of a killed flusher, ms: healthy {}", figures(&mut healthy)))?;
    print(&format!("restart of a killed flusher, ms: flushing {}", figures(&mut flushing)))
}

fn kill(instance: &str) -> Result<(Duration, Duration), Box<dyn std::error::Error>> {
    let before = look(instance)?;
    let old = before.flusher(0).get(WorkerWord::Pid);
    let held: Vec<(ShardId, u64)> = (0..before.max_shards())
        .filter_map(|n| Some((ShardId(n), before.shard(ShardId(n))?)))
        .filter(|(_, slot)| slot.holder() == Some(0))
        .map(|(shard, slot)| (shard, slot.get(ShardWord::Rebuilds)))
        .collect();
    let pid = Pid::new(old as i64).ok_or("flusher/0 does not run")?;
    if held.is_empty() {
        return Err("flusher/0 holds no shard: nothing can be measured".into());
    }
    let begun = Instant::now();
    process::kill(pid, Send::Kill)?;
    let healthy = until(instance, begun, |board| {
        let slot = board.flusher(0);
        ![0, old].contains(&slot.get(WorkerWord::Pid))
            && slot.get(WorkerWord::State) == WorkerState::Healthy as u64
    })?;
    let flushing = until(instance, begun, |board| {
        held.iter().all(|(shard, rebuilds)| {
            board.shard(*shard).is_some_and(|slot| {
                slot.holder() == Some(0) && slot.get(ShardWord::Rebuilds) > *rebuilds
            })
        })
    })?;
    Ok((healthy, flushing))
}

fn until(
    instance: &str,
    begun: Instant,
    condition: impl Fn(&Board) -> bool,
) -> Result<Duration, Box<dyn std::error::Error>> {
    while !condition(&look(instance)?) {
        if begun.elapsed() > LIMIT {
            return Err("no replacement in time".into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(begun.elapsed())
}

fn look(instance: &str) -> Result<Board, Box<dyn std::error::Error>> {
    match board::find(instance)? {
        Found::Running(board) => Ok(board),
        _ => Err(format!("{instance} is not running").into()),
    }
}

fn figures(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let ms = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let last = times.len().saturating_sub(1);
    format!("median {:.1} min {:.1} max {:.1} of {}", ms(last / 2), ms(0), ms(last), times.len())
}
