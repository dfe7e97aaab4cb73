//! The board as an object of the system: made, found, taken away.
//!
//! Who starts takes the deciding lock of the object that the name names. If the object has
//! content, a crash left it: it is unlinked, never used again. The lock that says "in use" is taken
//! on an empty object only, so that what a crash left never counts as running, not even while
//! the next start takes it away. The ready word is written last, so that a reader sees a whole
//! board or none.

use super::shape::{HEADER, Shape, version};
use super::{Board, Words};
use crate::error::{Error, Result};
use crate::sys::lock::{self, Lock};
use crate::sys::shm::{self, SharedWords};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: u64 = u64::from_le_bytes(*b"spanbufd");

/// Tries to get a fresh object before giving up: others may start and stop meanwhile.
const TRIES: usize = 20;

/// Keeps the instance locked, and takes the board's name away at the end.
pub struct Instance {
    name: String,
    /// Locked for as long as it is open.
    file: File,
}

/// What there is under an instance's name.
pub enum Found {
    NotRunning,
    /// Another build's board; the versions are theirs and ours.
    OtherVersion {
        theirs: u64,
        ours: u64,
    },
    /// Being made, or not readable as a board.
    NotReady,
    Running(Board),
}

/// Makes the board of an instance and locks it; fails when the instance runs already.
pub fn create(instance: &str, shape: Shape) -> Result<(Board, Instance)> {
    let name = object_name(instance);
    for _ in 0..TRIES {
        let file = shm::open_or_create(&name)?;
        if !take(&name, &file, Lock::Deciding)? {
            return Err(in_use(instance, &file));
        }
        shm::refuse_foreign(&name, &file)?;
        if !shm::names(&name, &file) {
            continue;
        }
        if file.metadata().is_ok_and(|data| data.len() == 0) {
            // Made first: if the board cannot be filled, its name goes away again.
            take(&name, &file, Lock::InUse)?;
            let instance = Instance { name, file };
            return fill(&instance.file, shape).map(|board| (board, instance));
        }
        log::warn!("board {name} was left by a crash: it is made anew");
        shm::unlink(&name)?;
    }
    Err(Error::temporary(format!("cannot make the board {name}: others keep making theirs")))
}

fn take(name: &str, file: &File, which: Lock) -> Result<bool> {
    lock::try_lock(file, which).map_err(|why| cannot_lock(name, &why))
}

fn fill(file: &File, shape: Shape) -> Result<Board> {
    shm::reserve(file, shape.words())?;
    let words = SharedWords::map(file, shape.words())?;
    let header = [
        MAGIC,
        version(),
        shape.ingests as u64,
        shape.flushers as u64,
        u64::from(shape.max_shards),
    ];
    for (word, value) in words.iter().zip(header) {
        word.store(value, Ordering::Relaxed);
    }
    words[header.len()].store(1, Ordering::Release);
    let areas = SharedWords::anonymous(shape.area_words())?;
    Ok(Board { words: Words::Shared(words), areas: Words::Shared(areas), shape })
}

/// Reads the board of an instance. What is returned is a copy: nothing can be written.
pub fn find(instance: &str) -> Result<Found> {
    let name = object_name(instance);
    let Some(file) = shm::open_existing(&name)? else { return Ok(Found::NotRunning) };
    if !lock::is_locked(&file, Lock::InUse).map_err(|why| cannot_lock(&name, &why))? {
        return Ok(Found::NotRunning);
    }
    let shape = match header(&file)? {
        Header::Whole(shape) => shape,
        Header::OtherVersion { theirs, ours } => return Ok(Found::OtherVersion { theirs, ours }),
        Header::NotReady => return Ok(Found::NotReady),
    };
    let words = SharedWords::copy(&file, shape.words())?;
    if words.len() < shape.words() {
        return Ok(Found::NotReady);
    }
    let words = Words::Private(words.into_iter().map(AtomicU64::new).collect());
    Ok(Found::Running(Board { words, areas: Words::Private(Vec::new()), shape }))
}

/// What the first words of an object say. Another user may have written them, so that nothing is
/// reserved or counted by them but within the bounds of a board.
enum Header {
    NotReady,
    OtherVersion { theirs: u64, ours: u64 },
    Whole(Shape),
}

fn header(file: &File) -> Result<Header> {
    let words = SharedWords::copy(file, HEADER)?;
    let [magic, theirs, ingests, flushers, shards, ready, ..] = *words else {
        return Ok(Header::NotReady);
    };
    if magic != MAGIC || ready != 1 {
        return Ok(Header::NotReady);
    }
    let ours = version();
    if theirs != ours {
        return Ok(Header::OtherVersion { theirs, ours });
    }
    Ok(Shape::believed(ingests, flushers, shards).map_or(Header::NotReady, Header::Whole))
}

