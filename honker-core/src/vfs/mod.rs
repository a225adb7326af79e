//! File access that survives another copy of SQLite in the same process.
//!
//! A process that uses honker often has a second SQLite in it, the one of the host's database driver. On POSIX systems
//! two copies destroy a file they share: locks belong to the process, so the copies never block each other, and closing
//! any descriptor of a file drops all locks the process has on it, whoever took them. [`install`] replaces six system
//! calls of our copy's unix VFS through `xSetSystemCall`, which exists for this, so that neither can happen. The other
//! copy needs no change and does not know. docs/decisions/0007-lock-safe-files.md has the measurements and the limits.
//!
//! # The scheme
//!
//! - **Locks are open-file-description locks** (`calls.rs`). They conflict with the POSIX locks of other processes, and
//!   with those of the other copy in this one. A `close` elsewhere in the process does not drop them.
//! - **One description per inode** (`inodes.rs`). Every descriptor SQLite has on one inode is a duplicate of one master,
//!   which is opened read-write if the permissions allow, also for a read-only connection.
//! - **No descriptor of such an inode is closed** while anybody might hold a lock on it. `close` puts it into a pool.
//! - **A forked child gives all of it up** (`fork.rs`): it would keep the parent's locks alive after the parent.
//!
//! # Why SQLite's own book-keeping stays right
//!
//! The unix VFS keeps a process-wide list of inodes with the locks the process has on each, because POSIX locks are the
//! process's. It relies on four properties of them; one shared description has the same ones:
//!
//! 1. *Any descriptor may change any lock.* A connection takes a lock through its descriptor, another one, the last to
//!    leave, drops it through its own. Locks of a description belong to all duplicates alike. With a second description
//!    the lock of the first would stay for ever.
//! 2. *Own locks never conflict; taking one again replaces it.* So upgrades and downgrades work.
//! 3. *`F_GETLK` does not see own locks*, only others': so it finds the other copy's, as it should.
//! 4. *Closing drops the locks.* SQLite counts on it for `-shm`, whose "dead man's switch" it never unlocks. When the
//!    last descriptor comes back to the pool we drop them; before that no lock is dropped, which SQLite takes pains to
//!    achieve anyway (it defers `close` while a lock is held).
//!
//! The file position is shared as well. SQLite must use `pread` and `pwrite`; `install` checks that it does.
//!
//! # Threads
//!
//! All state is behind one mutex, a leaf: nobody who holds it calls SQLite. It is held over system calls on regular
//! files, `open` among them, because a descriptor that a fork could catch between `open` and its entry here would
//! outlive the parent in the child. SQLite holds its own global mutex over the same calls.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod calls;
mod foreign;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod fork;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod inodes;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod system;

pub use self::foreign::{Ours, foreign_descriptor};

/// Makes file access lock-safe for all connections of this copy of SQLite, for as long as the process lives, and tells
/// whether it is. Any thread may call it, any number of times; the first call decides.
///
/// It has to come before the first connection is opened: locks that were taken before are the process's, and would
/// conflict with those taken afterwards.
///
/// It is active on 64-bit Linux, unless the kernel has no open-file-description locks, the VFS is not SQLite's own, or
/// the environment variable `HONKER_LOCK_SAFE_FILES` is `off`, which is there to find out whether it is to blame.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub fn install() -> bool {
    static ACTIVE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ACTIVE.get_or_init(|| {
        let off = std::env::var_os("HONKER_LOCK_SAFE_FILES").is_some_and(|setting| setting == "off");
        !off && system::has_description_locks() && calls::can_replace() && fork::arm() && calls::replace()
    })
}

/// Lock-safe file access exists for 64-bit Linux only: this does nothing and answers that it is not active.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub fn install() -> bool {
    false
}
