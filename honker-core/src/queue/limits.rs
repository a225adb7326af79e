//! How many jobs a claim on a queue may take: what its settings say, and how much of that is used.
//!
//! It is exact with any number of processes, because a claim asks under the write lock and counts what it takes in the same
//! transaction. Claims that are valid are counted where they are, in the rows of the jobs: one that lapses, or whose job
//! somebody's SQL removes, counts no more, and nothing has to be done for that.
//!
//! Asked only of a file with settings of queues ([`crate::features`]), but for those who look without a lock.

use super::conditions::valid_claims;
use super::settings::{self, Rate, Settings};
use crate::statement::Sql;
use crate::{Error, Result, Store};

static SQL_READ: Sql =
    Sql::new("SELECT settings, window_start, window_count FROM main._honker_queues WHERE name = +?1");

static SQL_COUNT: Sql = Sql::new(concat!(
    "WITH valid (n) AS (",
    valid_claims!("1"),
    ") SELECT count(*) FROM (SELECT n FROM valid LIMIT +?3)"
));

// The claim that is the last to go before one more may be made: with k valid claims of at most n, the (k - n + 1)-th to lapse
// is the n-th from the end.
static SQL_LAPSE: Sql = Sql::new(concat!(
    valid_claims!("claim_expires_at"),
    " ORDER BY claim_expires_at DESC LIMIT 1 OFFSET +?3"
));

static SQL_COUNTED: Sql =
    Sql::new("UPDATE main._honker_queues SET window_start = ?2, window_count = ?3 WHERE name = +?1");

/// What is set for a queue, and how much of its rate is used.
#[derive(Debug)]
pub(super) struct Limits {
    settings: Settings,
    window_start: Option<i64>,
    window_count: i64,
}

/// Whether claims may be made at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not before this second, unless a claim ends.
    Until(i64),
    /// Not before somebody says so.
    Paused,
}

/// Those of a queue, if it has settings. A table that is not there has none: an older file, that nobody has brought up to date.
pub(super) fn read(store: &Store, queue: &str) -> Result<Option<Limits>> {
    let row = store.query_one(&SQL_READ, &[queue.into()], |row| Limits {
        settings: settings::remembered(store, &row.text(0)),
        window_start: row.optional_integer(1),
        window_count: row.integer(2),
    });
    match row {
        Err(error) if error.lacks_table("_honker_") => Ok(None),
        read => read,
    }
}

/// As [`read`], under the write lock, where it is known whether there can be any.
pub(super) fn known(store: &Store, queue: &str) -> Result<Option<Limits>> {
    if store.features().queues { read(store, queue) } else { Ok(None) }
}

impl Limits {
    /// How many valid claims a key may have.
    pub(super) fn per_key(&self) -> Option<i64> {
        self.settings.concurrency_per_key
    }

    /// How many jobs may be claimed now.
    pub(super) fn room(&self, store: &Store, now: i64, queue: &str) -> Result<i64> {
        if self.settings.paused {
            return Ok(0);
        }
        let mut room = self.settings.rate.map_or(i64::MAX, |rate| self.left_in_window(rate, now));
        if let Some(concurrency) = self.settings.concurrency
            && room > 0
        {
            let parameters = [queue.into(), now.into(), concurrency.into()];
            let valid = store.query_one(&SQL_COUNT, &parameters, |row| row.integer(0))?;
            room = room.min(concurrency - valid.unwrap_or(0));
        }
        Ok(room)
    }

    /// Whether any may be claimed now, and if not, when.
    pub(super) fn gate(&self, store: &Store, now: i64, queue: &str) -> Result<Gate> {
        if self.settings.paused {
            return Ok(Gate::Paused);
        }
        let full = self.settings.rate.filter(|rate| self.left_in_window(*rate, now) <= 0);
        let mut until = full.map(|rate| window_start(rate, now).saturating_add(rate.per_s));
        if let Some(concurrency) = self.settings.concurrency {
            let parameters = [queue.into(), now.into(), (concurrency - 1).into()];
            let last_valid = store.query_one(&SQL_LAPSE, &parameters, |row| row.integer(0))?;
            until = until.max(last_valid.map(|last_valid| last_valid.saturating_add(1)));
        }
        Ok(until.map_or(Gate::Open, Gate::Until))
    }

    /// So many were claimed. Belongs into [`Store::atomic`].
    pub(super) fn took(&self, store: &Store, now: i64, queue: &str, count: usize) -> Result<()> {
        let Some(rate) = self.settings.rate else { return Ok(()) };
        if count == 0 {
            return Ok(());
        }
        let left = self.left_in_window(rate, now).saturating_sub(i64::try_from(count).unwrap_or(i64::MAX));
        let parameters =
            [queue.into(), window_start(rate, now).into(), rate.limit.saturating_sub(left).into()];
        if store.execute(&SQL_COUNTED, &parameters)? == 0 {
            return Err(Error::ignored("counted", "_honker_queues"));
        }
        Ok(())
    }

    fn left_in_window(&self, rate: Rate, now: i64) -> i64 {
        let is_current = self.window_start == Some(window_start(rate, now));
        rate.limit.saturating_sub(if is_current { self.window_count.max(0) } else { 0 })
    }
}

fn window_start(rate: Rate, now: i64) -> i64 {
    now.div_euclid(rate.per_s).saturating_mul(rate.per_s)
}
