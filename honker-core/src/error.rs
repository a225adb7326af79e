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
}

impl Error {
    /// An [`Error::Invalid`] with this message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid(message.into())
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
            Error::Sqlite { message, .. } | Error::Invalid(message) | Error::Misuse(message) => {
                f.write_str(message)
            }
            Error::Closed => f.write_str("the database is closed"),
            Error::Forked => {
                f.write_str("this database was opened before the process was forked; open it again here")
            }
        }
    }
}

impl std::error::Error for Error {}
