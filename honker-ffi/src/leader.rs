//! Running the scheduler.

use honker_core::consume::Leader;

use crate::consumer::{Consumer, outcome};
use crate::db::honker_db_t;
use crate::entry::{entry, entry_without_status};
use crate::error::honker_error_t;
use crate::fires::honker_fires_t;
use crate::handle;
use crate::status::{HONKER_OK, honker_status_t};
use crate::text::text;
use crate::waiter::{honker_waiter_t, timeout};

/// One of those who may fire the schedules of a file: one of them all leads, the others stand by. One thread uses it at a
/// time. A leader that dies is replaced within a minute, one that is freed at once.
pub struct honker_leader_t(Consumer<Leader>);

/// Makes a candidate called `owner`, a name that nobody else may have, which waits with `waiter`, and is named by
/// `token` there. To be freed with `honker_leader_free`.
///
/// # Safety
/// `owner` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_leader_new(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    token: u64,
    owner: *const u8,
    owner_len: usize,
    leader_out: *mut *mut honker_leader_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_leader_new", err, leader_out, |leader| {
            let waiter = honker_waiter_t::of(db, waiter)?;
            let owner = text("owner", owner, owner_len)?;
            let made = Leader::on(waiter.waiter(), token, owner);
            leader.set(handle::put(honker_leader_t(Consumer::new(made, waiter))));
            Ok(HONKER_OK)
        })
    }
}

/// Leads, or stands by, until something has been fired, at most for `timeout_ms` (-1: without end; 0: one turn). To be
/// called again and again: only in here is the leader's claim renewed, which has to happen every 20 seconds. HONKER_OK with
/// what was fired, to be freed with `honker_fires_free`; otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or
/// HONKER_CLOSED. On an error leadership is given up, and taken again by the next call if it can be.
///
/// A schedule that the file refuses to fire (a trigger of the user's raises, a constraint is violated) stays due and stops
/// no other: it is tried again twice a second, and the reason is in the `warnings` of `honker_status`.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_leader_next(
    leader: *mut honker_leader_t,
    timeout_ms: i64,
    fires_out: *mut *mut honker_fires_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_leader_next", err, fires_out, |fires| {
            let timeout = timeout(timeout_ms)?;
            let next = handle::get(leader)?.0.with(|leader| Ok(leader.next(timeout)))?;
            outcome(next, |fired| fires.set(handle::put(honker_fires_t::from(fired))))
        })
    }
}

/// Whether it leads, as far as it knows: 1 or 0.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_leader_leads(
    leader: *mut honker_leader_t,
    leads_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_leader_leads", err, leads_out, |leads| {
            leads.set(i64::from(handle::get(leader)?.0.with(|leader| Ok(leader.leads()))?));
            Ok(HONKER_OK)
        })
    }
}

/// Gives leadership up, so that somebody who stands by takes over at once.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_leader_resign(
    leader: *mut honker_leader_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_leader_resign", err, (), |()| {
            handle::get(leader)?.0.with(|leader| Ok(leader.resign()?))?;
            Ok(HONKER_OK)
        })
    }
}

/// Frees a candidate, giving leadership up; call `honker_leader_resign` before to know whether that worked. Waits for a lock
/// for 100 ms at most: it may be called by finalizers. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_leader_free(leader: *mut honker_leader_t) {
    entry_without_status("honker_leader_free", || drop(handle::take(leader)));
}
