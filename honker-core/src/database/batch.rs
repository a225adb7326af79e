//! Calls that are run together: in one transaction if they are several, as far as one transaction may go.
//!
//! Used by the thread that has the connection.

use std::time::{Duration, Instant};

use super::call::Run;
use super::connection::Handle;
use super::signals::Signals;
use crate::Error;
use crate::bound::Budget;
use crate::store::SettlementListener;

/// How long calls go on joining a transaction in which bounded work is done: what is begun in time ends some milliseconds
/// later.
const SHARED_MAX: Duration = Duration::from_millis(10);

/// The error of a call whose transaction was undone by something it has nothing to do with.
pub(super) fn lost(message: &str) -> Error {
    Error::Aborted(message.into())
}

/// Runs the calls, in one transaction if they are several. Those that would be too much for one stay open.
pub(super) fn run_batch(handle: &mut Handle, batch: &mut [&mut dyn Run], signals: &Signals) {
    if batch.is_empty() {
        return;
    }
    if let [only] = batch {
        handle.store().set_budget(Some(Budget::FULL));
        // Every operation is atomic by itself, outside of a transaction. (One can be left only by a failed roll-back.)
        return match handle.roll_back() {
            Ok(()) => only.run(handle),
            Err(error) => only.fail(&error),
        };
    }
    let interrupts = signals.interrupts();
    if let Err(error) = handle.begin(interrupts) {
        return abandon(handle, batch, &error);
    }
    let marks = match handle.call(interrupts, Handle::has_deferred_keys) {
        Ok(has_deferred_keys) => has_deferred_keys,
        Err(error) => return abandon(handle, batch, &error),
    };
    handle.store().set_budget(Some(Budget::FULL));
    let since = Instant::now();
    let mut run = 0;
    for index in 0..batch.len() {
        run = index + 1;
        if marks {
            run_marked(handle, batch[index], interrupts);
        } else {
            batch[index].run(handle);
        }
        if !handle.in_transaction() {
            // SQLite has rolled everything back; what came before this call is gone with it.
            let lost = match batch[index].error() {
                // Meant for all of them, also for one that was made while somebody was interrupting.
                Some(error @ Error::Interrupted(_)) => error.clone(),
                _ => lost("not done: a call that shared this one's transaction made SQLite roll it back"),
            };
            handle.hands().forget(0);
            for call in &mut batch[..run] {
                if call.may_run(signals) {
                    call.fail(&lost);
                }
            }
            return;
        }
        let is_over = |left: Budget| !left.is_enough() || (left.is_begun() && since.elapsed() >= SHARED_MAX);
        if handle.store().budget().is_some_and(is_over) {
            break;
        }
    }
    if let Err(error) = handle.commit() {
        abandon(handle, &mut batch[..run], &error);
    }
}

/// Runs a call, and undoes it alone if it would make COMMIT fail.
fn run_marked(handle: &mut Handle, call: &mut dyn Run, interrupts: u64) {
    if let Err(error) = handle.call(interrupts, |handle| handle.mark()) {
        return call.fail(&error);
    }
    let settled = handle.hands().told();
    call.run(handle);
    if handle.in_transaction()
        && let Err(error) = handle.keep_marked()
    {
        call.fail(&error);
        handle.hands().forget(settled);
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
