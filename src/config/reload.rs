//! What a running daemon takes of a configuration that was read again.
//!
//! Options whose change takes a restart keep their value: the board is made for them, and what
//! the workers hold in Kafka and Redis is named by them.

use super::table::{Change, TABLE};
use super::{Config, rules};
use crate::error::{Error, Result};

/// The configuration that comes into force, and which changes wait for the next start.
pub struct Reloaded {
    pub config: Config,
    pub waiting: Vec<&'static str>,
}

/// `read` as far as it may come into force where `running` is.
pub fn reload(running: &Config, read: Config) -> Result<Reloaded> {
    let mut config = read;
    let mut waiting = Vec::new();
    for row in TABLE.iter().filter(|row| row.change == Change::Restart) {
        let kept = row.kind.print(running);
        if row.kind.print(&config) == kept {
            continue;
        }
        row.kind.set(&mut config, &kept).map_err(|why| {
            Error::software(format!("cannot keep {} = {kept} at a reload: {why}", row.name))
        })?;
        waiting.push(row.name);
    }
    // Each agreed with itself; what is old in one and new in the other need not.
    rules::judge(&config).map_err(|clash| {
        Error::config(format!(
            "{} and {} clash until the daemon is started again ({} wait for that): {}",
            clash.option,
            clash.other,
            waiting.join(", "),
            clash.why
        ))
    })?;
    Ok(Reloaded { config, waiting })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table;

    fn with(changes: &[(&str, &str)]) -> Config {
        let mut config = Config::default();
        for (name, text) in changes {
            let row = table::find(name).unwrap_or_else(|| panic!("no option {name}"));
            assert_eq!(row.kind.set(&mut config, text), Ok(()), "{name}");
        }
        config
    }

    /// Another value than the default for each option that takes a restart.
    const OTHERS: [(&str, &str); 9] = [
        ("input-topic", "other"),
        ("group-id", "other"),
        ("partitions", "0,3-5"),
        ("namespace", "other"),
        ("ingest-workers", "2"),
        ("flusher-processes", "auto"),
        ("max-shards", "8"),
        ("instance", "other"),
        ("log-format", "journal"),
    ];

    #[test]
    fn what_takes_a_restart_waits_for_it_and_the_rest_does_not() {
        let restart = |row: &&table::Row| row.change == Change::Restart;
        let names: Vec<_> = TABLE.iter().filter(restart).map(|row| row.name).collect();
        assert_eq!(names.len(), OTHERS.len());
        for (name, text) in OTHERS {
            let row = table::find(name).unwrap_or_else(|| panic!("no option {name}"));
            // From the default and back to it.
            for (running, read) in
                [(with(&[]), with(&[(name, text)])), (with(&[(name, text)]), with(&[]))]
            {
                let kept = row.kind.print(&running);
                assert_ne!(row.kind.print(&read), kept, "{name}");
                let read = Config { max_restarts: 77, ..read };
                // The second time it still waits.
                for _ in 0..2 {
                    let reloaded = reload(&running, read.clone()).ok();
                    let reloaded = reloaded.unwrap_or_else(|| panic!("{name} is refused"));
                    assert_eq!(reloaded.waiting, [name]);
                    assert_eq!(row.kind.print(&reloaded.config), kept, "{name}");
                    assert_eq!(reloaded.config.max_restarts, 77);
                }
            }
        }
    }

    #[test]
    fn what_is_mixed_must_agree_too() {
        let running = with(&[("input-topic", "a"), ("output-topic", "b")]);
        let read = with(&[("input-topic", "b"), ("output-topic", "a")]);
        let why =
            reload(&running, read).err().map(|error| (error.exit_status(), error.to_string()));
        let Some((78, why)) = why else { panic!("not refused: {why:?}") };
        assert!(why.contains("(input-topic wait for that): must not be the same topic"), "{why}");
    }
}
