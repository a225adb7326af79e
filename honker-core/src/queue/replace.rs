//! A job that waits becomes another one, and keeps its id, its unique key and its batch (debounce).

use super::enqueue::budget;
use super::{Enqueue, blocked, options};
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store, step};

static SQL_REPLACE: Sql = Sql::new(
    "UPDATE main._honker_live
     SET payload = ?2, priority = ?3, run_at = ?4, expires_at = ?5, max_attempts = ?6, attempts = 0, state = 'pending'
     WHERE id = ?1",
);

/// Makes the pending or blocked job of this id what `job` says. Belongs into [`Store::atomic`].
pub(super) fn replace(
    store: &Store,
    id: i64,
    job: &Enqueue<'_>,
    run_at: i64,
    expires_at: Option<i64>,
) -> Result<()> {
    let parameters = [
        id.into(),
        job.payload.into(),
        job.priority.into(),
        run_at.into(),
        Value::from(expires_at),
        budget(store, job)?.into(),
    ];
    if store.execute(&SQL_REPLACE, &parameters)? == 0 {
        return Err(Error::ignored("replaced", "_honker_live"));
    }
    options::replace(store, id, job)?;
    if store.features().blocked {
        blocked::forget(store, id)?;
    }
    if store.features().steps {
        step::forget(store, id)?;
    }
    Ok(())
}
