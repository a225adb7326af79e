//! Waiting for commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use honker_core::Error;
use honker_core::database::Database;
use honker_core::watch::{Subscription, Wake, Waker};

use crate::db::honker_db_t;
use crate::entry::{Failure, Result, entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{
    HONKER_CLOSED, HONKER_INVALID, HONKER_MISUSE, HONKER_OK, HONKER_TIMEOUT, HONKER_WATCHER, HONKER_WOKEN,
    honker_status_t,
};

/// Waits for commits to a database, by anyone in any process. It has room for one wake: several that come before it is
/// looked at are one. One thread waits at a time, in `honker_wait` or in the `next` of the consumer that was made with the
/// waiter; there may be one such. Any thread may wake or free it meanwhile.
///
/// All waiters of a file in a process share one thread of honker's, which sleeps until the file is written to.
pub struct honker_waiter_t {
    pub(crate) db: Arc<honker_db_t>,
    subscription: Arc<Subscription>,
    waker: Waker,
    /// A consumer waits with it.
    taken: AtomicBool,
}

impl honker_waiter_t {
    /// Takes a waiter for a consumer, as long as what this returns lives: a wake is for one, and another one would take it
    /// away.
    pub(crate) fn take(db: *mut honker_db_t, waiter: *mut honker_waiter_t) -> Result<(Database, Taken)> {
        let (db, waiter) = (handle::get(db)?, handle::get(waiter)?);
        if !Arc::ptr_eq(&waiter.db, &db) {
            return Err(Failure::new(HONKER_MISUSE, "the waiter belongs to another database"));
        }
        Ok((db.database.clone(), Taken::new(waiter)?))
    }
}

/// A waiter that a consumer waits with.
pub(crate) struct Taken(Arc<honker_waiter_t>);

impl Taken {
    fn new(waiter: Arc<honker_waiter_t>) -> Result<Self> {
        if waiter.taken.swap(true, Ordering::AcqRel) {
            return Err(Failure::new(
                HONKER_MISUSE,
                "a consumer waits with this waiter already: make one waiter for each",
            ));
        }
        Ok(Taken(waiter))
    }

    pub(crate) fn subscription(&self) -> Arc<Subscription> {
        Arc::clone(&self.0.subscription)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Makes a waiter, to be freed with `honker_waiter_free`. Everything that is committed after this returned wakes it.
///
/// HONKER_WATCHER if the file has been replaced by another since the database was opened. The first waiter of a file may
/// have to wait until nobody keeps it locked, at most for 5 s: HONKER_BUSY then, HONKER_INTERRUPTED after
/// `honker_interrupt`, HONKER_CLOSED_HANDLE after `honker_close`.
///
/// If commits can be noticed, but in a worse way than was asked for (no events of the file system: polling), the call
/// succeeds and leaves an error of status HONKER_WATCHER in `err`, a warning, to be freed like any other. Each warning is
/// given once for a watcher; `honker_status` keeps them.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_waiter_new(
    db: *mut honker_db_t,
    waiter_out: *mut *mut honker_waiter_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_waiter_new", err, waiter_out, |waiter| {
            let db = handle::get(db)?;
            let (subscription, warning) = db.database.subscribe_with_warning()?;
            let subscription = Arc::new(subscription);
            let waker = subscription.waker();
            waiter.set(handle::put(honker_waiter_t {
                db,
                subscription,
                waker,
                taken: AtomicBool::new(false),
            }));
            if let Some(warning) = warning.filter(|_| !err.is_null()) {
                let warning = honker_error_t::from(Failure::new(HONKER_WATCHER, warning));
                err.write(handle::put(warning));
            }
            Ok(HONKER_OK)
        })
    }
}

/// Waits until something has been committed, at most for `timeout_ms` (-1: without end; 0: not at all). HONKER_OK after a
/// commit, which may be one that was made since the last wait, and for which there may be nothing new to see: it is a
/// hint. HONKER_TIMEOUT when the time is over, HONKER_WOKEN after `honker_waiter_wake`, HONKER_CLOSED, from then on
/// always, when the waiter was freed or the database closed. `honker_interrupt` ends it with HONKER_INTERRUPTED, and
/// HONKER_WATCHER says, from then on always, that the file was replaced by another.
///
/// With the waiter of a consumer this is how to wait for something else as well, a flag for instance: call the consumer's
/// `next` with a time of 0 afterwards, whatever the answer. It looks before it waits, and misses nothing.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_wait(
    waiter: *mut honker_waiter_t,
    timeout_ms: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_wait", err, (), |()| {
            let timeout = timeout(timeout_ms)?;
            // Not the handle's own object, which has to go when the waiter is freed.
            let subscription = Arc::clone(&handle::get(waiter)?.subscription);
            closed_is_an_outcome(subscription.wait(timeout).map(|wake| match wake {
                Wake::Update => HONKER_OK,
                Wake::Timeout => HONKER_TIMEOUT,
                Wake::Woken => HONKER_WOKEN,
            }))
        })
    }
}

/// Ends the wait that is running with this waiter, or else the next one, with HONKER_WOKEN. Any thread, but not a signal
/// handler.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_waiter_wake(
    waiter: *mut honker_waiter_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_waiter_wake", err, (), |()| {
            handle::get(waiter)?.waker.wake();
            Ok(HONKER_OK)
        })
    }
}

/// A descriptor for `poll`, `epoll`, `kqueue` and event loops: readable while `honker_wait` would return at once. It is
/// the waiter's: not to be read from, written to or closed, and gone with the waiter. HONKER_UNSUPPORTED on Windows.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_waiter_fd(
    waiter: *mut honker_waiter_t,
    fd_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_waiter_fd", err, fd_out, |fd| {
            let waiter = handle::get(waiter)?;
            #[cfg(unix)]
            {
                fd.set(i64::from(waiter.subscription.descriptor()?));
                Ok(HONKER_OK)
            }
            #[cfg(not(unix))]
            {
                let _ = (fd, waiter);
                Err(Failure::new(
                    crate::status::HONKER_UNSUPPORTED,
                    "there are no descriptors to wait for on this system",
                ))
            }
        })
    }
}

/// Frees a waiter. A wait that is running with it, and consumers made with it, end with HONKER_CLOSED. NULL is allowed,
/// and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_waiter_free(waiter: *mut honker_waiter_t) {
    entry_without_status("honker_waiter_free", || {
        if let Ok(waiter) = handle::take(waiter) {
            waiter.waker.close();
        }
    });
}

/// How long to wait; `None` is without end.
pub(crate) fn timeout(timeout_ms: i64) -> Result<Option<Duration>> {
    match u64::try_from(timeout_ms) {
        Ok(timeout_ms) => Ok(Some(Duration::from_millis(timeout_ms))),
        Err(_) if timeout_ms == -1 => Ok(None),
        Err(_) => {
            Err(Failure::new(HONKER_INVALID, format!("a time of {timeout_ms} ms cannot be waited for")))
        }
    }
}

/// What ends a wait for good is no error.
pub(crate) fn closed_is_an_outcome(outcome: honker_core::Result<honker_status_t>) -> Result<honker_status_t> {
    match outcome {
        Ok(status) => Ok(status),
        Err(Error::Closed) => Ok(HONKER_CLOSED),
        Err(error) => Err(error.into()),
    }
}
