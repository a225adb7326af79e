//! The database.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use honker_core::database::{Database, Durability, JournalMode, Nesting, Options};
use honker_core::vfs::{self, Ours};
use honker_core::watch::{Backend, Settings};

use crate::entry::{Failure, Result, entry};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{HONKER_INVALID, HONKER_OK, HONKER_UNSUPPORTED, honker_status_t};
use crate::text::{honker_bytes_t, honker_text_t, put_json, text};
use crate::view::{self, Sized32};

/// An open database: the SQLite file, and the connections to use it; or a Postgres server. Any number of threads may use it
/// at the same time. On a file, calls that write at the same moment share a commit; reads run beside them.
///
/// Everything a call has done is committed when it returns. Should the process die in the middle of one, it has happened
/// completely or not at all.
pub struct honker_db_t {
    pub(crate) database: Database,
    /// None once it is closed, and on a server.
    ours: Mutex<Option<Ours>>,
}

/// `durability`: a commit survives a crash of the process; a power cut may take the last ones back
/// (PRAGMA synchronous = NORMAL).
pub const HONKER_DURABILITY_NORMAL: u32 = 0;
/// `durability`: a commit survives a power cut as well (PRAGMA synchronous = FULL).
pub const HONKER_DURABILITY_FULL: u32 = 1;

/// `journal_mode`: write-ahead log; readers do not wait for the writer.
pub const HONKER_JOURNAL_WAL: u32 = 0;
/// `journal_mode`: rollback journal, deleted after each transaction.
pub const HONKER_JOURNAL_DELETE: u32 = 1;
/// `journal_mode`: rollback journal, truncated after each transaction.
pub const HONKER_JOURNAL_TRUNCATE: u32 = 2;
/// `journal_mode`: rollback journal, kept.
pub const HONKER_JOURNAL_PERSIST: u32 = 3;

/// `nesting`: a call that would wait for a transaction that its own thread was the last to use is HONKER_MISUSE at once,
/// instead of HONKER_BUSY after the busy timeout.
pub const HONKER_NESTING_FAIL: u32 = 0;
/// `nesting`: such a call waits like any other. For runtimes that run many tasks on a thread, or one task on many:
/// goroutines, virtual threads, schedulers of processes.
pub const HONKER_NESTING_WAIT: u32 = 1;

/// How to open a database. Begin with HONKER_OPEN_OPTS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_open_opts_t {
    /// sizeof(honker_open_opts_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// How long a call waits for a lock that another process, or a transaction of this one, holds. Default 5000.
    pub busy_timeout_ms: i64,
    /// How many reads may run at once, 1 to 1000 (1 counts as 2). Default 8. One is kept for operations, whatever queries
    /// run.
    pub readers_max: u32,
    /// One of HONKER_DURABILITY_*. Default NORMAL.
    pub durability: u32,
    /// One of HONKER_JOURNAL_*. Default WAL.
    pub journal_mode: u32,
    /// After how many pages the write-ahead log is written back; 0 means never. Default 10000.
    pub wal_autocheckpoint_pages: u32,
    /// One of HONKER_NESTING_*. Default FAIL.
    pub nesting: u32,
    /// 0.
    pub reserved_2: u32,
    /// How commits are noticed: "auto" (the default, also NULL), "polling", "kernel" or "shm".
    pub watcher_backend: honker_bytes_t,
    /// How often the back ends that poll look, more than 0. Default 1.
    pub watcher_poll_interval_ms: i64,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_open_opts_t {}

const DEFAULTS: honker_open_opts_t = honker_open_opts_t {
    struct_size: size_of::<honker_open_opts_t>() as u32,
    reserved: 0,
    busy_timeout_ms: 5_000,
    readers_max: 8,
    durability: HONKER_DURABILITY_NORMAL,
    journal_mode: HONKER_JOURNAL_WAL,
    wal_autocheckpoint_pages: 10_000,
    nesting: HONKER_NESTING_FAIL,
    reserved_2: 0,
    watcher_backend: honker_bytes_t::NONE,
    watcher_poll_interval_ms: 1,
};

