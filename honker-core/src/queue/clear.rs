//! What stands in the way of a claim, and how it is cleared away.
//!
//! A claim walks over jobs that it can take. Rows that it cannot are moved first: malformed ones, exhausted ones, claims
//! that lapsed on the last attempt, and expired jobs and lapsed claims once there are many of them. All of that together
//! is bounded ([`Allowance`]); what is left over is the next claim's. [`look`] asks the same questions without changing
//! anything: it says whether a claim would.

use std::collections::HashSet;

use super::blocked;
use super::conditions::{
    exception, exception_at, exhausted, expiring, ill_typed, in_flight, last_attempt, malformed, unreadable,
};
use super::dead_letter::{Reason, dead_letter};
use super::leave::after_return;
use super::refusal::Care;
use super::walk::Candidate;
use crate::bound::Allowance;
use crate::statement::{Row, Sql, Value};
use crate::{Result, Store};

/// With this many lapsed claims or fewer, they are weighed against the pending jobs one by one. With more, they go back
/// to pending first, so that the next claim finds them through the index instead of weighing them all again.
const LAPSED_IN_PLACE_MAX: i64 = 32;

/// Expired pending jobs are stepped over while they are few, and moved away once there are more than this, so that a
/// queue nobody sweeps does not become slow.
const EXPIRED_IN_PLACE_MAX: i64 = 100;

/// So many expired jobs are stepped over that cannot be moved away.
const EXPIRED_REFUSED_MAX: usize = 10_000;

