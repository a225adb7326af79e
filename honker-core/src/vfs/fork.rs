//! What a fork must not leave behind.
//!
//! A child inherits the open file descriptions, and with them the parent's locks: if the parent is killed while it holds
//! the write lock, everybody stays locked out for as long as the child lives. So the child closes every descriptor
//! before `fork` returns in it, and does not inherit the mappings in the first place ([`super::calls`]). It has no locks
//! of its own yet to lose.
//!
//! What the child inherits nevertheless is SQLite's memory. Connections in it are dead: they must be neither used nor
//! closed. New ones must work, though, and SQLite would find its old entry for the same inode, with locks the child does
//! not have and a `-shm` mapping that is not there. It looks inodes up by device and number, so in a child all devices
//! are marked with the number of forks since [`arm`]: no entry from before is ever found again.
//!
//! Threads: a fork must not catch another thread in the middle of a change. [`prepare`] therefore takes the registry's
//! mutex and SQLite's global ones, and both sides let them go. In the child nobody would be there to do so.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::ptr;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use rusqlite::ffi;

use super::inodes::{self, Inodes};

/// SQLite's global mutexes, in the order in which it takes them when it takes several.
const SQLITE_MUTEXES: [c_int; 7] = [
    ffi::SQLITE_MUTEX_STATIC_OPEN,
    ffi::SQLITE_MUTEX_STATIC_MAIN,
    ffi::SQLITE_MUTEX_STATIC_VFS1,
    ffi::SQLITE_MUTEX_STATIC_PRNG,
    ffi::SQLITE_MUTEX_STATIC_LRU,
    ffi::SQLITE_MUTEX_STATIC_PMEM,
    ffi::SQLITE_MUTEX_STATIC_MEM,
];

/// The same, once they are known. Null where SQLite runs without mutexes, which its functions accept.
static MUTEXES: [AtomicPtr<ffi::sqlite3_mutex>; SQLITE_MUTEXES.len()] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SQLITE_MUTEXES.len()];

/// How many forks lie between the process that called [`arm`] and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Above all bits that Linux uses in a device number.
const MARK_SHIFT: u32 = 44;

/// The registry's guard, from [`prepare`] to the end of the fork.
struct Held(UnsafeCell<Option<MutexGuard<'static, Inodes>>>);

// SAFETY: whoever touches the cell holds the registry's mutex: `prepare` has just taken it, and the other two run in the
// thread that did, or in its copy in the child, before it is let go.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

/// Makes every fork from now on go through this module; whether it does. To be called once.
pub(super) fn arm() -> bool {
    for (mutex, id) in MUTEXES.iter().zip(SQLITE_MUTEXES) {
        // SAFETY: SQLite is initialised, and these mutexes are static.
        mutex.store(unsafe { ffi::sqlite3_mutex_alloc(id) }, Ordering::Relaxed);
    }
    // SAFETY: the handlers live as long as the process; the library is never unloaded.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// Before the fork.
unsafe extern "C" fn prepare() {
    for mutex in &MUTEXES {
        // SAFETY: it is one of SQLite's static mutexes, or null.
        unsafe { ffi::sqlite3_mutex_enter(mutex.load(Ordering::Relaxed)) };
    }
    // The last, because `open` and `close` take it while SQLite holds one of its own.
    let guard = inodes::lock();
    // SAFETY: see `Held`.
    unsafe { *HELD.0.get() = Some(guard) };
}

/// After it, in the parent.
unsafe extern "C" fn parent() {
    // SAFETY: see `Held`.
    drop(unsafe { (*HELD.0.get()).take() });
    leave_sqlite();
}

/// After it, in the child.
unsafe extern "C" fn child() {
    // SAFETY: see `Held`.
    let mut guard = unsafe { (*HELD.0.get()).take() };
    if let Some(inodes) = guard.as_deref_mut() {
        inodes.abandon();
    }
    FORKS.fetch_add(1, Ordering::Relaxed);
    drop(guard);
    leave_sqlite();
}

fn leave_sqlite() {
    for mutex in MUTEXES.iter().rev() {
        // SAFETY: `prepare` has entered it, in this thread or in the one this is a copy of.
        unsafe { ffi::sqlite3_mutex_leave(mutex.load(Ordering::Relaxed)) };
    }
}

/// Makes what SQLite sees of a file differ from what it saw before the last fork.
pub(super) fn mark(stat: &mut libc::stat) {
    stat.st_dev ^= u64::from(FORKS.load(Ordering::Relaxed)) << MARK_SHIFT;
}
