//! The scheduler.

use honker_core::queue::Enqueue;
use honker_core::schedule::{Expression, Overlap, Registration, Update};

use crate::db::honker_db_t;
use crate::enqueue::{self, honker_enqueue_opts_t};
use crate::entry::{Failure, entry};
use crate::error::honker_error_t;
use crate::fires::honker_fires_t;
use crate::handle;
use crate::queue::{HONKER_NO_TIME, found, time};
use crate::status::{HONKER_EMPTY, HONKER_INVALID, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{self, honker_bytes_t, honker_text_t, text};
use crate::tx::honker_tx_t;
use crate::view::{self, Sized32};

/// How a schedule's jobs are enqueued. Begin with HONKER_SCHEDULE_OPTS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_schedule_opts_t {
    /// sizeof(honker_schedule_opts_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Larger is sooner. Default 0.
    pub priority: i64,
    /// After how many seconds from its boundary a job may not be claimed any more. Default HONKER_NO_TIME: never.
    pub expires_s: i64,
    /// How often a job may be claimed; less than 1 means 1. Default HONKER_NO_TIME: what is set for its queue, or else 3.
    pub max_attempts: i64,
    /// What else there is to be said of the jobs: metadata, keys, a batch, a delay from when they are enqueued. What of it the
    /// fields above say as well, and `run_at` and the member, must be the defaults. Default NULL: nothing.
    pub job: *const honker_enqueue_opts_t,
    /// What becomes of a boundary while the last job of the schedule is live. Default HONKER_OVERLAP_ALLOW.
    pub overlap: u32,
    /// 0.
    pub reserved_2: u32,
}

/// At every boundary a job is enqueued.
pub const HONKER_OVERLAP_ALLOW: u32 = 0;
/// A boundary enqueues nothing while the last job that the schedule has enqueued is live, unless no claim may take that any
/// more.
pub const HONKER_OVERLAP_SKIP: u32 = 1;

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_schedule_opts_t {}

const DEFAULTS: honker_schedule_opts_t = honker_schedule_opts_t {
    struct_size: size_of::<honker_schedule_opts_t>() as u32,
    reserved: 0,
    priority: 0,
    expires_s: HONKER_NO_TIME,
    max_attempts: HONKER_NO_TIME,
    job: std::ptr::null(),
    overlap: HONKER_OVERLAP_ALLOW,
    reserved_2: 0,
};

/// `fields`: change the expression.
pub const HONKER_UPDATE_EXPRESSION: u64 = 1;
/// `fields`: change the payload.
pub const HONKER_UPDATE_PAYLOAD: u64 = 2;
/// `fields`: change the priority.
pub const HONKER_UPDATE_PRIORITY: u64 = 4;
/// `fields`: change the expiry.
pub const HONKER_UPDATE_EXPIRES: u64 = 8;
/// `fields`: change how often the jobs may be claimed.
pub const HONKER_UPDATE_MAX_ATTEMPTS: u64 = 16;

/// What to change of a schedule. Begin with HONKER_SCHEDULE_UPDATE_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_schedule_update_t {
    /// sizeof(honker_schedule_update_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Which of the fields below to change: any of HONKER_UPDATE_*, added up.
    pub fields: u64,
    /// A new expression; the next boundary is then computed from now.
    pub expression: honker_bytes_t,
    /// A new payload.
    pub payload: honker_bytes_t,
    /// A new priority.
    pub priority: i64,
    /// A new expiry in seconds; HONKER_NO_TIME for none.
    pub expires_s: i64,
    /// How often its jobs may be claimed; less than 1 means 1, HONKER_NO_TIME: what is set for their queue, or else 3.
    pub max_attempts: i64,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_schedule_update_t {}

const FIELDS: u64 = HONKER_UPDATE_EXPRESSION
    | HONKER_UPDATE_PAYLOAD
    | HONKER_UPDATE_PRIORITY
    | HONKER_UPDATE_EXPIRES
    | HONKER_UPDATE_MAX_ATTEMPTS;

