//! Rate limits over fixed windows, aligned to multiples of their length since the epoch.

use crate::bound::Allowance;
use crate::statement::Sql;
use crate::{Error, Result, Store, bound};

// Check and count in one statement. A refused call writes nothing.
static SQL_TRY: Sql = Sql::new(
    "INSERT INTO main._honker_rate_limits (name, window_start, count) VALUES (?1, ?2, 1)
     ON CONFLICT (name, window_start) DO UPDATE SET count = count + 1
     WHERE _honker_rate_limits.count < ?3",
);

static SQL_IS_LEFT: Sql =
    Sql::new("SELECT count < +?3 FROM main._honker_rate_limits WHERE name = +?1 AND window_start = +?2");

static SQL_OLD: Sql = Sql::new(
    "SELECT 0, rowid FROM main._honker_rate_limits WHERE window_start < +?1 ORDER BY window_start LIMIT +?2",
);

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_rate_limits WHERE rowid = ?1");

/// Counts one use of `name` if there were fewer than `limit` in the current window of `per_s` seconds.
pub fn try_acquire(store: &Store, now: i64, name: &str, limit: i64, per_s: i64) -> Result<bool> {
    if limit <= 0 || per_s <= 0 {
        return Err(Error::invalid("limit and per must be positive"));
    }
    let window_start = now.div_euclid(per_s).saturating_mul(per_s);
    let parameters = [name.into(), window_start.into(), limit.into()];
    let look = |counted| {
        if counted > 0 {
            return Ok(true);
        }
        match store.query_one(&SQL_IS_LEFT, &parameters, |row| row.integer(0) != 0)? {
            Some(false) => Ok(false),
            _ => Err(Error::ignored("counted", "_honker_rate_limits")),
        }
    };
    store.write_and_read(|| store.execute(&SQL_TRY, &parameters), look)
}

/// Deletes windows that began more than `older_than_s` seconds ago, at most 1,000 in one call; how many those were. Call
/// it until it answers 0.
pub fn sweep(store: &Store, now: i64, older_than_s: i64) -> Result<i64> {
    let before = now.saturating_sub(older_than_s);
    store.atomic(|| bound::delete(&mut Allowance::new(store), &SQL_OLD, before.into(), &SQL_DELETE))
}
