//! Batches: jobs that are waited for together.

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::queue::found;
use crate::status::{HONKER_EMPTY, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_text_t, text};
use crate::tx::honker_tx_t;

/// Creates a batch, to which jobs are added by the option `batch_id` of an enqueue; its id. `options` is a JSON object, whose
/// keys are all optional: `on_finished` and `on_success` say what is enqueued when the last job has ended, and when all are
/// done, each an object with `queue`, `payload` (texts) and `options`, an object with the options of an enqueue, whose
/// metadata are given a key `batch_id`; `keep_s` says for how many seconds the batch can be looked at after that (a day, if it
/// is not there). What cannot be is HONKER_INVALID.
///
/// # Safety
/// `options` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_batch_create(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    options: *const u8,
    options_len: usize,
    id_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_batch_create", err, id_out, |id| {
            let target = Target::new(db, tx)?;
            id.set(target.batch_create(text("options", options, options_len)?)?);
            Ok(HONKER_OK)
        })
    }
}

/// Seals a batch: from now on only its running members may add jobs to it, and with the last of its jobs it is finished; at
/// once if none is pending. HONKER_EMPTY if it was sealed before. HONKER_INVALID if there is none of this id.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_batch_seal(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_batch_seal", err, (), |()| {
            let target = Target::new(db, tx)?;
            Ok(found(target.batch_seal(id)?))
        })
    }
}

/// What is known of a batch, to be freed with `honker_text_free`: a JSON object with the keys total, pending, done, dead and
/// cancelled (how many jobs), sealed (true or false) and finished_at (null until then). HONKER_EMPTY if there is none of this
/// id, or no longer.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_batch_get(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_batch_get", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            let Some(batch) = target.batch_get(id)? else { return Ok(HONKER_EMPTY) };
            json.set(text::put_json(&batch)?);
            Ok(HONKER_OK)
        })
    }
}
