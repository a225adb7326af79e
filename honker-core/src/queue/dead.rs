//! The dead: jobs that ended without an ack. They stay until somebody requeues or purges them.

use serde::Serialize;

use crate::statement::{Sql, Value};
use crate::{Result, Store};

/// A row of `_honker_dead`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadJob {
    /// The id it had while live.
    pub id: i64,
    /// The queue it was in.
    pub queue: String,
    /// As it was enqueued.
    pub payload: String,
    /// As it was enqueued.
    pub priority: i64,
    /// When it last became due.
    pub run_at: i64,
    /// How often it was claimed.
    pub attempts: i64,
    /// How often it might have been.
    pub max_attempts: i64,
    /// Why it died.
    pub last_error: Option<String>,
    /// When it was enqueued.
    pub created_at: i64,
    /// When it died.
    pub died_at: i64,
}

// The table has no secondary index, because it is never read by a claim; walking it from its newest end is enough for
// somebody who looks at it.
static SQL_LIST: Sql = Sql::new(
    "SELECT id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at
     FROM main._honker_dead WHERE ?1 IS NULL OR queue = ?1 ORDER BY id DESC LIMIT +?2",
);

static SQL_REQUEUE: Sql = Sql::new(
    "INSERT INTO main._honker_live (id, queue, payload, priority, run_at, max_attempts, created_at)
     SELECT id, queue, payload, priority, ?2, max(max_attempts, 1), created_at
     FROM main._honker_dead WHERE id = ?1",
);

static SQL_EXISTS: Sql = Sql::new("SELECT 1 FROM main._honker_dead WHERE id = ?1");

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_dead WHERE id = ?1");

static SQL_PURGE: Sql =
    Sql::new("DELETE FROM main._honker_dead WHERE (?1 IS NULL OR queue = ?1) AND died_at < ?2");

/// The dead of one queue, or of all, newest job first. A negative `limit` means all of them.
pub fn dead_list(store: &Store, queue: Option<&str>, limit: i64) -> Result<Vec<DeadJob>> {
    store.query(&SQL_LIST, &[Value::from(queue), limit.into()], |row| DeadJob {
        id: row.integer(0),
        queue: row.text(1),
        payload: row.text(2),
        priority: row.integer(3),
        run_at: row.integer(4),
        attempts: row.integer(5),
        max_attempts: row.integer(6),
        last_error: row.optional_text(7),
        created_at: row.integer(8),
        died_at: row.integer(9),
    })
}

/// Makes a dead job live again: pending, due now, with its id, priority and budget, no attempts used (a budget below 1
/// becomes 1) and no expiry. `false` if there is no such dead job.
pub fn dead_requeue(store: &Store, now: i64, id: i64) -> Result<bool> {
    store.atomic(|| {
        // Asked first: an INSERT … SELECT of no rows still writes the counter of an AUTOINCREMENT table.
        if store.query_one(&SQL_EXISTS, &[id.into()], |_| ())?.is_none() {
            return Ok(false);
        }
        store.execute(&SQL_REQUEUE, &[id.into(), now.into()])?;
        store.execute(&SQL_DELETE, &[id.into()])?;
        Ok(true)
    })
}

/// Deletes the dead of one queue, or of all, that died more than `older_than_s` seconds ago; how many those were.
pub fn dead_purge(store: &Store, now: i64, queue: Option<&str>, older_than_s: i64) -> Result<i64> {
    let before = now.saturating_sub(older_than_s);
    store.execute(&SQL_PURGE, &[Value::from(queue), before.into()])
}
