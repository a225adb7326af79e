//! What a database has to say about itself, for diagnosis.

use serde::Serialize;

use crate::watch;

/// The state of a [`super::Database`] when it was asked for. As JSON, with the field names, it is what `honker_status`
/// answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The file, by its absolute path, or the server's URL without its password.
    pub file: String,
    /// Its connections. The watcher's own is not among them.
    pub connections: Connections,
    /// The watcher of the file; none before the first waiter.
    pub watcher: Option<watch::Status>,
    /// What else went wrong so far, the oldest first: schedules that the leader here could not fire, jobs that
    /// a worker here has passed over.
    pub warnings: Vec<watch::Warning>,
    /// What runs here.
    pub versions: Versions,
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// Those that write: 1, and 0 once the database is closed.
    pub writers: usize,
    /// Those that read and are open.
    pub readers: usize,
    /// Those of them that are in use.
    pub readers_in_use: usize,
    /// How many readers there may be.
    pub readers_max: usize,
}

/// Versions of what runs here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// honker.
    pub honker: &'static str,
    /// The SQLite that honker uses.
    pub sqlite: &'static str,
    /// The server, if the database is on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
}

impl Versions {
    pub(super) fn here() -> Self {
        Versions { honker: env!("CARGO_PKG_VERSION"), sqlite: rusqlite::version(), postgres: None }
    }
}
