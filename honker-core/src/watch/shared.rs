//! What the watcher, its subscriptions and whoever leads share: subscriptions come and go, and it ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::announced::Announced;
use super::health::Health;
use super::hub::{Hub, Leader};
use super::sleeper::Alarm;
use super::subscription::Slot;
use super::watch_loop::WatchLoop;
use crate::fork::Process;
use crate::news::Change;
#[cfg(feature = "runtime")]
use crate::news::News;
use crate::{Error, Result};

/// So many announcements are remembered; who has not asked for so long is told that anything may have been changed.
const LOG_MAX: usize = 256;

/// Generations, and what the commits were about that made them.
type Log = VecDeque<(u64, Arc<[Change]>)>;

/// What all that have to do with a watcher share.
pub(super) struct Shared {
    pub(super) process: Process,
    pub(super) health: Arc<Health>,
    pub(super) announced: Arc<Announced>,
    /// Moves with every commit that subscribers have to hear of.
    pub(super) generation: AtomicU64,
    /// Ends the sleep of whoever leads.
    pub(super) alarm: Alarm,
    pub(super) hub: Mutex<Hub>,
    /// The watch loop has been put back, or nobody will put it back.
    pub(super) returned: Condvar,
    /// For tests: the thread leads, always.
    pub(super) threaded: bool,
    /// There is no file to look into: all that is committed is announced, with what it was about. The generations, and that.
    pub(super) log: Option<Mutex<Log>>,
}

impl Shared {
    pub(super) fn new(process: Process, threaded: bool) -> Result<Self> {
        Ok(Shared {
            process,
            health: Arc::default(),
            announced: Arc::default(),
            generation: AtomicU64::new(0),
            alarm: Alarm::new()?,
            hub: Mutex::default(),
            returned: Condvar::new(),
            threaded,
            log: None,
        })
    }

    /// For what is not watched by looking: whoever knows of a commit announces it.
    pub(super) fn announced_only(process: Process) -> Result<Self> {
        Ok(Shared { log: Some(Mutex::default()), ..Shared::new(process, false)? })
    }

    /// What was committed between these two generations was about this.
    #[cfg(feature = "runtime")]
    pub(super) fn news(&self, after: u64, until: u64) -> News {
        let Some(log) = &self.log else { return News::Anything };
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = log.iter().filter(|(at, _)| *at > after && *at <= until).collect();
        if (known.len() as u64) < until.saturating_sub(after) {
            return News::Anything;
        }
        News::Changes(known.into_iter().map(|(_, changes)| Arc::clone(changes)).collect())
    }

    /// Remembers what is announced next was about, under the generation that this makes.
    pub(super) fn log(&self, changes: Arc<[Change]>) {
        if let Some(log) = &self.log {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
            if log.len() == LOG_MAX {
                log.pop_front();
            }
            log.push_back((generation, changes));
        }
    }

    /// Gives the hub the loop that is to be driven.
    pub(super) fn begin(self: &Arc<Self>, watch: WatchLoop) -> Result<()> {
        let mut hub = self.lock();
        hub.watch = Some(Box::new(watch));
        self.see_to_thread(&mut hub)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    pub(super) fn died(&self) -> Option<Error> {
        self.lock().died.clone()
    }

    /// A new subscription, made by `make` from the present generation.
    pub(super) fn join(self: &Arc<Self>, make: impl FnOnce(u64) -> Slot) -> Result<Arc<Slot>> {
        // What nobody has looked for is not to be its first wake.
        self.visit();
        let mut hub = self.lock();
        if let Some(reason) = &hub.died {
            return Err(reason.clone());
        }
        hub.live += 1;
        if let Err(error) = self.see_to_thread(&mut hub) {
            hub.live -= 1;
            return Err(error);
        }
        hub.detach_all();
        let slot = Arc::new(make(self.generation()));
        if hub.subscriptions.len() >= hub.clear_at {
            hub.subscriptions.retain(|slot| slot.strong_count() > 0);
            hub.clear_at = (hub.subscriptions.len() * 2).max(16);
        }
        hub.subscriptions.push(Arc::downgrade(&slot));
        Ok(slot)
    }

    /// The subscription wakes no more. Does nothing the second time.
    pub(super) fn leave(self: &Arc<Self>, slot: &Arc<Slot>) {
        let mut hub = self.lock();
        if slot.set_left() {
            return;
        }
        hub.live -= 1;
        hub.waiting.retain(|waiting| !Arc::ptr_eq(waiting, slot));
        if let Some(outlet) = slot.outlet() {
            hub.outlets -= 1;
            hub.detach(outlet);
        }
        let chosen = hub.choose_if_nobody(self);
        drop(hub);
        Slot::nudge(chosen);
    }

    /// Sees to it that a subscription has a descriptor, and that somebody raises it: `make`, who is told whether it may
    /// contain the events, makes it and puts it in its place if there is none yet. Whom to nudge, with no lock held.
    #[cfg(unix)]
    pub(super) fn see_to_outlet(
        self: &Arc<Self>,
        slot: &Slot,
        make: impl FnOnce(bool) -> Result<()>,
    ) -> Result<Option<Arc<Slot>>> {
        let mut hub = self.lock();
        let is_made = slot.outlet().is_some();
        if slot.has_left() {
            if !is_made {
                // It is readable, for good.
                make(false)?;
            }
            return Ok(None);
        }
        if !is_made {
            let attachable = hub.live == 1
                && !self.threaded
                && !self.polls()
                && self.log.is_none()
                && cfg!(target_os = "linux");
            make(attachable)?;
            hub.outlets += 1;
        }
        self.see_to_thread(&mut hub)?;
        Ok(hub.choose_if_nobody(self))
    }

    /// Ends the watcher: when this returns nobody leads any more, the file's connection is closed, and the thread has
    /// ended.
    pub(super) fn stop(&self) {
        let mut hub = self.lock();
        hub.stopped = true;
        let watch = loop {
            if let Some(watch) = hub.watch.take() {
                break Some(watch);
            }
            if matches!(hub.leader, Leader::Nobody) {
                break None;
            }
            self.alarm.raise();
            hub = self.returned.wait(hub).unwrap_or_else(PoisonError::into_inner);
        };
        hub.waiting.clear();
        let threads = std::mem::take(&mut hub.threads);
        drop(hub);
        self.returned.notify_all();
        drop(watch);
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
