//! The dead: jobs that ended without an ack.

use honker_core::queue::Requeued;

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::status::{HONKER_EMPTY, HONKER_EXISTS, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_text_t, optional_text};
use crate::tx::honker_tx_t;

/// The dead of a queue, or of all queues if `queue` is NULL, newest job first, at most `limit` unless that is negative:
/// a JSON array of objects with the keys id, queue, payload (a string), priority, run_at, attempts, max_attempts,
/// last_error, created_at and died_at. The text is to be freed with `honker_text_free`.
///
/// # Safety
/// `queue` is NULL or valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_dead_list(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    limit: i64,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_dead_list", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            let queue = optional_text("queue", queue, queue_len)?;
            json.set(text::put_json(&target.dead_list(queue, limit)?)?);
            Ok(HONKER_OK)
        })
    }
}

/// Makes a dead job live again: pending, due now, with its id, priority, max_attempts, options and steps, no attempts used and no
/// expiry. HONKER_EMPTY if there is no such dead job; HONKER_EXISTS if it stays dead because another job has its unique key.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_dead_requeue(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    id: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_dead_requeue", err, (), |()| {
            let target = Target::new(db, tx)?;
            Ok(match target.dead_requeue(id)? {
                Requeued::Requeued => HONKER_OK,
                Requeued::NotFound => HONKER_EMPTY,
                Requeued::KeyTaken => HONKER_EXISTS,
            })
        })
    }
}

/// Deletes the dead of a queue, or of all queues if `queue` is NULL, that died more than `older_than_s` seconds ago; how
/// many that were.
///
/// # Safety
/// `queue` is NULL or valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_dead_purge(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    older_than_s: i64,
    purged_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_dead_purge", err, purged_out, |purged| {
            let target = Target::new(db, tx)?;
            let queue = optional_text("queue", queue, queue_len)?;
            purged.set(target.dead_purge(queue, older_than_s)?);
            Ok(HONKER_OK)
        })
    }
}

/// The dead of a queue, or of all queues if `queue` is NULL, by what they died of, the largest group first, at most 1,000: a
/// JSON array of objects with the keys error (a text in which # stands for a number or an id, or null), count, and newest, the
/// one that died last, as `honker_dead_list` has it. It reads all of the dead. The text is to be freed with `honker_text_free`.
///
/// # Safety
/// `queue` is NULL or valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_dead_groups(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_dead_groups", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            let queue = optional_text("queue", queue, queue_len)?;
            json.set(text::put_json(&target.dead_groups(queue)?)?);
            Ok(HONKER_OK)
        })
    }
}
