//! Queues: jobs put in, and what becomes of them.

use honker_core::queue::Enqueue;

use crate::db::honker_db_t;
use crate::entry::{Array, Result, entry};
use crate::error::honker_error_t;
use crate::status::{HONKER_EMPTY, HONKER_LOST, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_bytes_t, honker_text_t, optional_text, slice, text};
use crate::tx::honker_tx_t;
use crate::view::{self, Sized32};

/// A time or a duration that is not set.
pub const HONKER_NO_TIME: i64 = i64::MAX;

/// How a job is enqueued. Begin with HONKER_ENQUEUE_OPTS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_enqueue_opts_t {
    /// sizeof(honker_enqueue_opts_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// When the job becomes due, in Unix seconds. Default HONKER_NO_TIME: now. Not looked at if `delay_s` is set.
    pub run_at: i64,
    /// In how many seconds the job becomes due; may be negative. Default HONKER_NO_TIME: not set.
    pub delay_s: i64,
    /// After how many seconds from now the job may not be claimed any more; 0 or less means it is born expired. Default
    /// HONKER_NO_TIME: never.
    pub expires_s: i64,
    /// Larger is sooner. Default 0.
    pub priority: i64,
    /// How often the job may be claimed. With 0 or less it never is, and ends among the dead. Default 3.
    pub max_attempts: i64,
    /// Comes back with the job: a JSON object of texts, at most 8192 bytes. Default none, which is empty.
    pub metadata: honker_bytes_t,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_enqueue_opts_t {}

const DEFAULTS: honker_enqueue_opts_t = honker_enqueue_opts_t {
    struct_size: size_of::<honker_enqueue_opts_t>() as u32,
    reserved: 0,
    run_at: HONKER_NO_TIME,
    delay_s: HONKER_NO_TIME,
    expires_s: HONKER_NO_TIME,
    priority: 0,
    max_attempts: 3,
    metadata: honker_bytes_t::NONE,
};

/// One of the jobs that are enqueued together. Begin with HONKER_JOB_SPEC_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_job_spec_t {
    /// sizeof(honker_job_spec_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The queue's name.
    pub queue: honker_bytes_t,
    /// Text, JSON by convention, and stored as it is.
    pub payload: honker_bytes_t,
    /// How it is enqueued; several may have the same. NULL, the default, for the defaults.
    pub opts: *const honker_enqueue_opts_t,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_job_spec_t {}

const SPEC_DEFAULTS: honker_job_spec_t = honker_job_spec_t {
    struct_size: size_of::<honker_job_spec_t>() as u32,
    reserved: 0,
    queue: honker_bytes_t::NONE,
    payload: honker_bytes_t::NONE,
    opts: std::ptr::null(),
};

/// What has become of one of them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_enqueue_result_t {
    /// The job's id.
    pub id: i64,
    /// HONKER_OK: it was enqueued.
    pub status: honker_status_t,
    /// 0.
    pub reserved: u32,
}

/// Adds a job to a queue; its id. `payload` is text, JSON by convention, and stored as it is. `opts` may be NULL for the
/// defaults.
///
/// # Safety
/// The texts are valid for their lengths, `opts` is NULL or valid for as many bytes as it says, the outputs are NULL or
/// valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_enqueue(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    payload: *const u8,
    payload_len: usize,
    opts: *const honker_enqueue_opts_t,
    id_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_enqueue", err, id_out, |id| {
            let target = Target::new(db, tx)?;
            let (queue, payload) = (text("queue", queue, queue_len)?, text("payload", payload, payload_len)?);
            let job = job(queue, payload, &view::read("opts", opts, DEFAULTS)?)?;
            id.set(target.enqueue(&job)?);
            Ok(HONKER_OK)
        })
    }
}

/// Adds jobs to any queues, all or none, in one commit. The first of the `specs` says how long each of them is.
/// `results_out` has room for `specs_len` results, and is given them in the order of the specs; the ids increase.
///
/// # Safety
/// `specs` is valid for `specs_len` of them and what they point to, `results_out` for writing as many results, `err` is NULL
/// or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_enqueue_many(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    specs: *const honker_job_spec_t,
    specs_len: usize,
    results_out: *mut honker_enqueue_result_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_enqueue_many", err, Array { data: results_out, len: specs_len }, |results| {
            let target = Target::new(db, tx)?;
            let specs = view::read_all("specs", specs, specs_len, SPEC_DEFAULTS)?;
            let options: Vec<_> = specs
                .iter()
                .map(|spec| view::read("specs: opts", spec.opts, DEFAULTS))
                .collect::<Result<_>>()?;
            let jobs: Vec<_> = specs
                .iter()
                .zip(&options)
                .map(|(spec, options)| {
                    let queue = text("specs: queue", spec.queue.data, spec.queue.len)?;
                    job(queue, text("specs: payload", spec.payload.data, spec.payload.len)?, options)
                })
                .collect::<Result<_>>()?;
            let ids = target.enqueue_many(&jobs)?;
            let enqueued: Vec<_> = ids
                .into_iter()
                .map(|id| honker_enqueue_result_t { id, status: HONKER_OK, reserved: 0 })
                .collect();
            results.set(&enqueued);
            Ok(HONKER_OK)
        })
    }
}

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

/// One job, pending or claimed, as a JSON object with the keys id, queue, payload (a string), state ("pending" or
/// "processing"), priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, created_at and expires_at; null
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

/// # Safety
/// The metadata is valid for as long as the result is used.
unsafe fn job<'a>(queue: &'a str, payload: &'a str, opts: &honker_enqueue_opts_t) -> Result<Enqueue<'a>> {
    // SAFETY: the caller vouches for it.
    let metadata = unsafe { text("opts: metadata", opts.metadata.data, opts.metadata.len) }?;
    Ok(Enqueue {
        queue,
        payload,
        run_at: time(opts.run_at),
        delay_s: time(opts.delay_s),
        priority: opts.priority,
        max_attempts: opts.max_attempts,
        expires_s: time(opts.expires_s),
        metadata: (!metadata.is_empty()).then_some(metadata),
    })
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
