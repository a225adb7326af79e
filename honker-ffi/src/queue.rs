//! Queues: what becomes of the jobs in them.

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::status::{HONKER_EMPTY, HONKER_LOST, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_text_t, optional_text, slice, text};
use crate::tx::honker_tx_t;

/// A time or a duration that is not set.
pub const HONKER_NO_TIME: i64 = i64::MAX;

/// The job is done: removes it. HONKER_LOST, and nothing changed, if `worker_id` does not hold it any more.
///
/// # Safety
/// `worker_id` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_ack(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    worker_id: *const u8,
    worker_id_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_ack", err, (), |()| {
            let target = Target::new(db, tx)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            Ok(held(target.ack(id, worker_id)?))
        })
    }
}

/// The jobs are done: removes those that `worker_id` still holds, in one commit; how many that were.
///
/// # Safety
/// `ids` is valid for `ids_len` ids, `worker_id` for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_ack_batch(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    ids: *const i64,
    ids_len: usize,
    worker_id: *const u8,
    worker_id_len: usize,
    acked_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_ack_batch", err, acked_out, |acked| {
            let target = Target::new(db, tx)?;
            let ids = slice("ids", ids, ids_len)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            acked.set(target.ack_batch(ids, worker_id)?);
            Ok(HONKER_OK)
        })
    }
}

/// The job could not be done now: it becomes due again in `delay_s` seconds, which may be negative, or, if its attempts
/// are used up, ends among the dead with the text `error`. HONKER_LOST, and nothing changed, if `worker_id` does not
/// hold it any more.
///
/// # Safety
/// The texts are valid for their lengths, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_retry(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    worker_id: *const u8,
    worker_id_len: usize,
    delay_s: i64,
    error: *const u8,
    error_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_retry", err, (), |()| {
            let target = Target::new(db, tx)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            let error = text("error", error, error_len)?;
            Ok(held(target.retry(id, worker_id, delay_s, error)?))
        })
    }
}

/// The job goes back: it is due again in `delay_s` seconds, which may be 0 or negative, and this attempt does not count.
/// HONKER_LOST, and nothing changed, if `worker_id` does not hold it any more.
///
/// # Safety
/// `worker_id` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_release(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    worker_id: *const u8,
    worker_id_len: usize,
    delay_s: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_release", err, (), |()| {
            let target = Target::new(db, tx)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            Ok(held(target.release(id, worker_id, delay_s)?))
        })
    }
}

/// The job can never be done: it ends among the dead with the text `error`, whatever attempts it has left. HONKER_LOST,
/// and nothing changed, if `worker_id` does not hold it any more.
///
/// # Safety
/// The texts are valid for their lengths, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_fail(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    worker_id: *const u8,
    worker_id_len: usize,
    error: *const u8,
    error_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_fail", err, (), |()| {
            let target = Target::new(db, tx)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            let error = text("error", error, error_len)?;
            Ok(held(target.fail(id, worker_id, error)?))
        })
    }
}

/// The job takes longer: its claim is valid for `extend_s` seconds from now, whatever it was before. HONKER_LOST, and
/// nothing changed, if `worker_id` does not hold it any more.
///
/// # Safety
/// `worker_id` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_heartbeat(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    worker_id: *const u8,
    worker_id_len: usize,
    extend_s: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_heartbeat", err, (), |()| {
            let target = Target::new(db, tx)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            Ok(held(target.heartbeat(id, worker_id, extend_s)?))
        })
    }
}

/// Removes a job, pending or claimed; who holds it finds its claim lost. HONKER_EMPTY if there is no such job.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_cancel(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_cancel", err, (), |()| {
            let target = Target::new(db, tx)?;
            Ok(found(target.cancel(id)?))
        })
    }
}

