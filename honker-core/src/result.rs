//! Results: one text for each job id, kept until it expires.

use crate::bound::Allowance;
use crate::statement::{Sql, Value};
use crate::{Result, Store, bound, moving, time};

static SQL_SAVE: Sql = Sql::new(
    "INSERT INTO main._honker_results (job_id, value, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (job_id) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at",
);

static SQL_GET: Sql = Sql::new(
    "SELECT value FROM main._honker_results
     WHERE job_id = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
);

static SQL_EXPIRED: Sql = Sql::new(
    "SELECT length(CAST(value AS BLOB)), job_id FROM main._honker_results
     WHERE expires_at IS NOT NULL AND expires_at <= +?1 ORDER BY expires_at LIMIT +?2",
);

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_results WHERE job_id = ?1");

/// Saves the result of a job, replacing an earlier one. It expires after `ttl_s` seconds, or never if that is 0 or less.
pub fn save(store: &Store, now: i64, job_id: i64, value: &str, ttl_s: i64) -> Result<()> {
    let expires_at = if ttl_s > 0 { Some(time::after(now, "ttl_s", ttl_s)?) } else { None };
    store.insert(&SQL_SAVE, &[job_id.into(), value.into(), now.into(), Value::from(expires_at)]).map(drop)
}

/// The result of a job; `None` if there is none, or no longer.
pub fn get(store: &Store, now: i64, job_id: i64) -> Result<Option<String>> {
    let value = find(store, now, job_id)?;
    if value.is_none() {
        moving::check_moved(store)?;
    }
    Ok(value)
}

/// As [`get`], wherever it may come.
pub(crate) fn find(store: &Store, now: i64, job_id: i64) -> Result<Option<String>> {
    let value = store.query_one(&SQL_GET, &[job_id.into(), now.into()], |row| row.optional_text(0))?;
    Ok(value.flatten())
}

/// Deletes expired results, at most 1,000 in one call; how many those were. Call it until it answers 0.
pub fn sweep(store: &Store, now: i64) -> Result<i64> {
    store.atomic(|| bound::delete(&mut Allowance::new(store), &SQL_EXPIRED, now.into(), &SQL_DELETE))
}
