//! A unit of work: a savepoint of ours, which is the transaction if no other is open.
//!
//! Invariants: a unit is kept whole or undone whole, also when somebody interrupts its roll-back again and again; in the
//! caller's transaction nothing from before it is undone. What listeners were told of settlements in it is undone with it.
//!
//! Threads: as for its [`Store`].

use rusqlite::ffi;

use crate::counters::Tally;
use crate::statement::Sql;
use crate::store::SettlementListener;
use crate::{Result, Store};

static SQL_SAVEPOINT: Sql = Sql::new("SAVEPOINT _honker");
static SQL_RELEASE: Sql = Sql::new("RELEASE _honker");
static SQL_ROLLBACK_TO: Sql = Sql::new("ROLLBACK TO _honker");
static SQL_ROLLBACK: Sql = Sql::new("ROLLBACK");

/// Somebody may interrupt again and again, but does not hit every time.
const UNDO_TRIES_MAX: u32 = 100;

/// An open savepoint. Dropped before [`Unit::commit`] has succeeded, it undoes the unit.
pub(crate) struct Unit<'a> {
    store: &'a Store,
    /// The savepoint is the transaction: it was opened outside of any other.
    outermost: bool,
    /// How many settlements had been told when it began.
    told: usize,
    /// How much had been counted when it began.
    said: usize,
    /// How many rows had been changed when it began.
    changes: u32,
}

impl<'a> Unit<'a> {
    /// `None` where SQLite allows no savepoint.
    pub(crate) fn begin(store: &'a Store) -> Result<Option<Self>> {
        let told = store.listener().map_or(0, SettlementListener::told);
        let said = store.tally().map_or(0, Tally::said);
        let unit =
            Unit { store, outermost: !store.in_transaction(), told, said, changes: store.total_changes() };
        match store.execute(&SQL_SAVEPOINT, &[]) {
            Ok(_) => Ok(Some(unit)),
            // SAVEPOINT takes no lock, so BUSY from it can only mean "SQL statements in progress".
            Err(error) if error.sqlite_code().is_some_and(|code| code & 0xff == ffi::SQLITE_BUSY) => {
                std::mem::forget(unit);
                Ok(None)
            }
            Err(error) => {
                // A progress handler is asked once more when the savepoint is open already: `unit` is dropped here, and
                // undoes it. In the caller's transaction that must not go as far as to roll it all back.
                if !unit.outermost {
                    let _ = unit.undo();
                    std::mem::forget(unit);
                }
                Err(error)
            }
        }
    }

    /// Whether it is the transaction.
    pub(crate) fn is_outermost(&self) -> bool {
        self.outermost
    }

    /// Keeps what was done: commits it, if the savepoint is the transaction.
    pub(crate) fn commit(self) -> Result<()> {
        let tally = self.store.tally().filter(|_| self.outermost);
        if let Some(tally) = tally
            && self.store.total_changes() != self.changes
        {
            tally.add(self.store, false);
        }
        self.store.execute(&SQL_RELEASE, &[])?;
        if let Some(tally) = tally {
            tally.committed();
        }
        std::mem::forget(self);
        Ok(())
    }

    fn undo(&self) -> Result<()> {
        // Errors such as FULL or IOERR make SQLite roll back by itself.
        if !self.store.in_transaction() {
            return Ok(());
        }
        if self.outermost {
            // Not ROLLBACK TO and RELEASE: releasing would commit, which can fail for the very reason we are here for.
            self.store.execute(&SQL_ROLLBACK, &[])?;
        } else {
            self.store.execute(&SQL_ROLLBACK_TO, &[])?;
            self.store.execute(&SQL_RELEASE, &[])?;
        }
        Ok(())
    }
}

impl Drop for Unit<'_> {
    fn drop(&mut self) {
        if let Some(listener) = self.store.listener() {
            listener.forget(self.told);
        }
        if let Some(tally) = self.store.tally() {
            if self.outermost { tally.undone() } else { tally.forget(self.said) }
        }
        // The error that brought us here is on its way to the caller; one from the roll-back would only hide it.
        for _ in 0..UNDO_TRIES_MAX {
            if self.undo().is_ok() {
                self.store.undo_changes(self.changes);
                break;
            }
            // The host has interrupted the connection, and that stops our roll-back as well. But SQLite rolls the whole
            // transaction back when it interrupts a writing statement, so one is offered to it. If that one is not
            // interrupted, the roll-back will not be either: left half undone, the unit would be committed with
            // whatever comes next.
            let _ = self.store.lock();
        }
    }
}
