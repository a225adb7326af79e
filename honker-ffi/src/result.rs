//! Results of jobs.

use honker_core::consume::ResultWait;

use crate::consumer::outcome;
use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
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

/// The result of a job, to be freed with `honker_text_free`; waits for it with `waiter`, at most for `timeout_ms` (-1:
/// without end; 0: not at all). A job that ends without a result never has one. Otherwise as for `honker_wait`:
/// HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_result_wait(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    job_id: i64,
    timeout_ms: i64,
    value_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_result_wait", err, value_out, |value| {
            let (database, waiter) = honker_waiter_t::take(db, waiter)?;
            let timeout = timeout(timeout_ms)?;
            let next = ResultWait::on(&database, waiter.subscription(), job_id).next(timeout);
            outcome(next, |saved| value.set(text::put(saved)))
        })
    }
}
