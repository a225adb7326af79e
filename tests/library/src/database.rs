//! Databases, transactions, and the place of an operation: a database with or without a transaction of it.

use std::ptr;

use crate::raw::{self, OpenOptions};
use crate::{Answer, Owned, call, functions, size_of};

/// HONKER_OPEN_OPTS_INIT.
pub fn settings() -> OpenOptions {
    OpenOptions {
        struct_size: size_of::<OpenOptions>(),
        reserved: 0,
        busy_timeout_ms: 5000,
        readers_max: 8,
        durability: 0,
        journal_mode: 0,
        wal_autocheckpoint_pages: 10_000,
        nesting: 0,
        reserved_2: 0,
        watcher_backend: raw::Bytes { data: std::ptr::null(), len: 0 },
        watcher_poll_interval_ms: 1,
    }
}

/// The handle of a database, which may be closed already.
#[derive(Clone, Copy, PartialEq)]
pub struct Database(pub(crate) *mut raw::Db);

// SAFETY: any thread may call any function with any handle; a bad one is refused.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    /// A handle that the library never gave to anybody.
    pub fn wrong(number: usize) -> Self {
        Database(ptr::without_provenance_mut(number))
    }

    /// Opens a file.
    pub fn open(path: &str, options: &OpenOptions) -> Answer<Self> {
        let mut db = ptr::null_mut();
        // SAFETY: the text and the options are there for the call; so is the place for the answer.
        call(|error| unsafe {
            (functions().honker_open)(path.as_ptr(), path.len(), options, &mut db, error)
        })?;
        Ok(Database(db))
    }

    /// Closes it, whoever uses it.
    pub fn close(self) -> Answer<()> {
        // SAFETY: a handle, which the library checks.
        call(|error| unsafe { (functions().honker_close)(self.0, error) })
    }

    /// Ends every call that is running or waiting.
    pub fn interrupt(self) -> Answer<()> {
        // SAFETY: a handle, which the library checks.
        call(|error| unsafe { (functions().honker_interrupt)(self.0, error) })
    }

    /// Begins a transaction.
    pub fn begin(self) -> Answer<Transaction> {
        let mut tx = ptr::null_mut();
        // SAFETY: a handle, which the library checks; a place for the answer.
        call(|error| unsafe { (functions().honker_tx_begin)(self.0, &mut tx, error) })?;
        Ok(Transaction { database: self, owned: Owned::new(tx, functions().honker_tx_free) })
    }

    /// Where operations run that are committed by themselves.
    pub fn place(self) -> Place {
        Place { db: self.0, tx: ptr::null_mut() }
    }
}

/// A transaction, freed when dropped: rolled back, if it is still open.
pub struct Transaction {
    database: Database,
    pub(crate) owned: Owned<raw::Tx>,
}

impl Transaction {
    /// Commits.
    pub fn commit(&self) -> Answer<()> {
        // SAFETY: a handle, which the library checks.
        call(|error| unsafe { (functions().honker_tx_commit)(self.owned.handle, error) })
    }

    /// Rolls back.
    pub fn rollback(&self) -> Answer<()> {
        // SAFETY: a handle, which the library checks.
        call(|error| unsafe { (functions().honker_tx_rollback)(self.owned.handle, error) })
    }

    /// Where operations run that are part of it.
    pub fn place(&self) -> Place {
        Place { db: self.database.0, tx: self.owned.handle }
    }
}

/// Where an operation runs: in a database, and in a transaction of it or by itself.
#[derive(Clone, Copy)]
pub struct Place {
    pub(crate) db: *mut raw::Db,
    pub(crate) tx: *mut raw::Tx,
}

impl Place {
    /// The same, but with a database's handle where a transaction's belongs.
    pub fn of_another(self) -> Self {
        Place { db: self.db, tx: self.db.cast() }
    }
}
