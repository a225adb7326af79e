//! What can go wrong in an operation.
//!
//! An error is typed by what happened, whoever found it out: a lock that could not be had is [`Error::Busy`] whether
//! SQLite waited for another process or we for another thread. SQLite's extended result code is there only when SQLite
//! gave it. An error always means "nothing was done".

use std::fmt;

use rusqlite::ffi;

/// The result of every operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation was refused. The text is meant for the user of the surface that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Another process, or a call of this one, held a lock for longer than the busy timeout. Worth trying again.
    Busy(Cause),
    /// Somebody interrupted the call or the wait.
    Interrupted(Cause),
    /// A constraint, or a trigger that raises, refused the change.
    Constraint(Cause),
    /// What is here has been moved to another database, or is being moved; the message says where. What runs may still be
    /// settled; nothing is added or claimed here any more.
    Moved(Cause),
    /// The file or its directory cannot be written to.
    ReadOnly(Cause),
    /// The disk, or the database, is full.
    Full(Cause),
    /// The operating system failed to read or write.
    Io(Cause),
    /// The file is damaged, or no database at all.
    Corrupt(Cause),
    /// The file cannot be opened: no such directory, no permission. Or a server refuses the connection for good: a wrong
    /// password, no such database.
    CannotOpen(Cause),
    /// The connection to the server is lost, or there is none to be had. Worth trying again; what was under way may have been
    /// done.
    Connection(Cause),
    /// A text, a blob or a row is larger than can be stored, or an answer than can be returned.
    TooBig(Cause),
    /// The schema changed again and again while the statement was prepared.
    Schema(Cause),
    /// Undone because of somebody else's failure. Worth trying again.
    Aborted(Cause),
    /// The statement was refused: a mistake in the SQL, a missing table, a value of an unfitting type.
    Sql(Cause),
    /// This build, or this machine, cannot do that.
    Unsupported(Cause),
    /// The operating system refused what it has a limited number of: descriptors, threads, inotify instances. The message
    /// has its error.
    System(Cause),
    /// What should not happen, or memory that could not be had.
    Internal(Cause),
    /// An argument cannot be used; the message names it.
    Invalid(String),
    /// The call cannot be made here and now, whatever its arguments; the message says why.
    Misuse(String),
    /// The database is closed.
    Closed,
    /// The database was opened by the process that this one was forked from.
    Forked,
    /// The file is not watched any more; the message says why.
    Watcher(String),
    /// The file was brought up to date by a newer honker whose changes this program must not write beside; the message
    /// names both versions.
    TooOld(String),
}

/// What is known of an error beyond its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What to tell the user, completed with what to do where that is known.
    pub message: String,
    /// SQLite's extended result code, for example 517 (`SQLITE_BUSY_SNAPSHOT`), if it was SQLite that refused.
    pub sqlite_code: Option<i32>,
}

impl<T: Into<String>> From<T> for Cause {
    fn from(message: T) -> Self {
        Cause { message: message.into(), sqlite_code: None }
    }
}

