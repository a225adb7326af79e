//! The watch loop: when to look for a commit. It is a value; whoever leads (`leading.rs`) drives it, sleeping as long as
//! [`WatchLoop::nap`] says and telling it why the sleep was over.
//!
//! An event says that frames were written, which is *before* the commit is visible, and with `synchronous = FULL` before
//! it is on the disk. So it is only a hint: the loop then looks for the commit, again and again at growing distances,
//! until [`SAFETY`] is over. It does not stop when it has found one, for the hint may have been the next one's; but then
//! it looks less often. While there is work it looks every [`SAFETY`] without a hint as well, and whether the file still
//! is the one it was, and when nothing happens every [`SAFETY_IDLE`]. If those looks keep finding commits that no event
//! announced, events cannot be relied on here (a network file system, say), and it polls from then on.
//!
//! Nobody has to drive it while nobody waits: [`WatchLoop::turn`] compares with what was seen last, however long ago that
//! was, so that whoever drives it next finds what was committed meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::announced::Announced;
use super::detector::{Change, Detector, Presence};
use super::health::Health;
use super::sleeper::{Alarm, Events, Reason};
use super::{Backend, Settings, Target};
use crate::{Error, Result};

/// How long a hint is believed, and how often the loop looks without one while there is work. Longer than an fsync takes.
const SAFETY: Duration = Duration::from_millis(100);

/// How often it looks when nothing happens, and after what time that is so. A look every second is what the cheapest
/// poller does.
const SAFETY_IDLE: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_secs(1);

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
    health: Arc<Health>,
    events: Events,
    detector: Detector,
    mode: Mode,
    /// When it last looked while it polled, and when it last made sure of the file.
    looked: Instant,
    checked: Instant,
    /// The last event or commit; none for a long time.
    active: Option<Instant>,
    hint: Option<Hint>,
    woke: Instant,
    apart: Duration,
    /// Until then it does not look, whatever events come.
    rests_until: Option<Instant>,
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

/// What a turn has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing that anybody has to be woken for.
    Quiet,
    /// A commit, or there may have been one.
    Commit,
    /// The file is another one: the watcher is dead.
    Died(Error),
}

/// How long to sleep if nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nap {
    pub(super) time: Duration,
    /// Whether events are to end it.
    pub(super) listen: bool,
}

