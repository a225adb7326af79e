//! How much one transaction may do beside what its caller asked for by number.
//!
//! Whoever holds the write lock keeps every other writer waiting, so nothing that grows with the file (expired jobs,
//! lapsed claims, old results) is worked off in one transaction: each stops after [`ROWS_MAX`] rows or [`BYTES_MAX`]
//! bytes of payload, and the next call goes on from there.
//!
//! Where calls share a transaction, they share its [`Budget`], which the store keeps for that time. In a transaction of the
//! caller's each call has one of its own: how many calls those are is the caller's to decide.

use crate::statement::{Row, Sql, Value};
use crate::{Result, Store};

/// So many rows may be moved, released, removed or stepped over in one transaction.
pub(crate) const ROWS_MAX: i64 = 1_000;

/// And so many bytes of payload; a row that is larger by itself is worked off alone.
pub(crate) const BYTES_MAX: i64 = 8_000_000;

/// What may still be worked off in a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    rows: i64,
    bytes: i64,
}

impl Budget {
    /// That of a transaction that has just begun.
    pub(crate) const FULL: Budget = Budget { rows: ROWS_MAX, bytes: BYTES_MAX };

    /// Whether something has been worked off.
    #[cfg(feature = "runtime")]
    pub(crate) fn is_begun(self) -> bool {
        self.rows < ROWS_MAX
    }

    /// Whether what is left is enough for one more call: a sweep that could do nothing would look as if it had found nothing.
    #[cfg(feature = "runtime")]
    pub(crate) fn is_enough(self) -> bool {
        self.rows >= ROWS_MAX / 2 && self.bytes >= BYTES_MAX / 2
    }
}

/// What one call may work off.
pub(crate) struct Allowance<'a> {
    store: &'a Store,
    left: Budget,
    admitted: bool,
    refused: bool,
}

impl<'a> Allowance<'a> {
    /// What is left for a call in the transaction that is open on this connection.
    pub(crate) fn new(store: &'a Store) -> Self {
        Allowance { store, left: store.budget().unwrap_or(Budget::FULL), admitted: false, refused: false }
    }

    /// Counts a row with a payload of so many bytes; `false` if it has to wait for another transaction. The first is always
    /// admitted, or one that is too large would wait for ever.
    pub(crate) fn admit(&mut self, bytes: i64) -> bool {
        if self.admitted && (self.left.rows <= 0 || bytes > self.left.bytes) {
            self.refused = true;
            return false;
        }
        self.admitted = true;
        self.left = Budget { rows: self.left.rows - 1, bytes: self.left.bytes - bytes };
        if self.store.budget().is_some() {
            self.store.set_budget(Some(self.left));
        }
        true
    }

    /// How many rows may still be worked off.
    pub(crate) fn rows(&self) -> i64 {
        self.left.rows.max(0)
    }

    /// Whether a row had to be left for another transaction.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The rows of a SELECT that are admitted, in its order. Its first column is the number of bytes.
    pub(crate) fn rows_of<T>(
        &mut self,
        sql: &'static Sql,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> T,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        let store = self.store;
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
#[cfg(feature = "runtime")]
pub(crate) trait Step: Sized {
    /// What the caller is told.
    type Answer;
    /// Whether each step may take as long as a transaction may, so that not many in a row should be taken.
    const IS_BULK: bool;
    /// Whether a further step may do more for the caller.
    fn goes_on(&self) -> bool;
    /// Adds what the next step did.
    fn then(self, next: Self) -> Self;
    fn answer(self) -> Self::Answer;
}

/// How many rows were worked off.
#[cfg(feature = "runtime")]
impl Step for i64 {
    type Answer = i64;
    const IS_BULK: bool = true;

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
    allowance: &mut Allowance<'_>,
    select: &'static Sql,
    parameter: Value<'_>,
    delete: &'static Sql,
) -> Result<i64> {
    let limit = (allowance.rows() + 1).into();
    let store = allowance.store;
    let mut deleted = 0;
    for key in allowance.rows_of(select, &[parameter, limit], |row| row.integer(1))? {
        deleted += store.execute(delete, &[key.into()])?;
    }
    Ok(deleted)
}
