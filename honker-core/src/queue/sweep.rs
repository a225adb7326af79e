//! Burying jobs that can never be claimed again: the move from `_honker_live` to `_honker_dead`.

use super::{EXPIRED, MAX_ATTEMPTS_EXCEEDED};
use crate::statement::Sql;
use crate::{Result, Store};

/// Which rows of a queue, and why. At most one cause fits a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// Pending, and past its expiry.
    PendingExpired,
    /// Claimed, the claim lapsed, and past its expiry.
    LapsedExpired,
    /// Pending, due, and out of attempts.
    PendingExhausted,
    /// Claimed, the claim lapsed, and out of attempts.
    LapsedExhausted,
}

/// The two statements that move rows.
///
/// The copy replaces: should the operator have put a dead job back into the live table by hand and left its dead row
/// where it was, its second death must not block the queue for ever.
macro_rules! burial {
    ($copy:ident, $delete:ident, $condition:literal) => {
        static $copy: Sql = Sql::new(concat!(
            "INSERT OR REPLACE INTO main._honker_dead
               (id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at)
             SELECT id, queue, payload, priority, run_at, attempts, max_attempts, ?3, created_at, ?2
             FROM main._honker_live WHERE ",
            $condition
        ));
        static $delete: Sql = Sql::new(concat!("DELETE FROM main._honker_live WHERE ", $condition));
    };
}
pub(super) use burial;

burial!(
    SQL_COPY_PENDING_EXPIRED,
    SQL_DELETE_PENDING_EXPIRED,
    "state = 'pending' AND expires_at IS NOT NULL AND queue = +?1 AND expires_at <= +?2"
);
burial!(
    SQL_COPY_LAPSED_EXPIRED,
    SQL_DELETE_LAPSED_EXPIRED,
    "state = 'processing' AND queue = +?1 AND claim_expires_at < +?2 AND expires_at <= ?2"
);
burial!(
    SQL_COPY_PENDING_EXHAUSTED,
    SQL_DELETE_PENDING_EXHAUSTED,
    "state = 'pending' AND attempts >= max_attempts AND queue = +?1 AND run_at <= +?2
     AND (expires_at IS NULL OR expires_at > ?2)"
);
burial!(
    SQL_COPY_LAPSED_EXHAUSTED,
    SQL_DELETE_LAPSED_EXHAUSTED,
    "state = 'processing' AND queue = +?1 AND claim_expires_at < +?2 AND attempts >= max_attempts
     AND (expires_at IS NULL OR expires_at > ?2)"
);

static SQL_ANYTHING_EXPIRED: Sql = Sql::new(
    "SELECT EXISTS (SELECT 1 FROM main._honker_live
            WHERE state = 'pending' AND expires_at IS NOT NULL AND queue = +?1 AND expires_at <= +?2)
         OR EXISTS (SELECT 1 FROM main._honker_live
            WHERE state = 'processing' AND queue = +?1 AND claim_expires_at < +?2 AND expires_at <= ?2)",
);

/// Moves every expired job of `queue` that nobody holds to the dead, with the error `expired`; how many there were.
///
/// A job whose claim is still valid is never touched. Nothing expired, nothing written, no lock taken.
pub fn sweep_expired(store: &Store, now: i64, queue: &str) -> Result<i64> {
    // In a transaction of the caller's, reading before locking could cost it the lock.
    if !store.in_transaction() {
        let parameters = [queue.into(), now.into()];
        let anything = store.query_one(&SQL_ANYTHING_EXPIRED, &parameters, |row| row.integer(0) != 0)?;
        if anything != Some(true) {
            return Ok(0);
        }
    }
    store.atomic(|| {
        let pending = bury(store, now, queue, Cause::PendingExpired)?;
        Ok(pending + bury(store, now, queue, Cause::LapsedExpired)?)
    })
}

/// Moves the rows; how many there were. Belongs into [`Store::atomic`].
pub(super) fn bury(store: &Store, now: i64, queue: &str, cause: Cause) -> Result<i64> {
    let (copy, delete, error) = match cause {
        Cause::PendingExpired => (&SQL_COPY_PENDING_EXPIRED, &SQL_DELETE_PENDING_EXPIRED, EXPIRED),
        Cause::LapsedExpired => (&SQL_COPY_LAPSED_EXPIRED, &SQL_DELETE_LAPSED_EXPIRED, EXPIRED),
        Cause::PendingExhausted => {
            (&SQL_COPY_PENDING_EXHAUSTED, &SQL_DELETE_PENDING_EXHAUSTED, MAX_ATTEMPTS_EXCEEDED)
        }
        Cause::LapsedExhausted => {
            (&SQL_COPY_LAPSED_EXHAUSTED, &SQL_DELETE_LAPSED_EXHAUSTED, MAX_ATTEMPTS_EXCEEDED)
        }
    };
    let copied = store.execute(copy, &[queue.into(), now.into(), error.into()])?;
    if copied > 0 {
        store.execute(delete, &[queue.into(), now.into()])?;
    }
    Ok(copied)
}