/// Adds a schedule, or replaces the one of that name: at every boundary of `expression` a job with `payload` goes into
/// `queue`. `opts` may be NULL for the defaults.
///
/// An expression has five fields (minute, hour, day of month, month, day of week), six with seconds in front, or is a
/// macro such as @daily or an interval such as "@every 5m"; "CRON_TZ=Europe/Berlin " before it sets the time zone, which
/// otherwise is this process's. What cannot be parsed, or never comes, is HONKER_INVALID and changes nothing. The next
/// boundary of a schedule that is registered again stays if the expression is the same, and a paused schedule stays
/// paused. What is not said of its jobs again is forgotten.
///
/// # Safety
/// The texts are valid for their lengths, `opts` is NULL or valid for as many bytes as it says, `err` is NULL or valid
/// for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_scheduler_register(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    queue: *const u8,
    queue_len: usize,
    expression: *const u8,
    expression_len: usize,
    payload: *const u8,
    payload_len: usize,
    opts: *const honker_schedule_opts_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_scheduler_register", err, (), |()| {
            let target = Target::new(db, tx)?;
            let opts = view::read("opts", opts, DEFAULTS)?;
            let overlap = match opts.overlap {
                HONKER_OVERLAP_ALLOW => Overlap::Allow,
                HONKER_OVERLAP_SKIP => Overlap::Skip,
                other => {
                    return Err(Failure::new(HONKER_INVALID, format!("opts: overlap {other} is unknown")));
                }
            };
            let (name, queue) = (text("name", name, name_len)?, text("queue", queue, queue_len)?);
            let (expression, payload) =
                (text("expression", expression, expression_len)?, text("payload", payload, payload_len)?);
            let job = Enqueue {
                priority: opts.priority,
                expires_s: time(opts.expires_s),
                max_attempts: time(opts.max_attempts),
                ..enqueue::job_of_schedule(queue, payload, opts.job)?
            };
            target.scheduler_register(&Registration { name, expression, job, overlap })?;
            Ok(HONKER_OK)
        })
    }
}

/// Removes a schedule; jobs it has enqueued stay. HONKER_EMPTY if there is none of that name.
///
/// # Safety
/// `name` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_scheduler_unregister(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_scheduler_unregister", err, (), |()| {
            let target = Target::new(db, tx)?;
            let name = text("name", name, name_len)?;
            Ok(found(target.scheduler_unregister(name)? > 0))
        })
    }
}

/// Changes parts of a schedule. HONKER_EMPTY, and nothing changed, if there is none of that name or `changes` names no
/// field.
///
/// # Safety
/// `name` is valid for its length, `changes` is valid for as many bytes as it says and what it points to, `err` is NULL
/// or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_scheduler_update(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    changes: *const honker_schedule_update_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_scheduler_update", err, (), |()| {
            let target = Target::new(db, tx)?;
            let name = text("name", name, name_len)?;
            let changes = view::read_required("changes", changes, NO_CHANGES)?;
            if changes.fields & !FIELDS != 0 {
                return Err(Failure::new(
                    HONKER_INVALID,
                    format!("changes: there are no such fields: {}", changes.fields & !FIELDS),
                ));
            }
            let wants = |field| changes.fields & field != 0;
            let given = |argument, field, bytes: honker_bytes_t| {
                if wants(field) { text(argument, bytes.data, bytes.len).map(Some) } else { Ok(None) }
            };
            let update = Update {
                expression: given("expression", HONKER_UPDATE_EXPRESSION, changes.expression)?,
                payload: given("payload", HONKER_UPDATE_PAYLOAD, changes.payload)?,
                priority: wants(HONKER_UPDATE_PRIORITY).then_some(changes.priority),
                expires_s: wants(HONKER_UPDATE_EXPIRES).then(|| time(changes.expires_s)),
                max_attempts: wants(HONKER_UPDATE_MAX_ATTEMPTS).then(|| time(changes.max_attempts)),
            };
            Ok(found(target.scheduler_update(name, &update)?))
        })
    }
}

