//! Done jobs that stay readable: rows of `_honker_done`, for queues that keep them (`keep_done_s`).
//!
//! Maintenance removes them when their time is over, with what belonged to them.

use super::settings;
use crate::statement::{Sql, Value};
use crate::{Result, Store};

// As the statement that acks: whoever does not hold the job keeps nothing.
static SQL_SETTINGS: Sql = Sql::new(
    "SELECT queues.settings
     FROM main._honker_live live CROSS JOIN main._honker_queues queues ON queues.name = live.queue
     WHERE live.id = ?1 AND live.worker_id = ?2 AND live.claim_expires_at >= ?3",
);

static SQL_KEEP: Sql = Sql::new(
    "INSERT OR REPLACE INTO main._honker_done
       (id, queue, payload, priority, run_at, attempts, max_attempts, created_at, finished_at)
     SELECT id, queue, payload, priority, run_at, attempts, max_attempts, created_at, ?2
     FROM main._honker_live WHERE id = ?1",
);

// One that has expired stays so.
static SQL_KEEP_RESULT: Sql = Sql::new(
    "UPDATE main._honker_results SET expires_at = ?3 WHERE job_id = +?1 AND expires_at > ?2 AND expires_at < ?3",
);

/// Keeps a job that is about to be acked, if its queue keeps done jobs; whether it does. Its result is kept for as long.
/// `parameters` are those of the ack. Belongs into [`Store::atomic`].
pub(super) fn keep(store: &Store, now: i64, id: i64, parameters: &[Value<'_>]) -> Result<bool> {
    let settings =
        store.query_one(&SQL_SETTINGS, parameters, |row| settings::remembered(store, &row.text(0)))?;
    let keep_s = settings.unwrap_or_default().keep_done_s;
    if keep_s <= 0 {
        return Ok(false);
    }
    store.execute(&SQL_KEEP, &[id.into(), now.into()])?;
    store.execute(&SQL_KEEP_RESULT, &[id.into(), now.into(), now.saturating_add(keep_s).into()])?;
    Ok(true)
}
