//! Workers.

use std::time::Duration;

use honker_core::consume::{Backoff, Settlement, Verdict, Worker, WorkerOptions, WorkerQueue};

use crate::consumer::{Consumer, outcome};
use crate::db::honker_db_t;
use crate::entry::{Cell, Failure, Outputs, Result, entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::jobs::honker_jobs_t;
use crate::queue::{HONKER_NO_TIME, held, time};
use crate::status::{HONKER_INVALID, HONKER_LOST, HONKER_OK, HONKER_PANIC, honker_status_t};
use crate::text::{honker_bytes_t, slice, text};
use crate::view::{self, Sized32};
use crate::waiter::{honker_waiter_t, timeout};

/// Claims jobs of its queues, or waits for them, and keeps those that it has in hand until they are settled: it prolongs
/// their claims by itself, and tells which of them it has lost. One thread uses it at a time; it holds any number of jobs.
pub struct honker_worker_t(Consumer<Worker>);

/// A queue that a worker claims from. Begin with HONKER_WORKER_QUEUE_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_worker_queue_t {
    /// sizeof(honker_worker_queue_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Its name.
    pub name: honker_bytes_t,
    /// How often it is asked first, compared with the others; places that it cannot fill go to the others. Default 1. If all
    /// weights are 0 the queues are asked in the order given; one with weight 0 beside others comes after them.
    pub weight: i64,
    /// How many of its jobs may be in hand at most. Default -1: as many as the worker takes.
    pub in_hand_max: i64,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_worker_queue_t {}

const QUEUE_DEFAULTS: honker_worker_queue_t = honker_worker_queue_t {
    struct_size: size_of::<honker_worker_queue_t>() as u32,
    reserved: 0,
    name: honker_bytes_t::NONE,
    weight: 1,
    in_hand_max: -1,
};

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
    /// For how many seconds a job may run before it is retried and told as lost. Default HONKER_NO_TIME: without end.
    pub max_run_s: i64,
    /// A job that has failed for the nth time is due again after `retry_base_s` times `retry_factor` to the power of n - 1,
    /// at most `retry_max_s`, in seconds. Default 15.
    pub retry_base_s: i64,
    /// Default 3600.
    pub retry_max_s: i64,
    /// Default 2; at least 1.
    pub retry_factor: f64,
    /// The delay is multiplied by a random number in 1 ± `retry_jitter`. Default 0.1; from 0 to 1.
    pub retry_jitter: f64,
    /// 1 (the default): claims in hand are prolonged by the worker, at a third of the visibility timeout. 0: they are not.
    pub heartbeat: u32,
    /// 1 (the default): the jobs in hand are given back as soon as this process is dead, their attempt counted, and not only when
    /// the claims lapse. The worker claims as `<worker_id>@<instance>` then, which is what its jobs show. 0: it claims as
    /// `worker_id`, and the visibility timeout holds; so it does where no file `<database>-honker` can be made, and on other
    /// systems than Linux.
    pub rescue: u32,
}

// SAFETY: integers and floating-point numbers without padding, the size first.
unsafe impl Sized32 for honker_worker_opts_t {}

const DEFAULTS: honker_worker_opts_t = honker_worker_opts_t {
    struct_size: size_of::<honker_worker_opts_t>() as u32,
    reserved: 0,
    visibility_timeout_s: 300,
    fallback_ms: 5_000,
    max_run_s: HONKER_NO_TIME,
    retry_base_s: 15,
    retry_max_s: 3_600,
    retry_factor: 2.0,
    retry_jitter: 0.1,
    heartbeat: 1,
    rescue: 1,
};

/// `kind`: the job is done.
pub const HONKER_SETTLE_ACK: u32 = 0;
/// `kind`: the job could not be done now; it becomes due again after `delay_s`, HONKER_NO_TIME for the worker's own delay.
pub const HONKER_SETTLE_RETRY: u32 = 1;
/// `kind`: the job can never be done; it is dead.
pub const HONKER_SETTLE_FAIL: u32 = 2;
/// `kind`: the job becomes due again after `delay_s`, and this attempt does not count.
pub const HONKER_SETTLE_SNOOZE: u32 = 3;
/// `kind`: the job is due again at once, and this attempt does not count.
pub const HONKER_SETTLE_RELEASE: u32 = 4;

/// What becomes of a job that a worker holds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_settlement_t {
    /// One of HONKER_SETTLE_*.
    pub kind: u32,
    /// Written by the call: HONKER_OK; HONKER_LOST if the worker did not hold the job any more, or holds another claim of it
    /// by now; an error's status if this settlement was refused, or if nothing was committed. See
    /// `honker_worker_settle_next`.
    pub status: honker_status_t,
    /// The job.
    pub id: i64,
    /// The claim of it, as the job says.
    pub serial: i64,
    /// In how many seconds it becomes due again, for a retry or a snooze.
    pub delay_s: i64,
    /// Why, for a retry that turns out to have been the last, and for a failure.
    pub error: honker_bytes_t,
}