/// Opens a SQLite file, creating it if need be, and brings honker's tables in it up to date.
///
/// `path` is a file name or a `file:` URI, UTF-8 on every system. In-memory databases are HONKER_INVALID: nobody else
/// could see them. `opts` may be NULL for the defaults. The handle in `db_out` is to be closed with `honker_close`.
///
/// HONKER_CANNOT_OPEN, HONKER_READONLY, HONKER_CORRUPT, HONKER_FULL and HONKER_IO say what is wrong with the file;
/// HONKER_BUSY, that somebody kept it locked for longer than the busy timeout. A file that cannot be written to can be
/// opened if honker's tables in it are up to date; calls that write are HONKER_READONLY then.
///
/// A `path` that begins with `postgres://` or `postgresql://` is the URL of a server, with the parameters that libpq knows
/// (sslmode, sslrootcert, application_name, connect_timeout, host=/folder for a Unix socket, …), its environment variables
/// and its password file. What differs there is in docs/postgres.md. Its schema `honker` has to be installed (`honker
/// migrate`, or the parameter `honker_migrate=on`); behind a transaction pooler `honker_listen` has the URL of a direct
/// connection, percent-encoded. `opts` beside the busy timeout and `readers_max`, the number of connections, are for files.
/// HONKER_CONNECTION: the server cannot be reached; HONKER_CANNOT_OPEN: it refuses this user, or has no such database or no
/// schema; HONKER_UNSUPPORTED: this library was built without servers. A password is in no message.
///
/// On 64-bit Linux any other copy of SQLite in the same process, the one of a database driver for instance, may have the
/// same file open. Elsewhere on POSIX systems that would cost both copies their locks. If this call sees a descriptor on
/// the file there that is not honker's own, it succeeds and leaves an error of status HONKER_UNSUPPORTED in `err`, a
/// warning, to be freed like any other.
///
/// # Safety
/// `path` is valid for reading `path_len` bytes, `opts` is NULL or valid for as many bytes as it says, `db_out` and
/// `err` are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_open(
    path: *const u8,
    path_len: usize,
    opts: *const honker_open_opts_t,
    db_out: *mut *mut honker_db_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_open", err, db_out, |db| {
            let path = text("path", path, path_len)?;
            let options = options(&view::read("opts", opts, DEFAULTS)?)?;
            if is_url(path) {
                let database = connect(path, &options)?;
                db.set(handle::put(honker_db_t { database, ours: Mutex::default() }));
                return Ok(HONKER_OK);
            }
            let foreign = vfs::foreign_descriptor(path);
            let database = Database::open(path, &options)?;
            let ours = Mutex::new(Some(Ours::new(database.path())));
            db.set(handle::put(honker_db_t { database, ours }));
            if foreign && !err.is_null() {
                let warning = Failure::new(
                    HONKER_UNSUPPORTED,
                    "this process has the file open by other means as well, and file access is not lock-safe here: do \
                     not use two copies of SQLite on one file in one process",
                );
                err.write(handle::put(honker_error_t::from(warning)));
            }
            Ok(HONKER_OK)
        })
    }
}

#[cfg(feature = "postgres")]
use honker_postgres::is_url;

#[cfg(feature = "postgres")]
fn connect(url: &str, options: &Options) -> Result<Database> {
    Ok(honker_postgres::connect(url, options, false)?)
}

#[cfg(not(feature = "postgres"))]
fn is_url(path: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| path.starts_with(scheme))
}

#[cfg(not(feature = "postgres"))]
fn connect(_: &str, _: &Options) -> Result<Database> {
    Err(Failure::new(HONKER_UNSUPPORTED, "this library was built without databases on a server"))
}

