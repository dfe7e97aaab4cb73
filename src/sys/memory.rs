//! The allocator of a worker: what is freed is used again, and what is not needed goes back.

/// Arenas that threads share: each keeps free memory of its own, and librdkafka has a thread for
/// every broker.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// Larger blocks are mapped and unmapped one by one, which costs a page fault a page each time:
/// fetch buffers of a MiB are not to be among them.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: libc::c_int = 32 << 20;

/// Free memory at the top that is kept.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: libc::c_int = 8 << 20;

/// Tells glibc how to hold memory; another C library does as it likes.
pub fn tune_allocator() {
    #[cfg(target_env = "gnu")]
    for (what, value) in [
        (libc::M_ARENA_MAX, ARENAS),
        (libc::M_MMAP_THRESHOLD, MAPPED_BYTES),
        (libc::M_TRIM_THRESHOLD, KEPT_BYTES),
    ] {
        // SAFETY: mallopt(3) takes plain numbers; the process has one thread now (P1). A refusal
        // leaves the default, which is sound as well.
        unsafe { libc::mallopt(what, value) };
    }
}
