//! The watcher's own thread: it leads where nobody else can be relied on to (`leading.rs`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::hub::{Hub, Leader};
use super::leading::Leading;
use super::shared::Shared;
use super::sleeper::Reason;
use super::timers::QuickTimers;
use crate::{Error, Result};

/// How long the thread goes on when it is not needed any more: the next one to need it may come soon.
const LINGER: Duration = Duration::from_secs(2);

impl Shared {
    pub(super) fn polls(&self) -> bool {
        self.health.polls.load(Ordering::Relaxed)
    }

    /// Whether descriptors have to be raised by somebody who is always there.
    fn needs_thread(&self, hub: &Hub) -> bool {
        self.threaded
            || self.log.is_none() && hub.outlets > 0 && (self.polls() || hub.live > 1 || hub.sole().is_none())
    }

    /// Starts the thread if it is needed and does not run.
    pub(super) fn see_to_thread(self: &Arc<Self>, hub: &mut Hub) -> Result<()> {
        if hub.thread_runs || hub.stopped || hub.died.is_some() || !self.needs_thread(hub) {
            return Ok(());
        }
        hub.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("honker-watcher".to_owned()).spawn(move || {
            block_signals();
            let _quick = QuickTimers::set();
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
}

/// Signals are for the threads of the host.
pub fn block_signals() {
    #[cfg(unix)]
    // SAFETY: it fills a set of our own, and makes it the mask of this thread, which is ours as well.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}
