//! The watcher's thread: when it looks.
//!
//! An event says that frames were written, which is *before* the commit is visible, and with `synchronous = FULL` before
//! it is on the disk. So it is only a hint: the thread then looks for the commit, again and again at growing distances,
//! until [`SAFETY`] is over. It does not stop when it has found one, for the hint may have been the next one's; but then
//! it looks less often. Every [`SAFETY`] it looks without a hint as well, and whether the file still is the one it was. If
//! that look keeps finding commits that no event announced, events cannot be relied on here (a network file system, say),
//! and it polls from then on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::detector::{Change, Detector, Presence};
use super::sleeper::{Alarm, Reason, Sleeper};
use super::watcher::Shared;
use super::{Backend, Settings, Target};
use crate::{Error, Result};

/// How long a hint is believed, and how often the thread looks without one. Longer than an fsync takes.
const SAFETY: Duration = Duration::from_millis(100);

/// How long it looks without sleeping: commits are mostly visible some microseconds after the event.
const SPIN: Duration = Duration::from_micros(20);

/// The distances between looks, from the first sleep to the last: this share of the time since the event.
const LOOK_MIN: Duration = Duration::from_micros(20);
const LOOK_MAX: Duration = Duration::from_micros(500);
const LOOK_SHARE: u32 = 8;
/// The same after a commit has been found.
const NEXT_LOOK_MAX: Duration = Duration::from_millis(25);
const NEXT_LOOK_SHARE: u32 = 2;

/// After so many events without a commit they do not end a sleep any more: somebody writes a large transaction.
const FRUITLESS_MAX: u32 = 4;

/// Wakes that follow each other closer than this are a writer at full speed, ...
const DENSE: Duration = Duration::from_millis(1);
/// ... and are kept apart by a time that grows from here to there.
const APART_MIN: Duration = Duration::from_micros(200);
const APART_MAX: Duration = Duration::from_micros(800);

/// So many commits in a row that no event announced, and events are not relied on any more.
const UNANNOUNCED_MAX: u32 = 3;

/// How long the first look may be kept waiting by a lock.
const BEGIN_MAX: Duration = Duration::from_secs(5);

pub(super) struct WatchLoop {
    settings: Settings,
    shared: Arc<Shared>,
    sleeper: Sleeper,
    detector: Detector,
    mode: Mode,
    /// When the thread last looked while it polled, and when it last made sure of the file.
    looked: Instant,
    checked: Instant,
    hint: Option<Hint>,
    woke: Instant,
    apart: Duration,
    unannounced: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Events,
    Polling,
}

/// The last event.
struct Hint {
    at: Instant,
    /// A commit has been found since.
    found: bool,
    /// How many there have been without a commit, and when the first of them came.
    fruitless: u32,
    since: Instant,
}

impl WatchLoop {
    /// Takes the baseline. What is committed from now on is a change.
    pub(super) fn begin(
        target: &Target,
        settings: &Settings,
        shared: Arc<Shared>,
        alarm: Alarm,
        ended: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let now = Instant::now();
        let mut watch_loop = WatchLoop {
            settings: *settings,
            sleeper: Sleeper::new(alarm),
            detector: Detector::new(target, settings.backend, Arc::clone(&shared)),
            shared,
            mode: match settings.backend {
                Backend::Auto | Backend::Kernel => Mode::Events,
                Backend::Polling | Backend::Shm => Mode::Polling,
            },
            looked: now,
            checked: now,
            hint: None,
            woke: now,
            apart: Duration::ZERO,
            unannounced: 0,
        };
        while watch_loop.detector.is_there() && !watch_loop.detector.connect()? {
            if now.elapsed() > BEGIN_MAX {
                return Err(Error::Busy(
                    "database is locked: the watcher could not take its first look".into(),
                ));
            }
            ended()?;
            thread::sleep(Duration::from_millis(1));
        }
        watch_loop.detector.take_moved();
        watch_loop.probe()?;
        Ok(watch_loop)
    }

    /// Sees to it that commits will be noticed in the way that was asked for, or in another if nobody asked.
    fn probe(&mut self) -> Result<()> {
        let failed = |what: &dyn std::fmt::Display| {
            Err(Error::invalid(format!("watcher_backend probe failed: {what}")))
        };
        match self.settings.backend {
            Backend::Polling => Ok(()),
            Backend::Shm => self.detector.no_wal_index().map_or(Ok(()), |why| failed(&why)),
            Backend::Kernel => self.expect_events().or_else(|error| failed(&error)),
            Backend::Auto => {
                if let Err(error) = self.expect_events()
                    && self.detector.written_file().is_some()
                {
                    self.demote(&format!("there are no events of the file system ({error})"));
                }
                Ok(())
            }
        }
    }

    pub(super) fn run(mut self) {
        be_a_quiet_thread();
        let mut running = true;
        while running {
            running = match self.mode {
                Mode::Events => self.attend(),
                Mode::Polling => self.poll(),
            };
        }
    }

    /// Sleeps until there is reason to look, and looks. Whether to go on.
    fn attend(&mut self) -> bool {
        match self.sleeper.sleep(self.nap()) {
            Reason::Stop => return false,
            Reason::Event => self.heed(),
            Reason::Time => {}
        }
        if self.shared.is_stopped() || !self.check_if_due() {
            return false;
        }
        let change = self.detector.look();
        if change == Change::Commit {
            self.count(self.hint.as_ref().is_some_and(Hint::is_believed) || self.sleeper.has_events());
        }
        self.see_to(change);
        if self.mode == Mode::Events && self.detector.take_moved() {
            // If there will be no events, the safety check finds out.
            let _ = self.expect_events();
        }
        // A writer at full speed does not get a wake for every commit.
        if change != Change::None && !self.apart.is_zero() {
            thread::sleep(self.apart);
        }
        true
    }

