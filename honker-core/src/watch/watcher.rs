//! A watcher as its users see it: subscriptions, announcements, and its end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::health::Status;
use super::shared::Shared;
use super::subscription::{Slot, Subscription};
use super::watch_loop::WatchLoop;
use super::{Backend, Settings, Target};
use crate::Result;
use crate::fork::Process;
use crate::news::Change;

/// A file that is watched. It ends when it is dropped: with its last subscription, if nobody else keeps it.
pub struct Watcher {
    shared: Arc<Shared>,
    backend: Backend,
}

/// What a watcher has done so far, for tests and diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// How often it woke its subscribers.
    pub wakes: u64,
    /// How often it made sure of the file. What was committed before the last but one has been seen.
    pub checks: u64,
    /// How often it looked whether something was committed.
    pub looks: u64,
    /// How many commits the safety check found that no event had announced.
    pub unannounced: u64,
    /// Whether it has gone over to polling.
    pub demoted: bool,
}

/// For threads that commit: it wakes subscribers as long as there are any.
#[derive(Clone)]
pub(crate) struct Announcer(Weak<Shared>);

impl Announcer {
    /// Something has just been committed.
    pub(crate) fn announce(&self) {
        if let Some(shared) = self.0.upgrade().filter(|shared| shared.process.is_current()) {
            shared.announce();
        }
    }
}

impl Watcher {
    /// Starts watching a file. What is committed after this returns is noticed.
    pub fn start(target: &Target, settings: &Settings) -> Result<Arc<Watcher>> {
        Watcher::start_unless(target, settings, &|| Ok(()))
    }

    /// As [`Watcher::start`], unless `ended` has an error to say.
    pub(super) fn start_unless(
        target: &Target,
        settings: &Settings,
        ended: &dyn Fn() -> Result<()>,
    ) -> Result<Arc<Watcher>> {
        settings.check()?;
        // The host may have a SQLite of its own, whose locks our connection must not drop.
        #[cfg(feature = "runtime")]
        crate::vfs::install();
        let target = &target.resolve()?;
        let shared = Arc::new(Shared::new(Process::current(), settings.threaded)?);
        let polls = matches!(settings.backend, Backend::Polling | Backend::Shm);
        shared.health.polls.store(polls, Ordering::Relaxed);
        let (announced, health) = (Arc::clone(&shared.announced), Arc::clone(&shared.health));
        let watch = WatchLoop::begin(target, settings, announced, health, ended)?;
        let watcher = Watcher { shared, backend: settings.backend };
        watcher.shared.begin(watch)?;
        Ok(Arc::new(watcher))
    }

    /// One that looks into no file: whoever knows of a commit announces it ([`Watcher::announce_changes`]).
    pub fn announced_only() -> Result<Arc<Watcher>> {
        let shared = Arc::new(Shared::announced_only(Process::current())?);
        Ok(Arc::new(Watcher { shared, backend: Backend::Auto }))
    }

    /// Wakes all subscribers because something was committed, which was about this.
    pub fn announce_changes(&self, changes: Vec<Change>) {
        if self.shared.process.is_current() {
            self.shared.announce_changes(changes.into());
        }
    }

    /// Whether whoever announces hears of commits at present; for the status.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.shared.health.unreadable.store(unreadable, Ordering::Relaxed);
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.shared.lock().live
    }

    /// Notes a warning for the status, and for the next to ask for one.
    pub fn warn(&self, text: String) {
        self.shared.health.warn(text);
    }

    /// Counts a look of whoever announces; for the status.
    pub fn count_look(&self) {
        self.shared.health.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// A new subscription. Everything that is committed from now on wakes it.
    pub fn subscribe(self: &Arc<Self>) -> Result<Subscription> {
        self.shared.process.check()?;
        let make = |generation| Slot::new(Arc::clone(self), Arc::clone(&self.shared), generation);
        Ok(Subscription::new(self.shared.join(make)?))
    }

    /// Wakes all subscribers because this process has just committed something. Takes a microsecond or so.
    pub fn announce(&self) {
        self.announcer().announce();
    }

    /// What announces commits without keeping the watcher running.
    pub(crate) fn announcer(&self) -> Announcer {
        Announcer(Arc::downgrade(&self.shared))
    }

    /// Looks into the file now, unless somebody watches it at the moment who does that anyway.
    pub fn look(&self) {
        if self.shared.process.is_current() {
            self.shared.visit();
        }
    }

    /// Whether it can still wake anybody.
    pub fn is_alive(&self) -> bool {
        self.shared.process.is_current() && self.shared.died().is_none()
    }

    /// What it has done so far.
    pub fn statistics(&self) -> Statistics {
        let health = &self.shared.health;
        Statistics {
            wakes: health.wakes.load(Ordering::Relaxed),
            checks: health.checks.load(Ordering::Relaxed),
            looks: health.looks.load(Ordering::Relaxed),
            unannounced: health.unannounced.load(Ordering::Relaxed),
            demoted: health.demoted.load(Ordering::Relaxed),
        }
    }

    /// How it watches, how it is, and what went wrong so far. Any thread, at any time; it waits for nobody.
    pub fn status(&self) -> Status {
        self.shared.health.status(self.backend.name(), !self.is_alive())
    }

    /// What has gone wrong that nobody has been told, as one text; from then on it has been told. `None` mostly.
    pub fn take_warning(&self) -> Option<String> {
        self.shared.health.take_unsaid()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.shared.process.is_current() {
            self.shared.stop();
        } else {
            // All that it has is the parent's.
            std::mem::forget(Arc::clone(&self.shared));
        }
    }
}
