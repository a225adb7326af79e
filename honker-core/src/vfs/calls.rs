//! The system calls that SQLite's unix VFS makes through us, and putting them in place.
//!
//! Each has the signature and the manners of what it replaces: -1 and `errno` on failure. They keep no state of their
//! own, and any thread may be in any of them.
//!
//! **Which files are shared.** SQLite takes locks on databases and `-shm` files only, but `open` is not told what a file
//! is for. To share one that is never locked costs a descriptor; not to share one that is locked costs the database. So
//! every regular file is shared, except those that can be told for sure:
//!
//! - what is opened with `O_EXCL`: temporary files and new super-journals. `sqlite3_open_v2` takes that flag away, so no
//!   database is;
//! - `X-journal` and `X-wal` if there is an `X`: the two that SQLite opens and closes all the time. Without an `X` it is
//!   a database with a strange name. (With an `X`, SQLite would overwrite it.)
//!
//! A super-journal that is read during recovery is shared for a moment, and released after SQLite has deleted it.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::ffi;

use super::system::{self, Errno};
use super::{fork, inodes};

/// SQLite's type for a system call. The real signature is known by name.
type Call = unsafe extern "C" fn();

/// Suffixes of the files that SQLite never locks.
const NEVER_LOCKED: [&[u8]; 2] = [b"-journal", b"-wal"];

/// SQLite's unix VFS. All VFSes of its family share the table of system calls.
fn unix_vfs() -> Option<*mut ffi::sqlite3_vfs> {
    // SAFETY: initialising is idempotent and thread-safe, and so is the search; the name is NUL-terminated.
    let vfs = unsafe {
        if ffi::sqlite3_initialize() != ffi::SQLITE_OK {
            return None;
        }
        ffi::sqlite3_vfs_find(c"unix".as_ptr())
    };
    // SAFETY: a registered VFS lives as long as it is registered; SQLite's own is static.
    (!vfs.is_null() && unsafe { (*vfs).iVersion } >= 3).then_some(vfs)
}

/// Whether SQLite reads and writes at explicit offsets: a position would be shared by all connections to a file.
pub(super) fn can_replace() -> bool {
    let Some(vfs) = unix_vfs() else {
        return false;
    };
    // SAFETY: the VFS is SQLite's own, of a version that has this method.
    let Some(get) = (unsafe { (*vfs).xGetSystemCall }) else {
        return false;
    };
    // SAFETY: the names are NUL-terminated.
    let has = |name: &CStr| unsafe { get(vfs, name.as_ptr()) }.is_some();
    (has(c"pread") || has(c"pread64")) && (has(c"pwrite") || has(c"pwrite64"))
}

/// Puts the calls in place, all or none; whether it did.
pub(super) fn replace() -> bool {
    /// Erases a function's type, as `sqlite3_syscall_ptr` demands.
    macro_rules! call {
        ($function:ident as $type:ty) => {{
            let function: $type = $function;
            // SAFETY: a function pointer remains one; SQLite casts it back to its real type before it calls it.
            unsafe { std::mem::transmute::<$type, Call>(function) }
        }};
    }
    let calls = [
        (c"open", call!(open as unsafe extern "C" fn(*const c_char, c_int, c_int) -> c_int)),
        (c"close", call!(close as extern "C" fn(c_int) -> c_int)),
        // In C this one and `open` have a variable number of arguments. SQLite declares `open` with three; a variadic
        // call of three passes them like a fixed one on every 64-bit Linux. (Not so on Apple's arm64.)
        (c"fcntl", call!(fcntl as unsafe extern "C" fn(c_int, c_int, *mut c_void) -> c_int)),
        (
            c"mmap",
            call!(mmap as unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void),
        ),
        (c"stat", call!(stat as unsafe extern "C" fn(*const c_char, *mut libc::stat) -> c_int)),
        (c"fstat", call!(fstat as unsafe extern "C" fn(c_int, *mut libc::stat) -> c_int)),
    ];
    let Some(vfs) = unix_vfs() else {
        return false;
    };
    // SAFETY: the VFS is SQLite's own, of a version that has this method.
    let Some(set) = (unsafe { (*vfs).xSetSystemCall }) else {
        return false;
    };
    // SAFETY: the names are NUL-terminated, and each call has the type SQLite gives it. `None` restores the original.
    let put = |name: &CStr, call| unsafe { set(vfs, name.as_ptr(), call) == ffi::SQLITE_OK };
    let done = calls.iter().all(|&(name, call)| put(name, Some(call)));
    if !done {
        for (name, _) in calls {
            put(name, None);
        }
    }
    done
}

