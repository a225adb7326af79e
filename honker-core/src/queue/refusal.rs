//! What the file refuses: a change of one row that a trigger of the user's or a constraint does not allow.
//!
//! Such a row must not stop the work on the others. An operation on many rows tries all of them at once, at no cost;
//! only if something was refused it is undone and repeated row by row, each in a savepoint, and passes over the rows that
//! are refused ([`past_refusals`]). The savepoints cost time under the write lock, so the number of refusals in one call
//! is bounded: what is left over is passed over without being tried.

use std::collections::HashSet;

use crate::unit::Unit;
use crate::{Error, Result, Store};

/// So many rows that are refused are tried in each stage of one call.
pub(super) const REFUSED_MAX: usize = 100;

/// And so many if each refusal rolls the transaction back (`RAISE(ROLLBACK)`), so that all has to be repeated.
const ROLLED_BACK_MAX: usize = 16;

/// Whether an error is about one change, and not about the transaction or the file: another change may be possible.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Constraint(_) | Error::Moved(_) | Error::Sql(_) | Error::TooBig(_) | Error::Invalid(_)
    )
}

/// As [`is_refusal`], and about one row: an invalid argument, such as a time that is out of range, is about the call.
pub(crate) fn is_refusal_of_row(error: &Error) -> bool {
    is_refusal(error) && !matches!(error, Error::Invalid(_))
}

/// An error if a change has left a deferred foreign key behind that would make COMMIT fail. `keys` says that there was none
/// before: keys that the caller's transaction has broken already say nothing of a change.
pub(crate) fn check_keys(store: &Store, keys: bool) -> Result<()> {
    if keys && store.violates_deferred_keys() {
        return Err(Error::Constraint(
            "FOREIGN KEY constraint failed: a deferred one would have failed the commit".into(),
        ));
    }
    Ok(())
}

/// What becomes of rows that are refused.
pub(super) struct Care<'a> {
    store: &'a Store,
    /// No deferred key was broken before.
    keys: bool,
    careful: bool,
    /// The rows that are passed over.
    refused: HashSet<i64>,
    /// The first refusal.
    error: Option<Error>,
    /// How many rows were changed one by one.
    changed: usize,
    /// How many refusals may follow.
    left: usize,
    /// The last refusal has ended the transaction.
    rolled_back: bool,
    /// An error is not about a row any more.
    is_final: bool,
}

/// Runs `body`, in which each change of a row that may be refused goes through [`Care::row`]. Belongs outside of
/// [`Store::atomic`], as `body` is repeated if something was refused.
pub(super) fn past_refusals<T>(store: &Store, mut body: impl FnMut(&mut Care<'_>) -> Result<T>) -> Result<T> {
    let is_alone = !store.in_transaction();
    let budget = store.budget();
    let mut care = Care {
        store,
        keys: !store.violates_deferred_keys(),
        careful: false,
        refused: HashSet::new(),
        error: None,
        changed: 0,
        left: REFUSED_MAX,
        rolled_back: false,
        is_final: false,
    };
    loop {
        let error = match body(&mut care) {
            Err(error) if is_refusal(&error) && !care.is_final => error,
            done => return done,
        };
        // The caller's transaction is gone, or this was the second time.
        let is_over = !is_alone && !store.in_transaction() || care.careful && !care.rolled_back;
        if is_over || !care.careful && !can_undo(store)? {
            return Err(error);
        }
        care.careful = true;
        care.rolled_back = false;
        care.changed = 0;
        // What was counted is undone.
        store.set_budget(budget);
    }
}

/// Not within a statement that writes (see [`Store::atomic`]): there what was done before the error is still to be undone.
fn can_undo(store: &Store) -> Result<bool> {
    Ok(Unit::begin(store)?.is_some())
}

impl Care<'_> {
    /// Changes the row of this id; `None` if that is refused.
    pub(super) fn row<T>(&mut self, id: i64, change: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        if !self.careful {
            return change().map(Some);
        }
        if self.refused.contains(&id) {
            return Ok(None);
        }
        if self.left == 0 {
            self.refused.insert(id);
            return Ok(None);
        }
        let Some(unit) = Unit::begin(self.store)? else { return change().map(Some) };
        let in_unit = || {
            let value = change()?;
            check_keys(self.store, self.keys)?;
            unit.commit().map(|()| value)
        };
        match in_unit() {
            Ok(value) => {
                self.changed += 1;
                Ok(Some(value))
            }
            Err(error) if is_refusal(&error) => {
                self.pass_over(id);
                self.error.get_or_insert_with(|| error.clone());
                if self.store.in_transaction() {
                    return Ok(None);
                }
                self.rolled_back = true;
                self.left = self.left.min(ROLLED_BACK_MAX);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The row of this id has turned out to be one that cannot be changed.
    pub(super) fn pass_over(&mut self, id: i64) {
        if self.refused.insert(id) {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// Another kind of change begins, with refusals of its own.
    pub(super) fn next_stage(&mut self) {
        self.left = REFUSED_MAX;
    }

    /// An error if all of it would make COMMIT fail. Row by row nothing can.
    pub(super) fn check(&self) -> Result<()> {
        check_keys(self.store, self.keys)
    }

    /// Whether the rows are changed one by one.
    pub(super) fn is_careful(&self) -> bool {
        self.careful
    }

    /// Whether refusing a row would lead to a repetition, row by row.
    pub(super) fn may_become_careful(&self) -> Result<bool> {
        Ok(!self.careful && can_undo(self.store)?)
    }

    /// Whether further refusals are tried.
    pub(super) fn goes_on(&self) -> bool {
        self.left > 0
    }

    /// Whether a row was changed.
    pub(super) fn has_changed_any(&self) -> bool {
        self.changed > 0
    }

    /// The rows that are passed over.
    pub(super) fn refused(&self) -> &HashSet<i64> {
        &self.refused
    }

    /// Why the first of them is.
    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// All rows are done with: what fails from here on fails for another reason.
    pub(super) fn finish(&mut self) {
        self.is_final = true;
    }
}
