//! Waiting for a wake.
//!
//! A [`Subscription`] has room for one wake: several that come before it is looked at are one. Whoever wakes it, the
//! watcher, a thread of this process that has committed, or the user, never waits for it.
//!
//! Threads: one waits at a time (a second one would take the first one's wakes away); waking and closing, through a
//! [`Waker`], is for any.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::descriptor::Descriptor;
use super::watcher::Watcher;
use crate::fork::Process;
use crate::{Error, Result};

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something was committed to the file, or may have been.
    Update,
    /// Somebody called [`Waker::wake`].
    Woken,
    /// The time is over.
    Timeout,
}

/// A place in the list of those whom a watcher wakes. Dropping it leaves the list.
pub struct Subscription {
    slot: Arc<Slot>,
}

/// Ends waits of a [`Subscription`], from any thread. It does not keep the subscription alive.
#[derive(Clone)]
pub struct Waker(Weak<Slot>);

pub(super) struct Slot {
    /// A forked child has none of the threads that may have held the lock, and leaves it alone.
    process: Process,
    state: Mutex<State>,
    changed: Condvar,
    /// Kept running as long as there are subscriptions. The lock is held until it has been left, so that every call that
    /// closes the subscription returns after that.
    watcher: Mutex<Option<Arc<Watcher>>>,
}

#[derive(Default)]
struct State {
    update: bool,
    woken: bool,
    interrupted: bool,
    end: Option<Error>,
    /// How many threads are in a wait: one, or none.
    waiting: u32,
    /// Readable while there is something to see here. Made when somebody asks for it.
    descriptor: Option<Descriptor>,
}

impl Subscription {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Subscription { slot }
    }

    /// Waits for a wake, at most for `timeout` (`None`: without end). One that came since the last wait counts.
    ///
    /// An error that is not an interrupt says, from then on in every call, that there will be no more wakes:
    /// [`Error::Closed`], or [`Error::Watcher`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        self.wait_unless(timeout, || Ok(()))
    }

    /// As [`Subscription::wait`], unless `ended` says that there is no point: it is asked when whoever ends waits either
    /// has made it say so, or finds this one.
    pub(crate) fn wait_unless(
        &self,
        timeout: Option<Duration>,
        ended: impl FnOnce() -> Result<()>,
    ) -> Result<Wake> {
        self.slot.process.check()?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.slot.lock();
        ended()?;
        state.waiting += 1;
        let outcome = loop {
            match state.take() {
                Ok(None) => {}
                Ok(Some(wake)) => break Ok(wake),
                Err(error) => break Err(error),
            }
            state = match deadline {
                None => self.slot.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break Ok(Wake::Timeout);
                    }
                    let waited = self.slot.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        state.waiting -= 1;
        state.interrupted = false;
        outcome
    }

    /// What wakes this subscription.
    pub fn waker(&self) -> Waker {
        Waker(Arc::downgrade(&self.slot))
    }

    /// A descriptor that is readable while a wait would return at once; for `poll` and its kin, not for reading. It is
    /// closed with the subscription.
    #[cfg(unix)]
    pub fn descriptor(&self) -> Result<std::os::fd::RawFd> {
        use std::os::fd::AsRawFd;
        self.slot.process.check()?;
        let mut state = self.slot.lock();
        if let Some(descriptor) = &state.descriptor {
            return Ok(descriptor.as_raw_fd());
        }
        let descriptor = Descriptor::new()?;
        let number = descriptor.as_raw_fd();
        if state.has_something() {
            descriptor.raise();
        }
        state.descriptor = Some(descriptor);
        Ok(number)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.slot.close();
    }
}

impl Waker {
    /// Ends the wait that is running, or else the next one, with [`Wake::Woken`].
    pub fn wake(&self) {
        self.with(|slot| slot.set(|state| state.woken = true));
    }

    /// Ends the wait that is running, if there is one, with an error (`SQLITE_INTERRUPT`).
    pub fn interrupt(&self) {
        self.with(|slot| slot.set(|state| state.interrupted = state.waiting > 0));
    }

    /// Ends the subscription: the wait that is running and all later ones fail with [`Error::Closed`].
    pub fn close(&self) {
        self.with(Slot::close);
    }

    /// Whether there is a subscription still.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    fn with(&self, body: impl FnOnce(&Slot)) {
        if let Some(slot) = self.0.upgrade() {
            body(&slot);
        }
    }
}

impl Slot {
    pub(super) fn new(watcher: Arc<Watcher>) -> Self {
        Slot {
            process: Process::current(),
            state: Mutex::default(),
            changed: Condvar::new(),
            watcher: Mutex::new(Some(watcher)),
        }
    }

    /// Something was committed.
    pub(super) fn update(&self) {
        self.set(|state| state.update = true);
    }

    /// There will be no more wakes.
    pub(super) fn end(&self, reason: &Error) {
        self.set(|state| {
            state.end.get_or_insert_with(|| reason.clone());
        });
    }

    /// As [`Slot::end`], by the subscriber: it leaves the watcher, which ends with the last to leave.
    fn close(&self) {
        if !self.process.is_current() {
            return;
        }
        self.end(&Error::Closed);
        // The watcher's thread, which is waited for if this is the last to leave, never takes this lock.
        drop(self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        if !self.process.is_current() {
            return;
        }
        let mut state = self.lock();
        change(&mut state);
        if let Some(descriptor) = state.descriptor.as_ref().filter(|_| state.has_something()) {
            descriptor.raise();
        }
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_something(&self) -> bool {
        self.update || self.woken || self.end.is_some()
    }

    /// What there is to see, if anything; it has been seen then.
    fn take(&mut self) -> Result<Option<Wake>> {
        if let Some(reason) = &self.end {
            return Err(reason.clone());
        }
        if std::mem::take(&mut self.interrupted) {
            return Err(Error::interrupted());
        }
        let wake = if std::mem::take(&mut self.woken) {
            Wake::Woken
        } else if std::mem::take(&mut self.update) {
            Wake::Update
        } else {
            return Ok(None);
        };
        if let Some(descriptor) = self.descriptor.as_ref().filter(|_| !self.has_something()) {
            descriptor.lower();
        }
        Ok(Some(wake))
    }
}
