//! Who waits for commits through a database, and the watcher that wakes them.
//!
//! Starting a watcher may take as long as somebody keeps the file locked. It is done outside of the lock, and ends when the
//! database is interrupted or closed; closing waits until no start is under way, which is then a matter of milliseconds.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::signals::Signals;
use crate::identity::{Identity, identity};
use crate::watch::{self, Announcer, Backend, Settings, Subscription, Target, Waker, Watcher};
use crate::{Error, Result};

pub(super) struct Watching {
    target: Target,
    settings: Settings,
    signals: Arc<Signals>,
    /// The file as it was when the database was opened.
    identity: Option<Identity>,
    state: Mutex<State>,
    /// A start is over.
    started: Condvar,
}

#[derive(Default)]
struct State {
    /// Started with the first subscription, and kept until the database is closed: nobody has to drive it meanwhile, and
    /// its connection is in nobody's way that the writer's is not in already.
    watcher: Option<Arc<Watcher>>,
    /// A thread that has committed must not be the one to keep the watcher, or to stop it.
    announcer: Option<Announcer>,
    wakers: Vec<Waker>,
    /// How many threads are starting a watcher.
    starting: usize,
    closed: bool,
}

/// A start that is under way, also if it panics.
struct Starting<'a>(&'a Watching);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.lock().starting -= 1;
        self.0.started.notify_all();
    }
}

impl Watching {
    pub(super) fn new(
        target: Target,
        identity: Option<Identity>,
        settings: Settings,
        signals: Arc<Signals>,
    ) -> Self {
        Watching { target, settings, signals, identity, state: Mutex::default(), started: Condvar::new() }
    }

    /// An error if the back end was asked for by name and cannot work here.
    pub(super) fn probe(&self) -> Result<()> {
        if matches!(self.settings.backend, Backend::Kernel | Backend::Shm) {
            self.start(self.signals.interrupts())?;
        }
        Ok(())
    }

    /// A new subscription, and what the watcher has to say that nobody has been told.
    pub(super) fn subscribe(&self) -> Result<(Subscription, Option<String>)> {
        let interrupts = self.signals.interrupts();
        let _starting = self.begin()?;
        if identity(self.target.path()) != self.identity {
            return Err(Error::Watcher(format!(
                "watcher died: '{}' is another file now; close the database and open it again",
                self.target.path()
            )));
        }
        let running = self.lock().watcher.clone();
        let watcher = match running {
            Some(watcher) => watcher,
            None => self.start(interrupts)?,
        };
        let subscription = watcher.subscribe()?;
        let warning = watcher.take_warning();
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Err(Error::Closed);
        }
        if state.watcher.is_none() {
            state.announcer = Some(watcher.announcer());
            state.watcher = Some(watcher);
        }
        state.wakers.retain(Waker::is_alive);
        state.wakers.push(subscription.waker());
        Ok((subscription, warning))
    }

    fn begin(&self) -> Result<Starting<'_>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.starting += 1;
        Ok(Starting(self))
    }

    fn start(&self, interrupts: u64) -> Result<Arc<Watcher>> {
        watch::shared_unless(&self.target, &self.settings, &|| self.signals.check(interrupts))
    }

    /// What the watcher says about itself, if there is one.
    pub(super) fn status(&self) -> Option<watch::Status> {
        // With the lock held: who closes meanwhile must not find the watcher kept by this thread.
        self.lock().watcher.as_ref().map(|watcher| watcher.status())
    }

    /// Something was committed by this database.
    pub(super) fn announce(&self) {
        let announcer = self.lock().announcer.clone();
        if let Some(announcer) = announcer {
            announcer.announce();
        }
    }

    pub(super) fn interrupt(&self) {
        self.lock().wakers.iter().for_each(Waker::interrupt);
    }

    /// Ends all waits, and starts of a watcher: the signals say already that the database is closed. When this returns the
    /// watcher has ended as well, unless another database of this process has the same file open.
    pub(super) fn close(&self) {
        let (watcher, wakers) = {
            let mut state = self.lock();
            state.closed = true;
            (state.watcher.take(), std::mem::take(&mut state.wakers))
        };
        wakers.iter().for_each(Waker::close);
        drop(watcher);
        let state = self.lock();
        let over = self.started.wait_while(state, |state| state.starting > 0);
        drop(over.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
