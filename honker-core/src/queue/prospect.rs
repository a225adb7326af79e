//! What may still become of a live job: whether it waits, is claimed, or is there although no claim may take it any more.

use super::conditions::unreadable;
use super::dead_letter::{Reason, dead_letter};
use crate::statement::Sql;
use crate::{Result, Store};

/// See the module documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prospect {
    /// It is not live.
    Gone,
    /// It is pending or blocked, and a claim may take it now or later.
    Waiting,
    /// Somebody has claimed it. The claim may have lapsed; then another may take it.
    Claimed,
}

// As whole numbers: that is what a claim would make of others. A row in a state of which this version knows nothing is
// left to those who know it.
static SQL_LOOK: Sql = Sql::new(concat!(
    "SELECT state IN ('pending', 'blocked'),
       state NOT IN ('pending', 'blocked', 'processing')
         OR state = 'processing' AND claim_expires_at >= ?2 AND NOT claim_expires_at >= '',
       ",
    unreadable!(),
    " IS TRUE, expires_at <= ?2, CAST(attempts AS INTEGER) >= CAST(max_attempts AS INTEGER)
     FROM main._honker_live WHERE id = +?1"
));

/// The prospect of a job, or why no claim may take it any more.
fn look(store: &Store, now: i64, id: i64) -> Result<std::result::Result<Prospect, Reason>> {
    let prospect = store.query_one(&SQL_LOOK, &[id.into(), now.into()], |row| {
        let is = |column| row.integer(column) != 0;
        let prospect = if is(0) { Prospect::Waiting } else { Prospect::Claimed };
        match (is(1), is(2), is(3), is(4)) {
            (true, ..) | (false, false, false, false) => Ok(prospect),
            (false, true, ..) => Err(Reason::Malformed),
            (false, false, true, _) => Err(Reason::Expired),
            (false, false, false, true) => Err(Reason::MaxAttemptsExceeded),
        }
    })?;
    Ok(prospect.unwrap_or(Ok(Prospect::Gone)))
}

/// Whether a job is live, and not there only because no claim has moved it to the dead.
pub(crate) fn may_still_run(store: &Store, now: i64, id: i64) -> Result<bool> {
    Ok(matches!(look(store, now, id)?, Ok(Prospect::Waiting | Prospect::Claimed)))
}

/// The prospect of a job. One that no claim may take any more is dead-lettered. Belongs into [`Store::atomic`].
pub(super) fn prospect(store: &Store, now: i64, id: i64) -> Result<Prospect> {
    match look(store, now, id)? {
        Ok(prospect) => Ok(prospect),
        Err(reason) => dead_letter(store, now, id, reason).map(|()| Prospect::Gone),
    }
}
