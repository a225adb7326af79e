//! Noticing that this process is a forked child.
//!
//! A child inherits handles whose connections, threads and locks are its parent's. It must not touch them: every call
//! answers [`Error::Forked`], and dropping a handle leaves SQLite alone. A counter that the child's side of `fork` raises
//! costs a load to check, where asking for the process id is a system call.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between this process and the first of its ancestors that called this: 0, and one more in a child.
pub fn fork_count() -> u64 {
    watch_forks();
    GENERATION.load(Ordering::Relaxed)
}

/// Remembers the process that made it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(u64);

impl Process {
    pub(super) fn current() -> Self {
        Process(fork_count())
    }

    /// An error in a child of the process that made this.
    pub(super) fn check(self) -> Result<()> {
        if self.is_current() { Ok(()) } else { Err(Error::Forked) }
    }

    pub(super) fn is_current(self) -> bool {
        GENERATION.load(Ordering::Relaxed) == self.0
    }
}

#[cfg(unix)]
fn watch_forks() {
    static WATCHING: std::sync::Once = std::sync::Once::new();

    unsafe extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }

    // SAFETY: the handler only adds to an atomic, which is allowed after a fork. Its code stays mapped: the library is
    // never unloaded.
    WATCHING.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
}

#[cfg(not(unix))]
fn watch_forks() {}
