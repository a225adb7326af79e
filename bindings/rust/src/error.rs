//! What can go wrong.

use std::fmt;
use std::sync::Arc;

use honker_core as engine;

/// What every call of this crate returns.
///
/// ```
/// # fn main() {
/// fn greet(db: &honker::Database) -> honker::Result<i64> {
///     db.queue("greetings", honker::QueueOpts::default()).enqueue(&"hello", honker::EnqueueOpts::default())
/// }
/// # }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is known of an error beyond its kind: SQLite's extended result code, if it was SQLite that refused, and a message
/// for people.
///
/// ```
/// # use honker::{Database, Error};
/// let failed = Database::open("/there/is/no/such/folder/app.db").err().unwrap();
/// let Error::CannotOpen(cause) = failed else { panic!("{failed:?}") };
/// assert_eq!(cause.sqlite_code, Some(14));
/// assert!(!cause.message.is_empty());
/// ```
#[doc(inline)]
pub use engine::Cause;

/// Why a call was refused. Nothing was done then.
///
/// It is typed by what happened, whoever found it out: a lock that could not be had is [`Error::Busy`] whether another
/// process has it or another thread of this one.
///
/// ```
/// # use honker::{Database, Error};
/// # let db = honker::testing::TestDatabase::new()?;
/// match db.transaction()?.execute("INSERT INTO nowhere VALUES (1)", []) {
///     Err(Error::Engine { code, message }) => assert!(code == 1 && message.contains("nowhere")),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// Another process, or a transaction of this one, held a lock for longer than the busy timeout. Worth trying again.
    Busy(Cause),
    /// [`Database::interrupt`](crate::Database::interrupt) ended the call.
    Interrupted(Cause),
    /// A constraint, or a trigger that raises, refused the change.
    Constraint(Cause),
    /// The file or its directory cannot be written to.
    ReadOnly(Cause),
    /// The disk, or the database, is full.
    Full(Cause),
    /// The operating system failed to read or write.
    Io(Cause),
    /// The file is damaged, or no database at all.
    Corrupt(Cause),
    /// The file cannot be opened: no such directory, no permission.
    CannotOpen(Cause),
    /// The connection to the server is lost, or there is none to be had. Worth trying again; what was under way may have been
    /// done.
    Connection(Cause),
    /// All that was in this database has been moved to another one by `honker move`, or is being moved; the message says where.
    /// Jobs that run may be settled until then.
    Moved(Cause),
    /// A text, a blob or a row is larger than can be stored.
    TooBig(Cause),
    /// The schema changed again and again while a statement was prepared.
    Schema(Cause),
    /// Undone because of somebody else's failure. Worth trying again.
    Aborted(Cause),
    /// The operating system refused what it has a limited number of: descriptors, threads, inotify instances.
    System(Cause),
    /// This build, or this machine, cannot do that.
    Unsupported(Cause),
    /// What should not happen, or memory that could not be had.
    Internal(Cause),
    /// SQLite refused a statement: a mistake in the SQL, a missing table, a value of an unfitting type.
    Engine {
        /// SQLite's extended result code.
        code: i32,
        /// SQLite's text.
        message: String,
    },
    /// An argument cannot be used; the message names it.
    Invalid(String),
    /// The call cannot be made here and now; the message says why.
    Misuse(String),
    /// The database is closed, or what was waited with.
    Closed,
    /// The database was opened by the process that this one was forked from. Open it again here.
    Forked,
    /// The watcher died: the file was replaced by another of its name, or is gone. Close the database and open it again.
    WatcherDied(String),
    /// The file was brought up to date by a newer honker, beside whose changes this program must not write.
    TooOld(String),
    /// A value cannot be encoded as JSON, or JSON not decoded as a value.
    Json {
        /// What it was to be or was.
        what: String,
        /// serde_json's reason.
        source: Arc<serde_json::Error>,
    },
    /// The wait was ended by [`Waker::wake`](crate::Waker::wake).
    Woken,
    /// The time was over before what was waited for had happened.
    Timeout(String),
    /// The job is not its worker's any more: it was settled or cancelled, or its claim was over.
    Lost(String),
    /// A [step](crate::Job::step) has run, and what it returned cannot be saved. A worker discards the job, since another
    /// attempt would run the step again.
    StepNotSaved {
        /// The step.
        name: String,
        /// Why not.
        source: Arc<Error>,
    },
}

