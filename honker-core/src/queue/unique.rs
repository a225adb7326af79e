//! Unique keys: rows of `_honker_unique`, at most one for each queue and key, that say which job has the key.
//!
//! A row does not say by itself that the key is taken. It is taken through the second `until`, whatever has become of the job,
//! and while the job is live; with `claimed` only while it waits. So a key comes free by time and by what happens to the job's
//! row, also by SQL of somebody's own, and a claim has nothing to write. What leaves the live table takes its row with it
//! (`leave.rs`), and a row that holds nothing is overwritten.
//!
//! A job that waits again takes its key back if another has had it meanwhile and it is free. That a key is held by a job
//! that no claim may take any more is not found out by waiting for a claim: such a job is dead-lettered when it is met here.

use super::prospect::{Prospect, prospect};
use crate::features::begin_use;
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store, time};

/// The key of a job of which there is to be only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unique<'a> {
    /// What no two jobs of a queue share.
    pub key: &'a str,
    /// Until when the job has it.
    pub until: UniqueUntil,
    /// And for so many seconds at least, this one included, whatever becomes of the job. At least 1.
    pub for_s: Option<i64>,
    /// What becomes of a job whose key is taken.
    pub on_conflict: OnConflict,
}

/// Until when a job has its unique key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UniqueUntil {
    /// Until it is done, dead or cancelled.
    #[default]
    Settled,
    /// Until it is claimed, and again while it waits for another attempt, unless somebody else has the key then.
    Claimed,
}

/// What becomes of a job whose unique key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// It is not enqueued.
    #[default]
    Keep,
    /// The one that has the key becomes it, if that one is still waiting. Otherwise it is not enqueued.
    Replace,
}

impl OnConflict {
    pub(super) fn text(self) -> &'static str {
        match self {
            OnConflict::Keep => "keep",
            OnConflict::Replace => "replace",
        }
    }
}

impl UniqueUntil {
    pub(super) fn text(self) -> &'static str {
        match self {
            UniqueUntil::Settled => "settled",
            UniqueUntil::Claimed => "claimed",
        }
    }
}

// A second that is no number, which only other SQL can have written, is as if there were none.
static SQL_FIND: Sql = Sql::new(
    "SELECT job_id, mode = 'claimed', until >= ?3 AND until < '' FROM main._honker_unique WHERE queue = +?1 AND key = +?2",
);

static SQL_PUT: Sql = Sql::new(
    "INSERT OR REPLACE INTO main._honker_unique (queue, key, job_id, mode, until) VALUES (?1, ?2, ?3, ?4, ?5)",
);

static SQL_EXTEND: Sql = Sql::new(
    "UPDATE main._honker_unique SET until = ?3
     WHERE queue = +?1 AND key = +?2 AND (until IS NULL OR until < +?3 OR until >= '')",
);

static SQL_FREE: Sql = Sql::new(
    "DELETE FROM main._honker_unique WHERE job_id = +?1 AND (until IS NULL OR until < +?2 OR until >= '')",
);

static SQL_OF_LIVE: Sql = Sql::new(
    "SELECT live.queue, options.unique_key, options.unique_until = 'claimed'
     FROM main._honker_job_options options CROSS JOIN main._honker_live live ON live.id = options.job_id
     WHERE options.job_id = +?1 AND options.unique_key IS NOT NULL",
);

static SQL_OF_DEAD: Sql = Sql::new(
    "SELECT dead.queue, options.unique_key, options.unique_until = 'claimed'
     FROM main._honker_job_options options CROSS JOIN main._honker_dead dead ON dead.id = options.job_id
     WHERE options.job_id = +?1 AND options.unique_key IS NOT NULL",
);

/// Who has a key that is taken.
pub(super) struct Holder {
    pub(super) id: i64,
    /// Whether it is live, and nobody has claimed it.
    pub(super) is_waiting: bool,
}

/// An error if a job cannot be unique in this way.
pub(super) fn check(unique: &Unique<'_>) -> Result<()> {
    if unique.key.is_empty() {
        return Err(Error::invalid("unique_key must not be empty"));
    }
    match unique.for_s {
        Some(for_s) if for_s < 1 => {
            Err(Error::invalid(format!("unique_for_s must be at least 1, not {for_s}")))
        }
        _ => Ok(()),
    }
}

/// Who has a key of `queue`, if anybody. A holder that no claim may take any more is dead-lettered. Belongs into
/// [`Store::atomic`].
pub(super) fn holder(store: &Store, now: i64, queue: &str, key: &str) -> Result<Option<Holder>> {
    find(store, now, queue, key)?.map_or(Ok(None), |row| row.holder(store, now))
}

/// A row of `_honker_unique`.
struct KeyRow {
    job_id: i64,
    until_claimed: bool,
    /// It is taken by time.
    is_throttled: bool,
}

