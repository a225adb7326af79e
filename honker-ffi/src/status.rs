//! What a call answers: 0, an outcome to be expected (positive), or an error (negative).

use std::ffi::{CStr, c_char};

use honker_core::Error;

/// What a call answers: 0 is success, a positive number an outcome to be expected, a negative number an error. The
/// numbers never change and are never given to anything else. A later library may answer one that is not listed here:
/// an unknown negative number is an error like any other, an unknown positive one means that the call did not do what
/// 0 would have meant.
pub type honker_status_t = i32;

/// Done.
pub const HONKER_OK: honker_status_t = 0;
/// There was nothing: nothing to return, or nothing to change.
pub const HONKER_EMPTY: honker_status_t = 1;
/// The time was over before anything happened.
pub const HONKER_TIMEOUT: honker_status_t = 2;
/// The wait was ended by a wake from another thread.
pub const HONKER_WOKEN: honker_status_t = 3;
/// What the caller held is not the caller's any more: a claim that lapsed, went to another worker or was settled
/// already, or a lock that somebody else took.
pub const HONKER_LOST: honker_status_t = 4;
/// Somebody else has the lock.
pub const HONKER_HELD: honker_status_t = 5;
/// The rate limit is used up for now.
pub const HONKER_LIMITED: honker_status_t = 6;
/// What was waited for has been closed.
pub const HONKER_CLOSED: honker_status_t = 7;
/// There is one already, and it was left as it is: another job has the unique key.
pub const HONKER_EXISTS: honker_status_t = 8;
/// There was one already, and it has become the new one: another job had the unique key.
pub const HONKER_REPLACED: honker_status_t = 9;

/// Something that should not happen: a bug of honker, or memory that could not be had.
pub const HONKER_INTERNAL: honker_status_t = -1;
/// Another process, or a transaction of this one, held the write lock for longer than the busy timeout; on a server, a
/// lock, or the transaction met another one (deadlock, serialization failure). Nothing was done; try again.
pub const HONKER_BUSY: honker_status_t = -2;
/// A constraint of the user's own tables refused the change.
pub const HONKER_CONSTRAINT: honker_status_t = -3;
/// The operating system failed to read or write.
pub const HONKER_IO: honker_status_t = -4;
/// The file is damaged, or no database at all.
pub const HONKER_CORRUPT: honker_status_t = -5;
/// The disk, or the database, is full.
pub const HONKER_FULL: honker_status_t = -6;
/// The file or its directory cannot be written to.
pub const HONKER_READONLY: honker_status_t = -7;
/// The file cannot be opened: no such directory, no permission.
pub const HONKER_CANNOT_OPEN: honker_status_t = -8;
/// SQLite refused the statement: a mistake in the SQL, a missing table, or a value of an unfitting type.
pub const HONKER_SQL: honker_status_t = -9;
/// The schema changed again and again while the statement was prepared.
pub const HONKER_SCHEMA: honker_status_t = -10;
/// A text, a blob or a row is larger than SQLite stores.
pub const HONKER_TOO_BIG: honker_status_t = -11;
/// Rolled back because of somebody else's failure. Nothing was done; try again.
pub const HONKER_ABORTED: honker_status_t = -12;
/// The call cannot be made: the handle is NULL, closed, freed or of another kind, or it is not the time for this call.
pub const HONKER_MISUSE: honker_status_t = -20;
/// A pointer that must not be NULL is NULL.
pub const HONKER_NULL_ARG: honker_status_t = -21;
/// A text is not valid UTF-8.
pub const HONKER_UTF8: honker_status_t = -22;
/// An argument cannot be used; the message names it.
pub const HONKER_INVALID: honker_status_t = -23;
/// What the call is about does not exist.
pub const HONKER_NOT_FOUND: honker_status_t = -24;
/// The database was closed while the call was running or waiting.
pub const HONKER_CLOSED_HANDLE: honker_status_t = -25;
/// The handle comes from before this process was forked. Open the database again in the child.
pub const HONKER_FORKED: honker_status_t = -26;
/// This library, or this machine, cannot do that.
pub const HONKER_UNSUPPORTED: honker_status_t = -27;
/// Ended by `honker_interrupt`. Nothing was done.
pub const HONKER_INTERRUPTED: honker_status_t = -28;
/// A bug of honker's, caught at the border. What the call was doing has been undone, with the transaction it was part of;
/// the database can be used further.
pub const HONKER_PANIC: honker_status_t = -29;
/// The file was replaced by another, or has been missing for a second: the database still has the old one, which nobody
/// else can open. Waits say so promptly, operations 100 ms after it was replaced or sooner. Close the database and open it
/// again.
pub const HONKER_WATCHER: honker_status_t = -30;
/// The operating system refused what it has a limited number of: descriptors, threads, inotify instances. The message has
/// its error.
pub const HONKER_SYSTEM: honker_status_t = -31;
/// The file was brought up to date by a newer honker, and this library is too old to write to it; the message names both
/// versions. Update it.
pub const HONKER_TOO_OLD: honker_status_t = -32;
/// The connection to the server was lost, or there is none to be had; the library connects again by itself. Nothing was
/// done if the call had not begun; if it was lost while the server was at work, nobody knows whether that was committed.
/// Only for databases on a server.
pub const HONKER_CONNECTION: honker_status_t = -33;

/// What was in this database has been moved to another one by `honker move`, or is being moved; the message says where. Open
/// that one. Jobs that run may be settled until all is there; nothing is added or claimed here any more.
pub const HONKER_MOVED: honker_status_t = -34;

