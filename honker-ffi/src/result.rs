//! Results of jobs.

use honker_core::consume::ResultWait;

use crate::consumer::{Consumer, outcome};
use crate::db::honker_db_t;
use crate::entry::{entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{HONKER_EMPTY, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_text_t, text};
use crate::tx::honker_tx_t;
use crate::waiter::{honker_waiter_t, timeout};

/// Saves the result of a job, replacing an earlier one. It expires after `ttl_s` seconds, or never if that is 0 or less.
///
/// # Safety
/// `value` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_result_save(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    job_id: i64,
    value: *const u8,
    value_len: usize,
    ttl_s: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_result_save", err, (), |()| {
            let target = Target::new(db, tx)?;
            let value = text("value", value, value_len)?;
            target.result_save(job_id, value, ttl_s)?;
            Ok(HONKER_OK)
        })
    }
}

/// The result of a job, to be freed with `honker_text_free`. HONKER_EMPTY if there is none (yet, or any more).
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_result_get(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    job_id: i64,
    value_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_result_get", err, value_out, |value| {
            let target = Target::new(db, tx)?;
            match target.result_get(job_id)? {
                Some(saved) => value.set(text::put(saved)),
                None => return Ok(HONKER_EMPTY),
            }
            Ok(HONKER_OK)
        })
    }
}

/// Deletes expired results; how many that were.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_result_sweep(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    swept_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_result_sweep", err, swept_out, |swept| {
            let target = Target::new(db, tx)?;
            swept.set(target.result_sweep()?);
            Ok(HONKER_OK)
        })
    }
}

/// Waits for the result of one job. One thread uses it at a time.
pub struct honker_result_wait_t(Consumer<ResultWait>);

/// Makes something that waits for the result of a job with `waiter`, which names it by `token`. To be freed with
/// `honker_result_wait_free`.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_result_wait_new(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    token: u64,
    job_id: i64,
    wait_out: *mut *mut honker_result_wait_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_result_wait_new", err, wait_out, |wait| {
            let waiter = honker_waiter_t::of(db, waiter)?;
            let made = ResultWait::on(waiter.waiter(), token, job_id);
            wait.set(handle::put(honker_result_wait_t(Consumer::new(made, waiter))));
            Ok(HONKER_OK)
        })
    }
}

/// The result of the job, to be freed with `honker_text_free`; waits for it at most for `timeout_ms` (-1: without end; 0: not
/// at all). A job that ends without a result never has one. Otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or
/// HONKER_CLOSED.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_result_wait_next(
    wait: *mut honker_result_wait_t,
    timeout_ms: i64,
    value_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_result_wait_next", err, value_out, |value| {
            let timeout = timeout(timeout_ms)?;
            let next = handle::get(wait)?.0.with(|wait| Ok(wait.next(timeout)))?;
            outcome(next, |saved| value.set(text::put(saved)))
        })
    }
}

/// Frees it. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_result_wait_free(wait: *mut honker_result_wait_t) {
    entry_without_status("honker_result_wait_free", || drop(handle::take(wait)));
}
