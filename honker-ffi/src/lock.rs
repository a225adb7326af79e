//! Named locks.

use crate::db::honker_db_t;
use crate::entry::entry;
use crate::error::honker_error_t;
use crate::queue::held;
use crate::status::{HONKER_HELD, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::text;
use crate::tx::honker_tx_t;

/// Takes a lock for `owner`, for `ttl_s` seconds, if it is free or the time of who had it is over. HONKER_OK if `owner`
/// has it now; having had it before does not prolong it. HONKER_HELD if somebody else has it.
///
/// # Safety
/// The texts are valid for their lengths, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_lock_acquire(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    owner: *const u8,
    owner_len: usize,
    ttl_s: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_lock_acquire", err, (), |()| {
            let target = Target::new(db, tx)?;
            let (name, owner) = (text("name", name, name_len)?, text("owner", owner, owner_len)?);
            let acquired = target.lock_acquire(name, owner, ttl_s)?;
            Ok(if acquired { HONKER_OK } else { HONKER_HELD })
        })
    }
}

/// Prolongs a lock to `ttl_s` seconds from now. HONKER_LOST if `owner` does not have it any more; one that ran out is
/// its owner's still, as long as nobody took it. `ttl_s` must be positive.
///
/// # Safety
/// The texts are valid for their lengths, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_lock_renew(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    owner: *const u8,
    owner_len: usize,
    ttl_s: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_lock_renew", err, (), |()| {
            let target = Target::new(db, tx)?;
            let (name, owner) = (text("name", name, name_len)?, text("owner", owner, owner_len)?);
            Ok(held(target.lock_renew(name, owner, ttl_s)?))
        })
    }
}

/// Gives a lock up. HONKER_LOST if `owner` does not have it (any more).
///
/// # Safety
/// The texts are valid for their lengths, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_lock_release(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    owner: *const u8,
    owner_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_lock_release", err, (), |()| {
            let target = Target::new(db, tx)?;
            let (name, owner) = (text("name", name, name_len)?, text("owner", owner, owner_len)?);
            Ok(held(target.lock_release(name, owner)?))
        })
    }
}
