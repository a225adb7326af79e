//! Who writes: group commit, and the line for the writer.
//!
//! A file has one writer at a time, so threads stand in line for the one connection that writes. A thread that gets to
//! the front with a call runs, in one transaction, its own call and those waiting behind it, tells their threads, and
//! hands the connection to the next in line ([`Writer::call`]). A commit then costs many calls once, which is what makes
//! `synchronous = FULL` bearable; and as nobody serves longer than one batch, nobody waits for a thread that happens to
//! be popular. A thread that finds nobody in line pays for none of this.
//!
//! What a transaction may do is bounded, however many calls share it: once they have worked off half of what one call
//! may (`bound.rs`), or have worked anything off for 10 ms (`batch.rs`), it is committed, and those that are left go back to
//! the head of the line.
//!
//! A user's transaction takes the connection for as long as it is open ([`Writer::begin`]).
//!
//! Invariants:
//! - The line is first come, first served. Whoever leaves it, because of a timeout, an interrupt or a close, leaves it
//!   before anybody has begun to run its call; from then on it waits for the outcome, however long that takes.
//! - A call is atomic by itself (every operation is), so one that fails leaves the others of its batch alone. Where the
//!   schema has deferred foreign keys, each call of a batch has a savepoint, and one that would make COMMIT fail is undone
//!   alone. If a call makes SQLite roll back (a trigger's RAISE(ROLLBACK), a full disk), those before it are run again
//!   without it. A batch whose COMMIT fails fails as a whole: no call of it is reported as done.
//! - `owner` says who may use the connection; the lock around it is only ever contended by `close`.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::InterruptHandle;

use super::batch::{lost, run_batch};
use super::bulk::{BulkTurn, BulkTurns};
use super::call::{Call, Outcome, Request, Run};
use super::connection::Handle;
use super::last_write::{CLOSE_MAX, DROP_MAX, Write};
use super::line::{Line, Owner, SLICE, Ticket, Turn, Wants, tell};
use super::options::{Nesting, Options, deadline};
use super::signals::{Signals, busy};
use super::watching::Watching;
use crate::store::SettlementListener;
use crate::{Error, Result, Store};

/// A batch is bounded so that its first caller does not wait for the last for too long.
const BATCH_MAX: usize = 256;

/// How long a thread may run calls of others after its own. Waking the next leader takes a while in which nothing would
/// be written; never handing over would keep this one's caller waiting for ever.
const LEAD_MAX: Duration = Duration::from_millis(1);

pub(super) struct Writer {
    handle: Mutex<Option<Handle>>,
    line: Mutex<Line>,
    bulk: BulkTurns,
    signals: Arc<Signals>,
    watching: Arc<Watching>,
    busy_timeout: Duration,
    nesting: Nesting,
}

impl Writer {
    pub(super) fn new(
        handle: Handle,
        signals: Arc<Signals>,
        watching: Arc<Watching>,
        options: &Options,
    ) -> Self {
        Writer {
            handle: Mutex::new(Some(handle)),
            line: Mutex::default(),
            bulk: BulkTurns::default(),
            signals,
            watching,
            busy_timeout: options.busy_timeout,
            nesting: options.nesting,
        }
    }

    /// Runs `body` in a transaction, which it may share with the calls of other threads; its result, once that is
    /// committed. If another one's call makes SQLite roll that back, `body` is run again.
    pub(super) fn call<T: Send>(&self, body: impl FnMut(&Store, i64) -> Result<T> + Send) -> Result<T> {
        let interrupts = self.signals.interrupts();
        let mut call = Call { body, interrupts, outcome: Outcome::Open, failure: None };
        let run: *mut (dyn Run + '_) = &raw mut call;
        // SAFETY: only the lifetime changes. When `stand_in_line` returns, nobody else has the request any more.
        let request =
            Request(unsafe { std::mem::transmute::<*mut (dyn Run + '_), *mut (dyn Run + 'static)>(run) });
        if self.stand_in_line(Wants::Call(request), interrupts, self.busy_timeout)? == Turn::Granted {
            self.lead(request);
        }
        if let Some(failure) = call.failure {
            return Err(failure);
        }
        match call.outcome {
            Outcome::Finished(result) => result,
            Outcome::Panicked(panic) => resume_unwind(panic),
            Outcome::Open => Err(Error::Closed),
        }
    }

    /// Waits until no other call of this process does bulk work. To be kept for a step of it, and the pause after that.
    pub(super) fn bulk_turn(&self) -> Result<BulkTurn<'_>> {
        // Who has the turn may wait for this thread's own transaction.
        self.check_nesting(lock(&self.line).owner)?;
        self.bulk.take(&self.signals, self.signals.interrupts(), self.busy_timeout)
    }

