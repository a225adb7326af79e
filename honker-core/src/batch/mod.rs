//! Batches: jobs that are waited for together, by jobs that are enqueued when the last of them has ended.
//!
//! A batch is a row of `_honker_batches`; its members are the jobs whose options name it. The row counts them, each in one
//! place: pending while the job is live, then done, dead or cancelled. Every change of a member goes through `queue/leave.rs`
//! and is counted in the same transaction (`member_is`), and the change that leaves a sealed batch without a pending member
//! finishes it: its callbacks are enqueued in that transaction too. So each is enqueued exactly once, whoever dies when.
//!
//! What has been counted of a member whose options stay is in their column `batch_exit`. That is how a dead member that is
//! retried is moved back, and how maintenance knows the members that somebody's SQL has taken out of the live table
//! (`queue/upkeep.rs`).

mod callback;

use serde::{Deserialize, Serialize};

use self::callback::Callback;
use crate::bound::{self, Allowance};
use crate::features::begin_use;
use crate::queue::{self, Member};
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store, given};

/// How long a batch is kept after it has finished, unless it was created with another time.
const KEEP_S_DEFAULT: i64 = 24 * 60 * 60;

static SQL_CREATE: Sql = Sql::new(
    "INSERT INTO main._honker_batches (on_finished, on_success, total, pending, done, dead, cancelled, keep_s)
     VALUES (?1, ?2, 0, 0, 0, 0, 0, ?3)",
);

static SQL_GET: Sql = Sql::new(
    "SELECT total, pending, done, dead, cancelled, sealed_at IS NOT NULL, finished_at
     FROM main._honker_batches WHERE id = +?1",
);

static SQL_SEAL: Sql =
    Sql::new("UPDATE main._honker_batches SET sealed_at = ?2 WHERE id = ?1 AND sealed_at IS NULL");

static SQL_FINISH: Sql =
    Sql::new("UPDATE main._honker_batches SET finished_at = ?2 WHERE id = ?1 AND finished_at IS NULL");

macro_rules! uncounted {
    () => {
        "finished_at IS NULL AND (sealed_at IS NOT NULL AND pending <= 0 OR pending > 0 AND NOT EXISTS (
             SELECT 1 FROM main._honker_job_options WHERE batch_id = batches.id AND batch_exit IS NULL))"
    };
}

static SQL_RECOUNT: Sql = Sql::new(concat!(
    "UPDATE main._honker_batches AS batches SET done = done + max(pending, 0), pending = 0 WHERE id = +?1 AND ",
    uncounted!(),
    " RETURNING sealed_at IS NOT NULL"
));

static SQL_EXPIRED: Sql = Sql::new(
    "SELECT 0, id FROM main._honker_batches
     WHERE finished_at IS NOT NULL AND finished_at + ifnull(keep_s, 86400) <= +?1
     ORDER BY finished_at + ifnull(keep_s, 86400) LIMIT +?2",
);

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_batches WHERE id = +?1");

static SQL_CALLBACKS: Sql = Sql::new(
    "SELECT on_finished, CASE WHEN dead = 0 AND cancelled = 0 THEN on_success END
     FROM main._honker_batches WHERE id = +?1",
);

static SQL_JOIN: Sql =
    Sql::new("UPDATE main._honker_batches SET total = total + 1, pending = pending + 1 WHERE id = ?1");

static SQL_MEMBER: Sql = Sql::new(
    "SELECT batch_id, batch_exit FROM main._honker_job_options WHERE job_id = +?1 AND batch_id IS NOT NULL",
);

static SQL_MARK: Sql = Sql::new("UPDATE main._honker_job_options SET batch_exit = ?2 WHERE job_id = ?1");

static SQL_COUNT: Sql = Sql::new(
    "UPDATE main._honker_batches
     SET pending = pending + ?2, done = done + ?3, dead = dead + ?4, cancelled = cancelled + ?5
     WHERE id = ?1
     RETURNING sealed_at IS NOT NULL AND finished_at IS NULL AND pending <= 0",
);

