//! How much one transaction may do beside what its caller asked for by number.
//!
//! Whoever holds the write lock keeps every other writer waiting, so nothing that grows with the file (expired jobs,
//! lapsed claims, old results) is worked off in one transaction: each stops after [`ROWS_MAX`] rows or [`BYTES_MAX`]
//! bytes of payload, and the next call goes on from there.

use crate::statement::{Row, Sql, Value};
use crate::{Result, Store};

/// So many rows may be moved, released, removed or stepped over in one transaction.
pub(crate) const ROWS_MAX: i64 = 1_000;

/// And so many bytes of payload; a row that is larger by itself is worked off alone.
pub(crate) const BYTES_MAX: i64 = 8_000_000;

/// What is left of the work that one transaction may do.
pub(crate) struct Allowance {
    rows: i64,
    bytes: i64,
    refused: bool,
}

impl Allowance {
    pub(crate) fn new() -> Self {
        Allowance { rows: ROWS_MAX, bytes: BYTES_MAX, refused: false }
    }

    /// Counts a row with a payload of so many bytes; `false` if it has to wait for another transaction.
    pub(crate) fn admit(&mut self, bytes: i64) -> bool {
        let is_first = self.rows == ROWS_MAX;
        if self.rows == 0 || (bytes > self.bytes && !is_first) {
            self.refused = true;
            return false;
        }
        self.rows -= 1;
        self.bytes -= bytes;
        true
    }

    /// How many rows may still be worked off.
    pub(crate) fn rows(&self) -> i64 {
        self.rows
    }

    /// Whether a row had to be left for another transaction.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The rows of a SELECT that are admitted, in its order. Its first column is the number of bytes.
    pub(crate) fn rows_of<T>(
        &mut self,
        store: &Store,
        sql: &'static Sql,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> T,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        store.query_while(sql, parameters, |row| {
            let admitted = self.admit(row.integer(0));
            if admitted {
                rows.push(read(row));
            }
            admitted
        })?;
        Ok(rows)
    }
}

/// What a bounded operation did, for who repeats it until nothing is left to do.
#[cfg(feature = "bundled")]
pub(crate) trait Step: Sized {
    /// What the caller is told.
    type Answer;
    /// Whether a further step may do more for the caller.
    fn goes_on(&self) -> bool;
    /// Adds what the next step did.
    fn then(self, next: Self) -> Self;
    fn answer(self) -> Self::Answer;
}

/// How many rows were worked off.
#[cfg(feature = "bundled")]
impl Step for i64 {
    type Answer = i64;

    fn goes_on(&self) -> bool {
        *self > 0
    }

    fn then(self, next: Self) -> Self {
        self + next
    }

    fn answer(self) -> i64 {
        self
    }
}

/// Deletes the rows that `select` finds, as far as is allowed, with `delete` by key; how many those were. The columns of
/// `select` are the number of bytes and the key. Belongs into [`Store::atomic`].
pub(crate) fn delete(
    store: &Store,
    allowance: &mut Allowance,
    select: &'static Sql,
    parameter: Value<'_>,
    delete: &'static Sql,
) -> Result<i64> {
    let limit = (allowance.rows() + 1).into();
    let mut deleted = 0;
    for key in allowance.rows_of(store, select, &[parameter, limit], |row| row.integer(1))? {
        deleted += store.execute(delete, &[key.into()])?;
    }
    Ok(deleted)
}