impl Error {
    /// Whether it is one of the moment, so that the same call may succeed later: a lock, a full disk, a file that is not
    /// there yet. Workers wait such errors out.
    pub fn is_transient(&self) -> bool {
        use Error::*;
        matches!(
            self,
            Busy(_)
                | Io(_)
                | Full(_)
                | ReadOnly(_)
                | CannotOpen(_)
                | Schema(_)
                | Aborted(_)
                | Interrupted(_)
                | System(_)
                | Connection(_)
        )
    }

    /// SQLite's extended result code, if it was SQLite that refused.
    pub fn sqlite_code(&self) -> Option<i32> {
        use Error::*;
        match self {
            Busy(cause) | Interrupted(cause) | Constraint(cause) | ReadOnly(cause) | Full(cause)
            | Io(cause) | Corrupt(cause) | CannotOpen(cause) | TooBig(cause) | Schema(cause)
            | Aborted(cause) | System(cause) | Unsupported(cause) | Internal(cause) | Connection(cause)
            | Moved(cause) => cause.sqlite_code,
            Engine { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid(message.into())
    }

    pub(crate) fn json(what: impl Into<String>, source: serde_json::Error) -> Self {
        Error::Json { what: what.into(), source: Arc::new(source) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Error::*;
        match self {
            Busy(cause) | Interrupted(cause) | Constraint(cause) | ReadOnly(cause) | Full(cause)
            | Io(cause) | Corrupt(cause) | CannotOpen(cause) | TooBig(cause) | Schema(cause)
            | Aborted(cause) | System(cause) | Unsupported(cause) | Internal(cause) | Connection(cause)
            | Moved(cause) => f.write_str(&cause.message),
            Engine { message, .. } => f.write_str(message),
            Invalid(message) | Misuse(message) | TooOld(message) | Timeout(message) | Lost(message) => {
                f.write_str(message)
            }
            WatcherDied(message) => write!(f, "watcher died: {message}"),
            Closed => f.write_str("the database is closed"),
            Forked => {
                f.write_str("this database was opened before the process was forked; open it again here")
            }
            Json { what, source } => write!(f, "{what}: {source}"),
            StepNotSaved { name, source } => {
                write!(f, "the step '{name}' has run, and is not saved: {source}")
            }
            Woken => f.write_str("the wait was ended by a wake"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Json { source, .. } => Some(&**source),
            Error::StepNotSaved { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        use engine::Error as E;
        let code = error.as_sqlite_code();
        match error {
            E::Busy(cause) => Error::Busy(cause),
            E::Interrupted(cause) => Error::Interrupted(cause),
            E::Constraint(cause) => Error::Constraint(cause),
            E::ReadOnly(cause) => Error::ReadOnly(cause),
            E::Full(cause) => Error::Full(cause),
            E::Io(cause) => Error::Io(cause),
            E::Corrupt(cause) => Error::Corrupt(cause),
            E::CannotOpen(cause) => Error::CannotOpen(cause),
            E::Connection(cause) => Error::Connection(cause),
            E::Moved(cause) => Error::Moved(cause),
            E::TooBig(cause) => Error::TooBig(cause),
            E::Schema(cause) => Error::Schema(cause),
            E::Aborted(cause) => Error::Aborted(cause),
            E::System(cause) => Error::System(cause),
            E::Unsupported(cause) => Error::Unsupported(cause),
            E::Internal(cause) => Error::Internal(cause),
            E::Sql(cause) => Error::Engine { code, message: cause.message },
            E::Invalid(message) => Error::Invalid(message),
            E::Misuse(message) => Error::Misuse(message),
            E::Closed => Error::Closed,
            E::Forked => Error::Forked,
            E::Watcher(message) => Error::WatcherDied(message),
            E::TooOld(message) => Error::TooOld(message),
        }
    }
}
