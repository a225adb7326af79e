//! Noticing that this process is a forked child.
//!
//! A child inherits handles whose connections, threads and locks are its parent's. It must not touch them: every call
//! answers [`Error::Forked`], and dropping a handle leaves SQLite alone. A counter that the child's side of `fork` raises
//! costs a load to check, where asking for the process id is a system call.

#[cfg(unix)]
use std::cell::UnsafeCell;
#[cfg(all(target_os = "linux", feature = "runtime"))]
use std::io;
#[cfg(all(target_os = "linux", feature = "runtime"))]
use std::mem::ManuallyDrop;
#[cfg(all(target_os = "linux", feature = "runtime"))]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
#[cfg(unix)]
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between this process and the first of its ancestors that called this: 0, and one more in a child.
pub fn count() -> u64 {
    watch_forks();
    COUNT.load(Ordering::Relaxed)
}

/// Remembers the process that made it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u64);

impl Process {
    pub(crate) fn current() -> Self {
        Process(count())
    }

    /// An error in a child of the process that made this.
    pub(crate) fn check(self) -> Result<()> {
        if self.is_current() { Ok(()) } else { Err(Error::Forked) }
    }

    pub(crate) fn is_current(self) -> bool {
        COUNT.load(Ordering::Relaxed) == self.0
    }
}

/// A value of which every process has its own: a child finds a fresh one, also if a thread of its parent, which it does
/// not have, was changing the parent's. The parent's stays in its memory, untouched.
#[derive(Debug)]
pub struct PerProcess<T>(AtomicPtr<(u64, T)>);

impl<T: Default> PerProcess<T> {
    /// For a `static`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        PerProcess(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The value of this process.
    pub fn get(&'static self) -> &'static T {
        loop {
            let found = self.0.load(Ordering::Acquire);
            let process = count();
            // SAFETY: it is NULL or comes from `Box::into_raw` below, and none that was shown to anybody is ever freed.
            match unsafe { found.as_ref() } {
                Some((owner, value)) if *owner == process => return value,
                _ => {}
            }
            let fresh = Box::into_raw(Box::new((process, T::default())));
            if self.0.compare_exchange(found, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: another thread was faster; nobody has seen this one.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}

/// Runs `body` so that no fork catches it in the middle: what it locks, in code that is not ours, is free in a child.
/// It must not fork, and not come back here.
pub(crate) fn undisturbed<T>(body: impl FnOnce() -> T) -> T {
    watch_forks();
    let _held = lock();
    body()
}

/// Held by whoever must not be disturbed; the descriptors of [`Private`]s that are open.
static UNDISTURBED: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// A descriptor that a child does not inherit: the kernel would keep for the child what it frees when its owner ends. It is
/// closed before `fork` returns there.
#[cfg(all(target_os = "linux", feature = "runtime"))]
#[derive(Debug)]
pub(crate) struct Private {
    descriptor: ManuallyDrop<OwnedFd>,
    process: Process,
}

#[cfg(all(target_os = "linux", feature = "runtime"))]
impl Private {
    /// What `open` opens. A fork waits for that.
    pub(crate) fn open(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        let process = Process::current();
        let mut private = lock();
        let descriptor = ManuallyDrop::new(open()?);
        private.push(descriptor.as_raw_fd());
        Ok(Private { descriptor, process })
    }
}

#[cfg(all(target_os = "linux", feature = "runtime"))]
impl AsFd for Private {
    /// Not to be used in a child.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(all(target_os = "linux", feature = "runtime"))]
impl Drop for Private {
    fn drop(&mut self) {
        // In a child it is closed, and its number may be another's.
        if !self.process.is_current() {
            return;
        }
        let number = self.descriptor.as_raw_fd();
        let mut private = lock();
        private.retain(|other| *other != number);
        // SAFETY: this is the end of it.
        unsafe { ManuallyDrop::drop(&mut self.descriptor) };
    }
}

fn lock() -> MutexGuard<'static, Vec<i32>> {
    UNDISTURBED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn watch_forks() {
    static WATCHING: Once = Once::new();

    // SAFETY: the handlers take a lock, let it go, and add to an atomic. Their code stays mapped: the library is never
    // unloaded.
    WATCHING.call_once(|| unsafe {
        libc::pthread_atfork(Some(before), Some(after), Some(after_in_child));
    });
}

/// The guard of [`UNDISTURBED`] while a fork is under way.
#[cfg(unix)]
struct Held(UnsafeCell<Option<MutexGuard<'static, Vec<i32>>>>);

// SAFETY: whoever touches the cell holds the lock: `before` has just taken it, and the others run in the thread that did,
// or in its copy in the child, before it is let go.
#[cfg(unix)]
unsafe impl Sync for Held {}

#[cfg(unix)]
static HELD: Held = Held(UnsafeCell::new(None));

#[cfg(unix)]
unsafe extern "C" fn before() {
    let guard = lock();
    // SAFETY: see `Held`.
    unsafe { *HELD.0.get() = Some(guard) };
}

#[cfg(unix)]
unsafe extern "C" fn after() {
    // SAFETY: see `Held`.
    drop(unsafe { (*HELD.0.get()).take() });
}

#[cfg(unix)]
unsafe extern "C" fn after_in_child() {
    COUNT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: see `Held`.
    if let Some(private) = unsafe { &mut *HELD.0.get() } {
        // SAFETY: the parent has them open, and so has this process; nobody here uses them.
        private.drain(..).for_each(|descriptor| unsafe {
            libc::close(descriptor);
        });
    }
    // SAFETY: as `before`.
    unsafe { after() };
}

#[cfg(not(unix))]
fn watch_forks() {}
