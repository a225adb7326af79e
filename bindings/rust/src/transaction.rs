//! A transaction: the application's own SQL and honker's calls, committed together or not at all.

use std::sync::{Mutex, PoisonError};

use honker_core::database as engine;

use crate::value::{Row, Value, parameters};
use crate::{Database, Error, Result};

/// An open transaction (`BEGIN IMMEDIATE`). It holds the database's only writer, so keep it short: other calls that write
/// wait until it is over, for as long as the busy timeout.
///
/// Methods that end in `_tx` take part in it. Dropping it rolls back. It may be sent to another thread; if two use it at
/// once, one waits. A process that dies before [`Transaction::commit`] has returned leaves all of it or nothing.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// # db.transaction()?.commit()?;
/// let q = db.queue("emails", QueueOpts::default());
/// let tx = db.transaction()?;
/// tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)", [])?;
/// tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", honker::params![42, 99])?;
/// q.enqueue_tx(&tx, &"alice@example.com", EnqueueOpts::default())?;
/// tx.commit()?; // both, or neither
/// # Ok::<(), honker::Error>(())
/// ```
pub struct Transaction {
    database: Database,
    // Calls take it by a shared reference, also in futures that move between threads.
    open: Mutex<engine::Transaction>,
}

impl Transaction {
    pub(crate) fn begin(database: &Database) -> Result<Self> {
        let open = Mutex::new(database.engine().begin()?);
        Ok(Transaction { database: database.clone(), open })
    }

    /// Runs one SQL statement; the number of rows that it inserted, updated or deleted.
    pub fn execute(&self, sql: &str, params: impl IntoIterator<Item = Value>) -> Result<u64> {
        self.with(|tx| tx.execute(sql, &parameters(params)))
    }

    /// Runs one SQL statement; its rows. All of honker's SQL functions are there.
    pub fn query(&self, sql: &str, params: impl IntoIterator<Item = Value>) -> Result<Vec<Row>> {
        self.with(|tx| tx.query(sql, &parameters(params))).map(Row::all)
    }

    /// Runs one SQL statement; its first row, if it has any.
    pub fn query_row(&self, sql: &str, params: impl IntoIterator<Item = Value>) -> Result<Option<Row>> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// Commits. On an error nothing of the transaction has happened.
    pub fn commit(self) -> Result<()> {
        Ok(self.open.into_inner().unwrap_or_else(PoisonError::into_inner).commit()?)
    }

    /// Rolls back.
    pub fn rollback(self) -> Result<()> {
        Ok(self.open.into_inner().unwrap_or_else(PoisonError::into_inner).rollback()?)
    }

    /// Uses it.
    pub(crate) fn with<T>(
        &self,
        body: impl FnOnce(&mut engine::Transaction) -> honker_core::Result<T>,
    ) -> Result<T> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(body(&mut open)?)
    }

    /// As [`Transaction::with`], for a call that was made through `database`.
    pub(crate) fn within<T>(
        &self,
        database: &Database,
        body: impl FnOnce(&mut engine::Transaction) -> honker_core::Result<T>,
    ) -> Result<T> {
        if !self.database.is(database) {
            return Err(Error::Misuse("the transaction is one of another database".to_owned()));
        }
        self.with(body)
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("database", &self.database).finish_non_exhaustive()
    }
}