    /// Takes the connection and begins a transaction; its number. To be ended with [`Writer::end`].
    pub(super) fn begin(&self) -> Result<u64> {
        let interrupts = self.signals.interrupts();
        self.stand_in_line(Wants::Transaction, interrupts, self.busy_timeout)?;
        let release = Release(self);
        self.with_handle(|handle| handle.begin(interrupts))?;
        std::mem::forget(release);
        let mut line = lock(&self.line);
        line.transactions += 1;
        line.open = Some(line.transactions);
        Ok(line.transactions)
    }

    /// Interrupts what runs in this transaction now. Nothing if it is over or being ended: the connection may be somebody
    /// else's.
    pub(super) fn interrupt_transaction(&self, number: u64, running: &InterruptHandle) {
        // With the lock held, so that the connection stays the transaction's.
        let line = lock(&self.line);
        if line.open == Some(number) {
            running.interrupt();
        }
    }

    /// Uses the connection that [`Writer::begin`] took.
    pub(super) fn in_transaction<T>(&self, body: impl FnOnce(&mut Handle) -> Result<T>) -> Result<T> {
        // A transaction may move between threads; the one that used it last is the one that must not wait for it.
        lock(&self.line).owner = Owner::Transaction(thread::current().id());
        let interrupts = self.signals.interrupts();
        self.with_handle(|handle| {
            if !handle.in_transaction() {
                return Err(Error::Misuse(
                    "the transaction is over: SQLite or a statement has ended it".to_owned(),
                ));
            }
            let settled = handle.hands().told();
            let done = handle.call(interrupts, body);
            if done.is_err() {
                handle.hands().forget(settled);
            }
            done
        })
    }

    /// Ends the transaction that [`Writer::begin`] began, and gives the connection to the next in line.
    pub(super) fn end(&self, commit: bool) -> Result<()> {
        let release = Release(self);
        lock(&self.line).open = None;
        let committed = if commit {
            self.in_transaction(|handle| handle.check_hands().and_then(|()| handle.commit()))
        } else {
            Ok(false)
        };
        // Whatever is left of it now is not wanted: by the caller, or because it could not be committed.
        let undone = self.with_handle(|handle| {
            match committed {
                Ok(_) if commit => handle.hands().commit(),
                _ => handle.hands().forget(0),
            }
            handle.roll_back()?;
            handle.tidy();
            Ok(())
        });
        if matches!(committed, Ok(true)) {
            has_committed();
        }
        drop(release);
        if matches!(committed, Ok(true)) {
            self.watching.announce();
        }
        match undone {
            // A closed database has rolled back already.
            Err(Error::Closed) | Ok(()) => committed.map(drop),
            Err(error) => committed.and(Err(error)),
        }
    }

    /// Writes for a consumer that ends. Waits no longer than `at_most`: not as a call, which might be taken into a batch
    /// that waits for longer.
    pub(super) fn write_last(&self, writes: &[Write], at_most: Duration) -> Result<()> {
        let timeout = at_most.min(self.busy_timeout);
        if let Err(reason) = self.stand_in_line(Wants::Transaction, self.signals.interrupts(), timeout) {
            return self.leave_last(writes, reason);
        }
        let release = Release(self);
        let changed = self.with_handle(|handle| handle.write_last(writes, timeout))?;
        if changed {
            has_committed();
        }
        drop(release);
        if changed {
            self.watching.announce();
        }
        Ok(())
    }

    /// Leaves the writes to who has the connection, which may be this thread's own transaction.
    fn leave_last(&self, writes: &[Write], reason: Error) -> Result<()> {
        let mut line = lock(&self.line);
        if matches!(reason, Error::Closed) || line.owner == Owner::Nobody {
            return Err(reason);
        }
        line.last_writes.extend_from_slice(writes);
        Ok(())
    }

