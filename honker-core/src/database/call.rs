//! A call that waits for the writer: what is to be run, and what became of it.
//!
//! It lives on the stack of the thread that made it, which waits until it has an outcome. A [`Request`] is its address, for the
//! thread that runs it, which may be another.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::connection::Handle;
use super::signals::Signals;
use crate::store::SettlementListener;
use crate::{Error, Result, Store};

/// A call that its thread waits for, by the address of what is on that thread's stack.
#[derive(Clone, Copy)]
pub(super) struct Request(pub(super) *mut (dyn Run + 'static));

// SAFETY: the thread that made the request does not touch what it points to until its ticket is done or out of the line
// (`Writer::call`); until then only the leader that took the ticket does.
unsafe impl Send for Request {}
// SAFETY: as above: shared between the line and one leader, used by one thread at a time.
unsafe impl Sync for Request {}

/// A call whose outcome is still open.
pub(super) trait Run {
    /// Runs it, unless it has an outcome.
    fn run(&mut self, handle: &mut Handle);
    /// The transaction that it ran in was undone by something it has nothing to do with. It is open again, unless it has
    /// failed by itself.
    fn reopen(&mut self);
    /// Fails the call, unless it has failed by itself. It will not run any more.
    fn fail(&mut self, error: &Error);
    /// Fails the call if it has been interrupted, or the database closed, since it was made; whether it may still run.
    fn may_run(&mut self, signals: &Signals) -> bool;
    /// The error that it has ended with by itself.
    fn error(&self) -> Option<&Error>;
    /// It has not been run.
    fn is_open(&self) -> bool;
}

pub(super) enum Outcome<T> {
    Open,
    Finished(Result<T>),
    Panicked(Box<dyn Any + Send>),
}

pub(super) struct Call<F, T> {
    /// Run again if its transaction was undone by another call of the batch.
    pub(super) body: F,
    pub(super) interrupts: u64,
    pub(super) outcome: Outcome<T>,
    /// Why it has failed although `outcome` does not say so. Beside it, not in its place: what belongs to the caller is
    /// dropped by the caller.
    pub(super) failure: Option<Error>,
}

impl<F: FnMut(&Store, i64) -> Result<T>, T> Run for Call<F, T> {
    fn run(&mut self, handle: &mut Handle) {
        if !self.is_open() {
            return;
        }
        let body = &mut self.body;
        let mut run = |handle: &mut Handle| {
            handle.call(self.interrupts, |handle| body(handle.store(), handle.store().now()?))
        };
        let settled = handle.hands().told();
        // A panic belongs to the thread that made the call, not to the one that happens to run it.
        self.outcome = match catch_unwind(AssertUnwindSafe(|| run(handle))) {
            Ok(result) => Outcome::Finished(result),
            Err(panic) => Outcome::Panicked(panic),
        };
        if !matches!(self.outcome, Outcome::Finished(Ok(_))) {
            handle.hands().forget(settled);
        }
    }

    fn reopen(&mut self) {
        // An operation that answers "aborted" has met a roll-back of all that it could not go on after.
        let by_itself = !matches!(self.outcome, Outcome::Finished(Ok(_) | Err(Error::Aborted(_))));
        if !by_itself && self.failure.is_none() {
            self.outcome = Outcome::Open;
        }
    }

    fn may_run(&mut self, signals: &Signals) -> bool {
        match signals.check(self.interrupts) {
            Ok(()) => true,
            Err(reason) => {
                self.fail(&reason);
                false
            }
        }
    }

    fn error(&self) -> Option<&Error> {
        match &self.outcome {
            Outcome::Finished(Err(error)) => Some(error),
            _ => None,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.outcome, Outcome::Open) && self.failure.is_none()
    }

    fn fail(&mut self, error: &Error) {
        if matches!(self.outcome, Outcome::Open | Outcome::Finished(Ok(_))) {
            self.failure.get_or_insert_with(|| error.clone());
        }
    }
}
