//! Jobs looked at and acted on many at a time.

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::status::{HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_text_t, text};
use crate::tx::honker_tx_t;

/// Live, dead and done jobs that a filter finds, a page of them, by id: a JSON object with the keys jobs, an array, and cursor,
/// the key `cursor` of the filter of the next page, or null. The text is to be freed with `honker_text_free`.
///
/// `filter` is a JSON object of conditions that all have to be fulfilled: queue, state (one or an array of due, delayed,
/// processing, blocked, dead and done), min_id, max_id, worker_id, unique_key, concurrency_key, batch_id, metadata (an object of
/// texts, all of which the job has), error (a part of its text), created_from, created_to, ended_from, ended_to (inclusive); and
/// of order (newest, the default, or oldest), limit (1 to 1,000; default 100) and cursor. Each job has the keys id, queue, payload
/// (a string), state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, created_at, expires_at, last_error,
/// died_at, finished_at, result, metadata, unique_key, concurrency_key, batch_id and max_run_s; what it does not have is null.
///
/// At most 10,000 jobs are looked at: a page may be short, or empty, and have a cursor all the same. One without is the last.
///
/// # Safety
/// `filter` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_job_list(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    filter: *const u8,
    filter_len: usize,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_job_list", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            json.set(text::put_json(&target.jobs_list(text("filter", filter, filter_len)?)?)?);
            Ok(HONKER_OK)
        })
    }
}

/// Does an action to the jobs that a filter finds (`honker_job_list`), a page of them, in one transaction: a JSON object with the
/// keys changed, conflicts (how many were passed over because another job has their unique key, or because the file refuses the
/// change), left (how many are left; null where that would have to be counted) and cursor (as there). The text is to be freed
/// with `honker_text_free`.
///
/// `action` is retry (dead jobs: pending again, with all attempts), run_now (delayed ones), cancel (live ones), delete (any), or
/// a JSON object: {"move": queue} (jobs that wait, and dead ones) or {"priority": number} (live ones). Jobs of other kinds are
/// left alone. The jobs are chosen without the write lock, and looked at again under it.
///
/// # Safety
/// The texts are valid for their lengths, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_job_apply(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    filter: *const u8,
    filter_len: usize,
    action: *const u8,
    action_len: usize,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_job_apply", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            let (filter, action) = (text("filter", filter, filter_len)?, text("action", action, action_len)?);
            json.set(text::put_json(&target.jobs_apply(filter, action)?)?);
            Ok(HONKER_OK)
        })
    }
}
