//! Notifications.

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::queue::time;
use crate::status::{HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::text;
use crate::tx::honker_tx_t;

/// Adds a notification for the listeners of a channel; its id. They see it when it is committed.
///
/// # Safety
/// The texts are valid for their lengths, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_notify(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    channel: *const u8,
    channel_len: usize,
    payload: *const u8,
    payload_len: usize,
    id_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_notify", err, id_out, |id| {
            let target = Target::new(db, tx)?;
            let (channel, payload) =
                (text("channel", channel, channel_len)?, text("payload", payload, payload_len)?);
            id.set(target.notify(channel, payload)?);
            Ok(HONKER_OK)
        })
    }
}

/// Deletes the notifications that are older than `older_than_s` seconds, and those that are not among the `max_keep`
/// newest; how many that were. HONKER_NO_TIME for either leaves that criterion out. A negative `max_keep` is
/// HONKER_INVALID.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_notifications_prune(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    older_than_s: i64,
    max_keep: i64,
    pruned_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_notifications_prune", err, pruned_out, |pruned| {
            let target = Target::new(db, tx)?;
            let (older_than_s, max_keep) = (time(older_than_s), time(max_keep));
            pruned.set(target.notifications_prune(older_than_s, max_keep)?);
            Ok(HONKER_OK)
        })
    }
}

/// Sets for how many seconds notifications are kept: `options_json` is a JSON object with the key keep_s; null, the default: until
/// somebody prunes them. Whatever works a queue or leads schedules removes the others within a minute.
///
/// # Safety
/// `options_json` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_notifications_configure(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    options_json: *const u8,
    options_json_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_notifications_configure", err, (), |()| {
            let target = Target::new(db, tx)?;
            target.notifications_configure(text("options_json", options_json, options_json_len)?)?;
            Ok(HONKER_OK)
        })
    }
}
