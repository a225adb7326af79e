//! Jobs are put into queues: one, or many in a call.

use honker_core::queue::{Enqueue, EnqueueStatus, Enqueued, Member, OnConflict, Unique, UniqueUntil};

use crate::db::honker_db_t;
use crate::entry::{Array, Failure, Result, entry};
use crate::error::honker_error_t;
use crate::queue::{HONKER_NO_TIME, time};
use crate::status::{HONKER_EXISTS, HONKER_INVALID, HONKER_OK, HONKER_REPLACED, honker_status_t};
use crate::target::Target;
use crate::text::{honker_bytes_t, text};
use crate::tx::honker_tx_t;
use crate::view::{self, Sized32};

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
    /// How often the job may be claimed. With 0 or less it never is, and ends among the dead. Default HONKER_NO_TIME: what is set
    /// for its queue (`honker_queue_configure`), or else 3.
    pub max_attempts: i64,
    /// Comes back with the job: a JSON object of texts, at most 8192 bytes. Default none, which is empty.
    pub metadata: honker_bytes_t,
    /// Jobs of a queue with the same key can be kept from running at the same time. Default none, which is empty.
    pub concurrency_key: honker_bytes_t,
    /// The batch that the job belongs to. Default 0: none.
    pub batch_id: i64,
    /// A job of that batch that is running, on whose behalf this one joins it although it is sealed. Looked at only if
    /// `member_worker_id` is set.
    pub member_job_id: i64,
    /// Who has claimed that job. Default none, which is empty.
    pub member_worker_id: honker_bytes_t,
    /// There is only one job of the queue with the same key (HONKER_EXISTS, HONKER_REPLACED). Default none, which is empty.
    pub unique_key: honker_bytes_t,
    /// Until when the job has the key. Default HONKER_UNIQUE_SETTLED.
    pub unique_until: u32,
    /// What becomes of the job if another one has the key. Default HONKER_CONFLICT_KEEP.
    pub on_conflict: u32,
    /// For how many seconds the job has the key at least, this one included, whatever becomes of it. Default 0: none.
    pub unique_for_s: i64,
    /// For how many seconds a worker lets the job run before it is retried. Default 0: as long as the worker says.
    pub max_run_s: i64,
}

/// The job has its unique key until it is done, dead or cancelled.
pub const HONKER_UNIQUE_SETTLED: u32 = 0;
/// The job has its unique key until it is claimed, and again while it waits for another attempt, unless another has it then.
pub const HONKER_UNIQUE_CLAIMED: u32 = 1;

/// The job that has the unique key stays as it is.
pub const HONKER_CONFLICT_KEEP: u32 = 0;
/// The job that has the unique key becomes the new one if it is still waiting, and keeps its id. One that is claimed stays as
/// it is.
pub const HONKER_CONFLICT_REPLACE: u32 = 1;

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_enqueue_opts_t {}

const DEFAULTS: honker_enqueue_opts_t = honker_enqueue_opts_t {
    struct_size: size_of::<honker_enqueue_opts_t>() as u32,
    reserved: 0,
    run_at: HONKER_NO_TIME,
    delay_s: HONKER_NO_TIME,
    expires_s: HONKER_NO_TIME,
    priority: 0,
    max_attempts: HONKER_NO_TIME,
    metadata: honker_bytes_t::NONE,
    concurrency_key: honker_bytes_t::NONE,
    batch_id: 0,
    member_job_id: 0,
    member_worker_id: honker_bytes_t::NONE,
    unique_key: honker_bytes_t::NONE,
    unique_until: HONKER_UNIQUE_SETTLED,
    on_conflict: HONKER_CONFLICT_KEEP,
    unique_for_s: 0,
    max_run_s: 0,
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
    /// The job's id, or that of the job that has its unique key.
    pub id: i64,
    /// HONKER_OK, HONKER_EXISTS or HONKER_REPLACED, as `honker_enqueue` answers.
    pub status: honker_status_t,
    /// 0.
    pub reserved: u32,
}

/// Adds a job to a queue; its id. `payload` is text, JSON by convention, and stored as it is. `opts` may be NULL for the
/// defaults.
///
/// If the job has a unique key that another one has, nothing is added, and the id is that of the other job: HONKER_EXISTS if
/// it stays as it is, HONKER_REPLACED if it has become this one (see `on_conflict`).
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
            let job = if opts.is_null() {
                Enqueue::new(queue, payload)
            } else {
                job(queue, payload, &view::read("opts", opts, DEFAULTS)?)?
            };
            let enqueued = target.enqueue(&job)?;
            id.set(enqueued.id);
            Ok(status(enqueued))
        })
    }
}

