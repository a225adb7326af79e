//! The descriptor of a subscription, for event loops: one number for the subscription's life.
//!
//! Mostly it is a [`Descriptor`], raised and lowered with what there is to see. On Linux that of a subscription that was the
//! only one of its watcher is an epoll set of three: that descriptor, and, while it is [attached](Outlet::attach), the
//! events of the file system themselves and a timer for the loop's next look. Then no thread has to run: the set becomes
//! readable, and a wait of no time drives the watch loop. It may be readable although nothing was committed.
//!
//! Threads: raised and lowered under the lock of its subscription; attached, detached and armed under that of the watcher.

#[cfg(target_os = "linux")]
use crate::Result;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::time::Duration;

    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use super::*;
    use crate::watch::descriptor::{Descriptor, no_descriptor};
    use crate::watch::watch_loop::Nap;

    pub(in crate::watch) struct Outlet {
        descriptor: Descriptor,
        set: Option<Set>,
    }

    struct Set {
        epoll: OwnedFd,
        timer: OwnedFd,
        attached: AtomicU8,
    }

    const NOT: u8 = 0;
    const TIMER_ONLY: u8 = 1;
    const LISTENING: u8 = 2;

    /// Looks that follow a commit are rarely worth a turn of the host's loop.
    const FOUND_NAP_MIN: Duration = Duration::from_millis(1);

    impl Outlet {
        /// `attachable`: with room for the events of the file system.
        pub(in crate::watch) fn new(attachable: bool) -> Result<Self> {
            let descriptor = Descriptor::new()?;
            let set = if attachable { Some(Set::new(&descriptor)?) } else { None };
            Ok(Outlet { descriptor, set })
        }

        pub(in crate::watch) fn is_attachable(&self) -> bool {
            self.set.is_some()
        }

        pub(in crate::watch) fn number(&self) -> RawFd {
            self.set.as_ref().map_or(self.descriptor.as_raw_fd(), |set| set.epoll.as_raw_fd())
        }

        pub(in crate::watch) fn raise(&self) {
            self.descriptor.raise();
        }

        pub(in crate::watch) fn lower(&self) {
            self.descriptor.lower();
        }

        /// Readable from now on when there are events, if the nap listens, and when it is over.
        pub(in crate::watch) fn attach(
            &self,
            events: Option<BorrowedFd<'_>>,
            nap: Nap,
            has_found: bool,
        ) -> Result<()> {
            let (Some(set), Some(events)) = (&self.set, events) else { return Ok(()) };
            let wanted = if nap.listen { LISTENING } else { TIMER_ONLY };
            let before = set.attached.swap(wanted, Ordering::SeqCst);
            if before != wanted {
                let flags = if nap.listen { EventFlags::IN } else { EventFlags::empty() };
                let data = EventData::new_u64(0);
                if before == NOT {
                    epoll::add(&set.epoll, events, data, flags).map_err(no_descriptor)?;
                } else {
                    epoll::modify(&set.epoll, events, data, flags).map_err(no_descriptor)?;
                }
            }
            let time = if has_found { nap.time.max(FOUND_NAP_MIN) } else { nap.time };
            // A time of 0 would be none at all.
            set.arm(time.max(Duration::from_nanos(1)));
            Ok(())
        }

        /// Readable from now on only while there is something to see.
        pub(in crate::watch) fn detach(&self, events: Option<BorrowedFd<'_>>) {
            let Some(set) = &self.set else { return };
            if set.attached.swap(NOT, Ordering::SeqCst) != NOT {
                // If there are no events any more, they have left the set by themselves.
                if let Some(events) = events {
                    let _ = epoll::delete(&set.epoll, events);
                }
                set.arm(Duration::ZERO);
            }
        }
    }

    impl Set {
        fn new(descriptor: &Descriptor) -> Result<Self> {
            let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(no_descriptor)?;
            let timer =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
                    .map_err(no_descriptor)?;
            epoll::add(&epoll, descriptor, EventData::new_u64(0), EventFlags::IN).map_err(no_descriptor)?;
            epoll::add(&epoll, &timer, EventData::new_u64(0), EventFlags::IN).map_err(no_descriptor)?;
            Ok(Set { epoll, timer, attached: AtomicU8::new(NOT) })
        }

        /// Also makes it unreadable.
        fn arm(&self, time: Duration) {
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let it_value = Timespec::try_from(time).unwrap_or(never);
            let when = Itimerspec { it_interval: never, it_value };
            let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &when);
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::Outlet;

#[cfg(not(target_os = "linux"))]
mod portable {
    #[cfg(unix)]
    use crate::Result;
    use crate::watch::descriptor::Descriptor;

    pub(in crate::watch) struct Outlet(Descriptor);

    impl Outlet {
        #[cfg(unix)]
        pub(in crate::watch) fn new(_: bool) -> Result<Self> {
            Descriptor::new().map(Outlet)
        }

        #[cfg(unix)]
        pub(in crate::watch) fn number(&self) -> std::os::fd::RawFd {
            std::os::fd::AsRawFd::as_raw_fd(&self.0)
        }

        pub(in crate::watch) fn is_attachable(&self) -> bool {
            false
        }

        pub(in crate::watch) fn raise(&self) {
            self.0.raise();
        }

        pub(in crate::watch) fn lower(&self) {
            self.0.lower();
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use portable::Outlet;
