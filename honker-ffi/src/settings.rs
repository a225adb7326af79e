//! What is set for a queue, for every process that has the file open.

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::status::{HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_text_t, text};
use crate::tx::honker_tx_t;

/// Sets what `settings_json` gives for a queue, a JSON object; null sets a key back to its default, and what is not given
/// stays as it is. It holds for every process from the commit on. The keys are paused (a boolean), concurrency (how many
/// claims may be valid at once), concurrency_per_key (how many of jobs with the same concurrency key), rate (an object of limit
/// and per_s: how many claims there may be in each window of so many seconds), max_attempts (of jobs whose enqueue does not
/// say), retry (an object of base_s, factor, max_s and jitter: when a job is tried again whose settlement does not say),
/// keep_done_s and keep_dead_s (for how many seconds done and dead jobs are kept).
///
/// HONKER_INVALID, and nothing set, if a key is unknown or a value is none that it may have. Older versions of the library do not
/// write to the file any more.
///
/// # Safety
/// The texts are valid for their lengths, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_queue_configure(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    settings_json: *const u8,
    settings_json_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_queue_configure", err, (), |()| {
            let target = Target::new(db, tx)?;
            let queue = text("queue", queue, queue_len)?;
            target.queue_configure(queue, text("settings_json", settings_json, settings_json_len)?)?;
            Ok(HONKER_OK)
        })
    }
}

/// What holds for a queue, whether or not there is one of that name: a JSON object with all keys of `honker_queue_configure`,
/// null for what has no default. The text is to be freed with `honker_text_free`.
///
/// # Safety
/// `queue` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_queue_settings(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_queue_settings", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            let settings = target.queue_settings(text("queue", queue, queue_len)?)?;
            json.set(text::put_json(&settings)?);
            Ok(HONKER_OK)
        })
    }
}

/// Every queue that has settings, or a job that is live, dead, or kept after it was done, by name: a JSON array of objects with
/// the key queue and those of `honker_queue_settings`. The text is to be freed with `honker_text_free`.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_queues(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_queues", err, json_out, |json| {
            json.set(text::put_json(&Target::new(db, tx)?.queues()?)?);
            Ok(HONKER_OK)
        })
    }
}
