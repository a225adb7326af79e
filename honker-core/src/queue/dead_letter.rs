//! The move from `_honker_live` to `_honker_dead`: the one way by which a job ends without an ack.

use super::leave::{Exit, after};
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store};

/// Why a row is dead when no worker said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nobody claimed it before it expired, or the claim lapsed afterwards.
    Expired,
    /// It would have been claimed once more than its budget allows.
    MaxAttemptsExceeded,
    /// No claim can read it.
    Malformed,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Reason::Expired => "expired",
            Reason::MaxAttemptsExceeded => "max attempts exceeded",
            Reason::Malformed => "malformed row",
        }
    }
}

/// How the live row of a condition is moved. The parameters ?2 and ?3 are the time and the error.
pub(super) struct Move {
    pub(super) copy: Sql,
    /// Whether there is such a row.
    pub(super) find: Sql,
}

/// The [`Move`] of a condition.
///
/// The copy replaces: should the operator have put a dead job back into the live table by hand and left its dead row
/// where it was, its second death must not block the queue for ever.
macro_rules! move_to_dead {
    ($condition:expr) => {
        Move {
            copy: Sql::new(concat!(
                "INSERT OR REPLACE INTO main._honker_dead
                   (id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at)
                 SELECT id, queue, payload, priority, run_at, attempts, max_attempts, ?3, created_at, ?2
                 FROM main._honker_live WHERE ",
                $condition
            )),
            find: Sql::new(concat!(
                "SELECT 1 FROM main._honker_live WHERE ",
                $condition,
                " AND ?3 IS NOT NULL"
            )),
        }
    };
}
pub(super) use move_to_dead;

static MOVE: Move = move_to_dead!("id = ?1");

static MOVE_CLAIMABLE: Move = move_to_dead!(
    "id = ?1 AND (state = 'pending' AND attempts < max_attempts OR state = 'processing' AND claim_expires_at < ?2)"
);

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_live WHERE id = +?1");

/// Moves a row. Belongs into [`Store::atomic`].
pub(super) fn dead_letter(store: &Store, now: i64, id: i64, reason: Reason) -> Result<()> {
    move_row(store, now, &MOVE, id, &[id.into(), now.into(), reason.text().into()]).map(drop)
}

/// Moves a row that a claim could take and cannot answer with, unless somebody has claimed it meanwhile. Belongs into
/// [`Store::atomic`].
pub(super) fn dead_letter_claimable(store: &Store, now: i64, id: i64) -> Result<()> {
    let parameters = [id.into(), now.into(), Reason::Malformed.text().into()];
    move_row(store, now, &MOVE_CLAIMABLE, id, &parameters).map(drop)
}

/// Moves the row of this id if it fulfils the condition; whether it does. An error if a trigger keeps it from being moved.
/// Belongs into [`Store::atomic`].
pub(super) fn move_row(
    store: &Store,
    now: i64,
    by: &'static Move,
    id: i64,
    parameters: &[Value<'_>],
) -> Result<bool> {
    let ignored = |table| Error::ignored("moved to the dead", table);
    if store.execute(&by.copy, parameters)? == 0 {
        return match store.query_one(&by.find, parameters, |_| ())? {
            Some(()) => Err(ignored("_honker_dead")),
            None => Ok(false),
        };
    }
    // It must not be in both tables.
    if store.execute(&SQL_DELETE, &[id.into()])? == 0 {
        return Err(ignored("_honker_live"));
    }
    after(store, now, id, Exit::Dead)?;
    Ok(true)
}
