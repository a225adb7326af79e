//! Steps of jobs: what a handler has finished of a job, so that a retry need not do it again.
//!
//! A step is a name and a text, a row of `_honker_steps`. It is saved once, by the worker that holds the job, in the caller's
//! transaction if there is one: then it is there if and only if the step's own writes are. Steps live as long as the options
//! of their job: while it is live, dead or kept as done (`queue/leave.rs`).

use crate::features::begin_use;
use crate::statement::Sql;
use crate::{Result, Store, queue};

static SQL_GET: Sql = Sql::new("SELECT value FROM main._honker_steps WHERE job_id = +?1 AND name = +?2");

static SQL_SAVE: Sql = Sql::new("INSERT INTO main._honker_steps (job_id, name, value) VALUES (?1, ?2, ?3)");

static SQL_FORGET: Sql = Sql::new("DELETE FROM main._honker_steps WHERE job_id = +?1");

/// What was saved for a step of a job; `None` if nothing was, or the job is gone.
pub fn get(store: &Store, job_id: i64, name: &str) -> Result<Option<String>> {
    store.query_one(&SQL_GET, &[job_id.into(), name.into()], |row| row.text(0))
}

/// Saves what a step of a job has come to; the text that is stored. If the step was saved before, that is the first one, and
/// nothing changes. `None`, and nothing is saved, if `worker_id` has no valid claim on the job.
pub fn save(
    store: &Store,
    now: i64,
    job_id: i64,
    worker_id: &str,
    name: &str,
    value: &str,
) -> Result<Option<String>> {
    store.atomic(|| {
        if !queue::holds(store, now, job_id, worker_id)? {
            return Ok(None);
        }
        if let Some(first) = get(store, job_id, name)? {
            return Ok(Some(first));
        }
        begin_use(store, |features| features.steps = true)?;
        store.insert(&SQL_SAVE, &[job_id.into(), name.into(), value.into()])?;
        Ok(Some(value.to_owned()))
    })
}

/// Removes the steps of a job that is nowhere any more. Belongs into [`Store::atomic`].
pub(crate) fn forget(store: &Store, job_id: i64) -> Result<()> {
    store.execute(&SQL_FORGET, &[job_id.into()]).map(drop)
}
