//! What went wrong, in detail.

use std::ffi::{CString, c_char};

use crate::entry::{Failure, entry_without_status};
use crate::handle;
use crate::status::{self, HONKER_MISUSE, honker_status_t};

/// What went wrong. Every function that can fail takes the address of such a pointer last, which may be NULL: it is set
/// to NULL when the call succeeds, and to an error that the caller has to free when it fails (a negative status).
/// `honker_open`, `honker_waiter_new` and `honker_worker_settle_next` may leave one, a warning, when they succeed; it is freed
/// like any other. An error does not change: any thread may read it.
pub struct honker_error_t {
    failure: Failure,
    /// The message with a NUL behind it.
    message: CString,
}

impl From<Failure> for honker_error_t {
    fn from(failure: Failure) -> Self {
        // A NUL in a message, quoted from what the caller sent, would end it early.
        let message = CString::new(failure.message.replace('\0', "\u{fffd}")).unwrap_or_default();
        honker_error_t { failure, message }
    }
}

/// The status that the failed call answered. HONKER_MISUSE if `error` is no error.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_error_status(error: *const honker_error_t) -> honker_status_t {
    handle::get(error).map_or(HONKER_MISUSE, |error| error.failure.status)
}

/// The name of that status, for logs: "HONKER_BUSY". The text is static.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_error_name(error: *const honker_error_t) -> *const c_char {
    let status = handle::get(error).map_or(HONKER_MISUSE, |error| error.failure.status);
    status::name(status).as_ptr()
}

/// What happened, in words for the user of the program: UTF-8 and NUL-terminated, its length in bytes without the NUL
/// in `len_out` unless that is NULL. It is valid until the error is freed. An empty text if `error` is no error.
///
/// # Safety
/// `len_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_error_message(
    error: *const honker_error_t,
    len_out: *mut usize,
) -> *const c_char {
    let error = handle::get(error).ok();
    let message = error.as_ref().map_or(c"", |error| error.message.as_c_str());
    if !len_out.is_null() {
        // SAFETY: the caller vouches for it.
        unsafe { len_out.write(message.count_bytes()) };
    }
    // The table keeps the error, and with it the text, until it is freed.
    message.as_ptr()
}

/// SQLite's primary result code, 5 for SQLITE_BUSY; 0 if it was not SQLite that refused.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_error_sqlite_code(error: *const honker_error_t) -> i32 {
    handle::get(error).map_or(0, |error| error.failure.sqlite_code & 0xff)
}

/// SQLite's extended result code, 517 for SQLITE_BUSY_SNAPSHOT; 0 if it was not SQLite that refused.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_error_sqlite_extended_code(error: *const honker_error_t) -> i32 {
    handle::get(error).map_or(0, |error| error.failure.sqlite_code)
}

/// Frees an error. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_error_free(error: *mut honker_error_t) {
    entry_without_status("honker_error_free", || drop(handle::take(error)));
}