/// # Safety
/// `opts` is valid for what it points to.
unsafe fn options(opts: &honker_open_opts_t) -> Result<Options> {
    let invalid = |message: String| Failure::new(HONKER_INVALID, message);
    let busy_timeout_ms = u64::try_from(opts.busy_timeout_ms)
        .map_err(|_| invalid(format!("busy_timeout_ms is negative: {}", opts.busy_timeout_ms)))?;
    if !(1..=1000).contains(&opts.readers_max) {
        return Err(invalid(format!("readers_max is not between 1 and 1000: {}", opts.readers_max)));
    }
    if i32::try_from(opts.wal_autocheckpoint_pages).is_err() {
        return Err(invalid(format!(
            "wal_autocheckpoint_pages is too large: {}",
            opts.wal_autocheckpoint_pages
        )));
    }
    Ok(Options {
        busy_timeout: Duration::from_millis(busy_timeout_ms),
        readers_max: opts.readers_max as usize,
        durability: match opts.durability {
            HONKER_DURABILITY_NORMAL => Durability::Normal,
            HONKER_DURABILITY_FULL => Durability::Full,
            other => return Err(invalid(format!("there is no durability {other}"))),
        },
        journal_mode: match opts.journal_mode {
            HONKER_JOURNAL_WAL => JournalMode::Wal,
            HONKER_JOURNAL_DELETE => JournalMode::Delete,
            HONKER_JOURNAL_TRUNCATE => JournalMode::Truncate,
            HONKER_JOURNAL_PERSIST => JournalMode::Persist,
            other => return Err(invalid(format!("there is no journal_mode {other}"))),
        },
        wal_autocheckpoint: opts.wal_autocheckpoint_pages,
        nesting: match opts.nesting {
            HONKER_NESTING_FAIL => Nesting::Fail,
            HONKER_NESTING_WAIT => Nesting::Wait,
            other => return Err(invalid(format!("there is no nesting {other}"))),
        },
        watcher: Settings {
            // SAFETY: the caller vouches for it.
            backend: unsafe { text("watcher_backend", opts.watcher_backend.data, opts.watcher_backend.len) }?
                .parse::<Backend>()?,
            poll_interval: Duration::from_millis(u64::try_from(opts.watcher_poll_interval_ms).unwrap_or(0)),
            ..Settings::default()
        },
    })
}

/// Closes a database. Calls that other threads have running or waiting end with HONKER_CLOSED_HANDLE, an open
/// transaction is rolled back, leaders give up their lock and subscriptions save their offset (for which this waits a
/// second at most, and not longer than the busy timeout, should another process keep the file locked), and when this
/// returns the file is nobody's and can be deleted. The handle is gone, also
/// when closing fails; transactions and results that came from it are to be freed all the same, in any order.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_close(
    db: *mut honker_db_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_close", err, (), |()| {
            let db = handle::take(db)?;
            let closed = db.database.close();
            // A transaction that has not been freed yet keeps `db`, but not the file.
            drop(db.ours.lock().unwrap_or_else(PoisonError::into_inner).take());
            closed?;
            Ok(HONKER_OK)
        })
    }
}

/// The state of the database, for people and monitoring: a JSON object, to be freed with `honker_text_free`.
///
/// `file` (on a server its URL, without a password); `connections` (`writers`, `readers`, `readers_in_use`, `readers_max`);
/// `versions` (`honker`, `sqlite`, and on a server `postgres`); and
/// `watcher`, null before the first waiter: the `backend` that was asked for, the `method` in use (`events`, `polling`),
/// its `state` (`watching`, `unreadable`, `died`), `demoted` (it went over from events to polling), the counters `checks`,
/// `wakes` and `unannounced`, and `warnings`, each with `text`, `count` and `last_at` in seconds since 1970. `warnings` of
/// the object itself are of the same form: schedules that a leader of this database could not fire, and jobs that a worker
/// has passed over. Keys may be added. It waits for nobody.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_status(
    db: *mut honker_db_t,
    json_out: *mut *mut honker_text_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_status", err, json_out, |json| {
            json.set(put_json(&handle::get(db)?.database.status()?)?);
            Ok(HONKER_OK)
        })
    }
}

/// Ends every call that is running or waiting on this database now, in whichever thread, with HONKER_INTERRUPTED. Later
/// calls are not affected.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_interrupt(
    db: *mut honker_db_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_interrupt", err, (), |()| {
            handle::get(db)?.database.interrupt()?;
            Ok(HONKER_OK)
        })
    }
}
