//! The one way out of `_honker_live`: every job that is done, dead or cancelled leaves through here, by whatever call, and what
//! belongs to it is seen to in the same transaction.
//!
//! In a file that uses none of the features (`features.rs`), nothing belongs to a job, and leaving is the one statement that
//! deletes or moves its row.

use super::{blocked, done, options, unique};
use crate::batch::Standing;
use crate::counters::Left;
use crate::features::Features;
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store, batch, step};

/// How a job leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Its worker has acked it.
    Done,
    /// It is in `_honker_dead` now, from where it may come back: what belongs to it stays.
    Dead,
    /// It was cancelled or deleted.
    Cancelled,
}

impl Exit {
    fn counted(self) -> Left {
        match self {
            Exit::Done => Left::Done,
            Exit::Dead => Left::Dead,
            Exit::Cancelled => Left::Cancelled,
        }
    }
}

static SQL_QUEUE: Sql = Sql::new("SELECT queue FROM main._honker_live WHERE id = +?1");

static SQL_DEAD_QUEUE: Sql = Sql::new("SELECT queue FROM main._honker_dead WHERE id = +?1");

/// Removes the live job that `delete` deletes; whether there was one.
pub(super) fn leave(
    store: &Store,
    now: i64,
    id: i64,
    exit: Exit,
    delete: &'static Sql,
    parameters: &[Value<'_>],
) -> Result<bool> {
    let keep = || match exit {
        Exit::Done if store.features().queues => done::keep(store, now, id, parameters),
        _ => Ok(false),
    };
    change(store, id, exit.counted(), delete, parameters, keep, |kept| {
        settled(store, now, id, exit, kept)?;
        if kept { Ok(()) } else { forget(store, id) }
    })
}

/// Makes a claimed job pending again by one statement; whether it did.
pub(super) fn give_back(
    store: &Store,
    now: i64,
    id: i64,
    how: Left,
    sql: &'static Sql,
    parameters: &[Value<'_>],
) -> Result<bool> {
    change(store, id, how, sql, parameters, || Ok(false), |_| after_return(store, now, id))
}

/// Changes the row of a job by one statement, and in a file that uses any of the features does what belongs to that; whether
/// the row was changed. What `before` says, which is asked before, is for `then`; an error if it says yes and nothing was changed.
fn change(
    store: &Store,
    id: i64,
    how: Left,
    sql: &'static Sql,
    parameters: &[Value<'_>],
    before: impl FnOnce() -> Result<bool>,
    then: impl FnOnce(bool) -> Result<()>,
) -> Result<bool> {
    let queue = uncounted_queue(store, id)?;
    let write = || Ok(store.execute(sql, parameters)? > 0);
    let read = |changed: bool| {
        if changed {
            tally(store, id, queue.as_deref(), how);
        }
        Ok(changed)
    };
    if let Some(changed) = store.write_unless_used(Features::any, write, read)? {
        return Ok(changed);
    }
    store.atomic(|| {
        let prepared = before()?;
        let changed = store.execute(sql, parameters)? > 0;
        if changed {
            then(prepared)?;
            tally(store, id, queue.as_deref(), how);
        } else if prepared {
            return Err(Error::ignored("removed", "_honker_live"));
        }
        Ok(changed)
    })
}

/// The queue of a job that is about to be counted, if this process does not know it from the claim.
fn uncounted_queue(store: &Store, id: i64) -> Result<Option<String>> {
    match store.tally() {
        Some(tally) if !tally.knows(id) => store.query_one(&SQL_QUEUE, &[id.into()], |row| row.text(0)),
        _ => Ok(None),
    }
}

fn tally(store: &Store, id: i64, queue: Option<&str>, how: Left) {
    if let Some(tally) = store.tally() {
        tally.left(id, queue, how);
    }
}

/// Sees to what belongs to a job whose row has left the live table just now. Belongs into [`Store::atomic`].
pub(super) fn after(store: &Store, now: i64, id: i64, exit: Exit) -> Result<()> {
    if let Some(tally) = store.tally() {
        let queue = match exit {
            Exit::Dead if !tally.knows(id) => {
                store.query_one(&SQL_DEAD_QUEUE, &[id.into()], |row| row.text(0))?
            }
            _ => None,
        };
        tally.left(id, queue.as_deref(), exit.counted());
    }
    if store.features().any() {
        settled(store, now, id, exit, exit == Exit::Dead)?;
        if exit != Exit::Dead {
            forget(store, id)?;
        }
    }
    Ok(())
}

/// As [`after`], but what belongs to the job stays: for good, if it is `kept`.
fn settled(store: &Store, now: i64, id: i64, exit: Exit, kept: bool) -> Result<()> {
    if store.features().unique {
        unique::free(store, now, id)?;
    }
    if store.features().slots {
        blocked::free_slot(store, now, id)?;
    }
    if store.features().blocked && exit != Exit::Done {
        blocked::forget(store, id)?;
    }
    count(store, now, id, exit, kept)
}

/// Counts in what way a member of a batch has left, unless that was done before.
pub(super) fn count(store: &Store, now: i64, id: i64, exit: Exit, kept: bool) -> Result<()> {
    if !store.features().batches {
        return Ok(());
    }
    let standing = match exit {
        Exit::Done => Standing::Done,
        Exit::Dead => Standing::Dead,
        Exit::Cancelled => Standing::Cancelled,
    };
    batch::member_is(store, now, id, standing, kept)
}

/// A job that has left by this exit, for a table from which it has just been removed, is nowhere any more. Belongs into
/// [`Store::atomic`].
pub(super) fn gone(store: &Store, now: i64, id: i64, exit: Exit) -> Result<()> {
    // It may have come there by somebody's SQL.
    count(store, now, id, exit, false)?;
    forget(store, id)
}

/// Sees to what belongs to a job that was claimed and is pending again. Belongs into [`Store::atomic`].
pub(super) fn after_return(store: &Store, now: i64, id: i64) -> Result<()> {
    if store.features().options {
        unique::take_back(store, now, id)?;
    }
    if store.features().slots {
        blocked::free_slot(store, now, id)?;
    }
    Ok(())
}

/// Removes what belonged to a job that is nowhere any more. Belongs into [`Store::atomic`].
pub(super) fn forget(store: &Store, id: i64) -> Result<()> {
    if store.features().options {
        options::forget(store, id)?;
    }
    if store.features().steps {
        step::forget(store, id)?;
    }
    Ok(())
}
