//! The descriptor of a [`Waiter`](super::Waiter) for event loops: readable when there may be something to look at.
//!
//! On Linux it is an epoll set of the subscription's descriptor (a commit, a wake, the end), an eventfd that the waiter
//! raises itself, and two timers: one for a second of the machine's clock, which is also readable when somebody sets that
//! clock, and one for a time from now. The kernel does the rest: it works level-triggered, edge-triggered, and within
//! another set, and costs nothing until it is readable. On other Unix systems a kqueue does the same.
//!
//! Threads: the waiter's lock is held by whoever changes it.

use std::time::Instant;

use super::clock::{CLOCK_CHECK, WAIT_MIN, time_until};
#[cfg(unix)]
use crate::Result;
#[cfg(unix)]
use crate::watch::Subscription;

/// When a descriptor becomes readable without anybody's doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Deadline {
    /// A second of the machine's clock.
    pub(super) at: Option<i64>,
    /// A moment that no clock changes.
    pub(super) after: Option<Instant>,
}

impl Deadline {
    /// The earlier of each.
    pub(super) fn earlier(self, other: Deadline) -> Deadline {
        Deadline {
            at: [self.at, other.at].into_iter().flatten().min(),
            after: [self.after, other.after].into_iter().flatten().min(),
        }
    }

    /// Whether one of them has come.
    pub(super) fn is_over(self, now: Instant) -> bool {
        self.after.is_some_and(|after| after <= now) || self.at.is_some_and(|at| time_until(at).is_zero())
    }

