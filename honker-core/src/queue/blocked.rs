//! Limits for each concurrency key: the slots that claimed jobs have, and the jobs that wait for one.
//!
//! A job that is claimed and has a key has a slot, whether or not there is a limit: should one be set meanwhile, it counts. The
//! slot counts while its job is processing with a valid claim. A job that a claim meets and whose key is at its limit is set
//! aside: its state is `blocked`, which no index of claims holds, and a row of `_honker_blocked` says where it belongs in
//! the order. It is pending again when a slot of its key is free: whoever frees one brings the best of its key back, and who
//! takes one and finds another one free brings back one more.
//!
//! What else frees slots (somebody's SQL, a limit that was raised) is found by a claim that would answer empty, and by
//! maintenance. Rows here that say what is not so any more do no harm: each is looked at beside its job.

use std::collections::HashMap;

use super::conditions::valid_claims;
use super::unique;
use crate::bound::{Allowance, ROWS_MAX};
use crate::features::{Features, begin_use};
use crate::statement::{ID_LIST_MAX, Row, Sql, Value, id_list};
use crate::{Error, Result, Store};

static SQL_TAKE_SLOT: Sql =
    Sql::new("INSERT OR REPLACE INTO main._honker_slots (job_id, queue, key) VALUES (?1, ?2, ?3)");

static SQL_SLOT: Sql = Sql::new("SELECT queue, key FROM main._honker_slots WHERE job_id = +?1");

static SQL_FREE_SLOT: Sql = Sql::new("DELETE FROM main._honker_slots WHERE job_id = +?1");

/// How many slots of a key count, as far as there are no more than `$limit`.
macro_rules! held {
    ($key:literal, $limit:literal) => {
        concat!(
            "(SELECT count(*) FROM (
                SELECT 1 FROM main._honker_slots slots CROSS JOIN main._honker_live live ON live.id = slots.job_id
                WHERE slots.queue = +?1 AND slots.key = ",
            $key,
            "      AND live.state = 'processing' AND live.queue = slots.queue
                  AND live.claim_expires_at >= +?2 AND live.claim_expires_at < '' LIMIT ",
            $limit,
            "))"
        )
    };
}

static SQL_HELD: Sql = Sql::new(concat!("SELECT ", held!("+?3", "+?4")));

/// The keys of a queue for which jobs wait, from one on, and how many slots of each are free. From key to key, each of which is
/// found by a step in the index.
static SQL_WAITING: Sql = Sql::new(concat!(
    "WITH RECURSIVE keys (key) AS (
         SELECT min(key) FROM main._honker_blocked WHERE queue = +?1 AND key >= +?5
         UNION ALL
         SELECT (SELECT min(key) FROM main._honker_blocked WHERE queue = +?1 AND key > keys.key)
         FROM keys WHERE keys.key IS NOT NULL LIMIT +?4)
     SELECT keys.key, +?3 - ",
    held!("keys.key", "+?3"),
    " FROM keys WHERE keys.key IS NOT NULL"
));

static SQL_BLOCK: Sql = Sql::new(
    "UPDATE main._honker_live SET state = 'blocked', worker_id = NULL, claim_expires_at = NULL WHERE id = ?1",
);

static SQL_SET_ASIDE: Sql = Sql::new(
    "INSERT OR REPLACE INTO main._honker_blocked (job_id, queue, key, priority, run_at, expires_at)
     SELECT id, queue, ?2, priority, run_at, expires_at FROM main._honker_live WHERE id = ?1",
);

static SQL_BLOCK_MANY: Sql =
    Sql::new(concat!("UPDATE main._honker_live SET state = 'blocked' WHERE id IN (", id_list!(), ")"));

