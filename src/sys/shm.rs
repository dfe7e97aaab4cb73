//! Shared memory as words: a POSIX shared memory object that derefs to `&[AtomicU64]`.
//!
//! Words are all of its interface, so whoever shares memory needs no `unsafe`, no `repr(C)`
//! and no lock. An object is locked (flock(2)) by the process that made it for as long as that
//! process lives; what is not locked was left by a crash.

use super::cvt;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

const WORD_BYTES: usize = size_of::<AtomicU64>();

/// Words that several processes map.
pub struct SharedWords {
    words: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the memory is only reached through atomics, and stays mapped until drop.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

/// The lock on an object; dropping it (or dying) gives it up.
pub struct Lock {
    _file: File,
}

/// Why an object cannot be ours.
#[derive(Debug)]
pub enum CreateError {
    /// A living process holds it.
    InUse,
    Io(io::Error),
}

impl From<io::Error> for CreateError {
    fn from(why: io::Error) -> CreateError {
        CreateError::Io(why)
    }
}

impl SharedWords {
    /// Makes the object anew with `count` zeroed words, readable for its owner only, and locks
    /// it. One that is left from a crash is unlinked first: a straggler of that crash writes
    /// into its orphan.
    pub fn create(name: &str, count: usize) -> Result<(SharedWords, Lock), CreateError> {
        loop {
            if let Some(stale) = open(name, libc::O_RDWR)? {
                if !try_lock(&stale)? {
                    return Err(CreateError::InUse);
                }
                if is_at(name, &stale)? {
                    unlink(name)?;
                }
            }
            let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
            let Some(file) = open(name, flags)? else { continue };
            // Somebody who started at the same time may have locked or unlinked it already.
            if !try_lock(&file)? {
                return Err(CreateError::InUse);
            }
            if !is_at(name, &file)? {
                continue;
            }
            allocate(&file, count).inspect_err(|_| drop(unlink(name)))?;
            let words = map(&file, count, libc::PROT_READ | libc::PROT_WRITE)?;
            return Ok((words, Lock { _file: file }));
        }
    }

    /// Maps an existing object for reading: storing into it would be SIGSEGV, so only load.
    /// `None` when there is none.
    pub fn open_readonly(name: &str) -> io::Result<Option<SharedWords>> {
        let Some(file) = open(name, libc::O_RDONLY)? else { return Ok(None) };
        let count = file.metadata()?.size() as usize / WORD_BYTES;
        if count == 0 {
            return Err(io::Error::other("it is empty"));
        }
        map(&file, count, libc::PROT_READ).map(Some)
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: mapped with this length until drop, page-aligned, and every bit pattern is a
        // valid AtomicU64.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let bytes = self.count * WORD_BYTES;
        // SAFETY: exactly the range that `map` mapped; nobody can hold a borrow of it here.
        unsafe { libc::munmap(self.words.as_ptr().cast(), bytes) };
    }
}

/// Removes an object's name; its memory lives as long as somebody maps it.
pub fn unlink(name: &str) -> io::Result<()> {
    let name = c_name(name)?;
    // SAFETY: a terminated string that lives over the call.
    match cvt(unsafe { libc::shm_unlink(name.as_ptr()) }) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map(|_| ()),
    }
}

fn c_name(name: &str) -> io::Result<CString> {
    CString::new(format!("/{name}")).map_err(io::Error::other)
}

/// `None` when it does not exist (or, with O_EXCL, when it does).
fn open(name: &str, flags: libc::c_int) -> io::Result<Option<File>> {
    let name = c_name(name)?;
    // SAFETY: a terminated string that lives over the call.
    match cvt(unsafe { libc::shm_open(name.as_ptr(), flags, 0o600) }) {
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        Ok(fd) => Ok(Some(unsafe { File::from_raw_fd(fd) })),
        Err(why) => match why.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists => Ok(None),
            _ => Err(why),
        },
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: flock(2) takes a live descriptor and touches no memory.
    match cvt(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(true),
        Err(why) if why.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(why) => Err(why),
    }
}

/// The name still leads to this object.
fn is_at(name: &str, file: &File) -> io::Result<bool> {
    let Some(there) = open(name, libc::O_RDONLY)? else { return Ok(false) };
    let (there, here) = (there.metadata()?, file.metadata()?);
    Ok(there.dev() == here.dev() && there.ino() == here.ino())
}

/// Takes the memory now: with ftruncate(2) alone a full /dev/shm would be SIGBUS later.
fn allocate(file: &File, count: usize) -> io::Result<()> {
    let bytes = (count * WORD_BYTES) as libc::off_t;
    // SAFETY: posix_fallocate takes a live descriptor and integers; it returns the error.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn map(file: &File, count: usize, protection: libc::c_int) -> io::Result<SharedWords> {
    let bytes = count * WORD_BYTES;
    // SAFETY: a fresh shared mapping of a live descriptor at an address of the kernel's choice.
    let at = unsafe {
        libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let words = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
    Ok(SharedWords { words, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn words_are_shared_locked_and_made_anew() {
        let name = format!("spanbufd-test-{}", std::process::id());
        let (words, lock) = SharedWords::create(&name, 1000).expect("created");
        words[999].store(42, Ordering::SeqCst);
        let seen = SharedWords::open_readonly(&name).expect("opened").expect("is there");
        assert_eq!(seen[999].load(Ordering::SeqCst), 42);
        assert!(matches!(SharedWords::create(&name, 1), Err(CreateError::InUse)));
        drop(lock);
        let (fresh, _lock) = SharedWords::create(&name, 1000).expect("made anew");
        assert_eq!(fresh[999].load(Ordering::SeqCst), 0);
        words[999].store(43, Ordering::SeqCst);
        assert_eq!(fresh[999].load(Ordering::SeqCst), 0, "a straggler writes into its orphan");
        unlink(&name).expect("unlinked");
        assert!(SharedWords::open_readonly(&name).expect("asked").is_none());
    }
}