/// Makes a worker that claims from `queues` as `worker_id` and waits with `waiter`, which names it by `token`. The first
/// queue says how long each of them is. `opts` may be NULL for the defaults. To be freed with `honker_worker_free`.
/// HONKER_INVALID if there is no queue, or one of them twice.
///
/// # Safety
/// `queues` is valid for `queues_len` of them and what they point to, `worker_id` for its length, `opts` is NULL or valid for
/// as many bytes as it says, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_worker_new(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    token: u64,
    queues: *const honker_worker_queue_t,
    queues_len: usize,
    worker_id: *const u8,
    worker_id_len: usize,
    opts: *const honker_worker_opts_t,
    worker_out: *mut *mut honker_worker_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_worker_new", err, worker_out, |worker| {
            let waiter = honker_waiter_t::of(db, waiter)?;
            let queues = view::read_all("queues", queues, queues_len, QUEUE_DEFAULTS)?;
            let queues = queues.iter().map(|given| queue(given)).collect::<Result<Vec<_>>>()?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            let options = options(&view::read("opts", opts, DEFAULTS)?)?;
            let made = Worker::on(waiter.waiter(), token, queues, worker_id, options)?;
            worker.set(handle::put(honker_worker_t(Consumer::new(made, waiter))));
            Ok(HONKER_OK)
        })
    }
}

/// # Safety
/// `given` is valid for what it points to.
unsafe fn queue(given: &honker_worker_queue_t) -> Result<WorkerQueue> {
    // SAFETY: the caller vouches for it.
    let name = unsafe { text("queues: a name", given.name.data, given.name.len) }?.to_owned();
    let weight = u32::try_from(given.weight).map_err(|_| {
        Failure::new(HONKER_INVALID, format!("queues: the weight of '{name}' is {}", given.weight))
    })?;
    let in_hand_max = match given.in_hand_max {
        -1 => None,
        max => Some(u64::try_from(max).map_err(|_| {
            Failure::new(HONKER_INVALID, format!("queues: in_hand_max of '{name}' is {max}"))
        })?),
    };
    Ok(WorkerQueue { name, weight, max_in_hand: in_hand_max })
}

fn options(opts: &honker_worker_opts_t) -> Result<WorkerOptions> {
    let flag = |name: &str, value: u32| match value {
        0 | 1 => Ok(value == 1),
        _ => Err(Failure::new(HONKER_INVALID, format!("opts: {name} is {value}, not 0 or 1"))),
    };
    Ok(WorkerOptions {
        visibility_timeout_s: opts.visibility_timeout_s,
        fallback: fallback(opts.fallback_ms)?,
        heartbeat: flag("heartbeat", opts.heartbeat)?,
        max_run_s: time(opts.max_run_s),
        rescue: flag("rescue", opts.rescue)?,
        backoff: Backoff {
            base_s: opts.retry_base_s,
            factor: opts.retry_factor,
            max_s: opts.retry_max_s,
            jitter: opts.retry_jitter,
        },
    })
}

/// `honker_worker_settle_next` without settlements.
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
            let next = handle::get(worker)?.0.with(|worker| Ok(worker.next(n, timeout)))?;
            outcome(next, |batch| jobs.set(handle::put(honker_jobs_t::from(batch))))
        })
    }
}

