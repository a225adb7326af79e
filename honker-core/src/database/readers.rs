//! The connections that read: opened when they are needed, up to a limit, and kept.
//!
//! The caller's queries may take long; operations and consumers read for microseconds. One connection is therefore never
//! lent to a query: however many of them run, nobody else waits for them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::InterruptHandle;

use super::Options;
use super::connection::Handle;
use super::options::deadline;
use super::signals::{Signals, busy};
use crate::counters::Tally;
use crate::watch::Target;
use crate::{Error, Result};

/// How long a thread that waits for a connection sleeps before it looks whether it has been interrupted.
const SLICE: Duration = Duration::from_millis(50);

pub(super) struct Readers {
    file: Target,
    options: Options,
    signals: Arc<Signals>,
    tally: Arc<Tally>,
    pool: Mutex<Pool>,
    returned: Condvar,
}

/// What a connection is borrowed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A query of the caller's, which may run for any time.
    Query,
    /// An operation of ours.
    Operation,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Handle>,
    lent: Vec<Lent>,
    next_loan: u64,
}

/// A connection in use, as the books have it.
struct Lent {
    number: u64,
    to: Use,
    /// To be interrupted; `None` while it is being opened.
    interrupt: Option<InterruptHandle>,
}

impl Readers {
    pub(super) fn new(file: Target, options: Options, signals: Arc<Signals>, tally: Arc<Tally>) -> Self {
        Readers { file, options, signals, tally, pool: Mutex::default(), returned: Condvar::new() }
    }

    pub(super) fn path(&self) -> &str {
        self.file.path()
    }

    /// How many connections there may be: at least one for queries and the one that is kept from them.
    pub(super) fn max(&self) -> usize {
        self.options.readers_max.max(2)
    }

    /// How many connections there are, and how many of them are in use.
    pub(super) fn counts(&self) -> (usize, usize) {
        let pool = self.lock();
        (pool.idle.len() + pool.lent.len(), pool.lent.len())
    }

    /// Runs `body` on a connection of its own.
    pub(super) fn call<T>(&self, to: Use, body: impl FnOnce(&mut Handle) -> Result<T>) -> Result<T> {
        let interrupts = self.signals.interrupts();
        let mut loan = self.borrow(to, interrupts)?;
        let handle = loan.handle.as_mut().ok_or(Error::Closed)?;
        handle.call(interrupts, body)
    }

    fn borrow(&self, to: Use, interrupts: u64) -> Result<Loan<'_>> {
        let deadline = deadline(self.options.busy_timeout);
        let mut pool = self.lock();
        loop {
            self.signals.check(interrupts)?;
            if self.may_lend(&pool, to) {
                let Some(handle) = pool.idle.pop() else { break };
                let number = pool.lend(to, Some(handle.interrupt_handle()));
                return Ok(Loan { readers: self, number, handle: Some(handle) });
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(busy("all connections for reading stayed in use for too long"));
            }
            let (guard, _) = self.returned.wait_timeout(pool, SLICE).unwrap_or_else(PoisonError::into_inner);
            pool = guard;
        }
        // In the books before it is opened, which may have to wait for others: `close` waits for it.
        let mut loan = Loan { readers: self, number: pool.lend(to, None), handle: None };
        drop(pool);
        let handle = Handle::reader(&self.file, &self.options, &self.signals, &self.tally, interrupts)
            .map_err(|error| self.signals.explain(interrupts, error))?;
        let mut interrupt = Some(handle.interrupt_handle());
        let mut pool = self.lock();
        pool.lent
            .iter_mut()
            .filter(|lent| lent.number == loan.number)
            .for_each(|lent| lent.interrupt = interrupt.take());
        drop(pool);
        loan.handle = Some(handle);
        Ok(loan)
    }

    /// Whether one more connection may be in use.
    fn may_lend(&self, pool: &Pool, to: Use) -> bool {
        let queries = pool.lent.iter().filter(|lent| lent.to == Use::Query).count();
        pool.lent.len() < self.max() && (to == Use::Operation || queries < self.max() - 1)
    }

    /// Ends the statements that run now.
    pub(super) fn interrupt(&self) {
        self.lock().interrupt();
    }

    /// Closes all connections, once the calls that use them have ended. The signals say already that the database is
    /// closed: whoever gets the lock after this borrows nothing.
    pub(super) fn close(&self) -> Result<()> {
        let mut pool = self.lock();
        while !pool.lent.is_empty() {
            // Again and again: an interrupt between two statements of a call hits neither.
            pool.interrupt();
            let (guard, _) = self
                .returned
                .wait_timeout(pool, Duration::from_millis(5))
                .unwrap_or_else(PoisonError::into_inner);
            pool = guard;
        }
        std::mem::take(&mut pool.idle).into_iter().try_for_each(Handle::close)
    }

    /// Forgets all connections: for a forked child.
    pub(super) fn forget(&mut self) {
        let pool = self.pool.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(std::mem::take(&mut pool.idle));
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn interrupt(&self) {
        self.lent.iter().filter_map(|lent| lent.interrupt.as_ref()).for_each(InterruptHandle::interrupt);
    }

    /// Writes a loan into the books; its number.
    fn lend(&mut self, to: Use, interrupt: Option<InterruptHandle>) -> u64 {
        self.next_loan += 1;
        self.lent.push(Lent { number: self.next_loan, to, interrupt });
        self.next_loan
    }
}

/// A connection in use. It goes back when this is dropped, also by a panic.
struct Loan<'a> {
    readers: &'a Readers,
    number: u64,
    handle: Option<Handle>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.lock();
        pool.lent.retain(|lent| lent.number != self.number);
        pool.idle.extend(self.handle.take());
        drop(pool);
        self.readers.returned.notify_all();
    }
}