const NAMES: &[(honker_status_t, &CStr)] = &[
    (HONKER_OK, c"HONKER_OK"),
    (HONKER_EMPTY, c"HONKER_EMPTY"),
    (HONKER_TIMEOUT, c"HONKER_TIMEOUT"),
    (HONKER_WOKEN, c"HONKER_WOKEN"),
    (HONKER_LOST, c"HONKER_LOST"),
    (HONKER_HELD, c"HONKER_HELD"),
    (HONKER_LIMITED, c"HONKER_LIMITED"),
    (HONKER_CLOSED, c"HONKER_CLOSED"),
    (HONKER_EXISTS, c"HONKER_EXISTS"),
    (HONKER_REPLACED, c"HONKER_REPLACED"),
    (HONKER_INTERNAL, c"HONKER_INTERNAL"),
    (HONKER_BUSY, c"HONKER_BUSY"),
    (HONKER_CONSTRAINT, c"HONKER_CONSTRAINT"),
    (HONKER_IO, c"HONKER_IO"),
    (HONKER_CORRUPT, c"HONKER_CORRUPT"),
    (HONKER_FULL, c"HONKER_FULL"),
    (HONKER_READONLY, c"HONKER_READONLY"),
    (HONKER_CANNOT_OPEN, c"HONKER_CANNOT_OPEN"),
    (HONKER_SQL, c"HONKER_SQL"),
    (HONKER_SCHEMA, c"HONKER_SCHEMA"),
    (HONKER_TOO_BIG, c"HONKER_TOO_BIG"),
    (HONKER_ABORTED, c"HONKER_ABORTED"),
    (HONKER_MISUSE, c"HONKER_MISUSE"),
    (HONKER_NULL_ARG, c"HONKER_NULL_ARG"),
    (HONKER_UTF8, c"HONKER_UTF8"),
    (HONKER_INVALID, c"HONKER_INVALID"),
    (HONKER_NOT_FOUND, c"HONKER_NOT_FOUND"),
    (HONKER_CLOSED_HANDLE, c"HONKER_CLOSED_HANDLE"),
    (HONKER_FORKED, c"HONKER_FORKED"),
    (HONKER_UNSUPPORTED, c"HONKER_UNSUPPORTED"),
    (HONKER_INTERRUPTED, c"HONKER_INTERRUPTED"),
    (HONKER_PANIC, c"HONKER_PANIC"),
    (HONKER_WATCHER, c"HONKER_WATCHER"),
    (HONKER_SYSTEM, c"HONKER_SYSTEM"),
    (HONKER_TOO_OLD, c"HONKER_TOO_OLD"),
    (HONKER_CONNECTION, c"HONKER_CONNECTION"),
    (HONKER_MOVED, c"HONKER_MOVED"),
];

/// The name of a status, as it stands in this header: "HONKER_BUSY"; "HONKER_UNKNOWN" for a number that this library
/// does not know. The text is static. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn honker_status_name(status: honker_status_t) -> *const c_char {
    name(status).as_ptr()
}

/// Whether an error is one of the moment, so that a worker waits and tries again: 1 for HONKER_BUSY, HONKER_IO, HONKER_FULL,
/// HONKER_READONLY, HONKER_CANNOT_OPEN, HONKER_SCHEMA, HONKER_ABORTED, HONKER_INTERRUPTED, HONKER_SYSTEM and
/// HONKER_CONNECTION. 0 for those that the same call will meet again, and for what is no error. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn honker_status_is_transient(status: honker_status_t) -> i32 {
    i32::from(is_transient(status))
}

/// abi.json has it for each status, and each package that does not call the function is generated from that.
pub(crate) fn is_transient(status: honker_status_t) -> bool {
    matches!(
        status,
        HONKER_BUSY
            | HONKER_IO
            | HONKER_FULL
            | HONKER_READONLY
            | HONKER_CANNOT_OPEN
            | HONKER_SCHEMA
            | HONKER_ABORTED
            | HONKER_INTERRUPTED
            | HONKER_SYSTEM
            | HONKER_CONNECTION
    )
}

pub(crate) fn name(status: honker_status_t) -> &'static CStr {
    NAMES.iter().find(|(number, _)| *number == status).map_or(c"HONKER_UNKNOWN", |(_, name)| name)
}

/// The status that stands for an error of the core.
pub(crate) fn of(error: &Error) -> honker_status_t {
    match error {
        Error::Busy(_) => HONKER_BUSY,
        Error::Interrupted(_) => HONKER_INTERRUPTED,
        Error::Constraint(_) => HONKER_CONSTRAINT,
        Error::ReadOnly(_) => HONKER_READONLY,
        Error::Full(_) => HONKER_FULL,
        Error::Io(_) => HONKER_IO,
        Error::Corrupt(_) => HONKER_CORRUPT,
        Error::CannotOpen(_) => HONKER_CANNOT_OPEN,
        Error::Connection(_) => HONKER_CONNECTION,
        Error::TooBig(_) => HONKER_TOO_BIG,
        Error::Schema(_) => HONKER_SCHEMA,
        Error::Aborted(_) => HONKER_ABORTED,
        Error::Sql(_) => HONKER_SQL,
        Error::Unsupported(_) => HONKER_UNSUPPORTED,
        Error::System(_) => HONKER_SYSTEM,
        Error::Internal(_) => HONKER_INTERNAL,
        Error::Invalid(_) => HONKER_INVALID,
        Error::Misuse(_) => HONKER_MISUSE,
        Error::Closed => HONKER_CLOSED_HANDLE,
        Error::Forked => HONKER_FORKED,
        Error::Watcher(_) => HONKER_WATCHER,
        Error::TooOld(_) => HONKER_TOO_OLD,
        Error::Moved(_) => HONKER_MOVED,
    }
}
