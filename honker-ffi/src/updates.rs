//! Raw updates: that something was committed.

use honker_core::consume::Updates;

use crate::consumer::{Consumer, outcome};
use crate::db::honker_db_t;
use crate::entry::{entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{HONKER_OK, honker_status_t};
use crate::waiter::{honker_waiter_t, timeout};

/// Tells that something was committed to the file, by anyone. One thread uses it at a time.
pub struct honker_updates_t(Consumer<Updates>);

/// Makes something that tells of commits after this returned, and waits with `waiter`, which names it by `token`. To be
/// freed with `honker_updates_free`.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_updates_new(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    token: u64,
    updates_out: *mut *mut honker_updates_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_updates_new", err, updates_out, |updates| {
            let waiter = honker_waiter_t::of(db, waiter)?;
            let made = Updates::on(waiter.waiter(), token);
            updates.set(handle::put(honker_updates_t(Consumer::new(made, waiter))));
            Ok(HONKER_OK)
        })
    }
}

/// HONKER_OK if something was committed since the last time this answered so, or when it is, within `timeout_ms` (-1:
/// without end; 0: not at all). Several commits may be told as one, and there may be nothing new to see: it is a hint.
/// Otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_updates_next(
    updates: *mut honker_updates_t,
    timeout_ms: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_updates_next", err, (), |()| {
            let timeout = timeout(timeout_ms)?;
            outcome(handle::get(updates)?.0.with(|updates| Ok(updates.next(timeout)))?, drop)
        })
    }
}

/// Frees it. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_updates_free(updates: *mut honker_updates_t) {
    entry_without_status("honker_updates_free", || drop(handle::take(updates)));
}