fn find(store: &Store, now: i64, queue: &str, key: &str) -> Result<Option<KeyRow>> {
    store.query_one(&SQL_FIND, &[queue.into(), key.into(), now.into()], |row| KeyRow {
        job_id: row.integer(0),
        until_claimed: row.integer(1) != 0,
        is_throttled: row.integer(2) != 0,
    })
}

impl KeyRow {
    fn holder(&self, store: &Store, now: i64) -> Result<Option<Holder>> {
        let prospect = prospect(store, now, self.job_id)?;
        let is_taken = match prospect {
            Prospect::Gone => false,
            Prospect::Waiting => true,
            Prospect::Claimed => !self.until_claimed,
        };
        let holder = Holder { id: self.job_id, is_waiting: prospect == Prospect::Waiting };
        Ok((is_taken || self.is_throttled).then_some(holder))
    }
}

/// Gives a key that is free to a job that was enqueued just now. Belongs into [`Store::atomic`].
pub(super) fn take(store: &Store, now: i64, id: i64, queue: &str, unique: &Unique<'_>) -> Result<()> {
    put(store, id, queue, unique.key, unique.until, last_second(now, unique)?)
}

/// The key of a job that was replaced just now is taken through the later one of the two last seconds. Belongs into
/// [`Store::atomic`].
pub(super) fn extend(store: &Store, now: i64, queue: &str, unique: &Unique<'_>) -> Result<()> {
    match last_second(now, unique)? {
        Some(until) => store.execute(&SQL_EXTEND, &[queue.into(), unique.key.into(), until.into()]).map(drop),
        None => Ok(()),
    }
}

/// The last second in which the key is taken whatever becomes of the job; an error if there is no such time.
pub(super) fn last_second(now: i64, unique: &Unique<'_>) -> Result<Option<i64>> {
    unique.for_s.map(|for_s| time::after(now, "unique_for_s", for_s - 1)).transpose()
}

fn put(store: &Store, id: i64, queue: &str, key: &str, mode: UniqueUntil, until: Option<i64>) -> Result<()> {
    begin_use(store, |features| features.unique = true)?;
    let parameters = [queue.into(), key.into(), id.into(), mode.text().into(), Value::from(until)];
    store.insert(&SQL_PUT, &parameters).map(drop)
}

/// The key of a job that has just left the live table is free, unless it is taken by time. Belongs into [`Store::atomic`].
pub(super) fn free(store: &Store, now: i64, id: i64) -> Result<()> {
    store.execute(&SQL_FREE, &[id.into(), now.into()]).map(drop)
}

/// A claimed job waits again just now: it takes its key back, or stays beside the one that has it now. Belongs into
/// [`Store::atomic`].
pub(super) fn take_back(store: &Store, now: i64, id: i64) -> Result<()> {
    take_again(store, now, id, &SQL_OF_LIVE).map(drop)
}

/// Whether a dead job may become live again. It takes its key; with `claimed` it may stay beside the one that has it.
/// Belongs into [`Store::atomic`].
pub(super) fn may_revive(store: &Store, now: i64, id: i64) -> Result<bool> {
    take_again(store, now, id, &SQL_OF_DEAD)
}

/// Whether a job that waits may be moved to `queue`. It has its key there then, and not where it was; with `claimed` it may do
/// without, beside the one that has it. Belongs into [`Store::atomic`].
pub(super) fn may_move(store: &Store, now: i64, id: i64, queue: &str) -> Result<bool> {
    let key =
        store.query_one(&SQL_OF_LIVE, &[id.into()], |row| (row.text(0), row.text(1), row.integer(2) != 0))?;
    let Some((_, key, until_claimed)) = key.filter(|(from, ..)| from != queue) else { return Ok(true) };
    let there = find(store, now, queue, &key)?;
    // It has been there before, and has the key by time.
    let is_own = there.as_ref().is_some_and(|row| row.job_id == id);
    let holder = there.filter(|_| !is_own).map_or(Ok(None), |row| row.holder(store, now))?;
    if holder.is_some() && !until_claimed {
        return Ok(false);
    }
    // There, one that is taken by time stays so.
    free(store, now, id)?;
    if holder.is_none() && !is_own {
        let mode = if until_claimed { UniqueUntil::Claimed } else { UniqueUntil::Settled };
        put(store, id, queue, &key, mode, None)?;
    }
    Ok(true)
}

/// Whether a job has its key, or may do without. It takes it if it is free.
fn take_again(store: &Store, now: i64, id: i64, sql: &'static Sql) -> Result<bool> {
    let key = store.query_one(sql, &[id.into()], |row| (row.text(0), row.text(1), row.integer(2) != 0))?;
    let Some((queue, key, until_claimed)) = key else { return Ok(true) };
    if let Some(row) = find(store, now, &queue, &key)? {
        if row.job_id == id {
            return Ok(true);
        }
        if row.holder(store, now)?.is_some() {
            return Ok(until_claimed);
        }
    }
    let mode = if until_claimed { UniqueUntil::Claimed } else { UniqueUntil::Settled };
    put(store, id, &queue, &key, mode, None)?;
    Ok(true)
}
