//! The version of a file's schema, and which programs may write to it.
//!
//! `_honker_schema` holds one row: `version`, that of the newest program that changed the schema, and `min_version`, the
//! oldest that may write. A file without the table is of version 1. Programs from before version 2 do not look; this one
//! looks before its first write and again whenever somebody else has committed since, under the lock where the write is
//! part of a transaction. docs/decisions/0021-schema-version.md says why so, and what it costs.

use std::cell::Cell;

use rusqlite::ffi;

use crate::statement::Sql;
use crate::{Error, Result, Store};

/// The version of this program.
pub(crate) const VERSION: i64 = 2;

/// The version of a file that does not say.
pub(crate) const UNVERSIONED: i64 = 1;

static SQL_DATA_VERSION: Sql = Sql::new("PRAGMA main.data_version");

static SQL_VERSION: Sql = Sql::new("SELECT max(version), max(min_version) FROM main._honker_schema");

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileVersion {
    /// Of the newest program that changed the schema.
    pub(crate) version: i64,
    /// Of the oldest program that may write.
    pub(crate) min_version: i64,
}

impl FileVersion {
    /// Reads it.
    pub(crate) fn read(store: &Store) -> Result<Self> {
        let row =
            store.query_one(&SQL_VERSION, &[], |row| (row.optional_integer(0), row.optional_integer(1)));
        let (version, min_version) = match row {
            Ok(row) => row.unwrap_or_default(),
            Err(Error::Sql(cause)) if cause.message.starts_with("no such table: main._honker_schema") => {
                (None, None)
            }
            Err(error) => return Err(error),
        };
        Ok(FileVersion {
            version: version.unwrap_or(UNVERSIONED),
            min_version: min_version.unwrap_or(UNVERSIONED),
        })
    }

    /// An error if this program must not write to such a file.
    pub(crate) fn check(self) -> Result<()> {
        if self.min_version > VERSION {
            return Err(Error::TooOld(format!(
                "this file may be written by honker programs of schema version {} and later; this one is of version \
                 {VERSION}: update it",
                self.min_version
            )));
        }
        Ok(())
    }
}

/// What the last look at a file was based on. One for each connection.
#[derive(Default)]
pub(crate) struct LastLook {
    /// `PRAGMA data_version`, which others' commits change.
    data_version: Cell<Option<i64>>,
    /// The pager's own counter, which every commit changes. To ask for it costs next to nothing, but it is up to date
    /// only within a transaction.
    pager_version: Cell<Option<u32>>,
}

/// Before a statement that writes: an error if this program must not write to the file.
pub(crate) fn check_write(store: &Store) -> Result<()> {
    let last = store.last_look();
    let mut locked = store.is_writing();
    if !locked && store.in_transaction() {
        // The lock first: a transaction that reads before it writes may lose its chance to (`Store::atomic`).
        store.lock()?;
        locked = true;
    }
    let pager_version = if locked { store.pager_version() } else { None };
    if pager_version.is_some() && pager_version == last.pager_version.get() {
        return Ok(());
    }
    let data_version = store.query_one(&SQL_DATA_VERSION, &[], |row| row.integer(0))?;
    if data_version.is_none() || data_version != last.data_version.get() {
        FileVersion::read(store)?.check()?;
        last.data_version.set(data_version);
    }
    last.pager_version.set(pager_version);
    Ok(())
}

impl Store {
    /// Whether this connection holds the write lock.
    fn is_writing(&self) -> bool {
        // SAFETY: the connection is open and the name is NUL-terminated.
        unsafe { ffi::sqlite3_txn_state(self.handle(), c"main".as_ptr()) == ffi::SQLITE_TXN_WRITE }
    }

    fn pager_version(&self) -> Option<u32> {
        let mut version: u32 = 0;
        // SAFETY: the connection is open, the name NUL-terminated, and this control fills in an `unsigned int`.
        let code = unsafe {
            ffi::sqlite3_file_control(
                self.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_DATA_VERSION,
                (&raw mut version).cast(),
            )
        };
        (code == ffi::SQLITE_OK).then_some(version)
    }
}
