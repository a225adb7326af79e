//! Waiting for commits.

use std::sync::Arc;
use std::time::Duration;

use honker_core::Error;
use honker_core::consume::Waiter;
use honker_core::watch::Wake;

use crate::db::honker_db_t;
use crate::entry::{Array, Failure, Result, entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{
    HONKER_CLOSED, HONKER_INVALID, HONKER_OK, HONKER_TIMEOUT, HONKER_WATCHER, HONKER_WOKEN, honker_status_t,
};

/// A place at which any number of consumers wait for commits to a database, by anyone in any process, and for their
/// deadlines: a job that becomes due, a claim that lapses, a heartbeat, an offset to save, a fallback look. Each is made
/// with the waiter and a token of the caller's choice, by which `honker_waiter_ready` names it.
///
/// An event loop polls `honker_waiter_fd`, calls `honker_waiter_ready` when it is readable, and `next`, with a time of 0, of
/// the consumers that are named, until each has no more. It needs no clock of its own. Where there are no descriptors, one
/// thread waits in `honker_wait` instead. A thread that serves one consumer waits in its `next`.
///
/// A thread that is blocked in a wait watches the file itself, also for the others that wait. A thread of honker's watches
/// for all only if a file has several waiters in a process one of which has its descriptor taken (`honker_waiter_fd`).
///
/// One thread at a time is in `honker_wait` or `honker_waiter_ready`. Any thread may wake or free it meanwhile.
pub struct honker_waiter_t {
    db: Arc<honker_db_t>,
    waiter: Waiter,
}

impl honker_waiter_t {
    /// The waiter of a consumer that is to be made on `db`.
    pub(crate) fn of(db: *mut honker_db_t, waiter: *mut honker_waiter_t) -> Result<Arc<honker_waiter_t>> {
        let (db, waiter) = (handle::get(db)?, handle::get(waiter)?);
        if !Arc::ptr_eq(&waiter.db, &db) {
            return Err(Failure::new(HONKER_INVALID, "the waiter belongs to another database"));
        }
        Ok(waiter)
    }

    pub(crate) fn waiter(&self) -> &Waiter {
        &self.waiter
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
            let (made, warning) = Waiter::with_warning(&db.database)?;
            waiter.set(handle::put(honker_waiter_t { db, waiter: made }));
            if let Some(warning) = warning.filter(|_| !err.is_null()) {
                let warning = honker_error_t::from(Failure::new(HONKER_WATCHER, warning));
                err.write(handle::put(warning));
            }
            Ok(HONKER_OK)
        })
    }
}

/// Waits until a consumer that was made with the waiter has work, at most for `timeout_ms` (-1: without end; 0: not at
/// all); `honker_waiter_ready` says which. Without consumers it waits for a commit, which may be one that was made since the
/// last wait, and for which there may be nothing new to see: it is a hint. HONKER_OK then; HONKER_TIMEOUT when the time is
/// over, HONKER_WOKEN after `honker_waiter_wake`, HONKER_CLOSED, from then on always, when the waiter was freed or the
/// database closed. `honker_interrupt` ends it with HONKER_INTERRUPTED, and HONKER_WATCHER says, from then on always, that
/// the file was replaced by another.
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
            let waiter = handle::get(waiter)?.waiter.clone();
            closed_is_an_outcome(waiter.wait(timeout).map(|wake| match wake {
                Wake::Update => HONKER_OK,
                Wake::Timeout => HONKER_TIMEOUT,
                Wake::Woken => HONKER_WOKEN,
            }))
        })
    }
}

/// Names the consumers of the waiter that have work, by their tokens: as many as `tokens_len` holds; the others stay ready,
/// and the descriptor readable. Does not block, but for one read of the file for all consumers after a commit. `count_out`
/// of 0 is fine: what made the descriptor readable was for none of them.
///
/// A consumer is named once after it was made, and then when a commit is for it, or a deadline of its own has come. It is
/// not named again before its `next` has answered something else than HONKER_OK, or a worker's has given all the jobs that
/// were asked for (see `honker_worker_settle_next`); if that was an error, it is named half a second later. None is named after
/// its free returned.
///
/// HONKER_OK, or HONKER_WOKEN after `honker_waiter_wake`, both with the tokens. HONKER_CLOSED when the waiter was freed or the
/// database closed, HONKER_WATCHER when the file was replaced by another: from then on always, and the descriptor stays
/// readable. `tokens_out` may be NULL if `tokens_len` is 0.
///
/// # Safety
/// `tokens_out` is valid for writing `tokens_len` of them, `count_out` and `err` are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_waiter_ready(
    waiter: *mut honker_waiter_t,
    tokens_out: *mut u64,
    tokens_len: usize,
    count_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    let tokens = Array { data: tokens_out, len: tokens_len };
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_waiter_ready", err, (tokens, count_out), |(tokens, count)| {
            let waiter = handle::get(waiter)?.waiter.clone();
            // A caller with an enormous array has not an enormous number of consumers.
            let mut named = vec![0; tokens_len.min(waiter.consumers())];
            closed_is_an_outcome(waiter.ready(&mut named).map(|ready| {
                tokens.set(&named[..ready.count]);
                count.set(ready.count);
                if ready.woken { HONKER_WOKEN } else { HONKER_OK }
            }))
        })
    }
}

/// Ends the waits that are running with this waiter, `honker_wait` and the `next` of its consumers, or else the next one,
/// with HONKER_WOKEN. Any thread, but not a signal handler.
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
            handle::get(waiter)?.waiter.wake();
            Ok(HONKER_OK)
        })
    }
}

/// A descriptor for `poll`, `epoll`, `kqueue` and event loops: readable when `honker_waiter_ready` may have something to say,
/// for a commit, a wake, or the earliest deadline of the consumers. Level-triggered loops spin unless they call that;
/// edge-triggered ones sleep unless they call it until it names fewer than it has room for. It is the waiter's: not to be
/// read from, written to or closed, and gone with the waiter. HONKER_UNSUPPORTED on Windows.
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
                fd.set(i64::from(waiter.waiter.descriptor()?));
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
            waiter.waiter.close();
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
