//! Claimed jobs.

use honker_core::consume::{Batch, Claimed, LostJob, Reason};
use honker_core::queue::{Claim, ClaimedJob};

use crate::db::honker_db_t;
use crate::entry::{entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::query::beyond;
use crate::status::{HONKER_EMPTY, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{honker_bytes_t, text};
use crate::tx::honker_tx_t;
use crate::view::{self, Sized32};

/// The jobs of one claim, and those that a worker has lost. They do not change: any thread may read them.
pub struct honker_jobs_t {
    jobs: Vec<Claimed>,
    lost: Vec<LostJob>,
}

impl From<Vec<ClaimedJob>> for honker_jobs_t {
    fn from(jobs: Vec<ClaimedJob>) -> Self {
        let jobs = jobs.into_iter().map(|job| Claimed { job, serial: 0 }).collect();
        honker_jobs_t { jobs, lost: Vec::new() }
    }
}

impl From<Claimed> for honker_jobs_t {
    fn from(job: Claimed) -> Self {
        honker_jobs_t { jobs: vec![job], lost: Vec::new() }
    }
}

impl From<Batch> for honker_jobs_t {
    fn from(Batch { jobs, lost }: Batch) -> Self {
        honker_jobs_t { jobs, lost }
    }
}

/// One claimed job. Begin with HONKER_JOB_VIEW_INIT. The texts, without a NUL behind them, are valid until the jobs are
/// freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_job_view_t {
    /// sizeof(honker_job_view_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The job's id.
    pub id: i64,
    /// The queue it came from.
    pub queue: honker_bytes_t,
    /// As it was enqueued.
    pub payload: honker_bytes_t,
    /// Who holds it now.
    pub worker_id: honker_bytes_t,
    /// How often it has been claimed, this time included.
    pub attempts: i64,
    /// The last second, in Unix time, in which this claim is valid.
    pub claim_expires_at: i64,
    /// Names this claim of the job, for a worker (`honker_settlement_t`); 0 if no worker made it.
    pub serial: i64,
    /// How often it may be claimed.
    pub max_attempts: i64,
    /// What it was enqueued with: a JSON object of texts. Empty: none.
    pub metadata: honker_bytes_t,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_job_view_t {}

/// Claims up to `n` jobs of a queue for `worker_id`, highest priority first, then oldest. Each is the worker's for
/// `timeout_s` seconds, the visibility timeout; if it is not settled or prolonged by then, it goes to whoever claims next.
/// A negative `n` means no limit. HONKER_EMPTY, and `jobs_out` NULL, if there is nothing to claim; otherwise the jobs are
/// to be freed with `honker_jobs_free`, which does not settle them.
///
/// # Safety
/// The texts are valid for their lengths, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_claim(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    queue: *const u8,
    queue_len: usize,
    worker_id: *const u8,
    worker_id_len: usize,
    n: i64,
    timeout_s: i64,
    jobs_out: *mut *mut honker_jobs_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_claim", err, jobs_out, |jobs| {
            let target = Target::new(db, tx)?;
            let queue = text("queue", queue, queue_len)?;
            let worker_id = text("worker_id", worker_id, worker_id_len)?;
            let claimed = target.claim(&Claim { queue, worker_id, n, timeout_s })?;
            if claimed.is_empty() {
                return Ok(HONKER_EMPTY);
            }
            jobs.set(handle::put(honker_jobs_t::from(claimed)));
            Ok(HONKER_OK)
        })
    }
}

/// How many jobs there are.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_jobs_len(
    jobs: *const honker_jobs_t,
    len_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_jobs_len", err, len_out, |len| {
            len.set(handle::get(jobs)?.jobs.len());
            Ok(HONKER_OK)
        })
    }
}

/// The job at `index`, counted from 0.
///
/// # Safety
/// `job_out` is NULL or valid for as many bytes as it says, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_jobs_get(
    jobs: *const honker_jobs_t,
    index: usize,
    job_out: *mut honker_job_view_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_jobs_get", err, view::Out(job_out), |out| {
            let jobs = handle::get(jobs)?;
            let job = jobs.jobs.get(index).ok_or_else(|| beyond("job", index))?;
            out.set(view_of(job));
            Ok(HONKER_OK)
        })
    }
}

