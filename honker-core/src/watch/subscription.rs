//! Waiting for a wake.
//!
//! A [`Subscription`] has room for one wake: several that come before it is looked at are one. Whoever wakes it, the
//! watcher, a thread of this process that has committed, or the user, never waits for it.
//!
//! There are three ways to use one, which may be mixed:
//! - [`Subscription::wait`] with a time blocks. While it does, the thread may be the one that watches the file
//!   (`leading.rs`), so a commit wakes it without a detour.
//! - [`Subscription::wait`] with no time ([`Duration::ZERO`]) takes what is there and never blocks. If nobody watches at the
//!   moment it looks into the file itself, so that what was committed before the call is found.
//! - [`Subscription::descriptor`] is for event loops: level-triggered, and good in an epoll set, also a nested or an
//!   edge-triggered one. When it is readable, call `wait` with no time *until that times out*. It may be readable with
//!   nothing to see; that call makes it unreadable, unless there is something.
//!
//! Threads: one waits at a time (a second one would take the first one's wakes away); waking and closing, through a
//! [`Waker`], is for any.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::outlet::Outlet;
use super::shared::Shared;
use super::watcher::Watcher;
#[cfg(feature = "runtime")]
use crate::news::News;
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
    shared: Arc<Shared>,
    state: Mutex<State>,
    changed: Condvar,
    /// How many threads are in a wait that blocks: one, or none.
    blocked: AtomicU32,
    /// Made when somebody asks for it.
    outlet: OnceLock<Outlet>,
    left: AtomicBool,
    /// Kept running as long as there are subscriptions. The lock is held until it has been left, so that every call that
    /// closes the subscription returns after that.
    watcher: Mutex<Option<Arc<Watcher>>>,
}

struct State {
    /// The generation that the owner knows of.
    seen: u64,
    /// That which it knew of when it last asked for news.
    #[cfg(feature = "runtime")]
    asked: u64,
    woken: bool,
    interrupted: bool,
    end: Option<Error>,
    /// Its thread drives the watch loop, and sleeps there.
    leads: bool,
    /// The next commit wakes it, or is about to.
    armed: bool,
    /// The descriptor is readable because of what there is to see.
    raised: bool,
}

impl Subscription {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Subscription { slot }
    }

    /// Waits for a wake, at most for `timeout` (`None`: without end; zero: not at all). One that came since the last wait
    /// counts.
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
        self.slot.shared.process.check()?;
        if timeout == Some(Duration::ZERO) {
            return self.slot.take(ended);
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.slot.block(deadline, ended)
    }

    /// A number that is another one after every commit. If nobody watches at the moment it looks into the file itself, so
    /// that what was committed before the call counts.
    #[cfg(feature = "runtime")]
    pub(crate) fn generation(&self) -> u64 {
        self.slot.shared.visit();
        self.slot.shared.generation()
    }

    /// What was committed was about this, so far as waits have told of it and nobody has asked.
    #[cfg(feature = "runtime")]
    pub(crate) fn news(&self) -> News {
        let mut state = self.slot.lock();
        let until = state.seen;
        let after = std::mem::replace(&mut state.asked, until);
        drop(state);
        self.slot.shared.news(after, until)
    }

    /// An error, the one that every wait ends with, if there will be no more wakes.
    pub fn check(&self) -> Result<()> {
        self.slot.shared.process.check()?;
        self.slot.lock().end.clone().map_or(Ok(()), Err)
    }

    /// What wakes this subscription.
    pub fn waker(&self) -> Waker {
        Waker(Arc::downgrade(&self.slot))
    }

    /// A descriptor that is readable while a wait would return at once, and perhaps at other times (see the module's
    /// introduction); for `poll` and its kin, not for reading. It is the same one for the subscription's life, and closed
    /// with it.
    ///
    /// It fails if the process may have no more descriptors or threads. That of a closed subscription is readable.
    #[cfg(unix)]
    pub fn descriptor(&self) -> Result<std::os::fd::RawFd> {
        let slot = &self.slot;
        slot.shared.process.check()?;
        let mut state = slot.lock();
        // Also if there is one: there may have been no thread to raise it.
        let chosen = slot.shared.see_to_outlet(slot, |attachable| {
            let _ = slot.outlet.set(Outlet::new(attachable)?);
            Ok(())
        })?;
        let number = slot.outlet.get().map(Outlet::number).ok_or(Error::Closed);
        slot.settle(&mut state);
        drop(state);
        Slot::nudge(chosen);
        number
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
        self.with(|slot| slot.set(|state, _| state.woken = true));
    }

    /// Ends the wait that is running, if there is one, with an error (`SQLITE_INTERRUPT`).
    pub fn interrupt(&self) {
        self.with(|slot| slot.set(|state, blocked| state.interrupted = blocked));
    }

    /// Ends the subscription: the wait that is running and all later ones fail with [`Error::Closed`].
    pub fn close(&self) {
        self.with(Slot::close);
    }

    /// Whether there is a subscription still.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    fn with(&self, body: impl FnOnce(&Arc<Slot>)) {
        if let Some(slot) = self.0.upgrade() {
            body(&slot);
        }
    }
}

impl Slot {
    pub(super) fn new(watcher: Arc<Watcher>, shared: Arc<Shared>, seen: u64) -> Self {
        Slot {
            shared,
            state: Mutex::new(State {
                seen,
                #[cfg(feature = "runtime")]
                asked: seen,
                woken: false,
                interrupted: false,
                end: None,
                leads: false,
                armed: false,
                raised: false,
            }),
            changed: Condvar::new(),
            blocked: AtomicU32::new(0),
            outlet: OnceLock::new(),
            left: AtomicBool::new(false),
            watcher: Mutex::new(Some(watcher)),
        }
    }

