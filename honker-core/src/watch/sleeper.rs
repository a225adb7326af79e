//! What ends the sleep of whoever watches: an event of the file system, an alarm, or the end of a time.
//!
//! On Linux [`Events`] is an inotify descriptor, and a sleep is a `poll` of it and of an eventfd. The watches are on the
//! file whose writes announce a commit, and on the database for being replaced, by name: no descriptor of our own on a
//! database file, ever, because closing one drops the locks of the whole process. Elsewhere there are no events yet, and
//! one sleeps on a condition variable.
//!
//! Threads: an [`Alarm`] is raised by any; events are used by one at a time.

use std::time::Duration;

/// Why a sleep is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The time is over, or a signal came.
    Time,
    /// There are events.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing tells of events there"))]
    Event,
    /// Somebody raised the alarm.
    Alarm,
}

/// What the events that were there were about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// There were any.
    pub(super) any: bool,
    /// A file may not be the one any more that has its name.
    pub(super) identity: bool,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

    use super::*;
    use crate::Result;
    use crate::watch::descriptor::{Descriptor, no_descriptor};

    /// Ends the sleep that is running, or else the next one. Raised and not lowered yet, it costs an atomic operation.
    #[derive(Debug)]
    pub(in crate::watch) struct Alarm {
        descriptor: Descriptor,
        raised: AtomicBool,
    }

    impl Alarm {
        pub(in crate::watch) fn new() -> Result<Self> {
            Ok(Alarm { descriptor: Descriptor::new()?, raised: AtomicBool::new(false) })
        }

        /// To be called after what the sleeper is to look at has been changed.
        pub(in crate::watch) fn raise(&self) {
            if !self.raised.swap(true, Ordering::SeqCst) {
                self.descriptor.raise();
            }
        }

        /// To be called before the sleeper looks at what may have been changed.
        pub(in crate::watch) fn lower(&self) {
            if self.raised.load(Ordering::SeqCst) {
                self.clear();
            }
        }

        fn clear(&self) {
            // In this order: who raises it between the two writes nothing, but has changed what is looked at next.
            self.descriptor.lower();
            self.raised.store(false, Ordering::SeqCst);
        }

        /// Whether it ended a sleep. It is lowered then, also if its flag is already: who raised it may have written only
        /// after that.
        fn has_ended(&self, fd: &PollFd<'_>) -> bool {
            let ended = fd.revents().intersects(PollFlags::IN);
            if ended {
                self.clear();
            }
            ended
        }
    }

    #[derive(Default)]
    pub(in crate::watch) struct Events {
        inotify: Option<OwnedFd>,
        /// The watches of the file that is written to, and of the database if that is another.
        written: Option<i32>,
        file: Option<i32>,
    }

    const IDENTITY: WatchFlags =
        WatchFlags::ATTRIB.union(WatchFlags::MOVE_SELF).union(WatchFlags::DELETE_SELF);

    impl Events {
        /// Events of a database from now on, `written` being the file of it that a commit writes to.
        pub(in crate::watch) fn watch_file(&mut self, written: &str, database: &str) -> Result<()> {
            let watch = self.add(written, WatchFlags::MODIFY | IDENTITY)?;
            // Two watches of one file would be one, with the second one's flags.
            let file = if written == database { None } else { Some(self.add(database, IDENTITY)?) };
            self.forget_others(Some(watch), file);
            Ok(())
        }

        /// Events of files that appear in a directory from now on.
        pub(in crate::watch) fn watch_directory(&mut self, path: &str) -> Result<()> {
            let watch = self.add(path, WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
            self.forget_others(Some(watch), None);
            Ok(())
        }

        /// There will be no events any more. The descriptor stays: it may be in the set of an event loop.
        pub(in crate::watch) fn forget(&mut self) {
            self.forget_others(None, None);
            self.drain();
        }

        fn add(&mut self, path: &str, what: WatchFlags) -> Result<i32> {
            if self.inotify.is_none() {
                let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
                self.inotify = Some(inotify.map_err(no_descriptor)?);
            }
            let Some(inotify) = &self.inotify else { return Ok(-1) };
            inotify::add_watch(inotify, path, what).map_err(no_descriptor)
        }

        fn forget_others(&mut self, written: Option<i32>, file: Option<i32>) {
            let before =
                [std::mem::replace(&mut self.written, written), std::mem::replace(&mut self.file, file)];
            let Some(inotify) = &self.inotify else { return };
            for watch in before.into_iter().flatten() {
                if Some(watch) != written && Some(watch) != file {
                    // The file may be gone, and the watch with it.
                    let _ = inotify::remove_watch(inotify, watch);
                }
            }
        }

        /// Readable while there are events.
        pub(in crate::watch) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            self.inotify.as_ref().map(AsFd::as_fd)
        }

        /// Whether there are events.
        pub(in crate::watch) fn any(&self) -> bool {
            let Some(inotify) = &self.inotify else { return false };
            let mut fds = [PollFd::new(inotify, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
        }

        /// Forgets the events that are there; what they were about.
        pub(in crate::watch) fn drain(&self) -> Seen {
            /// wd, mask, cookie, len; then a name of that length.
            const HEADER: usize = 16;
            /// With the longest name that there is.
            const EVENT_MAX: usize = HEADER + 256;
            let mut seen = Seen::default();
            let Some(inotify) = &self.inotify else { return seen };
            let mut buffer = [0_u8; 4096];
            while let Ok(length) = rustix::io::read(inotify, &mut buffer) {
                let mut rest = &buffer[..length];
                while rest.len() >= HEADER {
                    let word =
                        |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
                    let (mask, name) = (word(4), word(12) as usize);
                    seen.any = true;
                    seen.identity |= WatchFlags::from_bits_retain(mask).intersects(IDENTITY);
                    rest = rest.get(HEADER + name..).unwrap_or_default();
                }
                if length + EVENT_MAX <= buffer.len() {
                    break;
                }
            }
            seen
        }

        /// Sleeps. Events end it only if it is to `listen`.
        pub(in crate::watch) fn sleep(&self, alarm: &Alarm, time: Duration, listen: bool) -> Reason {
            let time = Timespec::try_from(time).ok();
            let stop = PollFd::new(&alarm.descriptor, PollFlags::IN);
            match self.inotify.as_ref().filter(|_| listen) {
                Some(inotify) => {
                    let mut fds = [stop, PollFd::new(inotify, PollFlags::IN)];
                    let _ = poll(&mut fds, time.as_ref());
                    if alarm.has_ended(&fds[0]) {
                        Reason::Alarm
                    } else if fds[1].revents().intersects(PollFlags::IN) {
                        Reason::Event
                    } else {
                        Reason::Time
                    }
                }
                None => {
                    let mut fds = [stop];
                    let _ = poll(&mut fds, time.as_ref());
                    if alarm.has_ended(&fds[0]) { Reason::Alarm } else { Reason::Time }
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Who raises an alarm may be held up between its flag and its descriptor, until after both were lowered. That ends
        /// one sleep too many, but not every one.
        #[test]
        fn an_alarm_that_comes_late_ends_one_sleep() {
            let (alarm, events) = (Alarm::new().unwrap(), Events::default());
            alarm.raised.store(true, Ordering::SeqCst);
            alarm.lower();
            alarm.descriptor.raise();
            let sleep = || {
                alarm.lower();
                events.sleep(&alarm, Duration::from_millis(1), true)
            };
            assert_eq!([sleep(), sleep()], [Reason::Alarm, Reason::Time]);
            alarm.raise();
            assert_eq!(
                [events.sleep(&alarm, Duration::from_secs(60), true), sleep()],
                [Reason::Alarm, Reason::Time]
            );
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::{Alarm, Events};

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

    use super::*;
    use crate::{Error, Result};

    /// Ends the sleep that is running, or else the next one.
    #[derive(Debug, Default)]
    pub(in crate::watch) struct Alarm {
        raised: Mutex<bool>,
        changed: Condvar,
    }

    impl Alarm {
        pub(in crate::watch) fn new() -> Result<Self> {
            Ok(Alarm::default())
        }

        /// To be called after what the sleeper is to look at has been changed.
        pub(in crate::watch) fn raise(&self) {
            *self.lock() = true;
            self.changed.notify_all();
        }

        /// To be called before the sleeper looks at what may have been changed.
        pub(in crate::watch) fn lower(&self) {
            *self.lock() = false;
        }

        fn lock(&self) -> MutexGuard<'_, bool> {
            self.raised.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Default)]
    pub(in crate::watch) struct Events;

    impl Events {
        pub(in crate::watch) fn watch_file(&mut self, _: &str, _: &str) -> Result<()> {
            Err(Error::invalid("events of the file system are not supported on this system yet"))
        }

        pub(in crate::watch) fn watch_directory(&mut self, path: &str) -> Result<()> {
            self.watch_file(path, path)
        }

        pub(in crate::watch) fn forget(&mut self) {}

        pub(in crate::watch) fn sleep(&self, alarm: &Alarm, time: Duration, _: bool) -> Reason {
            let waited = alarm.changed.wait_timeout_while(alarm.lock(), time, |raised| !*raised);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 { Reason::Alarm } else { Reason::Time }
        }

        pub(in crate::watch) fn any(&self) -> bool {
            false
        }

        pub(in crate::watch) fn drain(&self) -> Seen {
            Seen::default()
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use portable::{Alarm, Events};