/// The jobs from the one at `first` on, counted from 0, as many as there are and `views_len` holds: all of a claim in one
/// call. `first` may be their number, and then there are none. Initialise the first view alone, with HONKER_JOB_VIEW_INIT:
/// all are as long as it says, one behind the other. Afterwards each says its own length, and those beyond `read_out` are
/// otherwise zero. `views_out` may be NULL if `views_len` is 0.
///
/// # Safety
/// `views_out` is valid for `views_len` views of as many bytes as the first says, `read_out` and `err` are NULL or valid for
/// writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_jobs_views(
    jobs: *const honker_jobs_t,
    first: usize,
    views_out: *mut honker_job_view_t,
    views_len: usize,
    read_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    let views = view::OutArray { views: views_out, len: views_len };
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_jobs_views", err, (views, read_out), |(views, read)| {
            let jobs = handle::get(jobs)?;
            let jobs = jobs.jobs.get(first..).ok_or_else(|| beyond("job", first))?;
            read.set(views.set(jobs.iter().map(view_of)));
            Ok(HONKER_OK)
        })
    }
}

/// `reason`: the job was cancelled, deleted, or settled by somebody else.
pub const HONKER_LOST_GONE: u32 = 1;
/// `reason`: its claim is over, and nobody has claimed it again yet.
pub const HONKER_LOST_LAPSED: u32 = 2;
/// `reason`: it was claimed again after its claim was over, by another worker or by this one.
pub const HONKER_LOST_TAKEN: u32 = 3;
/// `reason`: it ran longer than it may. It has been retried, with the error "timeout after N s"; if the file refused that,
/// its claim is left to its end.
pub const HONKER_LOST_TIMEOUT: u32 = 4;

/// A job that a worker had in hand and has no more. Its handler should stop: what it settles is refused. Begin with
/// HONKER_LOST_JOB_VIEW_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_lost_job_view_t {
    /// sizeof(honker_lost_job_view_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The job's id.
    pub id: i64,
    /// The claim of it that was lost.
    pub serial: i64,
    /// One of HONKER_LOST_*.
    pub reason: u32,
    /// 0.
    pub reserved_2: u32,
}

// SAFETY: integers without padding, the size first.
unsafe impl Sized32 for honker_lost_job_view_t {}

/// The jobs that the worker has lost, from the one at `first` on, counted from 0, as many as there are and `views_len` holds.
/// Each loss is told once. The views are initialised and filled in as those of `honker_jobs_views`.
///
/// # Safety
/// `views_out` is valid for `views_len` views of as many bytes as the first says, `read_out` and `err` are NULL or valid for
/// writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_jobs_lost(
    jobs: *const honker_jobs_t,
    first: usize,
    views_out: *mut honker_lost_job_view_t,
    views_len: usize,
    read_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    let views = view::OutArray { views: views_out, len: views_len };
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_jobs_lost", err, (views, read_out), |(views, read)| {
            let jobs = handle::get(jobs)?;
            let lost = jobs.lost.get(first..).ok_or_else(|| beyond("lost job", first))?;
            read.set(views.set(lost.iter().map(|lost| honker_lost_job_view_t {
                struct_size: 0,
                reserved: 0,
                id: lost.id,
                serial: lost.serial,
                reason: match lost.reason {
                    Reason::Gone => HONKER_LOST_GONE,
                    Reason::Lapsed => HONKER_LOST_LAPSED,
                    Reason::Taken => HONKER_LOST_TAKEN,
                    Reason::Timeout => HONKER_LOST_TIMEOUT,
                },
                reserved_2: 0,
            })));
            Ok(HONKER_OK)
        })
    }
}

fn view_of(claimed: &Claimed) -> honker_job_view_t {
    let job = &claimed.job;
    honker_job_view_t {
        struct_size: 0,
        reserved: 0,
        id: job.id,
        queue: honker_bytes_t::of(&*job.queue),
        payload: honker_bytes_t::of(&job.payload),
        worker_id: honker_bytes_t::of(&*job.worker_id),
        attempts: job.attempts,
        claim_expires_at: job.claim_expires_at,
        serial: claimed.serial,
        max_attempts: job.max_attempts,
        metadata: job.metadata.as_deref().map_or(honker_bytes_t::NONE, honker_bytes_t::of),
    }
}

/// Frees jobs; whoever claimed them still holds them. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_jobs_free(jobs: *mut honker_jobs_t) {
    entry_without_status("honker_jobs_free", || drop(handle::take(jobs)));
}
