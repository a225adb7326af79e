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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::announced::Announced;
use super::health::Health;
use super::sleeper::{Alarm, Reason};
use super::subscription::Slot;
use super::watch_loop::{Turn, WatchLoop};
use crate::fork::Process;
use crate::{Error, Result};

/// So many are woken by a committing thread itself; more, by whoever leads.
const DIRECT_MAX: usize = 2;

/// How long the thread goes on when it is not needed any more: the next one to need it may come soon.
const LINGER: Duration = Duration::from_secs(2);

/// What all that have to do with a watcher share.
pub(super) struct Shared {
    pub(super) process: Process,
    pub(super) health: Arc<Health>,
    pub(super) announced: Arc<Announced>,
    /// Moves with every commit that subscribers have to hear of.
    generation: AtomicU64,
    /// Ends the sleep of whoever leads.
    alarm: Alarm,
    hub: Mutex<Hub>,
    /// The watch loop has been put back, or nobody will put it back.
    returned: Condvar,
    /// For tests: the thread leads, always.
    threaded: bool,
}

struct Hub {
    /// Here while nobody leads.
    watch: Option<Box<WatchLoop>>,
    leader: Leader,
    /// Whom the next commit has to wake.
    waiting: Vec<Arc<Slot>>,
    /// More of them have been announced a commit than the announcer could wake.
    undistributed: bool,
    subscriptions: Vec<Weak<Slot>>,
    /// Gone subscriptions are cleared away when there are this many.
    clear_at: usize,
    /// How many subscriptions there are, and how many of them have a descriptor.
    live: usize,
    outlets: usize,
    /// The thread leads, or is about to.
    thread_runs: bool,
    threads: Vec<JoinHandle<()>>,
    died: Option<Error>,
    stopped: bool,
}

enum Leader {
    Nobody,
    /// One that is blocked in a wait, or has been chosen and is about to take the loop.
    Wait(Weak<Slot>),
    /// Somebody who asks without waiting.
    Visitor,
    Thread,
}

impl Leader {
    fn is(&self, slot: &Arc<Slot>) -> bool {
        matches!(self, Leader::Wait(leader) if std::ptr::eq(leader.as_ptr(), Arc::as_ptr(slot)))
    }
}