    pub(super) fn outlet(&self) -> Option<&Outlet> {
        self.outlet.get()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::SeqCst) > 0
    }

    /// It has left the watcher; whether it had already. With the hub locked.
    pub(super) fn set_left(&self) -> bool {
        self.left.swap(true, Ordering::SeqCst)
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// Whether a wait that blocks would end.
    pub(super) fn has_something(&self) -> bool {
        let state = self.lock();
        state.interrupted || self.has_news(&state)
    }

    /// There will be no more wakes.
    pub(super) fn end(self: &Arc<Self>, reason: &Error) {
        self.set(|state, _| {
            state.end.get_or_insert_with(|| reason.clone());
        });
    }

    /// These are not in the list any more: something was committed.
    pub(super) fn rouse_all(slots: impl IntoIterator<Item = Arc<Slot>>) {
        for slot in slots {
            let mut state = slot.lock();
            state.armed = false;
            slot.settle(&mut state);
            drop(state);
            if slot.is_blocked() {
                slot.changed.notify_all();
            }
        }
    }

    /// It has been chosen to lead.
    pub(super) fn nudge(chosen: Option<Arc<Slot>>) {
        if let Some(slot) = chosen {
            // It looks under this lock whether it has been chosen, and sleeps before it lets go.
            drop(slot.lock());
            slot.changed.notify_all();
        }
    }

    /// Takes what there is to see; after a look, if nobody looks otherwise.
    fn take(self: &Arc<Self>, ended: impl FnOnce() -> Result<()>) -> Result<Wake> {
        let mut state = self.lock();
        ended()?;
        let mut taken = self.take_from(&mut state);
        if matches!(taken, Ok(None)) {
            drop(state);
            self.shared.visit();
            state = self.lock();
            taken = self.take_from(&mut state);
        }
        self.settle(&mut state);
        taken.map(|wake| wake.unwrap_or(Wake::Timeout))
    }

    fn block(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        ended: impl FnOnce() -> Result<()>,
    ) -> Result<Wake> {
        let mut state = self.lock();
        ended()?;
        self.blocked.fetch_add(1, Ordering::SeqCst);
        let mut over = false;
        let outcome = loop {
            match self.take_from(&mut state) {
                Ok(None) => {}
                Ok(Some(wake)) => break Ok(wake),
                Err(error) => break Err(error),
            }
            if over {
                break Ok(Wake::Timeout);
            }
            if let Some(watch) = self.shared.enlist(self, &mut state.armed) {
                state.leads = true;
                drop(state);
                over = self.shared.lead(watch, self, deadline);
                state = self.lock();
                state.leads = false;
                continue;
            }
            // In the list now; what came before that is in the generation.
            if self.has_news(&state) {
                continue;
            }
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    over = left.is_zero();
                    if over {
                        continue;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        state.interrupted = false;
        self.blocked.fetch_sub(1, Ordering::SeqCst);
        // With a descriptor it stays in the list.
        let disarm = state.armed && self.outlet.get().is_none();
        state.armed &= !disarm;
        let chosen = self.shared.unblock(self, disarm);
        self.settle(&mut state);
        drop(state);
        Slot::nudge(chosen);
        outcome
    }

    /// What there is to see, if anything; it has been seen then.
    fn take_from(&self, state: &mut State) -> Result<Option<Wake>> {
        if let Some(reason) = &state.end {
            return Err(reason.clone());
        }
        if std::mem::take(&mut state.interrupted) {
            return Err(Error::interrupted());
        }
        if std::mem::take(&mut state.woken) {
            return Ok(Some(Wake::Woken));
        }
        let generation = self.shared.generation();
        if state.seen != generation {
            state.seen = generation;
            return Ok(Some(Wake::Update));
        }
        Ok(None)
    }

    fn has_news(&self, state: &State) -> bool {
        state.woken || state.end.is_some() || state.seen != self.shared.generation()
    }

    /// Makes the descriptor, if there is one, readable or unreadable, and sees to it that the next commit makes it so.
    fn settle(self: &Arc<Self>, state: &mut State) {
        let Some(outlet) = self.outlet.get() else { return };
        if !self.has_news(state) {
            if std::mem::replace(&mut state.raised, false) {
                outlet.lower();
            }
            if !self.has_left() && !std::mem::replace(&mut state.armed, true) {
                self.shared.arm(self);
            }
        }
        if self.has_news(state) && !std::mem::replace(&mut state.raised, true) {
            outlet.raise();
        }
    }

    /// Changes what there is to see, and wakes the owner for it. `change` is told whether a wait is running.
    fn set(self: &Arc<Self>, change: impl FnOnce(&mut State, bool)) {
        if !self.shared.process.is_current() {
            return;
        }
        let mut state = self.lock();
        change(&mut state, self.is_blocked());
        self.settle(&mut state);
        let leads = state.leads;
        drop(state);
        if leads {
            self.shared.alarm().raise();
        } else if self.is_blocked() {
            self.changed.notify_all();
        }
    }

    /// As [`Slot::end`], by the subscriber: it leaves the watcher, which ends with the last to leave.
    fn close(self: &Arc<Self>) {
        if !self.shared.process.is_current() {
            return;
        }
        self.end(&Error::Closed);
        self.shared.leave(self);
        // Whoever is waited for if this is the last to leave never takes this lock.
        drop(self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