impl WatchLoop {
    /// Takes the baseline. What is committed from now on is a change. Ends with the error that `ended` has to say, if it
    /// has one while somebody keeps the file locked.
    pub(super) fn begin(
        target: &Target,
        settings: &Settings,
        announced: Arc<Announced>,
        health: Arc<Health>,
        ended: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let now = Instant::now();
        let mut watch_loop = WatchLoop {
            settings: *settings,
            events: Events::default(),
            detector: Detector::new(target, settings.backend, announced, Arc::clone(&health)),
            health,
            mode: match settings.backend {
                Backend::Auto | Backend::Kernel => Mode::Events,
                Backend::Polling | Backend::Shm => Mode::Polling,
            },
            looked: now,
            checked: now,
            active: None,
            hint: None,
            woke: now,
            apart: Duration::ZERO,
            rests_until: None,
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
            Backend::Kernel => self.expect_events().or_else(|error| match self.detector.lost() {
                // No fault of the back end's: somebody moves files about.
                Some(what) => Err(Error::Watcher(format!("watcher died: {what}"))),
                None => failed(&error),
            }),
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

    /// Where its events come from.
    #[cfg(target_os = "linux")]
    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// Whether it looks at an interval, instead of waiting for events.
    pub(super) fn polls(&self) -> bool {
        self.mode == Mode::Polling
    }

    /// Sleeps until there is reason for a turn, at most for `time`.
    pub(super) fn sleep(&self, alarm: &Alarm, time: Option<Duration>) -> Reason {
        let nap = self.nap();
        self.events.sleep(alarm, time.map_or(nap.time, |time| nap.time.min(time)), nap.listen)
    }

    /// How long to sleep if nothing happens.
    pub(super) fn nap(&self) -> Nap {
        if self.polls() {
            let until_look = self.settings.poll_interval.saturating_sub(self.looked.elapsed());
            return Nap { time: until_look.min(self.until_check()), listen: false };
        }
        if let Some(rest) = self.rest() {
            return Nap { time: rest, listen: false };
        }
        let time = match self.hint.as_ref().map(|hint| (hint.at.elapsed(), hint.found)) {
            Some((elapsed, false)) if elapsed < SAFETY => {
                self.until_check().min((elapsed / LOOK_SHARE).clamp(LOOK_MIN, LOOK_MAX))
            }
            Some((elapsed, true)) if elapsed < SAFETY => {
                self.until_check().min((elapsed / NEXT_LOOK_SHARE).clamp(LOOK_MIN, NEXT_LOOK_MAX))
            }
            _ => self.until_check(),
        };
        Nap { time, listen: true }
    }

    /// What is left of the time in which it does not look.
    pub(super) fn rest(&self) -> Option<Duration> {
        let until = self.rests_until?;
        Some(until.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }

    /// Whether the next look is one of those that follow a commit, and finds something only if the next one has been
    /// written meanwhile.
    #[cfg(target_os = "linux")]
    pub(super) fn has_found(&self) -> bool {
        self.hint.as_ref().is_some_and(|hint| hint.found)
    }

    fn until_check(&self) -> Duration {
        let is_busy = || self.active.is_some_and(|active| active.elapsed() < BUSY);
        let distance =
            if self.polls() || self.detector.is_in_the_dark() || is_busy() { SAFETY } else { SAFETY_IDLE };
        distance.saturating_sub(self.checked.elapsed())
    }

    /// Looks, now. It does not sleep, and takes some microseconds.
    pub(super) fn turn(&mut self) -> Turn {
        let seen = self.events.drain();
        if seen.any {
            self.heed();
        }
        // Whether a file was replaced, its events tell at once.
        if (seen.identity || self.until_check().is_zero())
            && let Some(turn) = self.check()
        {
            return turn;
        }
        let change = self.detector.look();
        self.looked = Instant::now();
        if self.polls() {
            return self.see_to(change);
        }
        if change == Change::Commit {
            self.count(self.hint.as_ref().is_some_and(Hint::is_believed) || self.events.any());
        }
        let turn = self.see_to(change);
        if self.mode == Mode::Events && self.detector.take_moved() {
            // If there will be no events, the safety check finds out.
            let _ = self.expect_events();
        }
        turn
    }

    /// There were events.
    fn heed(&mut self) {
        let now = Instant::now();
        self.active = Some(now);
        let (mut fruitless, mut since) = (0, now);
        if let Some(hint) = self.hint.as_ref().filter(|hint| !hint.found && hint.at.elapsed() < SAFETY) {
            (fruitless, since) = (hint.fruitless + 1, hint.since);
        }
        self.hint = Some(Hint { at: now, found: false, fruitless, since });
        if fruitless > FRUITLESS_MAX {
            self.rests_until = Some(now + (since.elapsed() / LOOK_SHARE).clamp(LOOK_MIN, LOOK_MAX));
            return;
        }
        while now.elapsed() < SPIN && !self.detector.has_news() {
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
        self.health.unannounced.fetch_add(1, Ordering::Relaxed);
        if self.unannounced >= UNANNOUNCED_MAX && self.settings.backend == Backend::Auto {
            self.demote("changes come without events of the file system");
        }
    }

    fn demote(&mut self, why: &str) {
        let milliseconds = self.settings.poll_interval.as_secs_f64() * 1e3;
        let path = self.detector.path();
        self.health.warn(format!("'{path}': {why}; watching it by polling every {milliseconds} ms"));
        self.health.demoted.store(true, Ordering::Relaxed);
        self.health.polls.store(true, Ordering::Relaxed);
        self.events.forget();
        self.mode = Mode::Polling;
    }

    /// Notes a change; whether somebody has to be woken for it.
    fn see_to(&mut self, change: Change) -> Turn {
        if change != Change::None {
            self.active = Some(Instant::now());
            if let Some(hint) = &mut self.hint {
                hint.found = true;
                // Whatever wrote this commit was done before it could be seen. Only what came after that is the next
                // one's, and for that it looks anyway.
                if self.events.drain().any {
                    hint.at = Instant::now();
                }
            }
        }
        if matches!(change, Change::Commit | Change::Unknown) {
            self.space();
            return Turn::Commit;
        }
        Turn::Quiet
    }

    /// A writer at full speed does not get a wake for every commit.
    fn space(&mut self) {
        let now = Instant::now();
        let dense = now.duration_since(self.woke) < DENSE;
        self.apart = if dense { (self.apart * 2).clamp(APART_MIN, APART_MAX) } else { Duration::ZERO };
        self.woke = now;
        self.rests_until = Some(now + self.apart);
    }

    /// Makes sure of the file. If it is another one, the watcher is dead.
    fn check(&mut self) -> Option<Turn> {
        self.checked = Instant::now();
        self.health.checks.fetch_add(1, Ordering::Relaxed);
        match self.detector.check() {
            Presence::There => None,
            Presence::Gone => {
                self.active = Some(self.checked);
                Some(Turn::Commit)
            }
            Presence::Replaced(how) => Some(Turn::Died(Error::Watcher(format!("watcher died: {how}")))),
        }
    }

    /// Sees to it that there are events of the file that commits are written to, or of its coming into being.
    fn expect_events(&mut self) -> Result<()> {
        if self.settings.deaf {
            return Ok(());
        }
        match self.detector.written_file() {
            Some(path) => self.events.watch_file(&path, self.detector.path())?,
            None => self.events.watch_directory(self.detector.directory())?,
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