    /// Closes the connection; calls and transactions from now on, and those in line, answer [`Error::Closed`]. When all
    /// that run have ended, and what is open is undone, `last_writes` are written.
    pub(super) fn close(
        &self,
        running: &InterruptHandle,
        last_writes: impl FnOnce() -> Vec<Write>,
    ) -> Result<()> {
        let handle = loop {
            match self.handle.try_lock() {
                Ok(mut handle) => break handle.take(),
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner().take(),
                // Again and again: an interrupt between two statements hits neither.
                Err(TryLockError::WouldBlock) => running.interrupt(),
            }
            thread::sleep(Duration::from_millis(1));
        };
        let Some(mut handle) = handle else { return Ok(()) };
        let mut last_writes = last_writes();
        last_writes.append(&mut lock(&self.line).last_writes);
        if !last_writes.is_empty() || handle.has_counts() {
            // Without them the consumers end as in a crash.
            let _ = handle.write_last(&last_writes, CLOSE_MAX.min(self.busy_timeout));
        }
        handle.close()
    }

    /// Forgets the connection: for a forked child.
    pub(super) fn forget(&mut self) {
        let handle = self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(handle.take());
    }

    /// Waits until the connection is ours (`Granted`) or our call has been run by somebody else (`Done`).
    fn stand_in_line(&self, wants: Wants, interrupts: u64, timeout: Duration) -> Result<Turn> {
        self.signals.check(interrupts)?;
        let this_thread = thread::current().id();
        let waiter = {
            let mut line = lock(&self.line);
            if line.owner == Owner::Nobody {
                line.owner = wants.owner(this_thread);
                return Ok(Turn::Granted);
            }
            self.check_nesting(line.owner)?;
            let waiter = line.waiter(&wants);
            line.waiting.push_back(Ticket { wants, thread: this_thread, waiter: waiter.clone() });
            waiter
        };

        let deadline = deadline(timeout);
        let left = || deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
        loop {
            let turn = waiter.wait(SLICE.min(left()));
            match turn {
                Turn::Granted | Turn::Done => return Ok(turn),
                Turn::Taken => {}
                Turn::Waiting => {
                    let reason = match self.signals.check(interrupts) {
                        Err(reason) => reason,
                        Ok(()) if left().is_zero() => {
                            busy("other calls of this process kept the writer for too long")
                        }
                        Ok(()) => continue,
                    };
                    let mut line = lock(&self.line);
                    let before = line.waiting.len();
                    line.waiting.retain(|ticket| !ticket.waiter.is(&waiter));
                    // Whoever is not in the line any more is about to be served.
                    if line.waiting.len() < before {
                        return Err(reason);
                    }
                }
            }
        }
    }

