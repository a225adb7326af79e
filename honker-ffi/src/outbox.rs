//! Outboxes.

use honker_core::consume::{Outbox, OutboxOptions};

use crate::consumer::{Consumer, outcome};
use crate::db::honker_db_t;
use crate::entry::{entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::jobs::honker_jobs_t;
use crate::queue::held;
use crate::status::{HONKER_OK, honker_status_t};
use crate::text::text;
use crate::view::{self, Sized32};
use crate::waiter::{honker_waiter_t, timeout};
use crate::worker::fallback;

/// A worker of an outbox, which is the queue "_outbox:" and its name: whatever is enqueued there is to be delivered, and tried
/// again with a growing distance if that fails. One thread uses it at a time.
pub struct honker_outbox_t(Consumer<Outbox>);

/// How an outbox delivers. Begin with HONKER_OUTBOX_OPTS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_outbox_opts_t {
    /// sizeof(honker_outbox_opts_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// How long a delivery may take, in seconds, before it goes to another worker. Default 60.
    pub visibility_timeout_s: i64,
    /// How long, in seconds, the first retry waits; each further one waits twice as long as the one before. Default 5; 0
    /// or less: no wait.
    pub base_backoff_s: i64,
    /// How often it looks without having been woken. Default 5000; -1: never.
    pub fallback_ms: i64,
}

// SAFETY: integers without padding, the size first.
unsafe impl Sized32 for honker_outbox_opts_t {}

const DEFAULTS: honker_outbox_opts_t = honker_outbox_opts_t {
    struct_size: size_of::<honker_outbox_opts_t>() as u32,
    reserved: 0,
    visibility_timeout_s: 60,
    base_backoff_s: 5,
    fallback_ms: 5_000,
};

/// Makes a worker of the outbox `name` that claims as `worker_id` and waits with `waiter`, which names it by `token`. `opts` may be NULL for the
/// defaults. To be freed with `honker_outbox_free`.
///
/// # Safety
/// The texts are valid for their lengths, `opts` is NULL or valid for as many bytes as it says, the outputs are NULL or
/// valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_outbox_new(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    token: u64,
    name: *const u8,
    name_len: usize,
    worker_id: *const u8,
    worker_id_len: usize,
    opts: *const honker_outbox_opts_t,
    outbox_out: *mut *mut honker_outbox_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_outbox_new", err, outbox_out, |outbox| {
            let waiter = honker_waiter_t::of(db, waiter)?;
            let name = text("name", name, name_len)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            let opts = view::read("opts", opts, DEFAULTS)?;
            let options = OutboxOptions {
                visibility_timeout_s: opts.visibility_timeout_s,
                base_backoff_s: opts.base_backoff_s,
                fallback: fallback(opts.fallback_ms)?,
            };
            let made = Outbox::on(waiter.waiter(), token, name, worker_id, options)?;
            outbox.set(handle::put(honker_outbox_t(Consumer::new(made, waiter))));
            Ok(HONKER_OK)
        })
    }
}

/// The next job to deliver, one; waits for it at most for `timeout_ms` (-1: without end; 0: not at all). HONKER_OK with the
/// job, to be freed with `honker_jobs_free`; otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_outbox_next(
    outbox: *mut honker_outbox_t,
    timeout_ms: i64,
    jobs_out: *mut *mut honker_jobs_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_outbox_next", err, jobs_out, |jobs| {
            let timeout = timeout(timeout_ms)?;
            let next = handle::get(outbox)?.0.with(|outbox| Ok(outbox.next(timeout)))?;
            outcome(next, |job| jobs.set(handle::put(honker_jobs_t::from(job))))
        })
    }
}

/// The job was delivered: removes it. HONKER_LOST if it was not this worker's any more.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_outbox_delivered(
    outbox: *mut honker_outbox_t,
    id: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_outbox_delivered", err, (), |()| {
            Ok(held(handle::get(outbox)?.0.with(|outbox| Ok(outbox.delivered(id)?))?))
        })
    }
}

/// The delivery failed for the `attempts`th time, as the job says: it is tried again later or, if its attempts are used
/// up, ends among the dead with the text `error`. HONKER_LOST if it was not this worker's any more.
///
/// # Safety
/// `error` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_outbox_failed(
    outbox: *mut honker_outbox_t,
    id: i64,
    attempts: i64,
    error: *const u8,
    error_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_outbox_failed", err, (), |()| {
            let error = text("error", error, error_len)?;
            Ok(held(handle::get(outbox)?.0.with(|outbox| Ok(outbox.failed(id, attempts, error)?))?))
        })
    }
}

/// Frees a worker of an outbox. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_outbox_free(outbox: *mut honker_outbox_t) {
    entry_without_status("honker_outbox_free", || drop(handle::take(outbox)));
}
