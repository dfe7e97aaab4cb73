//! The processes of the demo: a private redis-server, the mock cluster, the daemon itself.
//!
//! All of them live in one temporary folder and in process groups of their own, so that
//! Ctrl-C reaches only the demo, which then stops them in order. Dropping a process kills and
//! reaps it, and the kernel does where the demo is killed; dropping the folder removes it.

use crate::config;
use crate::error::{Error, Result};
use crate::sys::process;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a condition is looked at while waiting for it.
const LOOK: Duration = Duration::from_millis(10);

/// A temporary folder, removed at the end.
pub struct Folder {
    pub path: PathBuf,
}

impl Folder {
    pub fn create() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("spanbufd-demo-{}", std::process::id()));
        fs::create_dir(&path).map_err(|why| {
            Error::temporary(format!("cannot create the folder {}: {why}", path.display()))
        })?;
        Ok(Folder { path })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(why) = fs::remove_dir_all(&self.path) {
            log::warn!("cannot remove {}: {why}", self.path.display());
        }
    }
}

/// One process of the demo.
pub struct Actor {
    name: &'static str,
    child: Child,
}

impl Actor {
    /// What the shell has for a daemon of its own is none of the cast's business.
    fn start(name: &'static str, command: &mut Command) -> Result<Actor> {
        let ours = std::env::vars_os().map(|(name, _)| name);
        for variable in ours.filter(|name| config::reads(&name.to_string_lossy())) {
            command.env_remove(variable);
        }
        process::die_together(command);
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|why| Error::temporary(format!("cannot start {name}: {why}")))?;
        Ok(Actor { name, child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
        Err(Error::software(format!("{} did not end within {} s", self.name, limit.as_secs())))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let killed = self.child.kill().and_then(|()| self.child.wait());
            if let Err(why) = killed {
                log::warn!("cannot stop {}: {why}", self.name);
            }
        }
    }
}

/// A redis-server of our own on a unix socket, without files, as spanbufd wants it.
pub fn redis(folder: &Folder) -> Result<(Actor, String)> {
    let socket = folder.file("redis.sock");
    let log = create(&folder.file("redis.log"))?;
    let mut command = Command::new("redis-server");
    command
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .args(["--maxmemory", "256mb", "--maxmemory-policy", "noeviction", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(&folder.path)
        .stdin(Stdio::null())
        .stdout(log);
    let mut actor = Actor::start("redis-server", &mut command)
        .map_err(|error| error.context("is redis-server installed (apt install redis-server)?"))?;
    wait_for_file(&mut actor, &socket)?;
    Ok((actor, format!("redis+unix://{}", socket.display())))
}

/// The mock cluster: this program again, with a hidden option. Its first line is its address;
/// it ends when its standard input closes, and so with us.
pub fn kafka(partitions: u32) -> Result<(Actor, String)> {
    let mut command = Command::new(own_program()?);
    command
        .args(["demo", "--serve-mock", &partitions.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut actor = Actor::start("the mock cluster", &mut command)?;
    let mut address = String::new();
    if let Some(stdout) = actor.child.stdout.take() {
        BufReader::new(stdout).read_line(&mut address).map_err(|why| {
            Error::temporary(format!("cannot read the mock cluster's address: {why}"))
        })?;
    }
    match address.trim() {
        "" => Err(Error::temporary("the mock cluster did not start")),
        address => Ok((actor, address.to_owned())),
    }
}

/// The daemon: this program again, `run` with these options; its log goes into the folder.
pub fn daemon(folder: &Folder, options: &[String]) -> Result<Actor> {
    let log = create(&folder.file("spanbufd.log"))?;
    let mut command = Command::new(own_program()?);
    command.arg("run").args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Actor::start("spanbufd run", &mut command)
}

fn own_program() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|why| Error::temporary(format!("cannot find this program's own file: {why}")))
}

fn create(path: &Path) -> Result<File> {
    File::create(path)
        .map_err(|why| Error::temporary(format!("cannot create {}: {why}", path.display())))
}

fn wait_for_file(actor: &mut Actor, path: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !path.exists() {
        if let Some(status) = actor.ended() {
            return Err(Error::temporary(format!("{} ended at once: {status}", actor.name)));
        }
        if Instant::now() > deadline {
            return Err(Error::temporary(format!("{} does not get ready", actor.name)));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