fn in_use(instance: &str, file: &File) -> Error {
    let what = match header(file) {
        Ok(Header::OtherVersion { .. }) => "already runs, with another version of spanbufd",
        _ => "already runs",
    };
    Error::config(format!(
        "cannot start: instance {instance:?} {what}; stop it first, or choose another name \
         with --instance"
    ))
}

fn cannot_lock(name: &str, why: &std::io::Error) -> Error {
    Error::temporary(format!("cannot ask for the lock of the board {name}: {why}"))
}

/// Whether the process `pid` belongs to somebody else than the board of an instance does. A
/// process that cannot be seen (proc(5), hidepid) is left to kill(2): who may not see it has no
/// privilege by which he could signal another user's.
pub fn is_foreign(instance: &str, pid: u32) -> bool {
    let process = std::fs::metadata(format!("/proc/{pid}")).ok().map(|data| data.uid());
    process.is_some_and(|uid| Some(uid) != shm::owner(&object_name(instance)))
}

/// The name of the shared memory object.
pub fn object_name(instance: &str) -> String {
    format!("/spanbufd.{instance}")
}

impl Drop for Instance {
    /// Unlinks first: the lock goes with the descriptor, right after. Where an operator took the
    /// name away, it may be another daemon's by now.
    fn drop(&mut self) {
        if !shm::names(&self.name, &self.file) {
            log::warn!("the name of board {} was taken away from this daemon", self.name);
        } else if let Err(error) = shm::unlink(&self.name) {
            log::warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    const SHAPE: Shape = Shape { ingests: 1, flushers: 1, max_shards: 1 };

    fn instance(test: &str) -> (String, PathBuf) {
        let name = format!("test-{test}-{}", std::process::id());
        let path = PathBuf::from(format!("/dev/shm{}", object_name(&name)));
        (name, path)
    }

    fn chmod(path: &Path, mode: u32) {
        let done = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
        done.unwrap_or_else(|why| panic!("chmod {}: {why}", path.display()));
    }

    fn refusal(name: &str) -> String {
        create(name, SHAPE).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn who_may_read_it_is_the_operators_choice() {
        let (name, path) = instance("mode");
        let (_, running) = create(&name, SHAPE).unwrap_or_else(|why| panic!("{why}"));
        for mode in [0o644, 0o666] {
            chmod(&path, mode);
            assert!(refusal(&name).contains("already runs"), "{mode:o}: {}", refusal(&name));
        }
        // A crash leaves the name and frees the locks.
        let left = std::fs::read(&path).unwrap_or_default();
        drop(running);
        assert!(!path.exists() && !left.is_empty());
        for (mode, refused) in [(0o666, true), (0o620, true), (0o602, true), (0o644, false)] {
            let written = std::fs::write(&path, &left);
            written.unwrap_or_else(|why| panic!("{why}"));
            chmod(&path, mode);
            let why = refusal(&name);
            assert_eq!(why.contains("others may write to it"), refused, "{mode:o}: {why}");
            assert_eq!(path.exists(), refused, "{mode:o}");
        }
    }

    #[test]
    fn a_name_that_is_anothers_by_now_stays() {
        let (name, path) = instance("name");
        let (_, first) = create(&name, SHAPE).unwrap_or_else(|why| panic!("{why}"));
        let removed = std::fs::remove_file(&path);
        removed.unwrap_or_else(|why| panic!("{why}"));
        let (_, second) = create(&name, SHAPE).unwrap_or_else(|why| panic!("{why}"));
        drop(first);
        assert!(matches!(find(&name), Ok(Found::Running(_))));
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn numbers_that_no_board_has_are_not_believed() {
        let (name, path) = instance("numbers");
        let (_, running) = create(&name, SHAPE).unwrap_or_else(|why| panic!("{why}"));
        let mut object = SharedWords::map(&running.file, SHAPE.words());
        let words = object.as_mut().unwrap_or_else(|why| panic!("{why}"));
        for (at, own) in [(2, 1), (3, 1), (4, 1)] {
            for number in [u64::MAX, 1 << 61, 1 << 32 | 1, 65_537, 2] {
                words[at].store(number, Ordering::Release);
                assert!(matches!(find(&name), Ok(Found::NotReady)), "{number} at {at}");
            }
            words[at].store(own, Ordering::Release);
        }
        assert!(matches!(find(&name), Ok(Found::Running(_))));
        drop(running);
        assert!(!path.exists());
    }
}
