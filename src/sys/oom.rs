//! Whether the kernel killed for want of memory: it counts these kills and names no process.
//!
//! The count of the own control group says most: it leaves out what happens to the machine's
//! other programs. Version 2 has it in memory.events, version 1 in memory.oom_control; where
//! neither can be read, /proc/vmstat counts for the whole machine.

use std::fs;

/// The count, and its value at the last look.
pub struct OomKills {
    path: Option<String>,
    seen: u64,
}

impl OomKills {
    /// Begins to count here.
    pub fn watch() -> OomKills {
        let path = candidates().into_iter().find(|path| read(path).is_some());
        let seen = path.as_deref().and_then(read).unwrap_or(0);
        OomKills { path, seen }
    }

    /// Whether there was a kill since the last look; `None` where the kernel does not say.
    pub fn look(&mut self) -> Option<bool> {
        let now = read(self.path.as_deref()?)?;
        let more = now > self.seen;
        self.seen = now;
        Some(more)
    }
}

fn read(path: &str) -> Option<u64> {
    count(&fs::read_to_string(path).ok()?)
}

/// The number behind the name, in any of the three files.
fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// Where the count may stand, best first (cgroups(7)).
fn candidates() -> Vec<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut paths: Vec<String> = groups.lines().filter_map(file_of).collect();
    paths.push("/proc/vmstat".to_string());
    paths
}

/// The file of one line `HIERARCHY:CONTROLLERS:GROUP`, if that hierarchy has one.
fn file_of(line: &str) -> Option<String> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, group) = (parts.next()?, parts.next()?);
    match controllers {
        "" => Some(format!("/sys/fs/cgroup{group}/memory.events")),
        _ if controllers.split(',').any(|name| name == "memory") => {
            Some(format!("/sys/fs/cgroup/memory{group}/memory.oom_control"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_each_file() {
        assert_eq!(count("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 9\n"), Some(2));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(count("pgpgin 5\noom_kill 0\n"), Some(0));
        assert_eq!(count("oom_kill_disable 0\n"), None);
    }

    #[test]
    fn the_group_names_its_file() {
        let unified = file_of("0::/system.slice/spanbufd.service");
        assert_eq!(
            unified.as_deref(),
            Some("/sys/fs/cgroup/system.slice/spanbufd.service/memory.events")
        );
        let first = file_of("4:cpu,memory:/a:b");
        assert_eq!(first.as_deref(), Some("/sys/fs/cgroup/memory/a:b/memory.oom_control"));
        assert_eq!(file_of("3:cpuset:/"), None);
    }

    #[test]
    fn a_count_that_grew_is_a_kill_once() {
        let path = std::env::temp_dir().join(format!("spanbufd-oom-{}", std::process::id()));
        let write = |text| fs::write(&path, text).unwrap();
        write("oom_kill 1\n");
        let name = path.to_str().map(str::to_string);
        let mut kills = OomKills { path: name, seen: 1 };
        assert_eq!(kills.look(), Some(false));
        write("oom_kill 2\n");
        assert_eq!(kills.look(), Some(true));
        assert_eq!(kills.look(), Some(false));
        fs::remove_file(&path).unwrap();
        assert_eq!(kills.look(), None);
    }
}
