//! Transactions of the caller's.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use honker_core::database::Transaction;

use crate::db::honker_db_t;
use crate::entry::{Failure, Result, entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{HONKER_MISUSE, HONKER_OK, honker_status_t};

/// An open transaction: the caller's own SQL and honker's operations, committed together or not at all. One thread uses
/// it at a time; it may move between threads.
///
/// It holds the database's only writer: until it is over, other calls of this process that write, and those of other
/// processes, wait for as long as their busy timeout. Should the process die, it never happened.
pub struct honker_tx_t {
    pub(crate) db: Arc<honker_db_t>,
    number: u64,
    /// None once it is over.
    transaction: Mutex<Option<Transaction>>,
}

impl honker_tx_t {
    /// Uses the open transaction. A panic on the way rolls it back.
    pub(crate) fn with<T>(&self, body: impl FnOnce(&mut Transaction) -> Result<T>) -> Result<T> {
        self.with_slot(|slot| {
            let transaction = slot.as_mut().ok_or_else(over)?;
            let body = || {
                let result = body(transaction);
                #[cfg(feature = "faults")]
                honker_core::faults::panic_if_planted();
                result
            };
            match catch_unwind(AssertUnwindSafe(body)) {
                Ok(result) => result,
                Err(panic) => {
                    *slot = None;
                    resume_unwind(panic)
                }
            }
        })
    }

    fn with_slot<T>(&self, body: impl FnOnce(&mut Option<Transaction>) -> Result<T>) -> Result<T> {
        let mut slot = match self.transaction.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    HONKER_MISUSE,
                    "another thread is using this transaction: one at a time",
                ));
            }
        };
        body(&mut slot)
    }

    fn end(&self, end: impl FnOnce(Transaction) -> honker_core::Result<()>) -> Result<()> {
        self.with_slot(|slot| {
            let transaction = slot.take().ok_or_else(over)?;
            #[cfg(feature = "faults")]
            honker_core::faults::panic_if_planted();
            Ok(end(transaction)?)
        })
    }
}

/// How long freeing a transaction waits for a call in it, which it has interrupted.
const FREE_MAX: Duration = Duration::from_millis(100);

impl honker_tx_t {
    /// Ends what another thread does in it, and rolls back.
    fn abandon(&self) {
        let since = Instant::now();
        loop {
            let mut slot = match self.transaction.try_lock() {
                Ok(slot) => slot,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Whoever uses it has it as well, and rolls back if its call does not end in time.
                Err(TryLockError::WouldBlock) if since.elapsed() >= FREE_MAX => return,
                Err(TryLockError::WouldBlock) => {
                    // Again and again: an interrupt between two statements hits neither.
                    if self.db.database.interrupt_transaction(self.number).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
            };
            return drop(slot.take());
        }
    }
}

fn over() -> Failure {
    Failure::new(HONKER_MISUSE, "the transaction is over")
}

/// Begins a transaction that may write (BEGIN IMMEDIATE). Waits, for as long as the busy timeout, for one that another
/// thread or process has open; HONKER_MISUSE at once if it was this thread that used the open one last, which would wait
/// for itself: transactions do not nest. The same holds of every call that writes without a transaction.
///
/// The handle in `tx_out` is to be freed with `honker_tx_free`, whatever becomes of the transaction.
///
/// # Safety
/// `tx_out` and `err` are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_tx_begin(
    db: *mut honker_db_t,
    tx_out: *mut *mut honker_tx_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_tx_begin", err, tx_out, |tx| {
            let db = handle::get(db)?;
            let transaction = db.database.begin()?;
            let number = transaction.number();
            tx.set(handle::put(honker_tx_t { db, number, transaction: Mutex::new(Some(transaction)) }));
            Ok(HONKER_OK)
        })
    }
}

/// Commits. On an error nothing of the transaction has happened. Either way it is over, and further calls with it are
/// HONKER_MISUSE.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_tx_commit(
    tx: *mut honker_tx_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_tx_commit", err, (), |()| {
            handle::get(tx)?.end(Transaction::commit)?;
            Ok(HONKER_OK)
        })
    }
}

/// Rolls back: nothing of the transaction has happened, and it is over.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_tx_rollback(
    tx: *mut honker_tx_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_tx_rollback", err, (), |()| {
            handle::get(tx)?.end(Transaction::rollback)?;
            Ok(HONKER_OK)
        })
    }
}

/// Frees a transaction, rolling it back if it is still open. Any thread may do that, also while another one uses it: what
/// that one runs ends with HONKER_INTERRUPTED, save a commit, which is waited for. This takes 100 ms at most; should the
/// other thread's call take longer, the transaction is over when that has ended. NULL is allowed, and freeing twice does no
/// harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_tx_free(tx: *mut honker_tx_t) {
    entry_without_status("honker_tx_free", || {
        if let Ok(tx) = handle::take(tx) {
            tx.abandon();
        }
    });
}
