//! The statements that this process's SQLite runs: counted, and something run when one has ended.
//!
//! For tests in a process of their own ([`crate::common::alone`]).

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::ffi;

type Hook = Arc<dyn Fn(&str) + Send + Sync>;

static COUNT: AtomicU64 = AtomicU64::new(0);
static HOOK: Mutex<Option<Hook>> = Mutex::new(None);

thread_local! {
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// Watches all connections that are opened from now on.
pub fn watch() {
    // SAFETY: `attach` is what SQLite wants there, and stays.
    let outcome = unsafe { ffi::sqlite3_auto_extension(Some(attach)) };
    assert_eq!(outcome, ffi::SQLITE_OK);
}

/// How many statements have ended, those of hooks excluded.
pub fn count() -> u64 {
    COUNT.load(Ordering::SeqCst)
}

/// Runs `hook` with the text of every statement that ends, on the thread that ran it.
pub fn on_end(hook: impl Fn(&str) + Send + Sync + 'static) {
    *HOOK.lock().unwrap() = Some(Arc::new(hook));
}

/// Runs `hook` once, when the first statement ends whose text contains `part`.
pub fn once_after(part: &'static str, hook: impl Fn() + Send + Sync + 'static) {
    let ran = AtomicU64::new(0);
    on_end(move |sql| {
        if sql.contains(part) && ran.fetch_add(1, Ordering::SeqCst) == 0 {
            hook();
        }
    });
}

unsafe extern "C" fn attach(
    db: *mut ffi::sqlite3,
    _: *mut *mut c_char,
    _: *const ffi::sqlite3_api_routines,
) -> c_int {
    // SAFETY: SQLite passes a connection that is being opened.
    unsafe {
        ffi::sqlite3_trace_v2(db, ffi::SQLITE_TRACE_PROFILE as c_uint, Some(ended), std::ptr::null_mut())
    }
}

unsafe extern "C" fn ended(_: c_uint, _: *mut c_void, statement: *mut c_void, _: *mut c_void) -> c_int {
    if IN_HOOK.get() {
        return 0;
    }
    COUNT.fetch_add(1, Ordering::SeqCst);
    let hook = HOOK.lock().unwrap().clone();
    if let Some(hook) = hook {
        // SAFETY: SQLite passes the statement, which has a text.
        let sql = unsafe { CStr::from_ptr(ffi::sqlite3_sql(statement.cast())) };
        IN_HOOK.set(true);
        hook(sql.to_str().unwrap());
        IN_HOOK.set(false);
    }
    0
}
