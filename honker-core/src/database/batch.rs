//! Calls that are run together: in one transaction if they are several, as far as one transaction may go.
//!
//! Used by the thread that has the connection.

use std::time::{Duration, Instant};

use super::call::Run;
use super::connection::Handle;
use super::signals::Signals;
use crate::Error;
use crate::bound::Budget;
use crate::counters::Tally;
use crate::store::SettlementListener;

/// How long calls go on joining a transaction in which bounded work is done: what is begun in time ends some milliseconds
/// later.
const SHARED_MAX: Duration = Duration::from_millis(10);

/// The error of a call whose transaction was undone by something it has nothing to do with.
pub(super) fn lost(message: &str) -> Error {
    Error::Aborted(message.into())
}

/// How often calls are run together whose transaction another one of them has undone. They have all succeeded before, so
/// the second time is the last, but for an interrupt or a trigger that changes its mind.
const ROUNDS_MAX: u32 = 3;

/// Runs the calls, in one transaction if they are several. Those that would be too much for one stay open.
pub(super) fn run_batch(handle: &mut Handle, batch: &mut [&mut dyn Run], signals: &Signals) {
    match batch {
        [] => {}
        [only] => run_alone(handle, *only),
        _ => run_rounds(handle, batch, signals, ROUNDS_MAX - 1),
    }
}

/// Every operation is atomic by itself, outside of a transaction. (One can be left only by a failed roll-back.)
fn run_alone(handle: &mut Handle, call: &mut dyn Run) {
    handle.store().set_budget(Some(Budget::FULL));
    match handle.roll_back() {
        Ok(()) => call.run(handle),
        Err(error) => call.fail(&error),
    }
}

/// Runs the calls in one transaction. If one of them makes SQLite roll it back, those before it are run once more without
/// it; those behind it stay open.
fn run_rounds(handle: &mut Handle, batch: &mut [&mut dyn Run], signals: &Signals, rounds_left: u32) {
    let Some(culprit) = run_shared(handle, batch, signals) else { return };
    let (before, behind) = batch.split_at_mut(culprit);
    for call in before.iter_mut() {
        if !call.may_run(signals) {
            continue;
        }
        if rounds_left > 0 {
            call.reopen();
        } else {
            call.fail(&lost(
                "not done: calls that shared its transaction made SQLite roll it back each time",
            ));
        }
    }
    if before.iter().any(|call| call.is_open()) {
        run_rounds(handle, before, signals, rounds_left - 1);
    }
    // What it has to undo in parts it can, in a transaction of its own.
    if let Some(culprit) = behind.first_mut()
        && matches!(culprit.error(), Some(Error::Aborted(_)))
    {
        culprit.reopen();
        run_alone(handle, *culprit);
    }
}

/// Runs the calls in one transaction, as far as one goes. The index of the one that made SQLite roll it back, if one did:
/// what those before it did is undone.
fn run_shared(handle: &mut Handle, batch: &mut [&mut dyn Run], signals: &Signals) -> Option<usize> {
    let interrupts = signals.interrupts();
    let marks = handle.begin(interrupts).and_then(|()| handle.call(interrupts, Handle::has_deferred_keys));
    let marks = match marks {
        Ok(has_deferred_keys) => has_deferred_keys,
        Err(error) => {
            abandon(handle, batch, &error);
            return None;
        }
    };
    handle.store().set_budget(Some(Budget::FULL));
    let since = Instant::now();
    let mut run = 0;
    for (index, call) in batch.iter_mut().enumerate().filter(|(_, call)| call.is_open()) {
        run = index + 1;
        if marks {
            run_marked(handle, *call, interrupts);
        } else {
            call.run(handle);
        }
        if !handle.in_transaction() {
            handle.hands().forget(0);
            // What was counted is undone as well.
            let _ = handle.roll_back();
            return Some(index);
        }
        let is_over = |left: Budget| !left.is_enough() || (left.is_begun() && since.elapsed() >= SHARED_MAX);
        if handle.store().budget().is_some_and(is_over) {
            break;
        }
    }
    if let Err(error) = handle.commit() {
        abandon(handle, &mut batch[..run], &error);
    }
    None
}

/// Runs a call, and undoes it alone if it would make COMMIT fail.
fn run_marked(handle: &mut Handle, call: &mut dyn Run, interrupts: u64) {
    if let Err(error) = handle.call(interrupts, |handle| handle.mark()) {
        return call.fail(&error);
    }
    let settled = handle.hands().told();
    let said = handle.store().tally().map_or(0, Tally::said);
    call.run(handle);
    if handle.in_transaction()
        && let Err(error) = handle.keep_marked()
    {
        call.fail(&error);
        handle.hands().forget(settled);
        if let Some(tally) = handle.store().tally() {
            tally.forget(said);
        }
        if !matches!(error, Error::Constraint(_)) {
            // It could not be undone alone. Should this fail too, COMMIT does.
            let _ = handle.roll_back();
        }
    }
}

/// Rolls back and fails every call that has not failed by itself.
fn abandon(handle: &mut Handle, batch: &mut [&mut dyn Run], error: &Error) {
    // Should this fail too, the connection is in a state in which the next BEGIN fails.
    let _ = handle.roll_back();
    handle.hands().forget(0);
    batch.iter_mut().for_each(|call| call.fail(error));
}
