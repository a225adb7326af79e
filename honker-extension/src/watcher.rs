//! The C interface to watchers, for packages that have this library open already.
//!
//! A handle is not a pointer to anything: it is a number that [`handles`] knows. So one that is closed, closed twice, or
//! inherited by a forked child is merely unknown.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::catch_unwind;
use std::ptr;
use std::time::Duration;

use honker_core::watch::handles;
use honker_core::{Error, Result};

const UPDATE: c_int = 1;
const TIMEOUT: c_int = 0;
const ENDED: c_int = -1;
const PANIC: c_int = -2;

/// As [`honker_watcher_open_v2`], with a poll interval of 1 ms.
///
/// # Safety
/// As for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_watcher_open(
    db_path: *const c_char,
    backend: *const c_char,
    err_buf: *mut c_char,
    err_len: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { honker_watcher_open_v2(db_path, backend, 1, err_buf, err_len) }
}

/// Starts a watcher of a file. What is committed after this returned is noticed. NULL, and a message in `err_buf`, if that
/// cannot be done.
///
/// # Safety
/// `db_path` and `backend` are NULL or NUL-terminated; `err_buf` is NULL or has room for `err_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_watcher_open_v2(
    db_path: *const c_char,
    backend: *const c_char,
    poll_interval_ms: u64,
    err_buf: *mut c_char,
    err_len: usize,
) -> *mut c_void {
    let opened = catch_unwind(|| {
        if !crate::is_loaded() {
            return Err(Error::invalid(
                "libhonker_ext has no SQLite yet: load it into a connection before it is asked for a watcher",
            ));
        }
        // SAFETY: the caller's promise.
        let (path, backend) = unsafe { (text(db_path, "db_path")?, text(backend, "backend")?) };
        handles::open(path.ok_or_else(|| Error::invalid("db_path is null"))?, backend, poll_interval_ms)
    });
    let message = match opened {
        Ok(Ok(handle)) => return ptr::without_provenance_mut(usize::try_from(handle).unwrap_or(0)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "internal error while opening a watcher, please report it".to_owned(),
    };
    // SAFETY: the caller's promise.
    unsafe { write_message(&message, err_buf, err_len) };
    ptr::null_mut()
}

/// Waits for a commit: 1 after one, 0 when the time is over, -1 when the handle is NULL, closed, or its watcher died, -2
/// after an internal error.
#[unsafe(no_mangle)]
pub extern "C" fn honker_watcher_wait(handle: *mut c_void, timeout_ms: u64) -> c_int {
    let waited = catch_unwind(|| handles::wait(number(handle), Duration::from_millis(timeout_ms)));
    match waited {
        Ok(Ok(true)) => UPDATE,
        Ok(Ok(false)) => TIMEOUT,
        Ok(Err(_)) => ENDED,
        Err(_) => PANIC,
    }
}

/// Ends the watcher, and a wait that is running in another thread. When this returns its thread has ended.
#[unsafe(no_mangle)]
pub extern "C" fn honker_watcher_close(handle: *mut c_void) {
    // There is nobody to tell.
    let _ = catch_unwind(|| handles::close(number(handle)));
}

fn number(handle: *mut c_void) -> i64 {
    i64::try_from(handle.addr()).unwrap_or(0)
}

/// # Safety
/// `text` is NULL or NUL-terminated, and stays what it is for as long as the result is used.
unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_str();
    text.map(Some).map_err(|_| Error::invalid(format!("invalid {name}: it is not UTF-8")))
}

/// As much of a message as there is room for, in whole characters, and a NUL.
///
/// # Safety
/// `buffer` is NULL or has room for `length` bytes.
unsafe fn write_message(message: &str, buffer: *mut c_char, length: usize) {
    if buffer.is_null() || length == 0 {
        return;
    }
    let most = message.len().min(length - 1);
    let end = (0..=most).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    // SAFETY: `end` is less than `length`.
    unsafe {
        ptr::copy_nonoverlapping(message.as_ptr(), buffer.cast(), end);
        *buffer.add(end) = 0;
    }
}