/// Moves the expired jobs of a queue that nobody holds to the dead; how many that were. Claims pass them by without it.
/// Jobs that the file refuses to move (a user's trigger, a constraint) do not keep the others from it: the refusal is the
/// error once only such are left.
///
/// # Safety
/// `queue` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_sweep_expired(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    swept_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_sweep_expired", err, swept_out, |swept| {
            let target = Target::new(db, tx)?;
            let queue = text("queue", queue, queue_len)?;
            swept.set(target.sweep_expired(queue)?);
            Ok(HONKER_OK)
        })
    }
}

/// When, in Unix seconds, a claim on the queue could next succeed without a further commit: a delayed job becoming due,
/// or a claim lapsing. HONKER_EMPTY if there is nothing to wait for. Jobs that can be claimed now do not count.
///
/// # Safety
/// `queue` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_queue_next_claim_at(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    at_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_queue_next_claim_at", err, at_out, |at| {
            let target = Target::new(db, tx)?;
            let queue = text("queue", queue, queue_len)?;
            match target.queue_next_claim_at(queue)? {
                Some(next) => at.set(next),
                None => return Ok(HONKER_EMPTY),
            }
            Ok(HONKER_OK)
        })
    }
}

/// One job, pending or claimed, as a JSON object with the keys id, queue, payload (a string), state ("pending", also while it
/// waits for a slot of its concurrency key, or "processing"), priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, created_at and expires_at; null
/// for what is not set. The text is to be freed with `honker_text_free`. HONKER_EMPTY if there is no such job (any more).
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_get_job(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_get_job", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            match target.get_job(id)? {
                Some(job) => json.set(text::put_json(&job)?),
                None => return Ok(HONKER_EMPTY),
            }
            Ok(HONKER_OK)
        })
    }
}

/// How many jobs there are, as JSON: for one queue an object with the keys queue, pending (due), delayed, claimed,
/// expired and dead; for `queue` NULL an array of such objects, one for each queue that has a job. It reads them all:
/// for people, not for loops. The text is to be freed with `honker_text_free`.
///
/// # Safety
/// `queue` is NULL or valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_queue_stats(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_queue_stats", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            json.set(match optional_text("queue", queue, queue_len)? {
                Some(queue) => text::put_json(&target.queue_stats(queue)?)?,
                None => text::put_json(&target.queue_stats_all()?)?,
            });
            Ok(HONKER_OK)
        })
    }
}

/// What is known of each queue, as JSON: `{"queues": [{"queue", "counts", "wait", "run", "depth"}]}`, by name. `counts` are
/// those of enqueued, claimed, done, retried, released, dead and cancelled jobs; `wait` (from due to claimed) and `run` (from
/// claimed to settled) are histograms, an object of `sum_s` and `buckets` of `{"up_to_s", "count"}`, the last of which has
/// null; `depth` has due, delayed, processing, blocked, expired, dead and oldest_due_age_s. Everything is in seconds.
///
/// Processes count what their own calls have committed, and add it to the file with a commit of theirs every ten seconds, and
/// when they close it: counts only grow, and miss what a killed process had not added. Those of this database are told at once,
/// those of others are late by that. What SQL of anybody else's inserts or deletes is not counted. It reads the indexes of all
/// jobs: for people, and for programs that ask every few seconds. The text is to be freed with `honker_text_free`.
///
/// HONKER_BUSY if a commit that adds counts does not end for five seconds.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_metrics(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_metrics", err, json_out, |json| {
            json.set(text::put_json(&Target::new(db, tx)?.metrics()?)?);
            Ok(HONKER_OK)
        })
    }
}

/// A time that may be HONKER_NO_TIME.
pub(crate) fn time(time: i64) -> Option<i64> {
    (time != HONKER_NO_TIME).then_some(time)
}

/// What a call answers that only the holder of something can make.
pub(crate) fn held(held: bool) -> honker_status_t {
    if held { HONKER_OK } else { HONKER_LOST }
}

/// What a call answers that changes something that may not be there.
pub(crate) fn found(found: bool) -> honker_status_t {
    if found { HONKER_OK } else { HONKER_EMPTY }
}