impl Error {
    /// An [`Error::Invalid`] with this message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid(message.into())
    }

    /// The error of a row that a trigger of the user's has kept from what is to be done with it. `not`: "inserted".
    pub(crate) fn ignored(not: &str, table: &str) -> Self {
        Error::Constraint(format!("not {not}: a trigger on {table} said RAISE(IGNORE)").into())
    }

    /// Whether it is that the file has no such table of ours; `table` is how the names of those that are meant begin.
    pub(crate) fn lacks_table(&self, table: &str) -> bool {
        self.to_string().strip_prefix("no such table: main.").is_some_and(|rest| rest.starts_with(table))
    }

    /// The error of a call or a wait that somebody interrupted.
    pub(crate) fn interrupted() -> Self {
        Error::Interrupted("interrupted".into())
    }

    /// The operating system refused `what`, a thing of which it has only so many.
    pub(crate) fn system(what: &str, error: &std::io::Error) -> Self {
        Error::System(format!("{what} could not be had: {error}").into())
    }

    /// From what SQLite answered: its extended result code and its message.
    pub(crate) fn from_sqlite(code: i32, message: impl Into<String>) -> Self {
        let mut cause = Cause { message: message.into(), sqlite_code: Some(code) };
        let kind = match code & 0xff {
            ffi::SQLITE_CONSTRAINT if is_of_move(&cause.message) => Error::Moved,
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Error::Busy,
            ffi::SQLITE_INTERRUPT => Error::Interrupted,
            ffi::SQLITE_CONSTRAINT => Error::Constraint,
            ffi::SQLITE_READONLY => Error::ReadOnly,
            ffi::SQLITE_FULL => Error::Full,
            ffi::SQLITE_IOERR => Error::Io,
            ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Error::Corrupt,
            ffi::SQLITE_CANTOPEN => match no_descriptors_left() {
                // SQLite does not tell a file that is not there from a descriptor that cannot be had.
                Some(error) => {
                    cause.message = format!("{}: {error}", cause.message);
                    Error::System
                }
                None => Error::CannotOpen,
            },
            ffi::SQLITE_PERM => Error::CannotOpen,
            ffi::SQLITE_TOOBIG => Error::TooBig,
            ffi::SQLITE_SCHEMA => Error::Schema,
            ffi::SQLITE_ABORT => Error::Aborted,
            ffi::SQLITE_ERROR | ffi::SQLITE_MISMATCH | ffi::SQLITE_RANGE | ffi::SQLITE_AUTH => Error::Sql,
            ffi::SQLITE_NOLFS => Error::Unsupported,
            _ => Error::Internal,
        };
        kind(cause)
    }

    /// From the error of a connection that is used through rusqlite.
    pub(crate) fn from_rusqlite(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, message) => {
                Error::from_sqlite(failure.extended_code, message.unwrap_or_else(|| failure.to_string()))
            }
            #[cfg(feature = "bundled")]
            rusqlite::Error::SqlInputError { error, msg, .. } => Error::from_sqlite(error.extended_code, msg),
            rusqlite::Error::MultipleStatement => Error::invalid("more than one SQL statement in one call"),
            other => match other.sqlite_error() {
                Some(error) => Error::from_sqlite(error.extended_code, other.to_string()),
                None => Error::invalid(other.to_string()),
            },
        }
    }

    /// SQLite's extended result code, if SQLite was the one to refuse.
    pub fn sqlite_code(&self) -> Option<i32> {
        self.cause().and_then(|cause| cause.sqlite_code)
    }

    /// The code that SQLite has for what happened, whoever found it out: for surfaces that speak SQLite.
    pub fn as_sqlite_code(&self) -> i32 {
        self.sqlite_code().unwrap_or(match self {
            Error::Busy(_) => ffi::SQLITE_BUSY,
            Error::Interrupted(_) => ffi::SQLITE_INTERRUPT,
            Error::Constraint(_) | Error::Moved(_) => ffi::SQLITE_CONSTRAINT,
            Error::ReadOnly(_) => ffi::SQLITE_READONLY,
            Error::Full(_) => ffi::SQLITE_FULL,
            Error::Io(_) => ffi::SQLITE_IOERR,
            Error::Corrupt(_) => ffi::SQLITE_CORRUPT,
            Error::CannotOpen(_) => ffi::SQLITE_CANTOPEN,
            Error::TooBig(_) => ffi::SQLITE_TOOBIG,
            Error::Schema(_) => ffi::SQLITE_SCHEMA,
            Error::Aborted(_) => ffi::SQLITE_ABORT,
            _ => ffi::SQLITE_ERROR,
        })
    }

    fn cause(&self) -> Option<&Cause> {
        match self {
            Error::Busy(cause)
            | Error::Interrupted(cause)
            | Error::Constraint(cause)
            | Error::Moved(cause)
            | Error::ReadOnly(cause)
            | Error::Full(cause)
            | Error::Io(cause)
            | Error::Corrupt(cause)
            | Error::CannotOpen(cause)
            | Error::Connection(cause)
            | Error::TooBig(cause)
            | Error::Schema(cause)
            | Error::Aborted(cause)
            | Error::Sql(cause)
            | Error::Unsupported(cause)
            | Error::System(cause)
            | Error::Internal(cause) => Some(cause),
            Error::Invalid(_)
            | Error::Misuse(_)
            | Error::Closed
            | Error::Forked
            | Error::Watcher(_)
            | Error::TooOld(_) => None,
        }
    }
}

/// Whether a trigger that refuses a change does so because the database has moved (`moving.rs`).
pub fn is_of_move(message: &str) -> bool {
    message.starts_with("HONKER_MOVED")
}

/// Why no file can be opened now, if none can.
fn no_descriptors_left() -> Option<std::io::Error> {
    #[cfg(unix)]
    {
        // The root directory: opening a database file, and closing it again, would drop the locks of this process.
        let error = std::fs::File::open("/").err()?;
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)).then_some(error)
    }
    #[cfg(not(unix))]
    None
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(message)
            | Error::Misuse(message)
            | Error::Watcher(message)
            | Error::TooOld(message) => f.write_str(message),
            Error::Closed => f.write_str("the database is closed"),
            Error::Forked => {
                f.write_str("this database was opened before the process was forked; open it again here")
            }
            other => f.write_str(other.cause().map_or("", |cause| &cause.message)),
        }
    }
}

impl std::error::Error for Error {}