/// What a system call answers.
fn answer(result: Result<c_int, Errno>) -> c_int {
    result.unwrap_or_else(|error| {
        error.set();
        -1
    })
}

/// Whether SQLite surely never locks the file. See the module documentation.
fn is_never_locked(path: &CStr) -> bool {
    let path = path.to_bytes();
    let database = NEVER_LOCKED.iter().find_map(|suffix| path.strip_suffix(*suffix));
    database.is_some_and(|database| Path::new(OsStr::from_bytes(database)).exists())
}

/// `open`.
///
/// # Safety
/// `path` must be a NUL-terminated string.
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: the caller's promise.
    let path = unsafe { CStr::from_ptr(path) };
    let shared = flags & libc::O_EXCL == 0 && !is_never_locked(path);
    let attempt = || {
        if shared { inodes::lock().open(path, flags, mode) } else { system::open(path, flags, mode) }
    };
    let mut opened = attempt();
    // What nobody uses must not be the reason.
    if opened.is_err_and(Errno::is_exhaustion) && inodes::lock().make_room() {
        opened = attempt();
    }
    answer(opened)
}

/// `close`.
extern "C" fn close(descriptor: c_int) -> c_int {
    let ours = inodes::lock().close(descriptor);
    if ours { 0 } else { system::close(descriptor) }
}

/// `fcntl`. Locks become those of the open file description.
///
/// # Safety
/// `argument` must be what `command` wants: for locks, a `flock`.
unsafe extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: *mut c_void) -> c_int {
    let command = match command {
        libc::F_SETLK => libc::F_OFD_SETLK,
        libc::F_SETLKW => libc::F_OFD_SETLKW,
        libc::F_GETLK => libc::F_OFD_GETLK,
        // SAFETY: the caller's promise; passed on as it is.
        other => return unsafe { libc::fcntl(descriptor, other, argument) },
    };
    // SAFETY: the caller's promise: it is a `flock`. The process must be 0 in these, and SQLite leaves it unset.
    unsafe {
        (*argument.cast::<libc::flock>()).l_pid = 0;
        libc::fcntl(descriptor, command, argument)
    }
}

/// `mmap`. Mappings of files are not inherited by a forked child: they keep the open file description alive, and with it
/// the locks, as well as a descriptor does.
///
/// # Safety
/// That of `mmap`.
unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> *mut c_void {
    // No fork between the two calls.
    let inodes = inodes::lock();
    // SAFETY: the caller's promise.
    let mapping = unsafe { libc::mmap(address, length, protection, flags, descriptor, offset) };
    if mapping != libc::MAP_FAILED {
        // SAFETY: it is the mapping just made. This cannot fail for one, and if it did, the locks matter less than the
        // mapping.
        unsafe { libc::madvise(mapping, length, libc::MADV_DONTFORK) };
        return mapping;
    }
    let error = Errno::last();
    drop(inodes);
    error.set();
    mapping
}

/// `stat`, with the device marked ([`fork::mark`]).
///
/// # Safety
/// `path` must be a NUL-terminated string, `stat` a buffer.
unsafe extern "C" fn stat(path: *const c_char, stat: *mut libc::stat) -> c_int {
    // SAFETY: the caller's promise.
    let answer = unsafe { libc::stat(path, stat) };
    if answer == 0 {
        // SAFETY: the caller's promise, and the call has filled it.
        fork::mark(unsafe { &mut *stat });
    }
    answer
}

/// `fstat`, with the device marked ([`fork::mark`]).
///
/// # Safety
/// `stat` must be a buffer.
unsafe extern "C" fn fstat(descriptor: c_int, stat: *mut libc::stat) -> c_int {
    // SAFETY: the caller's promise.
    let answer = unsafe { libc::fstat(descriptor, stat) };
    if answer == 0 {
        // SAFETY: the caller's promise, and the call has filled it.
        fork::mark(unsafe { &mut *stat });
    }
    answer
}
