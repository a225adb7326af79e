//! Moving expired jobs away.

use super::conditions::{exception, exception_at, exhausted, expiring, in_flight, last_attempt, malformed};
use super::refusal::past_refusals;
use super::{blocked, clear};
use crate::bound::Allowance;
use crate::statement::Sql;
use crate::{Result, Store};

static SQL_ANYTHING_EXPIRED: Sql = Sql::new(concat!(
    "SELECT EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    expiring!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2)
         OR EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    exhausted!(),
    " AND queue = +?1 AND ",
    exception_at!(),
    " <= +?2 AND expires_at <= ?2)
         OR (SELECT 1 FROM main._honker_live WHERE ",
    malformed!(),
    " AND queue = +?1 AND state = 'pending' AND expires_at <= ?2 ORDER BY ",
    exception!(),
    ", ",
    exception_at!(),
    " LIMIT 1) IS NOT NULL
         OR EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    in_flight!(),
    " AND queue = +?1 AND claim_expires_at < +?2 AND expires_at <= ?2)
         OR EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    last_attempt!(),
    " AND queue = +?1 AND claim_expires_at < +?2 AND expires_at <= ?2)"
));

/// Moves expired jobs of `queue` that nobody holds to the dead, with the error `expired`; how many there were.
///
/// At most 1,000 in one call, pending ones first; after that it looks at the claims that lapsed first. Call it until it
/// answers 0. A job whose claim is still valid is never touched. Nothing expired, nothing written, no lock taken.
///
/// Jobs that the file refuses to move (a trigger, a constraint), up to 100 in one call, do not keep the others from being
/// moved. Once only such are left, the refusal is the error.
pub fn sweep_expired(store: &Store, now: i64, queue: &str) -> Result<i64> {
    // In a transaction of the caller's, reading before locking could cost it the lock.
    if !store.in_transaction() {
        let parameters = [queue.into(), now.into()];
        let anything = store.query_one(&SQL_ANYTHING_EXPIRED, &parameters, |row| row.integer(0) != 0)?;
        if anything != Some(true) && !(blocked::any(store)? && blocked::any_expired(store, now, queue)?) {
            return Ok(0);
        }
    }
    past_refusals(store, |care| {
        store.atomic(|| {
            let mut allowance = Allowance::new(store);
            let pending = clear::all_expired(store, now, queue, &mut allowance, care)?;
            let blocked = clear::blocked_expired(store, now, queue, &mut allowance, care)?;
            let moved = pending + blocked + clear::lapsed_expired(store, now, queue, &mut allowance, care)?;
            care.check()?;
            match care.error() {
                Some(error) if moved == 0 => Err(error.clone()),
                _ => Ok(moved),
            }
        })
    })
}
