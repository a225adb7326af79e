//! `libhonker_ext`: honker for any SQLite client.
//!
//! The host loads this library into a connection (`.load ./libhonker_ext`, `load_extension(…)`); the entry point
//! registers the SQL functions there. The C interface to watchers (`watcher.rs`) is for packages that have loaded it. It takes all of SQLite from the host and brings none of its own. It may be loaded
//! into any number of connections, and stays mapped once it has been loaded.

mod watcher;

use std::ffi::{c_char, c_int};
use std::panic::catch_unwind;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use rusqlite::Connection;
use rusqlite::ffi;

/// The oldest SQLite that has all that the tables and statements use (`unixepoch()`).
const SQLITE_VERSION_NUMBER_MIN: i32 = 3_038_000;

/// The SQLite this copy of the library calls into: the first that loaded it.
static HOST: AtomicPtr<ffi::sqlite3_api_routines> = AtomicPtr::new(ptr::null_mut());

/// The entry point that SQLite derives from the library's file name.
///
/// # Safety
/// To be called by SQLite, with its own arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_honkerext_init(
    db: *mut ffi::sqlite3,
    error: *mut *mut c_char,
    api: *mut ffi::sqlite3_api_routines,
) -> c_int {
    if db.is_null() || api.is_null() {
        return ffi::SQLITE_MISUSE;
    }
    let other = HOST.compare_exchange(ptr::null_mut(), api, Ordering::AcqRel, Ordering::Acquire);
    if other.is_err_and(|host| host != api) {
        // SAFETY: SQLite's own arguments.
        unsafe {
            report(
                error,
                api,
                "libhonker_ext already serves another copy of SQLite in this process; \
                 for this one load a copy of the library file (a copy, not a link)",
            )
        };
        return ffi::SQLITE_ERROR;
    }
    // SAFETY: SQLite's own arguments.
    catch_unwind(|| unsafe { Connection::extension_init2(db, error, api, init) }).unwrap_or_else(|_| {
        // SAFETY: as above.
        unsafe { report(error, api, "internal error while loading libhonker_ext, please report it") };
        ffi::SQLITE_ERROR
    })
}

/// Whether there is a SQLite to call into.
fn is_loaded() -> bool {
    !HOST.load(Ordering::Acquire).is_null()
}

fn init(connection: Connection) -> rusqlite::Result<bool> {
    let failure =
        |code, message: String| rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message));
    if rusqlite::version_number() < SQLITE_VERSION_NUMBER_MIN {
        let message = format!("honker needs SQLite 3.38 or newer; this is {}", rusqlite::version());
        return Err(failure(ffi::SQLITE_ERROR, message));
    }
    honker_core::sql::register_with_watchers(&connection)
        .map_err(|error| failure(error.as_sqlite_code(), format!("loading libhonker_ext: {error}")))?;
    // "Load permanently": prepared statements and functions point into this library.
    Ok(true)
}

/// Hands SQLite a message. It will free it, so it has to come from its own allocator.
///
/// # Safety
/// `error` is NULL or writable; `api` is the host's.
unsafe fn report(error: *mut *mut c_char, api: *mut ffi::sqlite3_api_routines, message: &str) {
    // SAFETY: the caller's promise; the buffer is checked and has room for the message and its NUL.
    unsafe {
        let Some(malloc) = (*api).malloc else { return };
        if error.is_null() {
            return;
        }
        let buffer = malloc(c_int::try_from(message.len() + 1).unwrap_or(0)).cast::<u8>();
        if !buffer.is_null() {
            ptr::copy_nonoverlapping(message.as_ptr(), buffer, message.len());
            *buffer.add(message.len()) = 0;
            *error = buffer.cast();
        }
    }
}