static SQL_SET_ASIDE_MANY: Sql = Sql::new(concat!(
    "INSERT OR REPLACE INTO main._honker_blocked (job_id, queue, key, priority, run_at, expires_at)
     SELECT id, queue, ?1, priority, run_at, expires_at FROM main._honker_live WHERE id IN (",
    id_list!(),
    ")"
));

static SQL_BEST: Sql = Sql::new(
    "SELECT job_id, expires_at <= ?3 FROM main._honker_blocked WHERE queue = +?1 AND key = +?2
     ORDER BY priority DESC, run_at, job_id LIMIT 1",
);

static SQL_ANY_OF: Sql =
    Sql::new("SELECT 0, job_id FROM main._honker_blocked WHERE queue = +?1 ORDER BY key LIMIT +?2");

static SQL_UNBLOCK: Sql =
    Sql::new("UPDATE main._honker_live SET state = 'pending' WHERE id = ?1 AND state = 'blocked'");

static SQL_FORGET: Sql = Sql::new("DELETE FROM main._honker_blocked WHERE job_id = +?1");

static SQL_ANY: Sql = Sql::new("SELECT EXISTS (SELECT 1 FROM main._honker_blocked)");

static SQL_ANY_OF_QUEUE: Sql =
    Sql::new("SELECT EXISTS (SELECT 1 FROM main._honker_blocked WHERE queue = +?1)");

static SQL_EXPIRED: Sql = Sql::new(
    "SELECT coalesce(length(CAST(live.payload AS BLOB)), 0), blocked.job_id, live.expires_at <= ?2 AND live.state = 'blocked'
     FROM main._honker_blocked blocked LEFT JOIN main._honker_live live ON live.id = blocked.job_id
     WHERE blocked.queue = +?1 AND blocked.expires_at <= +?2 ORDER BY blocked.expires_at, blocked.job_id LIMIT +?3",
);

/// Whether any job is blocked. In a file that nobody has brought up to date none is.
pub(super) fn any(store: &Store) -> Result<bool> {
    is_there(store, &SQL_ANY, &[])
}

/// Whether any job of a queue is blocked, or was.
pub(super) fn any_of(store: &Store, queue: &str) -> Result<bool> {
    is_there(store, &SQL_ANY_OF_QUEUE, &[queue.into()])
}

fn is_there(store: &Store, sql: &'static Sql, parameters: &[Value<'_>]) -> Result<bool> {
    match store.query_one(sql, parameters, |row| row.integer(0) != 0) {
        Ok(any) => Ok(any == Some(true)),
        Err(error) if error.lacks_table("_honker_blocked") => Ok(false),
        Err(error) => Err(error),
    }
}

/// A job with a key was claimed: it has a slot. Belongs into [`Store::atomic`].
pub(super) fn take_slot(store: &Store, id: i64, queue: &str, key: &str) -> Result<()> {
    if !store.features().slots {
        begin_use(store, |features| features.slots = true)?;
    }
    store.insert(&SQL_TAKE_SLOT, &[id.into(), queue.into(), key.into()]).map(drop)
}

/// A job is not claimed any more, or nowhere: its slot, if it had one, is free, and the best job that waits for it is pending.
/// Belongs into [`Store::atomic`].
pub(super) fn free_slot(store: &Store, now: i64, id: i64) -> Result<()> {
    let slot = store.query_one(&SQL_SLOT, &[id.into()], |row| (row.text(0), row.optional_text(1)))?;
    let Some((queue, key)) = slot else { return Ok(()) };
    store.execute(&SQL_FREE_SLOT, &[id.into()])?;
    match key {
        Some(key) => bring_back_one(store, now, &queue, &key, &mut Allowance::new(store)).map(drop),
        None => Ok(()),
    }
}

/// A job has left the live table, or is pending by somebody's will: nobody has to bring it back. Belongs into
/// [`Store::atomic`].
pub(super) fn forget(store: &Store, id: i64) -> Result<()> {
    store.execute(&SQL_FORGET, &[id.into()]).map(drop)
}

/// A blocked job is pending again; whether it was blocked. Belongs into [`Store::atomic`].
pub(super) fn unblock(store: &Store, id: i64) -> Result<bool> {
    let unblocked = store.execute(&SQL_UNBLOCK, &[id.into()])? > 0;
    // Also if a trigger of the user's keeps it from being pending: it would be found again and again.
    forget(store, id)?;
    Ok(unblocked)
}