/// What is known of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// How many jobs have joined it.
    pub total: i64,
    /// How many of them have not ended yet.
    pub pending: i64,
    /// How many are done.
    pub done: i64,
    /// How many are dead.
    pub dead: i64,
    /// How many were cancelled or deleted.
    pub cancelled: i64,
    /// Whether nobody may add jobs any more, but running members.
    pub sealed: bool,
    /// When the last member ended.
    pub finished_at: Option<i64>,
}

/// What has become of a member, as far as a batch counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is live.
    Pending,
    /// It was acked.
    Done,
    /// It is dead, from where it may come back.
    Dead,
    /// It was cancelled or deleted.
    Cancelled,
}

impl Standing {
    /// As it is stored in `batch_exit`.
    fn stored(self) -> Option<&'static str> {
        match self {
            Standing::Pending => None,
            Standing::Done => Some("done"),
            Standing::Dead => Some("dead"),
            Standing::Cancelled => Some("cancelled"),
        }
    }

    fn read(stored: Option<&str>) -> Self {
        match stored {
            Some("done") => Standing::Done,
            Some("dead") => Standing::Dead,
            Some("cancelled") => Standing::Cancelled,
            _ => Standing::Pending,
        }
    }
}

/// Creates a batch that is empty and open; its id. `options_json` is an object with the keys `on_finished` and `on_success`,
/// each an object with `queue`, `payload` and the `options` of an enqueue, and `keep_s`, all optional.
pub fn create(store: &Store, now: i64, options_json: &str) -> Result<i64> {
    let object = given::object("options", options_json)?;
    let (mut on_finished, mut on_success, mut keep_s) = (None, None, KEEP_S_DEFAULT);
    for (key, value) in &object {
        match key.as_str() {
            _ if value.is_null() && matches!(key.as_str(), "on_finished" | "on_success" | "keep_s") => {}
            "on_finished" => on_finished = Some(Callback::read(key, value)?),
            "on_success" => on_success = Some(Callback::read(key, value)?),
            "keep_s" => {
                keep_s = value.as_i64().filter(|keep_s| *keep_s >= 0).ok_or_else(|| {
                    Error::invalid("options: keep_s must be an integer that is not negative, or null")
                })?;
            }
            _ => return Err(given::unknown("options", key)),
        }
    }
    for callback in [&on_finished, &on_success].into_iter().flatten() {
        callback.check(store, now)?;
    }
    let (on_finished, on_success) =
        (on_finished.as_ref().map(Callback::stored), on_success.as_ref().map(Callback::stored));
    store.atomic(|| {
        begin_use(store, |features| features.batches = true)?;
        let callbacks = [Value::from(on_finished.as_deref()), Value::from(on_success.as_deref())];
        store.insert(&SQL_CREATE, &[callbacks[0], callbacks[1], keep_s.into()])
    })
}

/// What is known of a batch; `None` if there is none of this id, or no longer.
pub fn get(store: &Store, id: i64) -> Result<Option<Batch>> {
    store.query_one(&SQL_GET, &[id.into()], |row| Batch {
        total: row.integer(0),
        pending: row.integer(1),
        done: row.integer(2),
        dead: row.integer(3),
        cancelled: row.integer(4),
        sealed: row.integer(5) != 0,
        finished_at: row.optional_integer(6),
    })
}

/// Closes a batch to all but its running members; `false` if it was sealed before. If no member is pending, it finishes. An
/// error if there is no such batch.
pub fn seal(store: &Store, now: i64, id: i64) -> Result<bool> {
    store.atomic(|| {
        let Some(batch) = get(store, id)? else { return Err(unknown(id)) };
        if batch.sealed {
            return Ok(false);
        }
        if store.execute(&SQL_SEAL, &[id.into(), now.into()])? == 0 {
            return Err(Error::ignored("sealed", "_honker_batches"));
        }
        if batch.pending <= 0 {
            finish(store, now, id)?;
        }
        Ok(true)
    })
}

fn unknown(id: i64) -> Error {
    Error::invalid(format!("there is no batch {id}"))
}

