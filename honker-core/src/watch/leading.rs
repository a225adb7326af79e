//! Who drives the watch loop, and how its news get to the subscribers.
//!
//! One at a time leads: takes the [`WatchLoop`] out of the hub, drives it, and puts it back. That is
//! - a thread that is blocked in a native wait. It notices a commit itself, without anybody between, and wakes the others
//!   that wait. When its wait is over, for whatever reason, it hands on to another that is blocked;
//! - the watcher's own thread, where that will not do: as soon as two subscriptions are there one of which has a descriptor,
//!   since an event loop may be held up by a handler and must not keep the others waiting. It is started then, and ends a
//!   while after it has become unnecessary;
//! - whoever asks without waiting, for one turn. The descriptor of a file's only subscription contains the events
//!   themselves (`outlet.rs`), so that its owner comes and asks;
//! - nobody, while nobody waits. Whoever leads next compares with what was seen last, so nothing is missed.
//!
//! A commit moves the `generation`. A subscription has news if it has not seen the present one, so that a commit costs
//! nothing for subscriptions that nobody waits for. Those that have to be woken are in `waiting`: each is taken out when it
//! is woken, and comes back when it waits again, or when its descriptor has been lowered. Whoever comes looks at the
//! generation *after* that, and whoever commits moves it *before* taking the list, so one of them sees the other.
//!
//! Locks: that of a slot before that of the hub; never two slots. Nobody sleeps or looks into the file with the hub locked.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::hub::Leader;
use super::shared::Shared;
use super::sleeper::Reason;
use super::subscription::Slot;
use super::timers::QuickTimers;
use super::watch_loop::{Turn, WatchLoop};
use crate::Error;
use crate::news::Change;

/// So many are woken by a committing thread itself; more, by whoever leads.
const DIRECT_MAX: usize = 2;

impl Shared {
    // --- Waiting. ---

    /// The subscription's owner is about to block: it leads, with what this returns, or is in the list of those to be
    /// woken, unless it is already (`armed`).
    pub(super) fn enlist(&self, slot: &Arc<Slot>, armed: &mut bool) -> Option<Box<WatchLoop>> {
        let mut hub = self.lock();
        let may_lead =
            !hub.thread_runs && !hub.stopped && (matches!(hub.leader, Leader::Nobody) || hub.leader.is(slot));
        if may_lead && let Some(watch) = hub.watch.take() {
            hub.leader = Leader::Wait(Arc::downgrade(slot));
            return Some(watch);
        }
        if !std::mem::replace(armed, true) {
            hub.waiting.push(Arc::clone(slot));
        }
        None
    }

    /// The next commit has to wake it.
    pub(super) fn arm(&self, slot: &Arc<Slot>) {
        self.lock().waiting.push(Arc::clone(slot));
    }

    /// The owner does not block any more. Whom to nudge, with no lock held.
    pub(super) fn unblock(self: &Arc<Self>, slot: &Arc<Slot>, disarm: bool) -> Option<Arc<Slot>> {
        let mut hub = self.lock();
        if disarm {
            hub.waiting.retain(|waiting| !Arc::ptr_eq(waiting, slot));
        }
        if !hub.leader.is(slot) {
            return None;
        }
        // It had been chosen, and has not come to it.
        hub.leader = Leader::Nobody;
        hub.choose_if_nobody(self)
    }

    /// Leads until the subscription has something to see, or the time is over: whether it is over.
    pub(super) fn lead(
        self: &Arc<Self>,
        watch: Box<WatchLoop>,
        slot: &Slot,
        deadline: Option<Instant>,
    ) -> bool {
        let mut leading = Leading { shared: self, watch: Some(watch) };
        let _quick = QuickTimers::set();
        if leading.rest().is_none() {
            leading.turn();
        }
        let mut looked_last = false;
        loop {
            self.alarm.lower();
            if self.distribute() || slot.has_something() {
                return false;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                if std::mem::replace(&mut looked_last, true) {
                    return true;
                }
                leading.turn();
            } else if leading.sleep(left) != Reason::Alarm {
                leading.turn();
            }
        }
    }