impl Shared {
    pub(super) fn new(process: Process, threaded: bool) -> Result<Self> {
        Ok(Shared {
            process,
            health: Arc::default(),
            announced: Arc::default(),
            generation: AtomicU64::new(0),
            alarm: Alarm::new()?,
            hub: Mutex::new(Hub {
                watch: None,
                leader: Leader::Nobody,
                waiting: Vec::new(),
                undistributed: false,
                subscriptions: Vec::new(),
                clear_at: 16,
                live: 0,
                outlets: 0,
                thread_runs: false,
                threads: Vec::new(),
                died: None,
                stopped: false,
            }),
            returned: Condvar::new(),
            threaded,
        })
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

    // --- Subscriptions come and go. ---

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
            let attachable = hub.live == 1 && !self.threaded && !self.polls() && cfg!(target_os = "linux");
            make(attachable)?;
            hub.outlets += 1;
        }
        self.see_to_thread(&mut hub)?;
        Ok(hub.choose_if_nobody(self))
    }

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
    fn distribute(&self) -> bool {
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

    // --- The thread. ---

    fn polls(&self) -> bool {
        self.health.polls.load(Ordering::Relaxed)
    }

    /// Whether descriptors have to be raised by somebody who is always there.
    fn needs_thread(&self, hub: &Hub) -> bool {
        self.threaded || hub.outlets > 0 && (self.polls() || hub.live > 1 || hub.sole().is_none())
    }

    /// Starts the thread if it is needed and does not run.
    fn see_to_thread(self: &Arc<Self>, hub: &mut Hub) -> Result<()> {
        if hub.thread_runs || hub.stopped || hub.died.is_some() || !self.needs_thread(hub) {
            return Ok(());
        }
        hub.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("honker-watcher".to_owned()).spawn(move || {
            be_a_quiet_thread();
            // A panic has been told to everybody when the loop was put back.
            if catch_unwind(AssertUnwindSafe(|| shared.run_thread())).is_err() {
                shared.lock().thread_runs = false;
            }
        });
        let thread = thread.map_err(|error| Error::system("a thread for the watcher", &error))?;
        hub.threads.push(thread);
        hub.thread_runs = true;
        // Whoever leads now is to leave.
        self.alarm.raise();
        Ok(())
    }

    fn run_thread(self: &Arc<Self>) {
        let mut hub = self.lock();
        let watch = loop {
            if hub.stopped || hub.died.is_some() {
                hub.thread_runs = false;
                return;
            }
            if let Some(watch) = hub.watch.take() {
                break watch;
            }
            hub = self.returned.wait(hub).unwrap_or_else(PoisonError::into_inner);
        };
        hub.leader = Leader::Thread;
        hub.detach_all_from(&watch);
        drop(hub);
        let mut leading = Leading { shared: self, watch: Some(watch) };
        let mut needed = Instant::now();
        leading.turn();
        loop {
            self.alarm.lower();
            if self.distribute() || self.died().is_some() {
                break;
            }
            if self.needs_thread(&self.lock()) {
                needed = Instant::now();
            } else if needed.elapsed() >= LINGER {
                break;
            }
            if leading.sleep(None) != Reason::Alarm {
                leading.turn();
            }
        }
        self.lock().thread_runs = false;
    }

    // --- The end. ---

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

    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// The only subscription, if it has a descriptor that can contain the events.
    fn sole(&self) -> Option<Arc<Slot>> {
        if self.live != 1 {
            return None;
        }
        let mut all = self.subscriptions.iter().filter_map(Weak::upgrade);
        all.find(|slot| slot.outlet().is_some_and(super::outlet::Outlet::is_attachable) && !slot.has_left())
    }

    /// If nobody leads: somebody who is blocked is chosen, to be nudged with no lock held; or the descriptor of the only
    /// subscription gets the events.
    fn choose_if_nobody(&mut self, shared: &Arc<Shared>) -> Option<Arc<Slot>> {
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
    fn detach_all(&self) {
        if let Some(watch) = &self.watch
            && self.live != 1
        {
            self.detach_all_from(watch);
        }
    }

    fn detach_all_from(&self, watch: &WatchLoop) {
        #[cfg(target_os = "linux")]
        for slot in self.subscriptions.iter().filter_map(Weak::upgrade) {
            if let Some(outlet) = slot.outlet() {
                outlet.detach(watch.events().descriptor());
            }
        }
        let _ = watch;
    }

    fn detach(&self, outlet: &super::outlet::Outlet) {
        #[cfg(target_os = "linux")]
        outlet.detach(self.watch.as_ref().and_then(|watch| watch.events().descriptor()));
        let _ = outlet;
    }
}

/// Somebody leads. Dropping it puts the watch loop back and hands on; if by a panic, the watcher is dead.
struct Leading<'a> {
    shared: &'a Arc<Shared>,
    watch: Option<Box<WatchLoop>>,
}

impl Leading<'_> {
    fn rest(&self) -> Option<Duration> {
        self.watch.as_ref()?.rest()
    }

    fn sleep(&self, time: Option<Duration>) -> Reason {
        self.watch.as_ref().map_or(Reason::Alarm, |watch| watch.sleep(&self.shared.alarm, time))
    }

    fn turn(&mut self) {
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

/// A nap of 20 µs is to be one, not one of 70, while this thread leads.
struct QuickTimers {
    #[cfg(target_os = "linux")]
    before: Option<std::num::NonZeroU64>,
}

impl QuickTimers {
    fn set() -> Self {
        #[cfg(target_os = "linux")]
        {
            let before = rustix::thread::current_timer_slack().ok().and_then(std::num::NonZeroU64::new);
            let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
            QuickTimers { before }
        }
        #[cfg(not(target_os = "linux"))]
        QuickTimers {}
    }
}

impl Drop for QuickTimers {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_current_timer_slack(self.before);
    }
}

/// Signals are for the threads of the host; and naps as for [`QuickTimers`].
fn be_a_quiet_thread() {
    #[cfg(unix)]
    // SAFETY: it fills a set of our own, and makes it the mask of this thread, which is ours as well.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}
