//! What a test build does differently: it takes the time from the conformance suite, and at named points does what the
//! suite has planted there. Not in a release; `docs/decisions/0014-conformance.md` says why it is done in this way.
//!
//! The environment variable `HONKER_CONTROL` names the control file (`control.rs`); without it everything is as in a
//! release. The clock is that of SQLite's default VFS, whichever SQLite that is, so that the defaults of columns, SQL
//! functions and everything else that asks SQLite sees it. Points: `call` (and `call:<function>`), `commit.before`,
//! `commit.after`, `row`, `write.db`, `write.wal`, `write.journal`, `write.shm`.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::{Once, OnceLock};
use std::time::Duration;

use rusqlite::ffi;

use crate::control::{Action, Control};

fn control() -> Option<Control> {
    static CONTROL: OnceLock<Option<Control>> = OnceLock::new();
    *CONTROL.get_or_init(|| {
        let path = PathBuf::from(std::env::var_os("HONKER_CONTROL")?);
        match Control::open(&path) {
            Ok(control) => Some(control),
            // A suite that believes in a clock that nobody reads would judge nonsense.
            Err(error) => {
                eprintln!("HONKER_CONTROL={}: {error}", path.display());
                std::process::abort()
            }
        }
    })
}

/// The second that the suite says it is.
pub(crate) fn now() -> Option<i64> {
    control().and_then(|control| control.clock())
}

/// A point is reached.
pub fn reach(point: &str) {
    if let Some(action) = control().and_then(|control| control.reach(point)) {
        act(action);
    }
}

/// The C ABI's function `name` is called. What only ends a handle is no call of the point `call`: a runtime's garbage collector
/// may end what an earlier case has left.
pub fn called(name: &str) {
    if !name.ends_with("_free") && !name.ends_with("_close") {
        reach("call");
    }
    if control().is_some_and(|control| control.is_armed("call:")) {
        reach(&format!("call:{name}"));
    }
}

thread_local! {
    static PANIC_PLANTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the next operation that this thread runs is to panic.
pub fn plant_panic(planted: bool) {
    PANIC_PLANTED.set(planted);
}

/// Panics, once, if [`plant_panic`] says so.
pub fn panic_if_planted() {
    if PANIC_PLANTED.take() {
        panic!("planted by a test inside");
    }
}

/// Does it, and answers with the error number that a system call is to fail with.
fn act(action: Action) -> Option<i32> {
    match action {
        // SAFETY: a signal to this process.
        Action::Kill => unsafe { libc::kill(libc::getpid(), libc::SIGKILL) },
        // To this thread: it would go on for a moment if another one took the signal.
        // SAFETY: as above.
        Action::Stop => unsafe { libc::raise(libc::SIGSTOP) },
        Action::Panic => panic!("planted by a test"),
        Action::Error(errno) => return Some(errno),
        Action::Delay(ms) => {
            std::thread::sleep(Duration::from_millis(ms));
            0
        }
    };
    None
}

/// Makes the suite's clock SQLite's, in this process.
pub(crate) fn install_clock() {
    static ONCE: Once = Once::new();
    if control().is_none() {
        return;
    }
    ONCE.call_once(|| {
        // SAFETY: the default VFS is static, and its methods are read when they are called; the two have the types that
        // SQLite declares.
        unsafe {
            let vfs = ffi::sqlite3_vfs_find(std::ptr::null());
            let original = (*vfs).xCurrentTimeInt64.expect("the unix VFS has it");
            ORIGINAL_TIME.set(original).expect("once");
            (*vfs).xCurrentTimeInt64 = Some(current_time_int64);
        }
    });
}

type CurrentTime = unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut ffi::sqlite3_int64) -> c_int;
static ORIGINAL_TIME: OnceLock<CurrentTime> = OnceLock::new();

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, time: *mut ffi::sqlite3_int64) -> c_int {
    const UNIX_EPOCH_MS: i64 = 210_866_760_000_000;
    match (now(), ORIGINAL_TIME.get()) {
        // SAFETY: SQLite passes a place for the answer.
        (Some(now), _) => unsafe { *time = UNIX_EPOCH_MS + now * 1000 },
        // SAFETY: its own arguments, to its own function.
        (None, Some(original)) => return unsafe { original(vfs, time) },
        (None, None) => return ffi::SQLITE_ERROR,
    }
    ffi::SQLITE_OK
}

/// Watches the commits and the rows of a connection.
pub(crate) fn watch(connection: &rusqlite::Connection) {
    unsafe extern "C" fn before_commit(_: *mut c_void) -> c_int {
        reach("commit.before");
        0
    }
    unsafe extern "C" fn row(
        _: *mut c_void,
        _: c_int,
        _: *const c_char,
        _: *const c_char,
        _: ffi::sqlite3_int64,
    ) {
        reach("row");
    }
    if control().is_some() {
        // SAFETY: the connection is open, and the functions live as long as this library, which is never unloaded.
        unsafe {
            ffi::sqlite3_commit_hook(connection.handle(), Some(before_commit), std::ptr::null_mut());
            ffi::sqlite3_update_hook(connection.handle(), Some(row), std::ptr::null_mut());
        }
    }
}

/// Watches what our copy of SQLite writes to files.
#[cfg(feature = "runtime")]
pub(crate) fn install_writes() {
    static ONCE: Once = Once::new();
    if control().is_none() {
        return;
    }
    ONCE.call_once(|| {
        // SAFETY: SQLite's own VFS, which has the methods (version 3), is static; `write_at` has the type of pwrite64.
        unsafe {
            assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
            let vfs = ffi::sqlite3_vfs_find(c"unix".as_ptr());
            let set = (*vfs).xSetSystemCall.expect("version 3");
            let call = std::mem::transmute::<WriteAt, unsafe extern "C" fn()>(write_at);
            let done = [c"pwrite64", c"pwrite"].map(|name| set(vfs, name.as_ptr(), Some(call)));
            assert!(done.contains(&ffi::SQLITE_OK), "this SQLite does not write as expected");
        }
    });
}

#[cfg(feature = "runtime")]
type WriteAt = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;

#[cfg(feature = "runtime")]
unsafe extern "C" fn write_at(descriptor: c_int, data: *const c_void, len: usize, offset: i64) -> isize {
    if let Some(errno) = struck_by_write(descriptor) {
        // SAFETY: this thread's own.
        unsafe { *libc::__errno_location() = errno };
        return -1;
    }
    // SAFETY: the caller's own arguments.
    unsafe { libc::pwrite64(descriptor, data, len, offset) }
}

#[cfg(feature = "runtime")]
fn struck_by_write(descriptor: c_int) -> Option<i32> {
    let control = control().filter(|control| control.is_armed("write."))?;
    let path = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    let path = path.to_string_lossy().into_owned();
    let kinds = [("-wal", "write.wal"), ("-journal", "write.journal"), ("-shm", "write.shm")];
    let point =
        kinds.iter().find(|(suffix, _)| path.ends_with(suffix)).map_or("write.db", |(_, point)| point);
    act(control.reach(point)?)
}
