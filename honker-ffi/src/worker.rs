//! Workers.

use std::time::Duration;

use honker_core::Error;
use honker_core::consume::{Next, Settled, Worker, WorkerOptions};
use honker_core::queue::{ClaimedJob, Settlement};

use crate::consumer::{Consumer, outcome};
use crate::db::honker_db_t;
use crate::entry::{Failure, Result, entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::jobs::honker_jobs_t;
use crate::status::{HONKER_INVALID, HONKER_LOST, HONKER_OK, honker_status_t};
use crate::text::{honker_bytes_t, slice, text};
use crate::view::{self, Sized32};
use crate::waiter::{honker_waiter_t, timeout};

/// Claims jobs of one queue, or waits for them. One thread uses it at a time.
pub struct honker_worker_t(Consumer<Worked>);

/// A worker, and what its next call has to say first.
struct Worked {
    worker: Worker,
    /// Why a wait failed that came after settlements were committed: the call that made it had something else to say.
    failed_wait: Option<Error>,
}

impl Worked {
    fn settle_and_next(
        &mut self,
        settlements: &[Settlement],
        n: i64,
        timeout: Option<Duration>,
    ) -> honker_core::Result<Settled<Vec<ClaimedJob>>> {
        if let Some(error) = self.failed_wait.take() {
            return Err(error);
        }
        let mut settled = self.worker.settle_and_next(settlements, n, timeout)?;
        // An error would say that nothing has happened.
        if let Some(error) = settled.next.as_ref().err()
            && !settlements.is_empty()
            && *error != Error::Closed
        {
            self.failed_wait = Some(error.clone());
            settled.next = Ok(Next::Timeout);
        }
        Ok(settled)
    }
}

/// How a worker claims. Begin with HONKER_WORKER_OPTS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_worker_opts_t {
    /// sizeof(honker_worker_opts_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// For how many seconds a claim is the worker's. Default 300.
    pub visibility_timeout_s: i64,
    /// How often it looks without having been woken. Default 5000; -1: never.
    pub fallback_ms: i64,
}

// SAFETY: integers without padding, the size first.
unsafe impl Sized32 for honker_worker_opts_t {}

const DEFAULTS: honker_worker_opts_t = honker_worker_opts_t {
    struct_size: size_of::<honker_worker_opts_t>() as u32,
    reserved: 0,
    visibility_timeout_s: 300,
    fallback_ms: 5_000,
};

/// `kind`: the job is done.
pub const HONKER_SETTLE_ACK: u32 = 0;
/// `kind`: the job could not be done now; it becomes due again after `delay_s`.
pub const HONKER_SETTLE_RETRY: u32 = 1;
/// `kind`: the job can never be done.
pub const HONKER_SETTLE_FAIL: u32 = 2;

/// What becomes of a job that a worker holds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_settlement_t {
    /// One of HONKER_SETTLE_*.
    pub kind: u32,
    /// Written by the call: HONKER_OK, or HONKER_LOST if the worker did not hold the job any more.
    pub status: honker_status_t,
    /// The job.
    pub id: i64,
    /// In how many seconds it becomes due again, for a retry.
    pub delay_s: i64,
    /// Why, for a retry that turns out to have been the last, and for a failure.
    pub error: honker_bytes_t,
}

/// Makes a worker on a queue that claims as `worker_id` and waits with `waiter`. `opts` may be NULL for the defaults. To
/// be freed with `honker_worker_free`.
///
/// # Safety
/// The texts are valid for their lengths, `opts` is NULL or valid for as many bytes as it says, the outputs are NULL or
/// valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_worker_new(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    queue: *const u8,
    queue_len: usize,
    worker_id: *const u8,
    worker_id_len: usize,
    opts: *const honker_worker_opts_t,
    worker_out: *mut *mut honker_worker_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_worker_new", err, worker_out, |worker| {
            let (database, waiter) = honker_waiter_t::take(db, waiter)?;
            let queue = text("queue", queue, queue_len)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            let opts = view::read("opts", opts, DEFAULTS)?;
            let options = WorkerOptions {
                visibility_timeout_s: opts.visibility_timeout_s,
                fallback: fallback(opts.fallback_ms)?,
            };
            let made = Worker::on(&database, waiter.subscription(), queue, worker_id, options);
            let worked = Worked { worker: made, failed_wait: None };
            worker.set(handle::put(honker_worker_t(Consumer::new(worked, waiter))));
            Ok(HONKER_OK)
        })
    }
}

