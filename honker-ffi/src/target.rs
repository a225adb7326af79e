//! Where an operation runs: in a transaction of the caller's, or by itself.

use std::sync::Arc;

use honker_core::queue::Applied;

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

    // The operations that are no rows of the table, because they read before they write.

    pub(crate) fn jobs_apply(&self, filter: &str, action: &str) -> Result<Applied> {
        match &self.tx {
            Some(tx) => tx.with(|transaction| Ok(transaction.jobs_apply(filter, action)?)),
            None => Ok(self.db.database.jobs_apply(filter, action)?),
        }
    }

    pub(crate) fn notifications_prune(
        &self,
        older_than_s: Option<i64>,
        max_keep: Option<i64>,
    ) -> Result<i64> {
        match &self.tx {
            Some(tx) => tx.with(|transaction| Ok(transaction.notifications_prune(older_than_s, max_keep)?)),
            None => Ok(self.db.database.notifications_prune(older_than_s, max_keep)?),
        }
    }
}

macro_rules! methods {
    (($store:ident, $now:ident) $(
        $(#[$doc:meta])*
        $kind:ident $name:ident($($argument:ident: $type:ty),*) -> $answer:ty = $body:expr;
    )*) => {
        /// The operations, in the transaction or by themselves.
        #[allow(dead_code, reason = "some are for consumers alone")]
        impl Target {
            $(
                pub(crate) fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                    match &self.tx {
                        Some(tx) => tx.with(|transaction| Ok(transaction.$name($($argument),*)?)),
                        None => Ok(self.db.database.$name($($argument),*)?),
                    }
                }
            )*
        }
    };
}

honker_core::for_each_operation!(methods);