    /// How long to sleep at most, for who looks at the clock again afterwards.
    pub(super) fn left(self, now: Instant) -> Option<std::time::Duration> {
        let at = self.at.map(|at| time_until(at).clamp(WAIT_MIN, CLOCK_CHECK));
        [at, self.after.map(|after| after.saturating_duration_since(now))].into_iter().flatten().min()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
    use std::time::Duration;

    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::io::{Errno, read, write};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use super::*;
    use crate::watch::no_descriptor;

    /// See the module documentation.
    pub(in crate::consume) struct Readiness {
        set: OwnedFd,
        raised: OwnedFd,
        wall: OwnedFd,
        steady: OwnedFd,
        armed: Deadline,
    }

    impl Readiness {
        pub(in crate::consume) fn new(subscription: &Subscription) -> Result<Self> {
            let timer = |clock| timerfd_create(clock, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
            let readiness = Readiness {
                set: epoll::create(CreateFlags::CLOEXEC).map_err(no_descriptor)?,
                raised: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(no_descriptor)?,
                wall: timer(TimerfdClockId::Realtime).map_err(no_descriptor)?,
                steady: timer(TimerfdClockId::Monotonic).map_err(no_descriptor)?,
                armed: Deadline::default(),
            };
            // SAFETY: the subscription outlives this: the waiter owns both, and this one goes first.
            let commits = unsafe { BorrowedFd::borrow_raw(subscription.descriptor()?) };
            for source in [&readiness.raised, &readiness.wall, &readiness.steady] {
                epoll::add(&readiness.set, source, EventData::new_u64(0), EventFlags::IN)
                    .map_err(no_descriptor)?;
            }
            epoll::add(&readiness.set, commits, EventData::new_u64(0), EventFlags::IN)
                .map_err(no_descriptor)?;
            Ok(readiness)
        }

        pub(in crate::consume) fn descriptor(&self) -> RawFd {
            self.set.as_raw_fd()
        }

        /// Makes it readable until [`Readiness::lower`].
        pub(in crate::consume) fn raise(&self) {
            // It fails only when it is full: then it is readable.
            let _ = write(&self.raised, &1_u64.to_ne_bytes());
        }

        /// Takes back what `raise` and the timers have said. What has fired has to be armed again.
        pub(in crate::consume) fn lower(&mut self) {
            let said = |source: &OwnedFd| read(source, &mut [0_u8; 8]) != Err(Errno::AGAIN);
            said(&self.raised);
            if said(&self.wall) {
                self.armed.at = None;
            }
            if said(&self.steady) {
                self.armed = Deadline::default();
            }
        }

        /// Makes it readable at this deadline as well.
        pub(in crate::consume) fn arm_by(&mut self, deadline: Deadline) {
            self.arm(self.armed.earlier(deadline));
        }

        /// Makes it readable at this deadline instead of the one before.
        pub(in crate::consume) fn arm(&mut self, deadline: Deadline) {
            // A clock that a test sets is not the kernel's: we look at it again and again.
            let tested = cfg!(feature = "faults");
            if deadline.after != self.armed.after || (tested && deadline.at != self.armed.at) {
                let left = match deadline.after {
                    _ if tested && deadline.at.is_some() => Some(CLOCK_CHECK),
                    after => after.map(|after| after.saturating_duration_since(Instant::now())),
                };
                // Zero would disarm it.
                let left = left.map_or(Duration::ZERO, |left| left.max(Duration::from_nanos(1)));
                set(&self.steady, TimerfdTimerFlags::empty(), left);
            }
            if deadline.at != self.armed.at && !tested {
                let at = deadline.at.map_or(0, |at| u64::try_from(at).unwrap_or(0).max(1));
                let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
                set(&self.wall, flags, Duration::from_secs(at));
            }
            self.armed = deadline;
        }
    }

    fn set(timer: &OwnedFd, flags: TimerfdTimerFlags, value: Duration) {
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // What is too far for the kernel is too far for everybody.
        let value = Timespec::try_from(value).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        // It cannot fail: the descriptor is a timer's, and the values are in range.
        let _ = timerfd_settime(timer, flags, &Itimerspec { it_interval: once, it_value: value });
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::Readiness;

#[cfg(all(unix, not(target_os = "linux")))]
mod kqueue {
    use std::os::fd::{AsRawFd, OwnedFd, RawFd};
    use std::ptr::null_mut;
    use std::time::Duration;

    use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};

    use super::*;
    use crate::watch::no_descriptor;

    const RAISED: isize = 0;
    const TIMER: isize = 1;

    /// See the module documentation.
    pub(in crate::consume) struct Readiness {
        queue: OwnedFd,
        armed: Deadline,
    }

    impl Readiness {
        pub(in crate::consume) fn new(subscription: &Subscription) -> Result<Self> {
            let readiness = Readiness { queue: kqueue().map_err(no_descriptor)?, armed: Deadline::default() };
            readiness.change(EventFilter::Read(subscription.descriptor()?), EventFlags::ADD)?;
            Ok(readiness)
        }

        pub(in crate::consume) fn descriptor(&self) -> RawFd {
            self.queue.as_raw_fd()
        }

        /// Makes it readable until [`Readiness::lower`].
        pub(in crate::consume) fn raise(&self) {
            let now = EventFilter::Timer { ident: RAISED, timer: Some(Duration::from_nanos(1)) };
            let _ = self.change(now, EventFlags::ADD | EventFlags::ONESHOT);
        }

        /// Takes back what `raise` and the timer have said. The timer has to be armed again.
        pub(in crate::consume) fn lower(&mut self) {
            self.armed = Deadline::default();
            for ident in [RAISED, TIMER] {
                let _ = self.change(EventFilter::Timer { ident, timer: None }, EventFlags::DELETE);
            }
        }

        /// Makes it readable at this deadline as well.
        pub(in crate::consume) fn arm_by(&mut self, deadline: Deadline) {
            self.arm(self.armed.earlier(deadline));
        }

        /// Makes it readable at this deadline instead of the one before. kqueue's timers do not follow a clock that
        /// somebody sets, so a second of the clock is looked at again and again.
        pub(in crate::consume) fn arm(&mut self, deadline: Deadline) {
            if deadline == self.armed {
                return;
            }
            self.armed = deadline;
            let _ = self.change(EventFilter::Timer { ident: TIMER, timer: None }, EventFlags::DELETE);
            if let Some(left) = deadline.left(Instant::now()) {
                let timer = Some(left.max(Duration::from_nanos(1)));
                let _ = self.change(
                    EventFilter::Timer { ident: TIMER, timer },
                    EventFlags::ADD | EventFlags::ONESHOT,
                );
            }
        }

        fn change(&self, filter: EventFilter, flags: EventFlags) -> Result<()> {
            let change = [Event::new(filter, flags, null_mut())];
            let none: &mut [Event] = &mut [];
            // SAFETY: the subscription, whose descriptor is in the queue, outlives it: the waiter owns both.
            unsafe { kevent(&self.queue, &change, none, None) }.map(drop).map_err(no_descriptor)
        }
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(super) use kqueue::Readiness;

/// There are no descriptors to wait for here; a thread waits in [`Waiter::wait`](super::Waiter::wait).
#[cfg(not(unix))]
pub(super) struct Readiness;

#[cfg(not(unix))]
impl Readiness {
    pub(super) fn raise(&self) {}
    pub(super) fn lower(&mut self) {}
    pub(super) fn arm(&mut self, _: Deadline) {}
    pub(super) fn arm_by(&mut self, _: Deadline) {}
}
