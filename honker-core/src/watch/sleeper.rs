//! How a watcher's thread sleeps: until an event of the file system, a call to stop, or the end of a time.
//!
//! On Linux it sleeps in `poll` on an inotify descriptor and an eventfd. The watch is on the file whose writes announce a
//! commit, by name: no descriptor of our own on a database file, ever, because closing one drops the locks of the whole
//! process. Elsewhere there are no events yet, and it sleeps on a condition variable.

use std::time::Duration;

/// Why a sleep is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The time is over.
    Time,
    /// The file that is watched was written to, or has changed in another way.
    Event,
    /// The watcher is to stop.
    Stop,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::Arc;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

    use super::*;
    use crate::Result;
    use crate::watch::descriptor::{Descriptor, no_descriptor};

    /// Ends sleeps, from any thread.
    #[derive(Debug, Clone)]
    pub(in crate::watch) struct Alarm(Arc<Descriptor>);

    impl Alarm {
        pub(in crate::watch) fn new() -> Result<Self> {
            Ok(Alarm(Arc::new(Descriptor::new()?)))
        }

        /// Ends the sleep that is running and all later ones.
        pub(in crate::watch) fn stop(&self) {
            self.0.raise();
        }
    }

    pub(in crate::watch) struct Sleeper {
        alarm: Alarm,
        events: Option<OwnedFd>,
        watch: Option<i32>,
    }

    impl Sleeper {
        pub(in crate::watch) fn new(alarm: Alarm) -> Self {
            Sleeper { alarm, events: None, watch: None }
        }

        /// Sleeps for events of a file from now on, instead of another one.
        pub(in crate::watch) fn watch_file(&mut self, path: &str) -> Result<()> {
            let changes =
                WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
            self.watch(path, changes)
        }

        /// Sleeps for files that appear in a directory from now on.
        pub(in crate::watch) fn watch_directory(&mut self, path: &str) -> Result<()> {
            self.watch(path, WatchFlags::CREATE | WatchFlags::MOVED_TO)
        }

        /// There are no events any more.
        pub(in crate::watch) fn forget_events(&mut self) {
            self.events = None;
            self.watch = None;
        }

        fn watch(&mut self, path: &str, what: WatchFlags) -> Result<()> {
            if self.events.is_none() {
                let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
                self.events = Some(events.map_err(no_descriptor)?);
            }
            let Some(events) = &self.events else { return Ok(()) };
            let watch = inotify::add_watch(events, path, what).map_err(no_descriptor)?;
            if let Some(before) = self.watch.replace(watch).filter(|before| *before != watch) {
                // The file may be gone, and the watch with it.
                let _ = inotify::remove_watch(events, before);
            }
            Ok(())
        }

        pub(in crate::watch) fn sleep(&mut self, time: Duration) -> Reason {
            let time = Timespec::try_from(time).ok();
            let stop = PollFd::new(&*self.alarm.0, PollFlags::IN);
            let alarmed = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::IN);
            match &self.events {
                Some(events) => {
                    let mut fds = [stop, PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)];
                    let _ = poll(&mut fds, time.as_ref());
                    if alarmed(&fds[0]) {
                        Reason::Stop
                    } else if alarmed(&fds[1]) {
                        self.drain();
                        Reason::Event
                    } else {
                        Reason::Time
                    }
                }
                None => {
                    let mut fds = [stop];
                    let _ = poll(&mut fds, time.as_ref());
                    if alarmed(&fds[0]) { Reason::Stop } else { Reason::Time }
                }
            }
        }

        /// Whether there are events that have not ended a sleep yet.
        pub(in crate::watch) fn has_events(&self) -> bool {
            let Some(events) = &self.events else { return false };
            let mut fds = [PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
        }

        /// Forgets the events that are there; whether there were any.
        pub(in crate::watch) fn drain(&self) -> bool {
            let Some(events) = &self.events else { return false };
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = Reader::new(events, &mut buffer);
            let mut any = false;
            while reader.next().is_ok() {
                any = true;
            }
            any
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::{Alarm, Sleeper};

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::sync::{Arc, Condvar, Mutex, PoisonError};

    use super::*;
    use crate::{Error, Result};

    /// Ends sleeps, from any thread.
    #[derive(Debug, Clone, Default)]
    pub(in crate::watch) struct Alarm(Arc<(Mutex<bool>, Condvar)>);

    impl Alarm {
        pub(in crate::watch) fn new() -> Result<Self> {
            Ok(Alarm::default())
        }

        /// Ends the sleep that is running and all later ones.
        pub(in crate::watch) fn stop(&self) {
            *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.0.1.notify_all();
        }
    }

    pub(in crate::watch) struct Sleeper {
        alarm: Alarm,
    }

    impl Sleeper {
        pub(in crate::watch) fn new(alarm: Alarm) -> Self {
            Sleeper { alarm }
        }

        pub(in crate::watch) fn watch_file(&mut self, _: &str) -> Result<()> {
            Err(Error::invalid("events of the file system are not supported on this system yet"))
        }

        pub(in crate::watch) fn watch_directory(&mut self, path: &str) -> Result<()> {
            self.watch_file(path)
        }

        pub(in crate::watch) fn forget_events(&mut self) {}

        pub(in crate::watch) fn sleep(&mut self, time: Duration) -> Reason {
            let stop = self.alarm.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.alarm.0.1.wait_timeout_while(stop, time, |stop| !*stop);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 { Reason::Stop } else { Reason::Time }
        }

        pub(in crate::watch) fn has_events(&self) -> bool {
            false
        }

        pub(in crate::watch) fn drain(&self) -> bool {
            false
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use portable::{Alarm, Sleeper};
