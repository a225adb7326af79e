//! The move from `_honker_live` to `_honker_dead`: the one way by which a job ends without an ack.

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

/// The statement that copies the rows of a condition. Its parameters ?2 and ?3 are the time and the error.
///
/// The copy replaces: should the operator have put a dead job back into the live table by hand and left its dead row
/// where it was, its second death must not block the queue for ever.
macro_rules! copy_to_dead {
    ($condition:expr) => {
        concat!(
            "INSERT OR REPLACE INTO main._honker_dead
               (id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at)
             SELECT id, queue, payload, priority, run_at, attempts, max_attempts, ?3, created_at, ?2
             FROM main._honker_live WHERE ",
            $condition
        )
    };
}
pub(super) use copy_to_dead;

static SQL_COPY: Sql = Sql::new(copy_to_dead!("id = ?1"));

static SQL_COPY_CLAIMABLE: Sql = Sql::new(copy_to_dead!(
    "id = ?1 AND (state = 'pending' AND attempts < max_attempts OR state = 'processing' AND claim_expires_at < ?2)"
));

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_live WHERE id = +?1");

/// Moves a row. Belongs into [`Store::atomic`].
pub(super) fn dead_letter(store: &Store, now: i64, id: i64, reason: Reason) -> Result<()> {
    move_row(store, &SQL_COPY, id, &[id.into(), now.into(), reason.text().into()]).map(drop)
}

/// Moves a row that a claim could take and cannot answer with, unless somebody has claimed it meanwhile. Belongs into
/// [`Store::atomic`].
pub(super) fn dead_letter_claimable(store: &Store, now: i64, id: i64) -> Result<()> {
    let parameters = [id.into(), now.into(), Reason::Malformed.text().into()];
    move_row(store, &SQL_COPY_CLAIMABLE, id, &parameters).map(drop)
}

/// Moves the row of this id if `copy`, made by [`copy_to_dead`], copies it; whether it did. An error if a trigger keeps it
/// where it is. Belongs into [`Store::atomic`].
pub(super) fn move_row(store: &Store, copy: &'static Sql, id: i64, parameters: &[Value<'_>]) -> Result<bool> {
    let copied = store.execute(copy, parameters)? > 0;
    if copied && store.execute(&SQL_DELETE, &[id.into()])? == 0 {
        // It must not be in both tables.
        return Err(Error::Constraint(
            "not moved to the dead: a trigger on _honker_live said RAISE(IGNORE)".into(),
        ));
    }
    Ok(copied)
}