/// The best job that waits for a slot of this key is pending again, and whatever has expired before it; whether there was one.
/// Belongs into [`Store::atomic`].
fn bring_back_one(
    store: &Store,
    now: i64,
    queue: &str,
    key: &str,
    allowance: &mut Allowance<'_>,
) -> Result<bool> {
    if !store.features().blocked {
        return Ok(false);
    }
    let parameters = [queue.into(), key.into(), now.into()];
    while let Some((id, expired)) =
        store.query_one(&SQL_BEST, &parameters, |row| (row.integer(0), row.integer(1) != 0))?
    {
        if !allowance.admit(0) {
            return Ok(false);
        }
        if unblock(store, id)? && !expired {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The jobs of a queue that has no limit for a key any more are pending again, as far as is allowed. Belongs into
/// [`Store::atomic`].
pub(super) fn bring_back_all(store: &Store, queue: &str, allowance: &mut Allowance<'_>) -> Result<()> {
    let parameters = [queue.into(), (allowance.rows() + 1).into()];
    for id in allowance.rows_of(&SQL_ANY_OF, &parameters, |row| row.integer(1))? {
        unblock(store, id)?;
    }
    Ok(())
}

/// Brings back jobs that wait although slots of their key are free, looking at up to 1,000 keys; whether there was one.
/// Belongs into [`Store::atomic`].
pub(super) fn bring_back_waiting(
    store: &Store,
    now: i64,
    queue: &str,
    per_key: i64,
    allowance: &mut Allowance<'_>,
) -> Result<bool> {
    let waiting = waiting_in_vain(store, now, queue, per_key)?;
    let mut any = false;
    for (key, free) in waiting {
        for _ in 0..free {
            if !bring_back_one(store, now, queue, &key, allowance)? {
                break;
            }
            any = true;
        }
        if allowance.refused() {
            break;
        }
    }
    Ok(any)
}

/// Whether [`bring_back_waiting`] would find one.
pub(super) fn any_waiting_in_vain(store: &Store, now: i64, queue: &str, per_key: i64) -> Result<bool> {
    Ok(!waiting_in_vain(store, now, queue, per_key)?.is_empty())
}

/// A look for jobs that wait although slots of their keys are free, which has found none.
#[derive(Default)]
pub(crate) struct LookInVain {
    queue: String,
    per_key: i64,
    /// [`Store::state`]; `None` if what was seen may be undone.
    state: Option<(i64, u32)>,
    /// The seconds in which the same claims are valid.
    seconds: Option<std::ops::RangeInclusive<i64>>,
    /// From which key on the looks of this state have looked.
    began: String,
    /// Whether they have looked at all keys.
    is_complete: bool,
    /// The key at which the next one begins.
    next: String,
}

static SQL_FIRST_LAPSE: Sql =
    Sql::new(concat!(valid_claims!("claim_expires_at"), " ORDER BY claim_expires_at LIMIT 1"));

/// The last second in which all claims on a queue are valid that are so now.
pub(super) fn first_lapse(store: &Store, now: i64, queue: &str) -> Result<Option<i64>> {
    store.query_one(&SQL_FIRST_LAPSE, &[queue.into(), now.into()], |row| row.integer(0))
}

/// The keys for which jobs wait although slots are free, and how many those are, of up to 1,000 that are looked at. If there is
/// none, the next look begins where this one has ended: each key is looked at some time, whatever is in front of it. Once all
/// were looked at in vain, none is until the file has changed or a claim has lapsed.
fn waiting_in_vain(store: &Store, now: i64, queue: &str, per_key: i64) -> Result<Vec<(String, i64)>> {
    // Before the keys are read: what is committed in between is another state.
    let first_lapse = first_lapse(store, now, queue)?;
    let state = store.state()?;
    let (from, began) = {
        let last = store.look_in_vain().borrow();
        let is_same_queue = last.queue == queue;
        let is_same = is_same_queue
            && last.per_key == per_key
            && last.state == Some(state)
            && last.seconds.as_ref().is_some_and(|seconds| seconds.contains(&now));
        if is_same && last.is_complete {
            return Ok(Vec::new());
        }
        let from = if is_same_queue { last.next.clone() } else { String::new() };
        let began = if is_same { last.began.clone() } else { from.clone() };
        (from, began)
    };
    let (mut free, mut last) = (Vec::new(), String::new());
    // How many keys that were.
    let mut look = |from: &str, until: Option<&str>, at_most: i64| {
        let mut count = 0;
        let parameters = [queue.into(), now.into(), per_key.into(), at_most.into(), from.into()];
        let each = |row: &Row<'_>| {
            let key = row.text(0);
            if until.is_some_and(|until| *key >= *until) {
                return false;
            }
            count += 1;
            if row.integer(1) > 0 {
                free.push((key.clone(), row.integer(1)));
            }
            last = key;
            true
        };
        store.query_while(&SQL_WAITING, &parameters, each).map(|()| count)
    };
    let mut count = look(&from, None, ROWS_MAX)?;
    let wraps = count < ROWS_MAX;
    if wraps && !from.is_empty() {
        count += look("", Some(&from), ROWS_MAX - count)?;
    }
    if free.is_empty() {
        // Round all keys, and back to where they began.
        let is_past = match wraps {
            true => began > from || began <= last,
            false => began > from && began <= last,
        };
        let is_complete = count < ROWS_MAX || began != from && is_past;
        let next = if count < ROWS_MAX { String::new() } else { last };
        *store.look_in_vain().borrow_mut() = LookInVain {
            queue: queue.to_owned(),
            per_key,
            state: store.has_nothing_to_undo().then_some(state),
            seconds: Some(now..=first_lapse.unwrap_or(i64::MAX)),
            began,
            is_complete,
            next,
        };
    }
    Ok(free)
}

/// Whether a blocked job of a queue has expired.
pub(super) fn any_expired(store: &Store, now: i64, queue: &str) -> Result<bool> {
    let parameters = [queue.into(), now.into(), 1.into()];
    let mut any = false;
    store.query_while(&SQL_EXPIRED, &parameters, |_| {
        any = true;
        false
    })?;
    Ok(any)
}

/// Expired jobs that are blocked, as far as is allowed. Rows that say what is not so are removed. Belongs into
/// [`Store::atomic`].
pub(super) fn expired(
    store: &Store,
    now: i64,
    queue: &str,
    allowance: &mut Allowance<'_>,
) -> Result<Vec<i64>> {
    let parameters = [queue.into(), now.into(), (allowance.rows() + 1).into()];
    let rows = allowance.rows_of(&SQL_EXPIRED, &parameters, |row| (row.integer(1), row.integer(2) != 0))?;
    let mut expired = Vec::new();
    for (id, is_expired) in rows {
        if is_expired {
            expired.push(id);
        } else {
            unblock(store, id)?;
        }
    }
    Ok(expired)
}

/// The keys that one claim meets.
pub(super) struct Keys<'a> {
    store: &'a Store,
    now: i64,
    queue: &'a str,
    per_key: i64,
    /// How many slots of each are free.
    free: HashMap<String, i64>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(store: &'a Store, now: i64, queue: &'a str, per_key: i64) -> Self {
        Keys { store, now, queue, per_key, free: HashMap::new() }
    }

    /// See [`bring_back_waiting`].
    pub(super) fn bring_back_waiting(&self, allowance: &mut Allowance<'_>) -> Result<bool> {
        bring_back_waiting(self.store, self.now, self.queue, self.per_key, allowance)
    }

    /// Whether a job with this key has to wait for a slot.
    pub(super) fn is_saturated(&mut self, key: &str) -> Result<bool> {
        if let Some(free) = self.free.get(key) {
            return Ok(*free <= 0);
        }
        let Keys { store, now, queue, per_key, .. } = *self;
        let parameters = [queue.into(), now.into(), key.into(), per_key.into()];
        let held = store.query_one(&SQL_HELD, &parameters, |row| row.integer(0))?.unwrap_or(0);
        self.free.insert(key.to_owned(), per_key - held);
        Ok(held >= per_key)
    }

    /// A job with this key is set aside. Belongs into [`Store::atomic`].
    pub(super) fn set_aside(&self, id: i64, key: &str) -> Result<()> {
        let store = self.store;
        store.set_features(Features { blocked: true, ..store.features() });
        // It has a slot if its claim has lapsed: somebody else has taken that.
        if store.execute(&SQL_FREE_SLOT, &[id.into()])? > 0 {
            unique::take_back(store, self.now, id)?;
        }
        store.insert(&SQL_SET_ASIDE, &[id.into(), key.into()])?;
        if store.execute(&SQL_BLOCK, &[id.into()])? == 0 {
            return Err(Error::ignored("set aside", "_honker_live"));
        }
        Ok(())
    }

    /// As [`Keys::set_aside`], of pending jobs with their keys. Belongs into [`Store::atomic`].
    pub(super) fn set_aside_all(&self, mut jobs: Vec<(String, i64)>) -> Result<()> {
        let store = self.store;
        if jobs.is_empty() {
            return Ok(());
        }
        store.set_features(Features { blocked: true, ..store.features() });
        let all = |sql, table, key: Option<&str>, jobs: &[(String, i64)]| {
            for jobs in jobs.chunks(ID_LIST_MAX) {
                let mut parameters: Vec<Value<'_>> = key.map(Value::from).into_iter().collect();
                parameters.extend(jobs.iter().map(|(_, id)| Value::from(*id)));
                if usize::try_from(store.execute(sql, &parameters)?) != Ok(jobs.len()) {
                    return Err(Error::ignored("set aside", table));
                }
            }
            Ok(())
        };
        jobs.sort_unstable();
        for jobs in jobs.chunk_by(|one, other| one.0 == other.0) {
            all(&SQL_SET_ASIDE_MANY, "_honker_blocked", Some(&jobs[0].0), jobs)?;
        }
        all(&SQL_BLOCK_MANY, "_honker_live", None, &jobs)
    }

    /// A job with this key was claimed: another one may come if there is room. Belongs into [`Store::atomic`].
    pub(super) fn took(&mut self, key: &str, allowance: &mut Allowance<'_>) -> Result<()> {
        let Some(free) = self.free.get_mut(key) else { return Ok(()) };
        *free -= 1;
        if *free > 0 {
            bring_back_one(self.store, self.now, self.queue, key, allowance)?;
        }
        Ok(())
    }
}