    /// An error if this thread would wait for itself.
    fn check_nesting(&self, owner: Owner) -> Result<()> {
        let this_thread = thread::current().id();
        match owner {
            Owner::Transaction(thread) if thread == this_thread && self.nesting == Nesting::Fail => {
                Err(Error::Misuse(
                    "this thread has a transaction open: make the call in it, or end it first (transactions do not nest)"
                        .to_owned(),
                ))
            }
            Owner::Leader(thread) if thread == this_thread => {
                Err(Error::Misuse("a call that writes cannot make another from within".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Runs `first` and the calls in line behind it as one batch, then for a short while those that come meanwhile, and
    /// hands the connection on.
    fn lead(&self, first: Request) {
        let since = Instant::now();
        let mut lead = Lead { writer: self, others: self.take_calls(BATCH_MAX - 1), committed: false };
        lead.run(Some(first));
        while since.elapsed() < LEAD_MAX {
            tell(&lead.others, Turn::Done);
            lead.others = self.take_calls(BATCH_MAX);
            if lead.others.is_empty() {
                break;
            }
            lead.run(None);
        }
    }

    /// A panic has ended a batch: what is not committed is undone, and its callers are told so.
    fn recover(&self, others: &[Ticket]) {
        let undone = self.with_handle(|handle| {
            let open = handle.in_transaction();
            handle.roll_back().map(|()| open)
        });
        let lost = lost("not done: the thread that ran this call together with its own has panicked");
        for call in requests(others) {
            // SAFETY: their threads wait until their tickets are done.
            let call = unsafe { &mut *call.0 };
            if call.is_open() || !matches!(undone, Ok(false)) {
                call.fail(&lost);
            }
        }
    }

    /// Puts calls that were taken out of the line, and have not been run, back to its head.
    fn put_back(&self, calls: Vec<Ticket>) {
        let mut line = lock(&self.line);
        for ticket in calls.into_iter().rev() {
            ticket.waiter.set(Turn::Waiting);
            line.waiting.push_front(ticket);
        }
    }

    /// Takes the calls at the head of the line out of it.
    fn take_calls(&self, at_most: usize) -> Vec<Ticket> {
        let mut line = lock(&self.line);
        let calls = line.waiting.iter().take_while(|ticket| matches!(ticket.wants, Wants::Call(_))).count();
        let taken: Vec<_> = line.waiting.drain(..calls.min(at_most)).collect();
        // Their threads need not know: they sleep on.
        taken.iter().for_each(|ticket| ticket.waiter.set(Turn::Taken));
        taken
    }

    /// Runs calls as one batch, as far as one transaction goes; whether something was committed.
    fn run(&self, own: Option<Request>, others: &[Ticket]) -> bool {
        // SAFETY: our own is on this thread's stack, and the others' threads wait until their tickets are done.
        let batch = own.into_iter().chain(requests(others)).map(|request| unsafe { &mut *request.0 });
        // Those that have ended meanwhile must not have to wait for a lock once more.
        let mut batch: Vec<&mut dyn Run> =
            batch.filter_map(|call| call.may_run(&self.signals).then_some(call)).collect();
        let run = self.with_handle(|handle| {
            let before = handle.changes();
            run_batch(handle, &mut batch, &self.signals);
            handle.hands().commit();
            Ok(handle.changes() != before)
        });
        match run {
            Ok(committed) => committed,
            Err(error) => {
                batch.iter_mut().for_each(|call| call.fail(&error));
                false
            }
        }
    }

    /// Gives the connection to the next in line, once what consumers have left to its owner is written.
    fn release(&self) {
        let mut line = lock(&self.line);
        while !line.last_writes.is_empty() {
            let writes = std::mem::take(&mut line.last_writes);
            drop(line);
            // If it fails the consumers have ended as in a crash.
            let changed = self.with_handle(|handle| handle.write_last(&writes, DROP_MAX));
            if matches!(changed, Ok(true)) {
                has_committed();
                self.watching.announce();
            }
            line = lock(&self.line);
        }
        match line.waiting.pop_front() {
            Some(ticket) => {
                line.owner = ticket.wants.owner(ticket.thread);
                tell(&[ticket], Turn::Granted);
            }
            None => line.owner = Owner::Nobody,
        }
    }

    /// How many wait in the line.
    #[cfg(test)]
    pub(super) fn in_line(&self) -> usize {
        lock(&self.line).waiting.len()
    }

    pub(super) fn with_handle<T>(&self, body: impl FnOnce(&mut Handle) -> Result<T>) -> Result<T> {
        lock(&self.handle).as_mut().ok_or(Error::Closed).and_then(body)
    }
}

/// Gives the connection to the next in line when it is dropped, also by a panic.
struct Release<'a>(&'a Writer);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The lead over a batch. When it is dropped, also by a panic, the connection goes to the next in line and the callers
/// are told.
struct Lead<'a> {
    writer: &'a Writer,
    others: Vec<Ticket>,
    /// Something has been committed that nobody has been told of.
    committed: bool,
}

impl Lead<'_> {
    fn run(&mut self, own: Option<Request>) {
        if self.writer.run(own, &self.others) {
            self.committed = true;
            has_committed();
        }
        // SAFETY: their threads wait until their tickets are done, or back in the line.
        let is_open = |call: Request| unsafe { &*call.0 }.is_open();
        let is_left = |ticket: &Ticket| requests(std::slice::from_ref(ticket)).any(is_open);
        if self.others.iter().any(is_left) {
            let (left, served) = std::mem::take(&mut self.others).into_iter().partition(is_left);
            self.others = served;
            self.writer.put_back(left);
        }
    }
}

/// A point for tests to stop at.
fn has_committed() {
    #[cfg(feature = "faults")]
    crate::faults::reach("commit.after");
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.writer.recover(&self.others);
        }
        // The next leader first: it can begin while the others are told.
        self.writer.release();
        tell(&self.others, Turn::Done);
        // Last, so that neither the next leader nor these wait for it: whoever waits for commits in this process need not
        // wait for the file system's word.
        if self.committed {
            self.writer.watching.announce();
        }
    }
}

fn requests(tickets: &[Ticket]) -> impl Iterator<Item = Request> {
    tickets.iter().filter_map(|ticket| match ticket.wants {
        Wants::Call(request) => Some(request),
        Wants::Transaction => None,
    })
}

/// A poisoned lock is no reason to stop: what it guards is changed in single steps.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
