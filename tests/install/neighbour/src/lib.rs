//! Somebody else's static library: its own Rust runtime, its own allocations and panics, its own SQLite, all of it global.

use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::catch_unwind;

/// 1 if a panic ends here.
#[unsafe(no_mangle)]
pub extern "C" fn neighbour_catches_its_panic() -> c_int {
    std::panic::set_hook(Box::new(|_| ()));
    let caught = catch_unwind(|| panic!("the neighbour's own"));
    c_int::from(caught.is_err_and(|panic| panic.downcast_ref::<&str>() == Some(&"the neighbour's own")))
}

/// A long text, allocated here and in another thread.
#[unsafe(no_mangle)]
pub extern "C" fn neighbour_text() -> *mut c_char {
    let text = std::thread::spawn(|| "x".repeat(1_000_000)).join().unwrap_or_default();
    CString::new(text).unwrap_or_default().into_raw()
}

/// Frees what `neighbour_text` returned.
///
/// # Safety
/// It comes from there, and has not been freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neighbour_free(text: *mut c_char) {
    // SAFETY: the caller vouches for it.
    drop(unsafe { CString::from_raw(text) });
}

/// How many jobs are in the file, through the SQLite in this library; negative if that fails.
///
/// # Safety
/// `file` is a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn neighbour_counts_jobs(file: *const c_char) -> c_int {
    // SAFETY: the caller vouches for it.
    let file = unsafe { CStr::from_ptr(file) }.to_string_lossy();
    let count = rusqlite::Connection::open(&*file)
        .and_then(|db| db.query_row("SELECT count(*) FROM _honker_live", [], |row| row.get(0)));
    count.unwrap_or(-1)
}