/// Adds jobs to any queues, all or none, in one commit. The first of the `specs` says how long each of them is.
/// `results_out` has room for `specs_len` results, and is given them in the order of the specs; the ids of those that are added
/// increase.
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
            let enqueued = target.enqueue_many(&jobs)?.into_iter();
            let result =
                |one: Enqueued| honker_enqueue_result_t { id: one.id, status: status(one), reserved: 0 };
            results.set(&enqueued.map(result).collect::<Vec<_>>());
            Ok(HONKER_OK)
        })
    }
}

/// The job that a schedule enqueues, with options that may be NULL.
///
/// # Safety
/// The options and their texts are valid for as long as the result is used.
pub(crate) unsafe fn job_of_schedule<'a>(
    queue: &'a str,
    payload: &'a str,
    opts: *const honker_enqueue_opts_t,
) -> Result<Enqueue<'a>> {
    // SAFETY: the caller vouches for it.
    let opts = unsafe { view::read("opts: job", opts, DEFAULTS) }?;
    let honker_enqueue_opts_t { expires_s, priority, max_attempts, .. } = DEFAULTS;
    if (opts.expires_s, opts.priority, opts.max_attempts) != (expires_s, priority, max_attempts) {
        let message = "opts: priority, expires_s and max_attempts are the schedule's, not its job's";
        return Err(Failure::new(HONKER_INVALID, message));
    }
    // SAFETY: as above.
    unsafe { job(queue, payload, &opts) }
}

fn status(enqueued: Enqueued) -> honker_status_t {
    match enqueued.status {
        EnqueueStatus::Enqueued => HONKER_OK,
        EnqueueStatus::Exists => HONKER_EXISTS,
        EnqueueStatus::Replaced => HONKER_REPLACED,
    }
}

/// # Safety
/// The texts of the options are valid for as long as the result is used.
unsafe fn job<'a>(queue: &'a str, payload: &'a str, opts: &honker_enqueue_opts_t) -> Result<Enqueue<'a>> {
    let optional = |name, bytes: honker_bytes_t| -> Result<Option<&'a str>> {
        if bytes.len == 0 {
            return Ok(None);
        }
        // SAFETY: the caller vouches for it.
        unsafe { text(name, bytes.data, bytes.len) }.map(Some)
    };
    let member = optional("opts: member_worker_id", opts.member_worker_id)?;
    let until = match opts.unique_until {
        HONKER_UNIQUE_SETTLED => UniqueUntil::Settled,
        HONKER_UNIQUE_CLAIMED => UniqueUntil::Claimed,
        other => return Err(Failure::new(HONKER_INVALID, format!("opts: unique_until {other} is unknown"))),
    };
    let on_conflict = match opts.on_conflict {
        HONKER_CONFLICT_KEEP => OnConflict::Keep,
        HONKER_CONFLICT_REPLACE => OnConflict::Replace,
        other => return Err(Failure::new(HONKER_INVALID, format!("opts: on_conflict {other} is unknown"))),
    };
    let for_s = (opts.unique_for_s != 0).then_some(opts.unique_for_s);
    let unique = optional("opts: unique_key", opts.unique_key)?;
    if unique.is_none() && (for_s.is_some() || opts.unique_until != 0 || opts.on_conflict != 0) {
        return Err(Failure::new(
            HONKER_INVALID,
            "opts: unique_until, on_conflict and unique_for_s need a unique_key",
        ));
    }
    Ok(Enqueue {
        queue,
        payload,
        run_at: time(opts.run_at),
        delay_s: time(opts.delay_s),
        priority: opts.priority,
        max_attempts: time(opts.max_attempts),
        expires_s: time(opts.expires_s),
        metadata: optional("opts: metadata", opts.metadata)?,
        concurrency_key: optional("opts: concurrency_key", opts.concurrency_key)?,
        batch_id: (opts.batch_id != 0).then_some(opts.batch_id),
        member: member.map(|worker_id| Member { job_id: opts.member_job_id, worker_id }),
        unique: unique.map(|key| Unique { key, until, for_s, on_conflict }),
        max_run_s: (opts.max_run_s != 0).then_some(opts.max_run_s),
    })
}
