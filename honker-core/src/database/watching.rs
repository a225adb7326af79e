//! Who waits for commits through a database, and the watcher that wakes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::identity::{Identity, identity};
use crate::watch::{self, Announcer, Backend, Settings, Subscription, Target, Waker, Watcher};
use crate::{Error, Result};

pub(super) struct Watching {
    target: Target,
    settings: Settings,
    /// The file as it was when the database was opened.
    identity: Option<Identity>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Its subscriptions keep it.
    watcher: Weak<Watcher>,
    /// A thread that has committed must not be the one to keep the watcher, or to stop it.
    announcer: Option<Announcer>,
    wakers: Vec<Waker>,
    closed: bool,
}

impl Watching {
    pub(super) fn new(target: Target, settings: Settings) -> Self {
        let identity = identity(target.path());
        Watching { target, settings, identity, state: Mutex::default() }
    }

    /// An error if the back end was asked for by name and cannot work here.
    pub(super) fn probe(&self) -> Result<()> {
        if matches!(self.settings.backend, Backend::Kernel | Backend::Shm) {
            watch::shared(&self.target, &self.settings)?;
        }
        Ok(())
    }

    pub(super) fn subscribe(&self) -> Result<Subscription> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        if identity(self.target.path()) != self.identity {
            return Err(Error::Watcher(format!(
                "watcher died: '{}' is another file now; close the database and open it again",
                self.target.path()
            )));
        }
        let watcher = match state.watcher.upgrade() {
            Some(watcher) => watcher,
            None => {
                let watcher = watch::shared(&self.target, &self.settings)?;
                state.watcher = Arc::downgrade(&watcher);
                state.announcer = Some(watcher.announcer());
                watcher
            }
        };
        let subscription = watcher.subscribe()?;
        state.wakers.retain(Waker::is_alive);
        state.wakers.push(subscription.waker());
        Ok(subscription)
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

    /// Ends all waits. When this returns the watcher has ended as well, unless another database of this process has the
    /// same file open.
    pub(super) fn close(&self) {
        let wakers = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.wakers)
        };
        wakers.iter().for_each(Waker::close);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
