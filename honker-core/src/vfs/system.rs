//! The system calls the scheme is made of, with the error number as the error.
//!
//! Nothing here keeps state. What is documented as such may be called in a forked child, where only async-signal-safe
//! functions are allowed.

use std::ffi::{CStr, c_int, c_short};
use std::mem::MaybeUninit;

/// A descriptor below this may be taken for standard input, output or error. SQLite's rule as well.
const DESCRIPTOR_MIN: c_int = 3;

/// An error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Errno(pub(super) c_int);

impl Errno {
    pub(super) fn last() -> Self {
        // SAFETY: the location is this thread's own.
        Errno(unsafe { *libc::__errno_location() })
    }

    /// Makes it what the caller of a system call sees.
    pub(super) fn set(self) {
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = self.0 }
    }

    /// This process or machine has too many files open.
    pub(super) fn is_exhaustion(self) -> bool {
        matches!(self.0, libc::EMFILE | libc::ENFILE)
    }

    /// The file may not be opened in this way, whatever one does; perhaps in another.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self.0, libc::EACCES | libc::EPERM | libc::EROFS | libc::ETXTBSY)
    }
}

/// Turns a system call's answer into a result.
fn check(answer: c_int) -> Result<c_int, Errno> {
    if answer < 0 { Err(Errno::last()) } else { Ok(answer) }
}

/// As `open`.
pub(super) fn open(path: &CStr, flags: c_int, mode: c_int) -> Result<c_int, Errno> {
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::open(path.as_ptr(), flags, mode) })
}

/// As `open`, with a descriptor that is not one of the standard three.
pub(super) fn open_above_standard(path: &CStr, flags: c_int, mode: c_int) -> Result<c_int, Errno> {
    // A daemon may have closed them. They are filled before the open: giving a low descriptor up again afterwards means
    // to close it, and with that to drop the other copy's locks.
    for standard in 0..DESCRIPTOR_MIN {
        // SAFETY: F_GETFD only looks.
        if unsafe { libc::fcntl(standard, libc::F_GETFD) } < 0 {
            open(c"/dev/null", libc::O_RDWR, 0)?;
        }
    }
    let low = open(path, flags, mode)?;
    if low >= DESCRIPTOR_MIN {
        return Ok(low);
    }
    // Somebody closed one in between. A database on standard output would be the greater evil.
    let above = duplicate(low);
    close(low);
    above
}

/// A duplicate of `descriptor` that is not inherited by programs this process starts.
pub(super) fn duplicate(descriptor: c_int) -> Result<c_int, Errno> {
    // SAFETY: a descriptor is a number; a wrong one is an error.
    check(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, DESCRIPTOR_MIN) })
}

/// As `close`. Async-signal-safe.
pub(super) fn close(descriptor: c_int) -> c_int {
    // SAFETY: the callers own the descriptor.
    unsafe { libc::close(descriptor) }
}

/// Puts a duplicate of `placeholder` in the place of `descriptor`, closing what was there. Async-signal-safe.
pub(super) fn replace(descriptor: c_int, placeholder: c_int) -> Result<c_int, Errno> {
    // SAFETY: the callers own both.
    check(unsafe { libc::dup3(placeholder, descriptor, libc::O_CLOEXEC) })
}

/// What is known about the file `path` names, or about the link if it is one and `follow` is not set.
pub(super) fn stat(path: &CStr, follow: bool) -> Result<libc::stat, Errno> {
    let mut answer = MaybeUninit::uninit();
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: the path is NUL-terminated, and the buffer is of the right type.
    check(unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), answer.as_mut_ptr(), flags) })?;
    // SAFETY: the call has succeeded and filled it.
    Ok(unsafe { answer.assume_init() })
}

/// What is known about an open file.
pub(super) fn stat_open(descriptor: c_int) -> Result<libc::stat, Errno> {
    let mut answer = MaybeUninit::uninit();
    // SAFETY: the buffer is of the right type.
    check(unsafe { libc::fstat(descriptor, answer.as_mut_ptr()) })?;
    // SAFETY: the call has succeeded and filled it.
    Ok(unsafe { answer.assume_init() })
}

/// Whether it is a regular file: nothing else is a database.
pub(super) fn is_regular(stat: &libc::stat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// Whether the process may, by its effective ids, open the file for reading, and for writing if `write` is set.
pub(super) fn may_open(path: &CStr, write: bool) -> Result<(), Errno> {
    let mode = if write { libc::R_OK | libc::W_OK } else { libc::R_OK };
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) }).map(drop)
}

/// The range of a lock on the whole file, which `F_OFD_*` take: their owner is the description, so the process is 0.
fn whole_file(kind: c_int) -> libc::flock {
    libc::flock {
        l_type: kind as c_short,
        l_whence: libc::SEEK_SET as c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Locks (`F_WRLCK`) or unlocks (`F_UNLCK`) the whole file for the descriptor's description, without waiting.
pub(super) fn lock_whole_file(descriptor: c_int, kind: c_int) -> Result<(), Errno> {
    let mut range = whole_file(kind);
    // SAFETY: the range is a `flock`, as F_OFD_SETLK wants it.
    check(unsafe { libc::fcntl(descriptor, libc::F_OFD_SETLK, &raw mut range) }).map(drop)
}

/// Whether nobody but the descriptor's description has a lock on the file.
pub(super) fn is_unlocked(descriptor: c_int) -> Result<bool, Errno> {
    let mut range = whole_file(libc::F_WRLCK);
    // SAFETY: the range is a `flock`, as F_OFD_GETLK wants it.
    check(unsafe { libc::fcntl(descriptor, libc::F_OFD_GETLK, &raw mut range) })?;
    Ok(c_int::from(range.l_type) == libc::F_UNLCK)
}

/// Whether the kernel knows open-file-description locks. Linux does since 3.15; some that imitate it do not.
pub(super) fn has_description_locks() -> bool {
    // SAFETY: the name is NUL-terminated.
    let Ok(memory) = check(unsafe { libc::memfd_create(c"honker".as_ptr(), libc::MFD_CLOEXEC) }) else {
        return false;
    };
    let works = is_unlocked(memory) == Ok(true) && lock_whole_file(memory, libc::F_WRLCK).is_ok();
    close(memory);
    works
}