/// Claims up to `n` jobs, as `honker_claim` does; waits for at least one at most for `timeout_ms` (-1: without end; 0: not
/// at all). With an `n` of 0 or less it is no jobs, at once. HONKER_OK with the jobs, to be freed with `honker_jobs_free`;
/// otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_worker_next(
    worker: *mut honker_worker_t,
    n: i64,
    timeout_ms: i64,
    jobs_out: *mut *mut honker_jobs_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_worker_next", err, jobs_out, |jobs| {
            let timeout = timeout(timeout_ms)?;
            let settled =
                handle::get(worker)?.0.with(|worker| Ok(worker.settle_and_next(&[], n, timeout)?))?;
            outcome(settled.next, |claimed| jobs.set(handle::put(honker_jobs_t::from(claimed))))
        })
    }
}

/// Settles jobs that the worker holds and claims the next ones in one commit, then waits as `honker_worker_next` does if
/// there are none. Whatever it answers that is not an error, the settlements are committed, and each has its status; on
/// an error nothing has happened.
///
/// Should the wait fail after settlements were committed (interrupted, an unreadable file), it answers HONKER_TIMEOUT, as
/// if its time were over, and the next call with this worker answers the error of the wait, before it does anything.
///
/// # Safety
/// `settlements` is valid for reading and writing `settlements_len` of them and what they point to, the outputs are NULL
/// or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_worker_settle_next(
    worker: *mut honker_worker_t,
    settlements: *mut honker_settlement_t,
    settlements_len: usize,
    n: i64,
    timeout_ms: i64,
    jobs_out: *mut *mut honker_jobs_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_worker_settle_next", err, jobs_out, |jobs| {
            let timeout = timeout(timeout_ms)?;
            let given = slice("settlements", settlements.cast_const(), settlements_len)?;
            let wanted = given.iter().map(|given| settlement(given)).collect::<Result<Vec<_>>>()?;
            let settled =
                handle::get(worker)?.0.with(|worker| Ok(worker.settle_and_next(&wanted, n, timeout)?))?;
            for (index, held) in settled.held.iter().enumerate() {
                (*settlements.add(index)).status = if *held { HONKER_OK } else { HONKER_LOST };
            }
            outcome(settled.next, |claimed| jobs.set(handle::put(honker_jobs_t::from(claimed))))
        })
    }
}

/// # Safety
/// `given` is valid for what it points to.
unsafe fn settlement(given: &honker_settlement_t) -> Result<Settlement> {
    let id = given.id;
    // SAFETY: the caller vouches for it.
    let error = || unsafe { text("error", given.error.data, given.error.len) }.map(str::to_owned);
    Ok(match given.kind {
        HONKER_SETTLE_ACK => Settlement::Ack { id },
        HONKER_SETTLE_RETRY => Settlement::Retry { id, delay_s: given.delay_s, error: error()? },
        HONKER_SETTLE_FAIL => Settlement::Fail { id, error: error()? },
        other => {
            return Err(Failure::new(HONKER_INVALID, format!("settlements: there is no kind {other}")));
        }
    })
}

/// Frees a worker. The jobs it holds stay its own until their time is over. NULL is allowed, and freeing twice does no
/// harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_worker_free(worker: *mut honker_worker_t) {
    entry_without_status("honker_worker_free", || drop(handle::take(worker)));
}

/// A fallback interval, -1 for none.
pub(crate) fn fallback(fallback_ms: i64) -> Result<Option<Duration>> {
    if fallback_ms == 0 {
        return Err(Failure::new(HONKER_INVALID, "fallback_ms is 0: that would be a loop that never sleeps"));
    }
    timeout(fallback_ms)
}
