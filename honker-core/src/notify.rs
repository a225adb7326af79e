//! Notifications: rows that tell listeners something, for as long as somebody leaves them there.

use crate::bound::Allowance;
use crate::statement::Sql;
use crate::{Error, Result, Store, bound, given, moving};

static SQL_NOTIFY: Sql =
    Sql::new("INSERT INTO main._honker_notifications (channel, payload, created_at) VALUES (?1, ?2, ?3)");

static SQL_LATEST: Sql = Sql::new("SELECT coalesce(max(id), 0) FROM main._honker_notifications");

static SQL_READ: Sql = Sql::new(
    "SELECT id, channel, payload, created_at FROM main._honker_notifications
     WHERE channel = +?1 AND id > +?2 ORDER BY id LIMIT +?3",
);

static SQL_OLD: Sql = Sql::new(
    "SELECT length(CAST(payload AS BLOB)), id FROM main._honker_notifications
     WHERE created_at < +?1 ORDER BY created_at LIMIT +?2",
);

static SQL_SURPLUS: Sql = Sql::new(
    "SELECT length(CAST(payload AS BLOB)), id FROM main._honker_notifications
     WHERE id <= +?1 ORDER BY id LIMIT +?2",
);

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_notifications WHERE id = ?1");

// Counted, because ids have gaps.
static SQL_NEWEST: Sql = Sql::new(
    "SELECT count(*), min(id)
     FROM (SELECT id FROM main._honker_notifications ORDER BY id DESC LIMIT +?1)",
);

const KEEP_S: &str = "notifications.keep_s";

static SQL_KEPT: Sql = Sql::new("SELECT value FROM main._honker_settings WHERE name = +?1");

static SQL_KEEP: Sql = Sql::new("INSERT OR REPLACE INTO main._honker_settings (name, value) VALUES (?1, ?2)");

static SQL_KEEP_ALL: Sql = Sql::new("DELETE FROM main._honker_settings WHERE name = +?1");

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Increases from one to the next, over all channels.
    pub id: i64,
    /// Where it was sent.
    pub channel: String,
    /// As it was sent.
    pub payload: String,
    /// When it was sent.
    pub created_at: i64,
}

/// The highest id that any notification has; 0 if there is none.
pub fn latest(store: &Store) -> Result<i64> {
    let latest = store.query_one(&SQL_LATEST, &[], |row| row.integer(0))?;
    Ok(latest.unwrap_or(0))
}

/// Up to `limit` notifications of `channel` after the one with this id, oldest first.
pub fn read_since(store: &Store, channel: &str, id: i64, limit: i64) -> Result<Vec<Notification>> {
    let found = store.query(&SQL_READ, &[channel.into(), id.into(), limit.into()], |row| Notification {
        id: row.integer(0),
        channel: row.text(1),
        payload: row.text(2),
        created_at: row.integer(3),
    })?;
    if found.is_empty() && limit != 0 {
        moving::check(store)?;
    }
    Ok(found)
}

/// Adds a notification; its id. Listeners see it when the transaction commits, and never if it does not.
pub fn notify(store: &Store, now: i64, channel: &str, payload: &str) -> Result<i64> {
    store.insert(&SQL_NOTIFY, &[channel.into(), payload.into(), now.into()])
}

/// Deletes notifications older than `older_than_s` seconds and those beyond the `max_keep` newest, each where given, at
/// most 1,000 in one call; how many those were. Call it until it answers 0.
///
/// Outside of a transaction the newest are counted before the write lock is taken: those that are added meanwhile are left
/// to the next call.
pub fn prune(store: &Store, now: i64, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64> {
    let rank = || max_keep.map(|max_keep| Rank::read(store, max_keep)).transpose();
    if older_than_s.is_none() && max_keep.is_none() {
        return Ok(0);
    }
    // In a transaction of the caller's, reading before locking could cost it the lock.
    if store.in_transaction() {
        return store.atomic(|| prune_step(store, now, older_than_s, rank()?));
    }
    prune_step(store, now, older_than_s, rank()?)
}

/// Deletes what is too old or, as `rank` says, too much, at most 1,000 rows; how many those were.
pub fn prune_step(store: &Store, now: i64, older_than_s: Option<i64>, rank: Option<Rank>) -> Result<i64> {
    store.atomic(|| {
        let mut allowance = Allowance::new(store);
        let mut pruned = 0;
        // By rank first: those that are deleted for their age count as well.
        if let Some(Rank { last: Some(last) }) = rank {
            pruned += bound::delete(&mut allowance, &SQL_SURPLUS, last.into(), &SQL_DELETE)?;
        }
        if let Some(older_than_s) = older_than_s
            && !allowance.refused()
        {
            let before = now.saturating_sub(older_than_s).into();
            pruned += bound::delete(&mut allowance, &SQL_OLD, before, &SQL_DELETE)?;
        }
        Ok(pruned)
    })
}

/// Which notifications are too many: those up to `last`.
///
/// To find out means to count all that are kept. That is done once, by somebody who holds no lock, and not brought up to date
/// under the lock: whatever is added or deleted meanwhile, nothing that was among the newest when it was counted is too
/// many by it. (A boundary that is moved for what was added would have to know what others have deleted.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    last: Option<i64>,
}

impl Rank {
    /// Counts the newest. An error if `max_keep` is negative.
    pub fn read(store: &Store, max_keep: i64) -> Result<Self> {
        if max_keep < 0 {
            return Err(Error::invalid("max_keep must not be negative"));
        }
        let counted = store.query_one(&SQL_NEWEST, &[max_keep.saturating_add(1).into()], |row| {
            (row.integer(0), row.optional_integer(1))
        })?;
        let (count, lowest) = counted.unwrap_or_default();
        Ok(Rank { last: lowest.filter(|_| count > max_keep) })
    }
}

/// Sets for how many seconds notifications are kept: a JSON object with the key keep_s; null: until somebody prunes them.
/// Maintenance removes the others.
pub fn configure(store: &Store, options_json: &str) -> Result<()> {
    const ARGUMENT: &str = "options";
    let mut given = None;
    for (key, value) in given::object(ARGUMENT, options_json)? {
        match key.as_str() {
            "keep_s" if value.is_null() => given = Some(None),
            "keep_s" => given = Some(Some(given::at_least(1, ARGUMENT, &key, &value)?)),
            _ => return Err(given::unknown(ARGUMENT, &key)),
        }
    }
    store.atomic(|| {
        let before = kept(store)?;
        match given {
            Some(keep_s) if keep_s != before => match keep_s {
                Some(keep_s) => store.insert(&SQL_KEEP, &[KEEP_S.into(), keep_s.into()]).map(drop),
                None => store.execute(&SQL_KEEP_ALL, &[KEEP_S.into()]).map(drop),
            },
            _ => Ok(()),
        }
    })
}

/// For how many seconds notifications are kept; `None`: until somebody prunes them.
pub fn kept(store: &Store) -> Result<Option<i64>> {
    Ok(store.query_one(&SQL_KEPT, &[KEEP_S.into()], |row| row.optional_integer(0))?.flatten())
}

/// Removes the notifications whose time is over, at most 1,000; how many those were.
pub(crate) fn expire(store: &Store, now: i64) -> Result<i64> {
    match kept(store)? {
        // What is kept for n seconds is there through the n-th, the one in which it was sent counted.
        Some(keep_s) if keep_s >= 1 => prune_step(store, now, Some(keep_s - 1), None),
        _ => Ok(0),
    }
}
