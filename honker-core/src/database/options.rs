//! How a database is opened.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::watch::Settings;
use crate::{Error, Result};

/// How safe a commit is once it has been acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// It survives a crash of the process; a power cut may take the last ones back (`synchronous = NORMAL`).
    #[default]
    Normal,
    /// It survives a power cut as well (`synchronous = FULL`).
    Full,
}

/// How SQLite journals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JournalMode {
    /// Write-ahead log: readers do not wait for the writer.
    #[default]
    Wal,
    /// Rollback journal, deleted after each transaction.
    Delete,
    /// Rollback journal, truncated after each transaction.
    Truncate,
    /// Rollback journal, kept.
    Persist,
}

impl JournalMode {
    /// SQLite's name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            JournalMode::Wal => "wal",
            JournalMode::Delete => "delete",
            JournalMode::Truncate => "truncate",
            JournalMode::Persist => "persist",
        }
    }
}

/// What happens to a call that would wait for a transaction of its own thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Nesting {
    /// It fails at once: it would wait for itself.
    #[default]
    Fail,
    /// It waits like any other. For runtimes that move tasks between threads (goroutines, virtual threads): there the
    /// thread that used a transaction last says nothing about whose it is.
    Wait,
}

/// Options of [`super::Database::open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long a call waits for a lock that another process, or a transaction of this one, holds. Default 5 s.
    pub busy_timeout: Duration,
    /// How many reads may run at once. Default 8, at least 2: one of them is kept for operations and consumers, whatever
    /// queries run.
    pub readers_max: usize,
    /// Default [`Durability::Normal`].
    pub durability: Durability,
    /// Default [`JournalMode::Wal`].
    pub journal_mode: JournalMode,
    /// After how many pages the write-ahead log is checkpointed. Default 10,000.
    pub wal_autocheckpoint: u32,
    /// Default [`Nesting::Fail`].
    pub nesting: Nesting,
    /// How commits are noticed by those who wait for them.
    pub watcher: Settings,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            busy_timeout: Duration::from_secs(5),
            readers_max: 8,
            durability: Durability::default(),
            journal_mode: JournalMode::default(),
            wal_autocheckpoint: 10_000,
            nesting: Nesting::default(),
            watcher: Settings::default(),
        }
    }
}

/// The path as SQLite takes it.
pub(super) fn usable_path(path: &Path) -> Result<&str> {
    let text = path.to_str().ok_or_else(|| Error::invalid("the path of the database is not valid UTF-8"))?;
    if text.contains('\0') {
        return Err(Error::invalid("the path of the database contains a NUL"));
    }
    Ok(text)
}

/// When a wait that begins now is over; `None` if that is beyond the end of time.
pub(crate) fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}
