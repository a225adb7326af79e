//! The version of a file's schema, and which programs may write to it.
//!
//! `_honker_schema` holds one row: `version`, that of the newest program that changed the schema, and `min_version`, the
//! oldest that may write. A file without the table is of version 1. Programs from before version 2 do not look; this one
//! looks in each transaction that writes, under the lock, if somebody has committed since it last did.
//! docs/decisions/0021-schema-version.md says how it knows, and what that costs. On the same occasion it looks for triggers on
//! our tables, and for what the file uses of the features that most files do not ([`Features`]).

use std::cell::Cell;

use rusqlite::ffi;

use crate::features::Features;
use crate::statement::Sql;
use crate::{Error, Result, Store};

/// The version of this program.
pub(crate) const VERSION: i64 = 3;

/// The version of a file that does not say.
pub(crate) const UNVERSIONED: i64 = 1;

static SQL_DATA_VERSION: Sql = Sql::new("PRAGMA main.data_version");

// Reads nothing. SQLite plans it anew if the schema, the temporary one included, has changed since it was planned, also by
// a transaction that is open.
static SQL_CANARY: Sql = Sql::new("SELECT 1 FROM main.sqlite_master WHERE 0");

static SQL_TRIGGERS: Sql = Sql::new(
    "SELECT EXISTS (SELECT 1 FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name GLOB '_honker_*')
         OR EXISTS (SELECT 1 FROM temp.sqlite_master WHERE type = 'trigger')",
);

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
            Err(error) if error.lacks_table("_honker_schema") => (None, None),
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

/// What the last look at a file was based on, and what it found. One for each connection.
#[derive(Default)]
pub(crate) struct LastLook {
    /// The pager's own counter, which every commit changes, ours as well. To ask for it costs next to nothing, but it is
    /// up to date only within a transaction.
    pager_version: Cell<Option<u32>>,
    /// `PRAGMA data_version`, which only others' commits change.
    data_version: Cell<Option<i64>>,
    /// How often [`SQL_CANARY`] had been planned.
    plans: Cell<Option<i32>>,
    has_triggers: Cell<bool>,
    min_version: Cell<i64>,
    features: Cell<Features>,
    /// It was taken in a transaction that had written before: what that had removed is back if it was rolled back, and
    /// nothing tells us.
    is_doubtful: Cell<bool>,
}

impl LastLook {
    /// Whether there were triggers on our tables.
    pub(crate) fn has_triggers(&self) -> bool {
        self.has_triggers.get()
    }

    /// What was found may have been undone: the next look does not go by the pager's counter.
    #[cfg(feature = "runtime")]
    pub(crate) fn doubt(&self) {
        self.pager_version.set(None);
    }

    /// This connection has changed what the file says of itself.
    pub(crate) fn set_min_version(&self, min_version: i64) {
        self.min_version.set(min_version);
    }

    /// This connection has changed what the file says of itself: the next look takes nothing for known.
    pub(crate) fn look_again(&self) {
        self.is_doubtful.set(true);
    }

    /// The statements are gone, and with them how often each was planned.
    pub(crate) fn forget(&self) {
        self.pager_version.set(None);
        self.plans.set(None);
    }
}

/// In a transaction: an error if this program must not write to the file. Takes the write lock if it is not ours yet.
pub(crate) fn check_write(store: &Store) -> Result<()> {
    let had_written = store.is_writing();
    if !had_written {
        // The lock first: a transaction that reads before it writes may lose its chance to (`Store::atomic`).
        store.lock()?;
    }
    check_locked(store, had_written)
}

/// As [`check_write`], where the write lock is ours. `had_written` says that the transaction may have written before this call.
pub(crate) fn check_locked(store: &Store, had_written: bool) -> Result<()> {
    let last = store.last_look();
    let is_doubtful = last.is_doubtful.get();
    let pager_version = store.pager_version();
    if pager_version.is_some() && pager_version == last.pager_version.get() && !is_doubtful {
        return Ok(());
    }
    let data_version = data_version(store)?;
    let is_by_others = is_doubtful || data_version.is_none() || data_version != last.data_version.get();
    if is_by_others {
        let file = FileVersion::read(store)?;
        file.check()?;
        last.min_version.set(file.min_version);
    }
    look_for_triggers(store)?;
    let found = Features::read(store, last.min_version.get())?;
    // What the open transaction has removed may come back.
    last.features.set(if is_by_others { found } else { found.or(last.features.get()) });
    last.is_doubtful.set(is_by_others && had_written);
    last.data_version.set(data_version);
    last.pager_version.set(pager_version);
    Ok(())
}

/// A number that only others' commits change.
pub(crate) fn data_version(store: &Store) -> Result<Option<i64>> {
    store.query_one(&SQL_DATA_VERSION, &[], |row| row.integer(0))
}

/// Looks for triggers if the schema has changed since that was last done.
pub(crate) fn look_for_triggers(store: &Store) -> Result<()> {
    let last = store.last_look();
    let plans = store.plans(&SQL_CANARY)?;
    if last.plans.get() != Some(plans) {
        let found = store.query_one(&SQL_TRIGGERS, &[], |row| row.integer(0))?;
        last.has_triggers.set(found != Some(0));
        last.plans.set(Some(plans));
    }
    Ok(())
}

/// What was checked has been committed, and changed the pager's counter.
pub(crate) fn committed(store: &Store) {
    store.last_look().pager_version.set(store.pager_version());
}

impl Store {
    /// What the file may use of the features that most files do not. Up to date under the write lock.
    pub(crate) fn features(&self) -> Features {
        self.last_look().features.get()
    }

    /// This connection uses a feature, of which it will know from now on.
    pub(crate) fn set_features(&self, features: Features) {
        self.last_look().features.set(features);
    }

    /// Whether this connection holds the write lock.
    pub(crate) fn is_writing(&self) -> bool {
        // SAFETY: the connection is open and the name is NUL-terminated.
        unsafe { ffi::sqlite3_txn_state(self.handle(), c"main".as_ptr()) == ffi::SQLITE_TXN_WRITE }
    }

    fn pager_version(&self) -> Option<u32> {
        let mut version: u32 = 0;
        // SAFETY: this control fills in an `unsigned int`.
        let code = unsafe { self.control(ffi::SQLITE_FCNTL_DATA_VERSION, &raw mut version) };
        (code == ffi::SQLITE_OK).then_some(version)
    }
}
