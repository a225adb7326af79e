//! Steps of jobs: what a handler has finished, so that a retry need not do it again.

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::status::{HONKER_EMPTY, HONKER_LOST, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_text_t, text};
use crate::tx::honker_tx_t;

/// What was saved for a step of a job, to be freed with `honker_text_free`. HONKER_EMPTY if nothing was, or the job is gone.
///
/// # Safety
/// `name` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_step_get(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    job_id: i64,
    name: *const u8,
    name_len: usize,
    value_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_step_get", err, value_out, |value| {
            let target = Target::new(db, tx)?;
            match target.step_get(job_id, text("name", name, name_len)?)? {
                Some(saved) => value.set(text::put(saved)),
                None => return Ok(HONKER_EMPTY),
            }
            Ok(HONKER_OK)
        })
    }
}

/// Saves what a step of a job has come to, a text, JSON by convention; in a transaction, together with what the step has
/// written there. A step is saved once: what is stored comes back, which is the first one if it was saved before, to be freed
/// with `honker_text_free`. HONKER_LOST, and nothing is saved, if `worker_id` has no valid claim on the job. Steps are kept for
/// as long as the job is live, dead, or kept as done.
///
/// # Safety
/// The texts are valid for their lengths, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_step_save(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    job_id: i64,
    worker_id: *const u8,
    worker_id_len: usize,
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
    value_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_step_save", err, value_out, |stored| {
            let target = Target::new(db, tx)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            let (name, value) = (text("name", name, name_len)?, text("value", value, value_len)?);
            match target.step_save(job_id, worker_id, name, value)? {
                Some(saved) => stored.set(text::put(saved)),
                None => return Ok(HONKER_LOST),
            }
            Ok(HONKER_OK)
        })
    }
}