/// In one commit: settles what is finished, prolongs what runs if it is time to, retries what ran longer than it may, and
/// claims up to `n` jobs. If there is nothing to tell then, it waits, at most for `timeout_ms` (-1: without end; 0: not at
/// all); with an `n` of 0 or less, for jobs that are lost. To be called at least as often as claims have to be prolonged.
///
/// A call that has claimed as many as it asked for, and has neither a lost job nor a refused settlement to tell, leaves the
/// worker waiting, as with an `n` of 0, for what is lost, its heartbeat and the end of a maximum run time. Who is told of those by
/// `honker_waiter_ready` need not ask again before it is named, or has something to settle; who is not asks on. To ask is right
/// at any time.
///
/// HONKER_OK with what was claimed and what was lost (`honker_jobs_lost`), either of which may be none; to be freed with
/// `honker_jobs_free`. Otherwise as for `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED. After any of these the
/// settlements are committed, and each has its status.
///
/// A settlement may be refused by itself: a trigger of the user's raises, a constraint is violated, the delay leads to a time
/// that cannot be. Its `status` is then the error's (HONKER_CONSTRAINT, HONKER_SQL, HONKER_TOO_BIG, HONKER_INVALID), the
/// others are committed, and the call answers HONKER_OK without waiting and leaves an error in `err`, to be freed like any
/// other: of the status of the first that was refused, with the job and the reason of each. The job is as it was before: in
/// hand, prolonged, and lost to nobody. Whoever called gives it again later: with the same settlement if the reason may pass,
/// with HONKER_SETTLE_RETRY or HONKER_SETTLE_FAIL and the reason as its `error`, or gives it up with `honker_worker_settled`,
/// and its claim ends when its time is over. To give it again at once and without end would keep the writer busy.
///
/// An error is one of the commit, and nothing has happened; or, if there were settlements, one of the claim, the look or the
/// wait that came after they were committed. The `status` of each settlement tells which: if all of them are the error's
/// status nothing was committed, and they can be given again; otherwise each says what has become of it, as above.
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
        let outputs =
            SettleOutputs { statuses: Statuses { settlements, len: settlements_len }, jobs: jobs_out };
        entry("honker_worker_settle_next", err, outputs, |(statuses, jobs)| {
            let settle = || {
                let timeout = timeout(timeout_ms)?;
                let given = slice("settlements", settlements.cast_const(), settlements_len)?;
                let wanted = given.iter().map(|given| settlement(given)).collect::<Result<Vec<_>>>()?;
                let worker = handle::get(worker)?;
                worker.0.with(|worker| Ok(worker.settle_and_next(&wanted, n, timeout)?))
            };
            let settled = settle().inspect_err(|failure| statuses.set_all(failure.status))?;
            let mut refusal: Option<Failure> = None;
            for (index, held) in settled.held.into_iter().enumerate() {
                let status = match held {
                    Ok(true) => HONKER_OK,
                    Ok(false) => HONKER_LOST,
                    Err(error) => {
                        let failure = Failure::from(error);
                        let (status, id) = (failure.status, (*settlements.add(index)).id);
                        let reason = format!("the settlement of job {id} was refused: {}", failure.message);
                        match &mut refusal {
                            Some(refusal) => refusal.message = format!("{}; {reason}", refusal.message),
                            None => refusal = Some(Failure { message: reason, ..failure }),
                        }
                        status
                    }
                };
                statuses.set(index, status);
            }
            let status = outcome(settled.next, |batch| jobs.set(handle::put(honker_jobs_t::from(batch))))?;
            if let Some(refusal) = refusal.filter(|_| !err.is_null()) {
                err.write(handle::put(honker_error_t::from(refusal)));
            }
            Ok(status)
        })
    }
}

/// What `honker_worker_settle_next` writes: the statuses also if nothing comes of the call.
struct SettleOutputs {
    statuses: Statuses,
    jobs: *mut *mut honker_jobs_t,
}

impl Outputs for SettleOutputs {
    type Cells = (Statuses, Cell<*mut honker_jobs_t>);

    unsafe fn clear(self, name: &str) -> Result<Self::Cells> {
        let SettleOutputs { statuses, jobs } = self;
        // SAFETY: the caller vouches for both. Each is cleared, whatever is the matter with the other.
        let (jobs, given) = unsafe {
            let given = slice("settlements", statuses.settlements.cast_const(), statuses.len).map(drop);
            (jobs.clear(name), given)
        };
        given?;
        statuses.set_all(jobs.as_ref().map_or_else(|failure| failure.status, |_| HONKER_PANIC));
        Ok((statuses, jobs?))
    }
}

/// The statuses of settlements, which were checked by [`SettleOutputs`].
struct Statuses {
    settlements: *mut honker_settlement_t,
    len: usize,
}

impl Statuses {
    fn set(&self, index: usize, status: honker_status_t) {
        assert!(index < self.len);
        // SAFETY: the caller vouches for so many settlements, and nothing else borrows them.
        unsafe { (*self.settlements.add(index)).status = status };
    }

    fn set_all(&self, status: honker_status_t) {
        (0..self.len).for_each(|index| self.set(index, status));
    }
}

/// # Safety
/// `given` is valid for what it points to.
unsafe fn settlement(given: &honker_settlement_t) -> Result<Settlement> {
    // SAFETY: the caller vouches for it.
    let error = || unsafe { text("error", given.error.data, given.error.len) }.map(str::to_owned);
    let verdict = match given.kind {
        HONKER_SETTLE_ACK => Verdict::Ack,
        HONKER_SETTLE_RETRY => Verdict::Retry { delay_s: time(given.delay_s), error: error()? },
        HONKER_SETTLE_FAIL => Verdict::Fail { error: error()? },
        HONKER_SETTLE_SNOOZE => Verdict::Snooze { delay_s: given.delay_s },
        HONKER_SETTLE_RELEASE => Verdict::Release,
        other => {
            return Err(Failure::new(HONKER_INVALID, format!("settlements: there is no kind {other}")));
        }
    };
    Ok(Settlement { id: given.id, serial: given.serial, verdict })
}

/// The handler of a job has settled it through another connection than the worker's database, or gives it up to the end of its
/// claim: the worker has it in hand no more, does not prolong it, and does not tell that it is lost. HONKER_LOST if it was not in hand with this serial.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_worker_settled(
    worker: *mut honker_worker_t,
    id: i64,
    serial: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_worker_settled", err, (), |()| {
            Ok(held(handle::get(worker)?.0.with(|worker| Ok(worker.settled(id, serial)))?))
        })
    }
}

/// Frees a worker. The jobs it has in hand stay its own until their time is over. NULL is allowed, and freeing twice does no
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
