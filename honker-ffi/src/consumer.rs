//! What all consumers have in common: used by one thread at a time, and ended by their waiter.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use honker_core::consume::Next;

use crate::entry::{Failure, Result};
use crate::status::{HONKER_MISUSE, HONKER_OK, HONKER_TIMEOUT, HONKER_WOKEN, honker_status_t};
use crate::waiter::{closed_is_an_outcome, honker_waiter_t};

/// A consumer of the core behind a handle. It keeps what its waiter belongs to, and does not keep it from being closed.
pub(crate) struct Consumer<T>(
    Mutex<T>,
    #[allow(dead_code, reason = "held, not looked at")] Arc<honker_waiter_t>,
);

impl<T> Consumer<T> {
    pub(crate) fn new(consumer: T, waiter: Arc<honker_waiter_t>) -> Self {
        Consumer(Mutex::new(consumer), waiter)
    }

    /// Uses it; an error at once if another thread does.
    pub(crate) fn with<R>(&self, body: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let mut consumer = match self.0.try_lock() {
            Ok(consumer) => consumer,
            Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(HONKER_MISUSE, "another thread is using this: one at a time"));
            }
        };
        body(&mut consumer)
    }
}

/// The status of a `next`, and what to do with its item.
pub(crate) fn outcome<T>(
    next: honker_core::Result<Next<T>>,
    item: impl FnOnce(T),
) -> Result<honker_status_t> {
    closed_is_an_outcome(next.map(|next| match next {
        Next::Item(found) => {
            item(found);
            HONKER_OK
        }
        Next::Timeout => HONKER_TIMEOUT,
        Next::Woken => HONKER_WOKEN,
    }))
}