// Index only, and bounded.
static SQL_LOOK: Sql = Sql::new(concat!(
    "SELECT
       EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    malformed!(),
    " AND queue = +?1),
       EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    exhausted!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2 AND run_at <= ?2),
       EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    last_attempt!(),
    " AND queue = +?1 AND claim_expires_at < +?2),
       (SELECT count(*) FROM (SELECT 1 FROM main._honker_live WHERE ",
    in_flight!(),
    " AND queue = +?1 AND claim_expires_at < +?2 LIMIT +?3)),
       (SELECT count(*) FROM (SELECT 1 FROM main._honker_live WHERE ",
    expiring!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2 LIMIT +?4))
       + (SELECT count(*) FROM (SELECT 1 FROM main._honker_live WHERE ",
    exhausted!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2 AND expires_at <= ?2 LIMIT +?4))",
));

// The number of bytes comes first in each of these, see `Allowance::rows_of`. One row more than may be worked off is
// asked for: that it is there is how a claim knows that it leaves something behind.
static SQL_MALFORMED: Sql = Sql::new(concat!(
    "SELECT length(CAST(payload AS BLOB)), id, ",
    unreadable!(),
    " IS TRUE FROM main._honker_live WHERE ",
    malformed!(),
    " AND queue = +?1 LIMIT +?2"
));

static SQL_EXHAUSTED: Sql = Sql::new(concat!(
    "SELECT length(CAST(payload AS BLOB)), id, expires_at <= ?2 FROM main._honker_live WHERE ",
    exhausted!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2 AND run_at <= ?2 ORDER BY ",
    exception_at!(),
    ", id LIMIT +?3"
));

static SQL_EXPIRED: Sql = Sql::new(concat!(
    "SELECT length(CAST(payload AS BLOB)), id FROM main._honker_live WHERE ",
    expiring!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2 ORDER BY ",
    exception_at!(),
    ", id LIMIT +?3"
));

// Those that are exhausted or malformed as well; all but always none.
static SQL_EXPIRED_EXHAUSTED: Sql = Sql::new(concat!(
    "SELECT length(CAST(payload AS BLOB)), id FROM main._honker_live WHERE ",
    exhausted!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2 AND expires_at <= ?2 ORDER BY ",
    exception_at!(),
    ", id LIMIT +?3"
));

static SQL_EXPIRED_MALFORMED: Sql = Sql::new(concat!(
    "SELECT length(CAST(payload AS BLOB)), id FROM main._honker_live WHERE ",
    malformed!(),
    " AND queue = +?1 AND state = 'pending' AND expires_at <= ?2 ORDER BY ",
    exception!(),
    ", ",
    exception_at!(),
    " LIMIT +?3"
));

static SQL_EXPIRED_IDS: Sql = Sql::new(concat!(
    "SELECT id FROM main._honker_live WHERE ",
    expiring!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2"
));

macro_rules! lapsed {
    ($condition:expr) => {
        concat!(
            "SELECT length(CAST(payload AS BLOB)), id, priority, run_at, expires_at <= ?2, ",
            ill_typed!(),
            " IS TRUE, ",
            unreadable!(),
            " IS TRUE FROM main._honker_live WHERE ",
            $condition,
            " AND queue = +?1 AND claim_expires_at < +?2 ORDER BY claim_expires_at, id LIMIT +?3"
        )
    };
}
static SQL_LAPSED: Sql = Sql::new(lapsed!(in_flight!()));
static SQL_LAPSED_LAST: Sql = Sql::new(lapsed!(last_attempt!()));

static SQL_RELEASE: Sql = Sql::new(
    "UPDATE main._honker_live SET state = 'pending', worker_id = NULL, claim_expires_at = NULL WHERE id = ?1",
);

/// The next whole number, and the end of time for what is beyond it.
macro_rules! rounded_up {
    ($column:literal) => {
        concat!(
            $column,
            " = CASE WHEN ",
            $column,
            " >= 9223372036854775807 THEN 9223372036854775807
              ELSE CAST(",
            $column,
            " AS INTEGER) + (",
            $column,
            " > CAST(",
            $column,
            " AS INTEGER)) END"
        )
    };
}
static SQL_ROUND: Sql = Sql::new(concat!(
    "UPDATE main._honker_live SET priority = CAST(priority AS INTEGER), attempts = CAST(attempts AS INTEGER),
       max_attempts = CAST(max_attempts AS INTEGER), ",
    rounded_up!("run_at"),
    ", ",
    rounded_up!("created_at"),
    ", ",
    rounded_up!("expires_at"),
    " WHERE id = ?1"
));

/// What is in the way of a claim.
pub(super) struct Obstacles {
    malformed: bool,
    exhausted: bool,
    lapsed_last: bool,
    /// How many claims have lapsed with attempts left, as far as it matters.
    lapsed: i64,
    /// How many pending jobs have expired, as far as it matters.
    expired: i64,
}

/// A lapsed claim.
struct Lapsed {
    candidate: Candidate,
    expired: bool,
    ill_typed: bool,
    unreadable: bool,
}

impl Lapsed {
    fn read(row: &Row<'_>) -> Self {
        Lapsed {
            candidate: Candidate { id: row.integer(1), priority: row.integer(2), run_at: row.integer(3) },
            expired: row.integer(4) != 0,
            ill_typed: row.integer(5) != 0,
            unreadable: row.integer(6) != 0,
        }
    }

    fn id(&self) -> i64 {
        self.candidate.id
    }
}

/// What a claim goes on with.
pub(super) struct Cleared<'a> {
    /// Lapsed claims that stay as they are unless they are taken.
    pub(super) lapsed: Vec<Candidate>,
    /// Jobs that stay where they are and cannot be taken: expired ones, and those that could not be moved.
    pub(super) stepped_over: HashSet<i64>,
    /// Something had to be left in the way.
    pub(super) more: bool,
    /// No malformed row is left in the way.
    pub(super) readable: bool,
    /// What the transaction may still do.
    pub(super) allowance: Allowance<'a>,
}

/// Looks at what is in the way.
pub(super) fn look(store: &Store, now: i64, queue: &str) -> Result<Obstacles> {
    let limits = [(LAPSED_IN_PLACE_MAX + 1).into(), (EXPIRED_IN_PLACE_MAX + 1).into()];
    let obstacles =
        store.query_one(&SQL_LOOK, &[queue.into(), now.into(), limits[0], limits[1]], |row| Obstacles {
            malformed: row.integer(0) != 0,
            exhausted: row.integer(1) != 0,
            lapsed_last: row.integer(2) != 0,
            lapsed: row.integer(3),
            expired: row.integer(4),
        })?;
    Ok(obstacles.expect("a SELECT without FROM has one row"))
}

impl Obstacles {
    /// Whether a claim has lapsed that somebody may take.
    pub(super) fn any_lapsed(&self) -> bool {
        self.lapsed > 0
    }

    /// Whether [`clear`] would change anything.
    pub(super) fn would_be_cleared(&self, store: &Store, now: i64, queue: &str) -> Result<bool> {
        if self.malformed
            || self.exhausted
            || self.lapsed_last
            || self.lapsed > LAPSED_IN_PLACE_MAX
            || self.expired > EXPIRED_IN_PLACE_MAX
        {
            return Ok(true);
        }
        if self.lapsed == 0 {
            return Ok(false);
        }
        let lapsed = lapsed(now, queue, &SQL_LAPSED, &mut Allowance::new(store))?;
        Ok(lapsed.iter().any(|lapsed| lapsed.expired || lapsed.ill_typed))
    }

    /// The claims that have lapsed, and stay as they are unless they are taken.
    pub(super) fn lapsed_in_place(&self, store: &Store, now: i64, queue: &str) -> Result<Vec<Candidate>> {
        if self.lapsed == 0 {
            return Ok(Vec::new());
        }
        let lapsed = lapsed(now, queue, &SQL_LAPSED, &mut Allowance::new(store))?;
        Ok(lapsed.into_iter().map(|lapsed| lapsed.candidate).collect())
    }

    /// The expired jobs that a claim steps over.
    pub(super) fn expired_in_place(&self, store: &Store, now: i64, queue: &str) -> Result<HashSet<i64>> {
        if self.expired == 0 || self.expired > EXPIRED_IN_PLACE_MAX {
            return Ok(HashSet::new());
        }
        expired_ids(store, now, queue)
    }
}

fn expired_ids(store: &Store, now: i64, queue: &str) -> Result<HashSet<i64>> {
    let mut ids = HashSet::new();
    store.query_while(&SQL_EXPIRED_IDS, &[queue.into(), now.into()], |row| {
        ids.insert(row.integer(0));
        ids.len() < EXPIRED_REFUSED_MAX
    })?;
    Ok(ids)
}

/// Clears away what a claim cannot take, as far as one transaction may. What cannot be moved stays in place. Belongs into
/// [`Store::atomic`].
pub(super) fn clear<'a>(store: &'a Store, now: i64, queue: &str, care: &mut Care<'_>) -> Result<Cleared<'a>> {
    let mut obstacles = look(store, now, queue)?;
    let mut allowance = Allowance::new(store);

    if obstacles.malformed {
        malformed(store, now, queue, &mut allowance, care)?;
        // What was made readable may be in the way in another manner.
        obstacles = look(store, now, queue)?;
    }
    let readable = !allowance.refused();
    if obstacles.exhausted {
        let parameters = [queue.into(), now.into(), limit(&allowance)];
        let rows =
            allowance.rows_of(&SQL_EXHAUSTED, &parameters, |row| (row.integer(1), row.integer(2) != 0))?;
        for (id, expired) in rows {
            let reason = if expired { Reason::Expired } else { Reason::MaxAttemptsExceeded };
            care.row(id, || dead_letter(store, now, id, reason))?;
        }
    }
    if obstacles.lapsed_last {
        for lapsed in lapsed(now, queue, &SQL_LAPSED_LAST, &mut allowance)? {
            let reason = if lapsed.expired { Reason::Expired } else { Reason::MaxAttemptsExceeded };
            care.row(lapsed.id(), || dead_letter(store, now, lapsed.id(), reason))?;
        }
    }
    if obstacles.expired > EXPIRED_IN_PLACE_MAX {
        for sql in [&SQL_EXPIRED, &SQL_EXPIRED_EXHAUSTED] {
            expired(store, now, queue, sql, &mut allowance, care)?;
        }
    }
    let mut in_place = Vec::new();
    if obstacles.lapsed > 0 {
        for lapsed in lapsed(now, queue, &SQL_LAPSED, &mut allowance)? {
            let id = lapsed.id();
            if lapsed.expired {
                care.row(id, || dead_letter(store, now, id, Reason::Expired))?;
            } else if lapsed.ill_typed {
                care.row(id, || {
                    give_back(store, now, id)?;
                    mend(store, now, id, lapsed.unreadable).map(drop)
                })?;
            } else if obstacles.lapsed > LAPSED_IN_PLACE_MAX {
                care.row(id, || give_back(store, now, id))?;
            } else {
                in_place.push(lapsed.candidate);
            }
        }
    }
    let stepped_over = if care.is_careful() {
        // There may be many that cannot be moved. Malformed and lapsed ones are among those that were refused.
        let mut expired = expired_ids(store, now, queue)?;
        expired.extend(care.refused());
        expired
    } else {
        obstacles.expired_in_place(store, now, queue)?
    };
    Ok(Cleared { lapsed: in_place, stepped_over, more: allowance.refused(), readable, allowance })
}

/// Mends malformed rows; how many those were.
pub(super) fn malformed(
    store: &Store,
    now: i64,
    queue: &str,
    allowance: &mut Allowance<'_>,
    care: &mut Care<'_>,
) -> Result<i64> {
    let parameters = [queue.into(), limit(allowance)];
    let rows = allowance.rows_of(&SQL_MALFORMED, &parameters, |row| (row.integer(1), row.integer(2) != 0))?;
    let mut mended = 0;
    for (id, unreadable) in rows {
        mended += i64::from(care.row(id, || mend(store, now, id, unreadable))? == Some(true));
    }
    Ok(mended)
}

/// Ends a claim for its holder: the job is pending again, as it was but for the attempt. Belongs into [`Store::atomic`].
pub(super) fn give_back(store: &Store, now: i64, id: i64) -> Result<()> {
    store.execute(&SQL_RELEASE, &[id.into()])?;
    after_return(store, now, id)
}

/// Makes a malformed row one that a claim can take, or moves it to the dead if there is no telling what it means;
/// whether it did.
fn mend(store: &Store, now: i64, id: i64, unreadable: bool) -> Result<bool> {
    if unreadable {
        dead_letter(store, now, id, Reason::Malformed).map(|()| true)
    } else {
        Ok(store.execute(&SQL_ROUND, &[id.into()])? > 0)
    }
}

/// Moves expired pending jobs to the dead; how many those were.
fn expired(
    store: &Store,
    now: i64,
    queue: &str,
    sql: &'static Sql,
    allowance: &mut Allowance<'_>,
    care: &mut Care<'_>,
) -> Result<i64> {
    let parameters = [queue.into(), now.into(), limit(allowance)];
    let mut moved = 0;
    for id in allowance.rows_of(sql, &parameters, |row| row.integer(1))? {
        moved += i64::from(care.row(id, || dead_letter(store, now, id, Reason::Expired))?.is_some());
    }
    Ok(moved)
}

/// Moves expired pending jobs to the dead, also those that are malformed or exhausted; how many those were.
pub(super) fn all_expired(
    store: &Store,
    now: i64,
    queue: &str,
    allowance: &mut Allowance<'_>,
    care: &mut Care<'_>,
) -> Result<i64> {
    let mut moved = 0;
    for sql in [&SQL_EXPIRED, &SQL_EXPIRED_EXHAUSTED, &SQL_EXPIRED_MALFORMED] {
        moved += expired(store, now, queue, sql, allowance, care)?;
    }
    Ok(moved)
}

/// Moves to the dead what has expired among the jobs that wait for a slot of their key; how many those were.
pub(super) fn blocked_expired(
    store: &Store,
    now: i64,
    queue: &str,
    allowance: &mut Allowance<'_>,
    care: &mut Care<'_>,
) -> Result<i64> {
    if !store.features().blocked {
        return Ok(0);
    }
    let mut moved = 0;
    for id in blocked::expired(store, now, queue, allowance)? {
        moved += i64::from(care.row(id, || dead_letter(store, now, id, Reason::Expired))?.is_some());
    }
    Ok(moved)
}

/// Moves to the dead what has expired among the claims that lapsed first; how many those were.
pub(super) fn lapsed_expired(
    store: &Store,
    now: i64,
    queue: &str,
    allowance: &mut Allowance<'_>,
    care: &mut Care<'_>,
) -> Result<i64> {
    let mut moved = 0;
    for sql in [&SQL_LAPSED_LAST, &SQL_LAPSED] {
        for lapsed in lapsed(now, queue, sql, allowance)?.iter().filter(|lapsed| lapsed.expired) {
            let id = lapsed.id();
            moved += i64::from(care.row(id, || dead_letter(store, now, id, Reason::Expired))?.is_some());
        }
    }
    Ok(moved)
}

fn lapsed(now: i64, queue: &str, sql: &'static Sql, allowance: &mut Allowance<'_>) -> Result<Vec<Lapsed>> {
    let parameters = [queue.into(), now.into(), limit(allowance)];
    allowance.rows_of(sql, &parameters, Lapsed::read)
}

fn limit(allowance: &Allowance<'_>) -> Value<'static> {
    (allowance.rows() + 1).into()
}