const NO_CHANGES: honker_schedule_update_t = honker_schedule_update_t {
    struct_size: size_of::<honker_schedule_update_t>() as u32,
    reserved: 0,
    fields: 0,
    expression: honker_bytes_t::NONE,
    payload: honker_bytes_t::NONE,
    priority: 0,
    expires_s: HONKER_NO_TIME,
    max_attempts: HONKER_NO_TIME,
};

/// Pauses a schedule. HONKER_EMPTY if there is none of that name, or it is paused already.
///
/// # Safety
/// `name` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_scheduler_pause(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_scheduler_pause", err, (), |()| {
            let target = Target::new(db, tx)?;
            let name = text("name", name, name_len)?;
            Ok(found(target.scheduler_pause(name)?))
        })
    }
}

/// Resumes a paused schedule; the boundaries it missed are fired by the next tick, 64 at most. HONKER_EMPTY if there is
/// none of that name, or it is not paused.
///
/// # Safety
/// `name` is valid for its length, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_scheduler_resume(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    name: *const u8,
    name_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_scheduler_resume", err, (), |()| {
            let target = Target::new(db, tx)?;
            let name = text("name", name, name_len)?;
            Ok(found(target.scheduler_resume(name)?))
        })
    }
}

/// Enqueues a job for every boundary up to `until`, in Unix seconds, that no tick has fired yet, of every schedule that is
/// not paused: oldest first, 64 for each schedule at most, the rest is skipped. HONKER_NO_TIME for `until` means now. Any
/// number of processes may tick at the same time: each boundary is fired once. HONKER_EMPTY, and `fires_out` NULL, if
/// nothing was due; otherwise what was fired is to be freed with `honker_fires_free`.
///
/// A schedule that the file refuses to fire (a trigger of the user's raises, a constraint is violated) stays due and stops
/// no other. If nothing else is fired, the reason is the error.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_scheduler_tick(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    until: i64,
    fires_out: *mut *mut honker_fires_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_scheduler_tick", err, fires_out, |fires| {
            let target = Target::new(db, tx)?;
            let fired = target.scheduler_tick(time(until))?;
            if fired.is_empty() {
                return Ok(HONKER_EMPTY);
            }
            fires.set(handle::put(honker_fires_t::from(fired)));
            Ok(HONKER_OK)
        })
    }
}

/// The next boundary, in Unix seconds, of any schedule that is not paused; it may lie in the past. HONKER_EMPTY if there
/// is none.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_scheduler_soonest(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    at_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_scheduler_soonest", err, at_out, |at| {
            let target = Target::new(db, tx)?;
            match target.scheduler_soonest()? {
                Some(soonest) => at.set(soonest),
                None => return Ok(HONKER_EMPTY),
            }
            Ok(HONKER_OK)
        })
    }
}

/// All schedules by name: a JSON array of objects with the keys name, queue, cron_expr, payload (a string), priority,
/// expires_s, next_fire_at, enabled, max_attempts (of the queue, if the schedule does not say), error (why it does not fire, or
/// null), overlap (allow or skip) and options (an object: what else its jobs are enqueued with). The text is to be freed with
/// `honker_text_free`.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_scheduler_list(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_scheduler_list", err, json_out, |json| {
            let target = Target::new(db, tx)?;
            json.set(text::put_json(&target.scheduler_list()?)?);
            Ok(HONKER_OK)
        })
    }
}

/// The first boundary of an expression after `from`, both in Unix seconds. It needs no database.
///
/// # Safety
/// `expression` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_cron_next_after(
    expression: *const u8,
    expression_len: usize,
    from: i64,
    at_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_cron_next_after", err, at_out, |at| {
            let expression = text("expression", expression, expression_len)?;
            at.set(Expression::parse(expression)?.next_after(from)?);
            Ok(HONKER_OK)
        })
    }
}
