//! Words in POSIX shared memory (shm_overview(7)): an object with a name, a mapping of it.
//!
//! [`SharedWords`] derefs to atomic words, which is all of its interface. Every bit pattern is
//! a valid word, so whatever a crashed process left there can be read without harm.

use super::cvt;
use crate::error::{Error, Result};
use std::ffi::CString;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

const WORD_BYTES: usize = size_of::<AtomicU64>();

/// Opens the object `name` for writing and makes it, empty and for this user only, if there
/// is none. Whose it is, is to be asked before it is used.
pub fn open_or_create(name: &str) -> Result<File> {
    let file = match open(name, libc::O_RDWR | libc::O_CREAT) {
        Ok(file) => file,
        // The kernel refuses some of these by itself (fs.protected_regular, see proc(5)).
        Err(_) if owner(name).is_some_and(|uid| uid != own_uid()) => return Err(foreign(name)),
        Err(error) => return Err(error),
    };
    file.ok_or_else(|| Error::temporary(format!("cannot create shared memory {name}")))
}

/// Refuses an object that somebody else made or may write to: whoever is first chooses its mode,
/// and what stands there is believed. Who may read it is the operator's choice.
pub fn refuse_foreign(name: &str, file: &File) -> Result<()> {
    let data = file.metadata();
    let data = data.map_err(|why| Error::temporary(format!("cannot look at {name}: {why}")))?;
    if data.uid() != own_uid() || data.mode() & 0o022 != 0 {
        return Err(foreign(name));
    }
    Ok(())
}

fn own_uid() -> u32 {
    // SAFETY: takes nothing, changes nothing, cannot fail.
    unsafe { libc::geteuid() }
}

/// The user to whom the object `name` belongs; `None` when there is none.
pub fn owner(name: &str) -> Option<u32> {
    // shm_overview(7): where the objects are seen as files.
    std::fs::symlink_metadata(format!("/dev/shm{name}")).ok().map(|data| data.uid())
}

fn foreign(name: &str) -> Error {
    let who = owner(name).map_or("somebody else".to_owned(), |uid| format!("user {uid}"));
    Error::config(format!(
        "shared memory {name} was made by {who}, or others may write to it: it is not used; \
         remove /dev/shm{name}, or choose another name with --instance"
    ))
}

/// Opens the object `name` for reading; `None` when there is none.
pub fn open_existing(name: &str) -> Result<Option<File>> {
    open(name, libc::O_RDONLY)
}

fn open(name: &str, flags: libc::c_int) -> Result<Option<File>> {
    let path = c_name(name)?;
    // SAFETY: `path` is a live string that ends with a zero; close-on-exec is set by the call.
    match cvt(unsafe { libc::shm_open(path.as_ptr(), flags, 0o600) }) {
        // SAFETY: the descriptor was just opened and has no other owner.
        Ok(descriptor) => Ok(Some(unsafe { File::from_raw_fd(descriptor) })),
        Err(why) if why.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(why) => {
            let remedy = match why.kind() {
                ErrorKind::PermissionDenied => format!(
                    "; be root or the user to whom it belongs, who may let others read it \
                     (chmod o+r /dev/shm{name})"
                ),
                _ => String::new(),
            };
            Err(Error::temporary(format!("cannot open shared memory {name}: {why}{remedy}")))
        }
    }
}

/// Takes the name away; those who map the object keep it.
pub fn unlink(name: &str) -> Result<()> {
    let path = c_name(name)?;
    // SAFETY: `path` is a live string that ends with a zero.
    match cvt(unsafe { libc::shm_unlink(path.as_ptr()) }) {
        Ok(_) => Ok(()),
        Err(why) if why.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(why) => Err(Error::temporary(format!("cannot unlink shared memory {name}: {why}"))),
    }
}

/// Whether `name` still names the object that was opened as `file`.
pub fn names(name: &str, file: &File) -> bool {
    let Ok(Some(there)) = open_existing(name) else { return false };
    match (there.metadata(), file.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

fn c_name(name: &str) -> Result<CString> {
    CString::new(name).map_err(|_| Error::config(format!("{name:?} has a zero byte in it")))
}

/// Makes room for `words` words for certain: without it a full /dev/shm is a SIGBUS later.
pub fn reserve(file: &File, words: usize) -> Result<()> {
    let bytes = (words * WORD_BYTES) as libc::off_t;
    // SAFETY: takes the descriptor, which `file` keeps open, and two numbers.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(()),
        // posix_fallocate(3) returns the error and leaves errno alone.
        code => {
            let why = std::io::Error::from_raw_os_error(code);
            Err(Error::temporary(format!(
                "cannot reserve {bytes} bytes of shared memory: {why}; make room in /dev/shm \
                 (df /dev/shm) or lower max-shards"
            )))
        }
    }
}

/// A mapping of words. Only a mapping for writing is handed out as atomic words.
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and is touched by atomics only.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps the first `words` words of `file`, which must be open for writing.
    pub fn map(file: &File, words: usize) -> Result<SharedWords> {
        Self::map_as(file, words, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Words without a name, all 0, that this process shares with the children it forks. A page
    /// takes memory only once it is written to.
    pub fn anonymous(words: usize) -> Result<SharedWords> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::map_descriptor(-1, words, libc::PROT_READ | libc::PROT_WRITE, flags)
    }

    /// Copies the words of an object that may be open for reading only, at most so many.
    pub fn copy(file: &File, most: usize) -> Result<Vec<u64>> {
        let bytes = file.metadata().map(|data| data.len() as usize).unwrap_or(0);
        let words = most.min(bytes / WORD_BYTES);
        if words == 0 {
            return Ok(Vec::new());
        }
        let mapped = Self::map_as(file, words, libc::PROT_READ)?;
        Ok(mapped.iter().map(|word| word.load(Ordering::Acquire)).collect())
    }

    fn map_as(file: &File, words: usize, protection: libc::c_int) -> Result<SharedWords> {
        Self::map_descriptor(file.as_raw_fd(), words, protection, libc::MAP_SHARED)
    }

    fn map_descriptor(
        descriptor: libc::c_int,
        words: usize,
        protection: libc::c_int,
        flags: libc::c_int,
    ) -> Result<SharedWords> {
        let length = words * WORD_BYTES;
        // SAFETY: the kernel chooses the place, so no mapping of ours is replaced; a descriptor
        // that is not open is an error of the call.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, descriptor, 0) };
        match NonNull::new(start.cast::<AtomicU64>()) {
            Some(mapped) if start != libc::MAP_FAILED => Ok(SharedWords { start: mapped, words }),
            _ => {
                let why = std::io::Error::last_os_error();
                Err(Error::temporary(format!("cannot map {length} bytes of shared memory: {why}")))
            }
        }
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has this length, lives until drop, starts at a page, and every
        // bit pattern is a valid AtomicU64; other processes touch it by atomics only.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made by `map_descriptor`; no reference outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.words * WORD_BYTES) };
    }
}
