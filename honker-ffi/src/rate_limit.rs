//! Rate limits.

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::status::{HONKER_LIMITED, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::text;
use crate::tx::honker_tx_t;

/// Counts one use of `name` if there were fewer than `limit` in the current window of `per_s` seconds; HONKER_LIMITED,
/// and nothing counted, otherwise. Windows are aligned to multiples of their length. Both numbers must be positive.
///
/// # Safety
/// `name` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_rate_limit_try(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    limit: i64,
    per_s: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_rate_limit_try", err, (), |()| {
            let target = Target::new(db, tx)?;
            let name = text("name", name, name_len)?;
            let counted = target.rate_limit_try(name, limit, per_s)?;
            Ok(if counted { HONKER_OK } else { HONKER_LIMITED })
        })
    }
}

/// Deletes the counts of windows that began more than `older_than_s` seconds ago; how many that were.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_rate_limit_sweep(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    older_than_s: i64,
    swept_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_rate_limit_sweep", err, swept_out, |swept| {
            let target = Target::new(db, tx)?;
            swept.set(target.rate_limit_sweep(older_than_s)?);
            Ok(HONKER_OK)
        })
    }
}
