//! What can go wrong in an operation.
//!
//! An error says whether the caller's input was at fault or SQLite refused, and keeps SQLite's extended result code so
//! that BUSY, FULL, READONLY and CORRUPT stay recognisable at every surface. An error always means "nothing was done".

use std::fmt;

/// The result of every operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation was refused. The text is meant for the user of the surface that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// SQLite refused: its extended result code and its own message.
    Sqlite {
        /// SQLite's extended result code, for example 5 (`SQLITE_BUSY`) or 517 (`SQLITE_BUSY_SNAPSHOT`).
        code: i32,
        /// SQLite's message, completed with what to do where that is known.
        message: String,
    },
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

impl Error {
    /// An [`Error::Invalid`] with this message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid(message.into())
    }

    /// The error of a call or a wait that somebody interrupted.
    pub(crate) fn interrupted() -> Self {
        Error::Sqlite { code: rusqlite::ffi::SQLITE_INTERRUPT, message: "interrupted".to_owned() }
    }

    /// From the error of a connection that is used through rusqlite.
    pub(crate) fn from_rusqlite(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, message) => Error::Sqlite {
                code: failure.extended_code,
                message: message.unwrap_or_else(|| failure.to_string()),
            },
            #[cfg(feature = "bundled")]
            rusqlite::Error::SqlInputError { error, msg, .. } => {
                Error::Sqlite { code: error.extended_code, message: msg }
            }
            rusqlite::Error::MultipleStatement => Error::invalid("more than one SQL statement in one call"),
            other => Error::invalid(other.to_string()),
        }
    }

    /// SQLite's extended result code, if SQLite was the one to refuse.
    pub fn sqlite_code(&self) -> Option<i32> {
        match self {
            Error::Sqlite { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Sqlite { message, .. }
            | Error::Invalid(message)
            | Error::Misuse(message)
            | Error::Watcher(message)
            | Error::TooOld(message) => f.write_str(message),
            Error::Closed => f.write_str("the database is closed"),
            Error::Forked => {
                f.write_str("this database was opened before the process was forked; open it again here")
            }
        }
    }
}

impl std::error::Error for Error {}
