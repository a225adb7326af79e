//! Fires: the boundaries that a tick or a leader has fired.

use honker_core::schedule::{Fire, FireStatus};

use crate::entry::{entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::query::beyond;
use crate::status::{HONKER_EMPTY, HONKER_EXISTS, HONKER_OK, HONKER_REPLACED, honker_status_t};
use crate::text::honker_bytes_t;
use crate::view::{self, Sized32};

/// The boundaries that a tick has fired. They do not change: any thread may read them.
pub struct honker_fires_t(Vec<Fire>);

impl From<Vec<Fire>> for honker_fires_t {
    fn from(fires: Vec<Fire>) -> Self {
        honker_fires_t(fires)
    }
}

/// One boundary that was fired. Begin with HONKER_FIRE_VIEW_INIT. The texts, without a NUL behind them, are valid until
/// the fires are freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_fire_view_t {
    /// sizeof(honker_fire_view_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The schedule.
    pub name: honker_bytes_t,
    /// Where its job went.
    pub queue: honker_bytes_t,
    /// The boundary, in Unix seconds.
    pub fire_at: i64,
    /// The job; 0 if none was enqueued.
    pub job_id: i64,
    /// HONKER_OK: it was enqueued. HONKER_EXISTS or HONKER_REPLACED: another job, this one, has its unique key (see
    /// `honker_enqueue`). HONKER_EMPTY: none was enqueued (HONKER_OVERLAP_SKIP).
    pub status: honker_status_t,
    /// 0.
    pub reserved_2: u32,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_fire_view_t {}

/// How many fires there are.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_fires_len(
    fires: *const honker_fires_t,
    len_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_fires_len", err, len_out, |len| {
            len.set(handle::get(fires)?.0.len());
            Ok(HONKER_OK)
        })
    }
}

/// The fire at `index`, counted from 0.
///
/// # Safety
/// `fire_out` is NULL or valid for as many bytes as it says, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_fires_get(
    fires: *const honker_fires_t,
    index: usize,
    fire_out: *mut honker_fire_view_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_fires_get", err, view::Out(fire_out), |out| {
            let fires = handle::get(fires)?;
            let fire = fires.0.get(index).ok_or_else(|| beyond("fire", index))?;
            out.set(honker_fire_view_t {
                struct_size: 0,
                reserved: 0,
                name: honker_bytes_t::of(&fire.name),
                queue: honker_bytes_t::of(&fire.queue),
                fire_at: fire.fire_at,
                job_id: fire.job_id.unwrap_or(0),
                status: match fire.status {
                    FireStatus::Enqueued => HONKER_OK,
                    FireStatus::Exists => HONKER_EXISTS,
                    FireStatus::Replaced => HONKER_REPLACED,
                    FireStatus::Skipped => HONKER_EMPTY,
                },
                reserved_2: 0,
            });
            Ok(HONKER_OK)
        })
    }
}

/// Frees fires. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_fires_free(fires: *mut honker_fires_t) {
    entry_without_status("honker_fires_free", || drop(handle::take(fires)));
}
