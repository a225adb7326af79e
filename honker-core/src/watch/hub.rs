//! The state under the lock of a watcher: where the watch loop is, who leads, and who has to be woken.
//!
//! Nobody sleeps or looks into the file with it locked.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use super::outlet::Outlet;
use super::shared::Shared;
use super::subscription::Slot;
use super::watch_loop::WatchLoop;
use crate::Error;

#[derive(Default)]
pub(super) struct Hub {
    /// Here while nobody leads.
    pub(super) watch: Option<Box<WatchLoop>>,
    pub(super) leader: Leader,
    /// Whom the next commit has to wake.
    pub(super) waiting: Vec<Arc<Slot>>,
    /// More of them have been announced a commit than the announcer could wake.
    pub(super) undistributed: bool,
    pub(super) subscriptions: Vec<Weak<Slot>>,
    /// Gone subscriptions are cleared away when there are this many.
    pub(super) clear_at: usize,
    /// How many subscriptions there are, and how many of them have a descriptor.
    pub(super) live: usize,
    pub(super) outlets: usize,
    /// The thread leads, or is about to.
    pub(super) thread_runs: bool,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) died: Option<Error>,
    pub(super) stopped: bool,
}

#[derive(Default)]
pub(super) enum Leader {
    #[default]
    Nobody,
    /// One that is blocked in a wait, or has been chosen and is about to take the loop.
    Wait(Weak<Slot>),
    /// Somebody who asks without waiting.
    Visitor,
    Thread,
}

impl Leader {
    pub(super) fn is(&self, slot: &Arc<Slot>) -> bool {
        matches!(self, Leader::Wait(leader) if std::ptr::eq(leader.as_ptr(), Arc::as_ptr(slot)))
    }
}

impl Hub {
    /// The only subscription, if it has a descriptor that can contain the events.
    pub(super) fn sole(&self) -> Option<Arc<Slot>> {
        if self.live != 1 {
            return None;
        }
        let mut all = self.subscriptions.iter().filter_map(Weak::upgrade);
        all.find(|slot| slot.outlet().is_some_and(Outlet::is_attachable) && !slot.has_left())
    }

    /// If nobody leads: somebody who is blocked is chosen, to be nudged with no lock held; or the descriptor of the only
    /// subscription gets the events.
    pub(super) fn choose_if_nobody(&mut self, shared: &Arc<Shared>) -> Option<Arc<Slot>> {
        if !matches!(self.leader, Leader::Nobody)
            || self.stopped
            || self.died.is_some()
            || self.watch.is_none()
        {
            return None;
        }
        // If there can be no thread, the next one to need it says so.
        let _ = shared.see_to_thread(self);
        if self.thread_runs {
            shared.returned.notify_all();
            return None;
        }
        if let Some(chosen) = self.waiting.iter().find(|slot| slot.is_blocked()) {
            self.leader = Leader::Wait(Arc::downgrade(chosen));
            return Some(Arc::clone(chosen));
        }
        #[cfg(target_os = "linux")]
        if let (Some(sole), Some(watch)) = (self.sole(), &self.watch)
            && let Some(outlet) = sole.outlet()
        {
            let attached = outlet.attach(watch.events().descriptor(), watch.nap(), watch.has_found());
            if let Err(error) = attached {
                shared.health.warn(format!("the descriptor of a subscription cannot be used: {error}"));
            }
        }
        None
    }

    /// A second subscription has come, or the thread.
    pub(super) fn detach_all(&self) {
        if let Some(watch) = &self.watch
            && self.live != 1
        {
            self.detach_all_from(watch);
        }
    }

    pub(super) fn detach_all_from(&self, watch: &WatchLoop) {
        #[cfg(target_os = "linux")]
        for slot in self.subscriptions.iter().filter_map(Weak::upgrade) {
            if let Some(outlet) = slot.outlet() {
                outlet.detach(watch.events().descriptor());
            }
        }
        let _ = watch;
    }

    pub(super) fn detach(&self, outlet: &Outlet) {
        #[cfg(target_os = "linux")]
        outlet.detach(self.watch.as_ref().and_then(|watch| watch.events().descriptor()));
        let _ = outlet;
    }
}
