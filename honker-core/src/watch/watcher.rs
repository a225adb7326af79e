//! A watcher as its users see it: subscriptions, announcements, and the thread's life.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use super::counter::{Headers, WalIndex};
use super::health::{Health, Status};
use super::sleeper::Alarm;
use super::subscription::{Slot, Subscription};
use super::watch_loop::WatchLoop;
use super::{Backend, Settings, Target};
use crate::fork::Process;
use crate::{Error, Result};

/// A running watcher. It ends when it is dropped: with its last subscription, if nobody else keeps it.
pub struct Watcher {
    shared: Arc<Shared>,
    backend: Backend,
    process: Process,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the others share.
pub(super) struct Shared {
    slots: Mutex<Slots>,
    announced: Mutex<Announced>,
    alarm: Alarm,
    stopped: AtomicBool,
    pub(super) health: Health,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Weak<Slot>>,
    /// Gone slots are cleared away when there are this many.
    clear_at: usize,
    died: Option<Error>,
}

#[derive(Default)]
struct Announced {
    /// There while the thread's connection is open.
    wal_index: Option<WalIndex>,
    /// What it showed when somebody of this process last announced a commit.
    headers: Option<Headers>,
}

/// What a watcher has done so far, for tests and diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// How often it woke its subscribers.
    pub wakes: u64,
    /// How often it made sure of the file. What was committed before the last but one has been seen.
    pub checks: u64,
    /// How many commits the safety check found that no event had announced.
    pub unannounced: u64,
    /// Whether it has gone over to polling.
    pub demoted: bool,
}

/// For threads that commit: it wakes subscribers as long as there are any.
#[derive(Clone)]
pub(crate) struct Announcer {
    shared: Weak<Shared>,
    process: Process,
}

impl Announcer {
    /// Something has just been committed.
    pub(crate) fn announce(&self) {
        if !self.process.is_current() {
            return;
        }
        let Some(shared) = self.shared.upgrade() else { return };
        let mut announced = shared.announced();
        announced.headers = announced.wal_index.map(WalIndex::look);
        drop(announced);
        shared.wake();
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
        #[cfg(feature = "bundled")]
        crate::vfs::install();
        let target = &target.resolve()?;
        let shared = Arc::new(Shared {
            slots: Mutex::default(),
            announced: Mutex::default(),
            alarm: Alarm::new()?,
            stopped: AtomicBool::new(false),
            health: Health::default(),
        });
        let polls = matches!(settings.backend, Backend::Polling | Backend::Shm);
        shared.health.polls.store(polls, Ordering::Relaxed);
        let watch_loop =
            WatchLoop::begin(target, settings, Arc::clone(&shared), shared.alarm.clone(), ended)?;
        let thread = std::thread::Builder::new().name("honker-watcher".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                if catch_unwind(AssertUnwindSafe(|| watch_loop.run())).is_err() {
                    shared.die(&Error::Watcher("watcher died: internal error, please report it".to_owned()));
                }
            }
        });
        let thread = thread.map_err(|error| Error::system("a thread for the watcher", &error))?;
        let backend = settings.backend;
        Ok(Arc::new(Watcher { shared, backend, process: Process::current(), thread: Some(thread) }))
    }

    /// A new subscription. Everything that is committed from now on wakes it.
    pub fn subscribe(self: &Arc<Self>) -> Result<Subscription> {
        self.process.check()?;
        let mut slots = self.shared.slots();
        if let Some(reason) = &slots.died {
            return Err(reason.clone());
        }
        let slot = Arc::new(Slot::new(Arc::clone(self)));
        if slots.slots.len() >= slots.clear_at {
            slots.slots.retain(|slot| slot.strong_count() > 0);
            slots.clear_at = (slots.slots.len() * 2).max(16);
        }
        slots.slots.push(Arc::downgrade(&slot));
        drop(slots);
        Ok(Subscription::new(slot))
    }

    /// Wakes all subscribers because this process has just committed something.
    pub fn announce(&self) {
        self.announcer().announce();
    }

    /// What announces commits without keeping the watcher running.
    pub(crate) fn announcer(&self) -> Announcer {
        Announcer { shared: Arc::downgrade(&self.shared), process: self.process }
    }

    /// Whether it can still wake anybody.
    pub fn is_alive(&self) -> bool {
        self.process.is_current() && self.shared.slots().died.is_none()
    }

    /// What it has done so far.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            wakes: self.shared.health.wakes.load(Ordering::Relaxed),
            checks: self.shared.health.checks.load(Ordering::Relaxed),
            unannounced: self.shared.health.unannounced.load(Ordering::Relaxed),
            demoted: self.shared.health.demoted.load(Ordering::Relaxed),
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
        let Some(thread) = self.thread.take() else { return };
        if !self.process.is_current() {
            // The thread is the parent's, and so is all that it has.
            std::mem::forget(thread);
            return;
        }
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.alarm.stop();
        let _ = thread.join();
    }
}

impl Shared {
    /// Wakes all subscribers.
    pub(super) fn wake(&self) {
        self.health.wakes.fetch_add(1, Ordering::Relaxed);
        self.slots().slots.iter().filter_map(Weak::upgrade).for_each(|slot| slot.update());
    }

    /// Tells all subscribers, present and later ones, that there will be no more wakes.
    pub(super) fn die(&self, reason: &Error) {
        let mut slots = self.slots();
        slots.died = Some(reason.clone());
        slots.slots.drain(..).filter_map(|slot| slot.upgrade()).for_each(|slot| slot.end(reason));
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Lets committing threads look into the wal-index, or no longer: then none does any more when this returns.
    pub(super) fn lend(&self, wal_index: Option<WalIndex>) {
        let mut announced = self.announced();
        announced.wal_index = wal_index;
        announced.headers = None;
    }

    /// Whether subscribers have been woken, or are about to be, for what the wal-index shows.
    pub(super) fn is_announced(&self, headers: &Headers) -> bool {
        self.announced().headers.as_ref() == Some(headers)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announced(&self) -> MutexGuard<'_, Announced> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
