//! The dead: jobs that ended without an ack. They stay until somebody requeues or purges them.

use serde::{Deserialize, Serialize};

use super::leave::{Exit, gone};
use super::{options, unique};
use crate::batch::{self, Standing};
use crate::bound::Allowance;
use crate::statement::{Row, Sql, Value};
use crate::{Error, Result, Store};

/// A row of `_honker_dead`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A JSON object of texts, if it was enqueued with one. Not among the keys of the JSON otherwise.
    #[serde(skip_serializing_if = "Option::is_none", with = "super::options::as_object", default)]
    pub metadata: Option<String>,
}

// Along the primary key from its newest end, which is enough for somebody who looks at it.
static SQL_LIST: Sql = Sql::new(
    "SELECT id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at
     FROM main._honker_dead WHERE ?1 IS NULL OR queue = ?1 ORDER BY id DESC LIMIT +?2",
);

static SQL_GET: Sql = Sql::new(
    "SELECT id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at
     FROM main._honker_dead WHERE id = +?1",
);

static SQL_REQUEUE: Sql = Sql::new(
    "INSERT INTO main._honker_live (id, queue, payload, priority, run_at, max_attempts, created_at)
     SELECT id, queue, payload, priority, ?2, max(max_attempts, 1), created_at
     FROM main._honker_dead WHERE id = ?1",
);

static SQL_EXISTS: Sql = Sql::new("SELECT 1 FROM main._honker_dead WHERE id = ?1");

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_dead WHERE id = ?1");

static SQL_PURGEABLE: Sql = Sql::new(
    "SELECT length(CAST(payload AS BLOB)), id FROM main._honker_dead
     WHERE queue = +?1 AND died_at < +?2 ORDER BY died_at LIMIT +?3",
);

// From queue to queue, each of which is found by a step in the index.
static SQL_PURGEABLE_ANY: Sql = Sql::new(
    "WITH RECURSIVE queues (queue) AS (
         SELECT min(queue) FROM main._honker_dead
         UNION ALL
         SELECT (SELECT min(dead.queue) FROM main._honker_dead dead WHERE dead.queue > queues.queue)
         FROM queues WHERE queues.queue IS NOT NULL)
     SELECT length(CAST(payload AS BLOB)), id
     FROM queues CROSS JOIN main._honker_dead dead ON dead.queue = queues.queue AND dead.died_at < +?1 LIMIT +?2",
);

/// The dead of one queue, or of all, newest job first. A negative `limit` means all of them.
pub fn dead_list(store: &Store, queue: Option<&str>, limit: i64) -> Result<Vec<DeadJob>> {
    let mut jobs = store.query(&SQL_LIST, &[Value::from(queue), limit.into()], read)?;
    if options::any(store)? {
        for job in &mut jobs {
            job.metadata = options::metadata(store, job.id)?;
        }
    }
    Ok(jobs)
}

/// One dead job.
pub(super) fn dead_job(store: &Store, id: i64) -> Result<Option<DeadJob>> {
    let mut job = store.query_one(&SQL_GET, &[id.into()], read)?;
    if let Some(job) = &mut job
        && options::any(store)?
    {
        job.metadata = options::metadata(store, id)?;
    }
    Ok(job)
}

fn read(row: &Row<'_>) -> DeadJob {
    DeadJob {
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
        metadata: None,
    }
}

/// What has become of a dead job that was to be live again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeued {
    /// It is.
    Requeued,
    /// There is no such dead job.
    NotFound,
    /// It is dead as before: another job has its unique key.
    KeyTaken,
}

/// Makes a dead job live again: pending, due now, with its id, priority, budget, options and steps, no attempts used (a
/// budget below 1 becomes 1) and no expiry. It takes its unique key again. If another job has that, it stays dead, unless it
/// needs the key only until it is claimed.
pub fn dead_requeue(store: &Store, now: i64, id: i64) -> Result<Requeued> {
    store.atomic(|| {
        // Asked first: an INSERT … SELECT of no rows still writes the counter of an AUTOINCREMENT table.
        if store.query_one(&SQL_EXISTS, &[id.into()], |_| ())?.is_none() {
            return Ok(Requeued::NotFound);
        }
        if store.features().options && !unique::may_revive(store, now, id)? {
            return Ok(Requeued::KeyTaken);
        }
        store.insert(&SQL_REQUEUE, &[id.into(), now.into()])?;
        if store.execute(&SQL_DELETE, &[id.into()])? == 0 {
            return Err(Error::ignored("requeued", "_honker_dead"));
        }
        if store.features().batches {
            batch::member_is(store, now, id, Standing::Pending, true)?;
        }
        Ok(Requeued::Requeued)
    })
}

/// Deletes the dead of one queue, or of all, that died more than `older_than_s` seconds ago, at most 1,000 in one call;
/// how many those were. Call it until it answers 0.
pub fn dead_purge(store: &Store, now: i64, queue: Option<&str>, older_than_s: i64) -> Result<i64> {
    let before = now.saturating_sub(older_than_s).into();
    store.atomic(|| {
        let mut allowance = Allowance::new(store);
        let limit = (allowance.rows() + 1).into();
        let ids = match queue {
            Some(queue) => {
                allowance.rows_of(&SQL_PURGEABLE, &[queue.into(), before, limit], |row| row.integer(1))?
            }
            None => allowance.rows_of(&SQL_PURGEABLE_ANY, &[before, limit], |row| row.integer(1))?,
        };
        let mut purged = 0;
        for id in ids {
            if store.execute(&SQL_DELETE, &[id.into()])? > 0 {
                gone(store, now, id, Exit::Dead)?;
                purged += 1;
            }
        }
        Ok(purged)
    })
}
