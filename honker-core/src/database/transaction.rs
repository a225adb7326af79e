//! A user's transaction: the caller's own SQL and honker's operations, committed together or not at all.

use std::sync::Arc;

use super::value::{Rows, Value};
use super::{FileDatabase, Inner};
use crate::bound::Step;
use crate::{Result, Store};

/// An open transaction. It holds the database's only writer: other calls that write wait until it is over, for as long
/// as the busy timeout.
///
/// It may be moved to another thread, and is used by one at a time. Dropping it rolls back. Should the process die, or
/// the database be closed, it never happened.
pub(super) struct FileTransaction {
    inner: Arc<Inner>,
    number: u64,
    open: bool,
}

impl FileTransaction {
    pub(super) fn begin(database: &FileDatabase) -> Result<Self> {
        let inner = Arc::clone(&database.inner);
        inner.check_file()?;
        let number = inner.writer.begin()?;
        Ok(FileTransaction { inner, number, open: true })
    }

    /// What names it to [`FileDatabase::interrupt_transaction`].
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Runs one SQL statement; the number of rows it inserted, updated or deleted.
    pub fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64> {
        self.inner.check_file()?;
        self.inner.writer.in_transaction(|handle| handle.execute(sql, parameters))
    }

    /// Runs one SQL statement; its rows. All of honker's SQL functions are there.
    pub fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows> {
        self.inner.check_file()?;
        self.inner.writer.in_transaction(|handle| handle.query(sql, parameters))
    }

    /// Runs an operation that only reads, in this transaction.
    pub(super) fn read<T>(&mut self, body: impl FnOnce(&Store, i64) -> Result<T>) -> Result<T> {
        self.write(body)
    }

    /// Runs a bounded operation in this transaction, once.
    pub(super) fn repeat<T: Step>(
        &mut self,
        body: impl FnOnce(&Store, i64) -> Result<T>,
    ) -> Result<T::Answer> {
        self.write(body).map(Step::answer)
    }

    /// Runs an operation in this transaction.
    pub(super) fn write<T>(&mut self, body: impl FnOnce(&Store, i64) -> Result<T>) -> Result<T> {
        self.inner.check_file()?;
        self.inner.writer.in_transaction(|handle| {
            let now = handle.store().now()?;
            body(handle.store(), now)
        })
    }

    /// Commits. On an error nothing of the transaction has happened.
    pub fn commit(mut self) -> Result<()> {
        self.inner.check_file()?;
        self.open = false;
        self.inner.writer.end(true)
    }

    /// Rolls back.
    pub fn rollback(mut self) -> Result<()> {
        self.inner.check()?;
        self.open = false;
        self.inner.writer.end(false)
    }
}

impl Drop for FileTransaction {
    fn drop(&mut self) {
        if self.open && self.inner.process.is_current() {
            // Whoever wants to know whether rolling back worked calls `rollback`.
            let _ = self.inner.writer.end(false);
        }
    }
}
