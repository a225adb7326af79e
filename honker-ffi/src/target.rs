//! Where an operation runs: in a transaction of the caller's, or by itself.

use std::sync::Arc;

use honker_core::Store;

use crate::db::honker_db_t;
use crate::entry::{Failure, Result};
use crate::handle;
use crate::status::HONKER_MISUSE;
use crate::tx::honker_tx_t;

pub(crate) struct Target {
    db: Arc<honker_db_t>,
    tx: Option<Arc<honker_tx_t>>,
}

impl Target {
    /// The pair of handles that every operation takes. `tx` may be NULL.
    pub(crate) fn new(db: *mut honker_db_t, tx: *mut honker_tx_t) -> Result<Self> {
        let db = handle::get(db)?;
        let tx = if tx.is_null() { None } else { Some(handle::get(tx)?) };
        if tx.as_ref().is_some_and(|tx| !Arc::ptr_eq(&tx.db, &db)) {
            return Err(Failure::new(HONKER_MISUSE, "the transaction belongs to another database"));
        }
        Ok(Target { db, tx })
    }

    /// Runs an operation that writes.
    pub(crate) fn write<T: Send>(
        &self,
        body: impl FnOnce(&Store, i64) -> honker_core::Result<T> + Send,
    ) -> Result<T> {
        match &self.tx {
            Some(tx) => tx.with(|transaction| Ok(transaction.run(body)?)),
            None => Ok(self.db.database.write(faulty(body))?),
        }
    }

    /// Runs an operation that only reads. In a transaction it sees what that has done so far.
    pub(crate) fn read<T>(&self, body: impl FnOnce(&Store, i64) -> honker_core::Result<T>) -> Result<T> {
        match &self.tx {
            Some(tx) => tx.with(|transaction| Ok(transaction.run(body)?)),
            None => Ok(self.db.database.read(faulty(body))?),
        }
    }
}

/// The operation, with a panic before it if a test has planted one.
#[cfg(feature = "faults")]
fn faulty<T>(
    body: impl FnOnce(&Store, i64) -> honker_core::Result<T>,
) -> impl FnOnce(&Store, i64) -> honker_core::Result<T> {
    |store, now| {
        crate::fault::strike_inside();
        body(store, now)
    }
}

#[cfg(not(feature = "faults"))]
use std::convert::identity as faulty;