/// Counts a job that is enqueued into a batch. An error if there is no such batch, or if it is sealed and no running member
/// of it adds the job. Belongs into [`Store::atomic`].
pub(crate) fn join(store: &Store, now: i64, id: i64, by: Option<Member<'_>>) -> Result<()> {
    let Some(batch) = get(store, id)? else { return Err(unknown(id)) };
    if batch.sealed {
        let is_running = |by: Member<'_>| {
            let is_member = self::member(store, by.job_id)?.is_some_and(|(batch, _)| batch == id);
            Ok(is_member && queue::holds(store, now, by.job_id, by.worker_id)?)
        };
        if !by.map_or(Ok(false), is_running)? {
            return Err(Error::invalid(format!(
                "batch {id} is sealed: only a running member of it may add jobs (option member)"
            )));
        }
    }
    if store.execute(&SQL_JOIN, &[id.into()])? == 0 {
        return Err(Error::ignored("counted", "_honker_batches"));
    }
    Ok(())
}

/// Counts what has become of a job, if it is a member of a batch, and finishes the batch if it was the last. `kept` says that
/// its options stay. Belongs into [`Store::atomic`].
pub(crate) fn member_is(store: &Store, now: i64, job_id: i64, standing: Standing, kept: bool) -> Result<()> {
    let Some((id, before)) = member(store, job_id)?.filter(|(_, before)| *before != standing) else {
        return Ok(());
    };
    if kept {
        store.execute(&SQL_MARK, &[job_id.into(), Value::from(standing.stored())])?;
    }
    let change = |counted| i64::from(standing == counted) - i64::from(before == counted);
    let changes = [Standing::Pending, Standing::Done, Standing::Dead, Standing::Cancelled].map(change);
    let parameters = [id.into(), changes[0].into(), changes[1].into(), changes[2].into(), changes[3].into()];
    let is_over = store.query_one(&SQL_COUNT, &parameters, |row| row.integer(0) != 0)?;
    // No row: the batch was finished long ago, and is gone.
    if is_over == Some(true) { finish(store, now, id) } else { Ok(()) }
}

/// The batches whose members ended without anybody counting it, from the rows after an id on: sealed ones of which no member is
/// pending, and those with pending members of which none is left.
pub(crate) const LOOK_UNCOUNTED: &str = concat!(
    "SELECT id, ",
    uncounted!(),
    " FROM main._honker_batches batches WHERE id > +?1 ORDER BY id LIMIT +?2"
);

/// Counts the members of such a batch as done, whose options somebody's SQL has removed, and finishes it if it is sealed; whether it
/// was one. Belongs into [`Store::atomic`].
pub(crate) fn recount(store: &Store, now: i64, id: i64) -> Result<bool> {
    match store.query_one(&SQL_RECOUNT, &[id.into()], |row| row.integer(0) != 0)? {
        None => Ok(false),
        Some(true) => finish(store, now, id).map(|()| true),
        Some(false) => Ok(true),
    }
}

/// Removes batches that finished so long ago that they are kept no longer, at most 1,000; how many those were.
pub(crate) fn expire(store: &Store, now: i64) -> Result<i64> {
    store.atomic(|| bound::delete(&mut Allowance::new(store), &SQL_EXPIRED, now.into(), &SQL_DELETE))
}

/// The batch that a job is a member of, and what has been counted of it.
fn member(store: &Store, job_id: i64) -> Result<Option<(i64, Standing)>> {
    store.query_one(&SQL_MEMBER, &[job_id.into()], |row| {
        (row.integer(0), Standing::read(row.optional_text(1).as_deref()))
    })
}

/// Finishes a sealed batch of which no member is pending: enqueues its callbacks.
fn finish(store: &Store, now: i64, id: i64) -> Result<()> {
    if store.execute(&SQL_FINISH, &[id.into(), now.into()])? == 0 {
        return Err(Error::ignored("finished", "_honker_batches"));
    }
    let callbacks =
        store.query_one(&SQL_CALLBACKS, &[id.into()], |row| [row.optional_text(0), row.optional_text(1)])?;
    for stored in callbacks.into_iter().flatten().flatten() {
        Callback::enqueue(store, now, id, &stored)?;
    }
    Ok(())
}
