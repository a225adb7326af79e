//! Why a command failed: what is said on standard error, and the exit code.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use honker_core::Error;

/// The result of every command.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// See the module documentation. The exit codes are in the help of the program and in docs/cli.md.
#[derive(Debug)]
pub enum Failure {
    /// It went wrong: 1.
    Failed(String),
    /// The arguments do not make sense: 2, as clap's own.
    Usage(String),
    /// What was asked for is not there: 3.
    NotFound(String),
    /// It was not confirmed: 4.
    Declined(String),
    /// It passes by itself, and is worth trying again: 75, EX_TEMPFAIL of sysexits.h.
    Temporary(String),
    /// Another file has the name of the one that was opened: 1.
    Replaced(String),
    /// Whoever read the output has gone away: quiet, and no failure.
    ReaderGone,
}

impl Failure {
    /// Says so on standard error; the exit code.
    pub fn report(self) -> ExitCode {
        if !matches!(self, Failure::ReaderGone) {
            say(&self);
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Failure::ReaderGone => 0,
            Failure::Failed(_) | Failure::Replaced(_) => 1,
            Failure::Usage(_) => 2,
            Failure::NotFound(_) => 3,
            Failure::Declined(_) => 4,
            Failure::Temporary(_) => 75,
        }
    }
}

/// Says something on standard error, a line in one write. That nobody reads it any more is no reason to end: a worker outlives
/// whoever keeps its log.
pub fn say(what: impl fmt::Display) {
    let _ = std::io::stderr().write_all(format!("honker: {what}\n").as_bytes());
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(text)
            | Failure::Usage(text)
            | Failure::NotFound(text)
            | Failure::Declined(text)
            | Failure::Temporary(text)
            | Failure::Replaced(text) => f.write_str(text),
            Failure::ReaderGone => f.write_str("the reader of the output has gone away"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Invalid(_) => Failure::Usage(text),
            Error::Busy(_) | Error::Aborted(_) | Error::Connection(_) => Failure::Temporary(text),
            Error::Watcher(_) => Failure::Replaced(text),
            _ => Failure::Failed(text),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(error.to_string()),
        }
    }
}