    /// One turn of polling. Whether to go on.
    fn poll(&mut self) -> bool {
        let until_look = self.settings.poll_interval.saturating_sub(self.looked.elapsed());
        let until_check = SAFETY.saturating_sub(self.checked.elapsed());
        if self.sleeper.sleep(until_look.min(until_check)) == Reason::Stop || !self.check_if_due() {
            return false;
        }
        if self.looked.elapsed() >= self.settings.poll_interval {
            let change = self.detector.look();
            self.see_to(change);
            self.looked = Instant::now();
        }
        true
    }

    /// How long to sleep if nothing happens.
    fn nap(&self) -> Duration {
        let until_check = SAFETY.saturating_sub(self.checked.elapsed());
        match self.hint.as_ref().map(|hint| (hint.at.elapsed(), hint.found)) {
            Some((elapsed, false)) if elapsed < SAFETY => {
                until_check.min((elapsed / LOOK_SHARE).clamp(LOOK_MIN, LOOK_MAX))
            }
            Some((elapsed, true)) if elapsed < SAFETY => {
                until_check.min((elapsed / NEXT_LOOK_SHARE).clamp(LOOK_MIN, NEXT_LOOK_MAX))
            }
            _ => until_check,
        }
    }

    /// There was an event.
    fn heed(&mut self) {
        let now = Instant::now();
        let (mut fruitless, mut since) = (0, now);
        if let Some(hint) = self.hint.as_ref().filter(|hint| !hint.found && hint.at.elapsed() < SAFETY) {
            (fruitless, since) = (hint.fruitless + 1, hint.since);
        }
        if fruitless > FRUITLESS_MAX {
            thread::sleep((since.elapsed() / LOOK_SHARE).clamp(LOOK_MIN, LOOK_MAX));
            self.sleeper.drain();
        }
        self.hint = Some(Hint { at: Instant::now(), found: false, fruitless, since });
        while fruitless <= FRUITLESS_MAX && now.elapsed() < SPIN && !self.detector.has_news() {
            std::hint::spin_loop();
        }
    }

    /// Whether the commit that has been found was announced by an event.
    fn count(&mut self, announced: bool) {
        if announced {
            self.unannounced = 0;
            return;
        }
        self.unannounced += 1;
        self.shared.health.unannounced.fetch_add(1, Ordering::Relaxed);
        if self.unannounced >= UNANNOUNCED_MAX && self.settings.backend == Backend::Auto {
            self.demote("changes come without events of the file system");
        }
    }

    fn demote(&mut self, why: &str) {
        let milliseconds = self.settings.poll_interval.as_secs_f64() * 1e3;
        let path = self.detector.path();
        self.shared.health.warn(format!("'{path}': {why}; watching it by polling every {milliseconds} ms"));
        self.shared.health.demoted.store(true, Ordering::Relaxed);
        self.shared.health.polls.store(true, Ordering::Relaxed);
        self.sleeper.forget_events();
        self.mode = Mode::Polling;
    }

    /// Wakes whom a change has to wake.
    fn see_to(&mut self, change: Change) {
        if change != Change::None
            && let Some(hint) = &mut self.hint
        {
            hint.found = true;
            // Whatever wrote this commit was done before it could be seen. Only what came after that is the next one's,
            // and for that it looks anyway.
            if self.sleeper.drain() {
                hint.at = Instant::now();
            }
        }
        if matches!(change, Change::Commit | Change::Unknown) {
            self.wake();
        }
    }

    fn wake(&mut self) {
        let now = Instant::now();
        let dense = now.duration_since(self.woke) < DENSE;
        self.apart = if dense { (self.apart * 2).clamp(APART_MIN, APART_MAX) } else { Duration::ZERO };
        self.woke = now;
        self.shared.wake();
    }

    /// Every now and then, makes sure of the file. If it is another one, the watcher is dead. Whether to go on.
    fn check_if_due(&mut self) -> bool {
        if self.checked.elapsed() < SAFETY {
            return true;
        }
        self.checked = Instant::now();
        self.shared.health.checks.fetch_add(1, Ordering::Relaxed);
        match self.detector.check() {
            Presence::There => true,
            Presence::Gone => {
                self.wake();
                true
            }
            Presence::Replaced(how) => {
                self.shared.die(&Error::Watcher(format!("watcher died: {how}")));
                false
            }
        }
    }

    /// Sees to it that there are events of the file that commits are written to, or of its coming into being.
    fn expect_events(&mut self) -> Result<()> {
        if self.settings.deaf {
            return Ok(());
        }
        match self.detector.written_file() {
            Some(path) => self.sleeper.watch_file(&path)?,
            None => self.sleeper.watch_directory(self.detector.directory())?,
        }
        // What has been written to it in the meantime made no event.
        let now = Instant::now();
        self.hint = Some(Hint { at: now, found: false, fruitless: 0, since: now });
        Ok(())
    }
}

impl Hint {
    /// Whether a commit that is found now may be what the event was about, however long that took.
    fn is_believed(&self) -> bool {
        !self.found || self.at.elapsed() < SAFETY
    }
}

/// Signals are for the threads of the host; and a nap of 20 µs is to be one, not one of 70.
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