    /// Looks once, unless somebody leads who does that anyway.
    pub(super) fn visit(self: &Arc<Self>) {
        let mut hub = self.lock();
        if !matches!(hub.leader, Leader::Nobody) || hub.thread_runs || hub.stopped {
            return;
        }
        let Some(watch) = hub.watch.take() else { return };
        hub.leader = Leader::Visitor;
        drop(hub);
        Leading { shared: self, watch: Some(watch) }.turn();
    }

    // --- News. ---

    /// A thread of this process has committed. Takes a microsecond or so, however many wait.
    pub(super) fn announce(&self) {
        self.announced.announce();
        self.moves();
        let mut hub = self.lock();
        let leads = !matches!(hub.leader, Leader::Nobody | Leader::Visitor);
        let to_wake = if hub.waiting.len() <= DIRECT_MAX || !leads {
            std::mem::take(&mut hub.waiting)
        } else {
            hub.undistributed = true;
            Vec::new()
        };
        let alarm = hub.undistributed || matches!(hub.leader, Leader::Wait(_));
        drop(hub);
        if alarm {
            self.alarm.raise();
        }
        Slot::rouse_all(to_wake);
    }

    /// Something was committed, which was about this, to what is not watched by looking.
    pub(super) fn announce_changes(&self, changes: Arc<[Change]>) {
        self.log(changes);
        self.health.wakes.fetch_add(1, Ordering::Relaxed);
        let to_wake = std::mem::take(&mut self.lock().waiting);
        Slot::rouse_all(to_wake);
    }

    /// Whoever leads has found a commit.
    fn wake(&self) {
        self.moves();
        let to_wake = std::mem::take(&mut self.lock().waiting);
        Slot::rouse_all(to_wake);
    }

    fn moves(&self) {
        self.health.wakes.fetch_add(1, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Wakes those that an announcer has left to whoever leads. Whether the leader has to leave.
    pub(super) fn distribute(&self) -> bool {
        let mut hub = self.lock();
        let leave = hub.stopped || hub.thread_runs && !matches!(hub.leader, Leader::Thread);
        if std::mem::take(&mut hub.undistributed) {
            let to_wake = std::mem::take(&mut hub.waiting);
            drop(hub);
            Slot::rouse_all(to_wake);
        }
        leave
    }

    /// Tells all subscribers, present and later ones, that there will be no more wakes.
    fn die(&self, reason: &Error) {
        let mut hub = self.lock();
        hub.died.get_or_insert_with(|| reason.clone());
        let all = std::mem::take(&mut hub.subscriptions);
        drop(hub);
        all.iter().filter_map(Weak::upgrade).for_each(|slot| slot.end(reason));
    }
}

/// Somebody leads. Dropping it puts the watch loop back and hands on; if by a panic, the watcher is dead.
pub(super) struct Leading<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) watch: Option<Box<WatchLoop>>,
}

impl Leading<'_> {
    fn rest(&self) -> Option<Duration> {
        self.watch.as_ref()?.rest()
    }

    pub(super) fn sleep(&self, time: Option<Duration>) -> Reason {
        self.watch.as_ref().map_or(Reason::Alarm, |watch| watch.sleep(&self.shared.alarm, time))
    }

    pub(super) fn turn(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        match watch.turn() {
            Turn::Quiet => {}
            Turn::Commit => self.shared.wake(),
            Turn::Died(reason) => self.shared.die(&reason),
        }
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.die(&Error::Watcher("watcher died: internal error, please report it".to_owned()));
        }
        if self.shared.died().is_some() {
            // Its connection is closed before anybody can see that nobody leads.
            self.watch = None;
        }
        let mut hub = self.shared.lock();
        hub.watch = self.watch.take();
        hub.leader = Leader::Nobody;
        let chosen = hub.choose_if_nobody(self.shared);
        let mut to_wake = Vec::new();
        if hub.undistributed && chosen.is_none() && !hub.thread_runs {
            hub.undistributed = false;
            to_wake = std::mem::take(&mut hub.waiting);
        }
        drop(hub);
        self.shared.returned.notify_all();
        Slot::rouse_all(to_wake);
        Slot::nudge(chosen);
    }
}
