//! The watcher's thread.
//!
//! An event says that frames were written, which is *before* the commit is visible, and with `synchronous = FULL` before
//! it is on the disk. So it is only a hint: the thread then looks at the change counter, again and again at growing
//! distances, until that has moved or [`SAFETY`] is over, and only then wakes anybody. Every [`SAFETY`] it looks without
//! a hint as well, and whether the file still is the one it was. If that look keeps finding commits that no event
//! announced, events cannot be relied on here (a network file system, say), and it polls from then on.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::counter::{Counter, Stamp, is_locked};
use super::sleeper::{Alarm, Reason, Sleeper};
use super::watcher::Shared;
use super::{Backend, Settings, Target};
use crate::identity::{Identity, identity};
use crate::{Error, Result};

/// How long a hint is believed, and how often the thread looks without one. Longer than an fsync takes.
const SAFETY: Duration = Duration::from_millis(100);

/// How long it looks without sleeping: commits are mostly visible some microseconds after the event.
const SPIN: Duration = Duration::from_micros(20);

/// The distances between looks, from the first sleep to the last.
const LOOK_MIN: Duration = Duration::from_micros(10);
const LOOK_MAX: Duration = Duration::from_millis(2);

/// Wakes that follow each other closer than this are a writer at full speed, ...
const DENSE: Duration = Duration::from_millis(2);
/// ... and are kept apart by a time that grows from here to there.
const APART_MIN: Duration = Duration::from_micros(200);
const APART_MAX: Duration = Duration::from_millis(1);

/// So many commits in a row that no event announced, and events are not relied on any more.
const UNANNOUNCED_MAX: u32 = 3;

/// How long the first look may be kept waiting by a lock.
const BEGIN_MAX: Duration = Duration::from_secs(5);

pub(super) struct Vigil {
    target: Target,
    settings: Settings,
    shared: Arc<Shared>,
    sleeper: Sleeper,
    counter: Option<Counter>,
    baseline: Option<Stamp>,
    identity: Option<Identity>,
    mode: Mode,
    /// When the thread last looked without a hint.
    checked: Instant,
    woke: Instant,
    apart: Duration,
    unannounced: u32,
    /// An error has been reported, and nothing has been read since.
    in_trouble: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Events,
    Polling,
}

#[derive(PartialEq)]
enum Change {
    None,
    /// There was one, and subscribers know.
    Announced,
    New,
}

impl Vigil {
    /// Takes the baseline. What is committed from now on is a change.
    pub(super) fn begin(
        target: &Target,
        settings: &Settings,
        shared: Arc<Shared>,
        alarm: Alarm,
    ) -> Result<Self> {
        let now = Instant::now();
        let mut vigil = Vigil {
            target: target.clone(),
            settings: *settings,
            shared,
            sleeper: Sleeper::new(alarm),
            counter: None,
            baseline: None,
            identity: identity(&target.path),
            mode: if settings.backend == Backend::Auto || settings.backend == Backend::Kernel {
                Mode::Events
            } else {
                Mode::Polling
            },
            checked: now,
            woke: now,
            apart: Duration::ZERO,
            unannounced: 0,
            in_trouble: false,
        };
        let probe = |what: &str| Error::invalid(format!("watcher_backend probe failed: {what}"));
        if vigil.identity.is_some() || cfg!(not(unix)) {
            while !vigil.connect()? {
                if now.elapsed() > BEGIN_MAX {
                    return Err(Error::Sqlite {
                        code: rusqlite::ffi::SQLITE_BUSY,
                        message: "database is locked: the watcher could not take its first look".to_owned(),
                    });
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        let has_wal_index = vigil.counter.as_ref().is_some_and(Counter::has_wal_index);
        if settings.backend == Backend::Shm && !has_wal_index {
            return Err(probe(
                "-shm unavailable: the file is not in WAL mode, or its wal-index cannot be read",
            ));
        }
        if vigil.mode == Mode::Events
            && let Err(error) = vigil.watch_file()
        {
            if settings.backend == Backend::Kernel {
                return Err(probe(&error.to_string()));
            }
            vigil.mode = Mode::Polling;
        }
        Ok(vigil)
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
        // Before the connection is closed nobody may look through it any more.
        self.shared.lend(None);
    }

    /// Waits for one event or the time of the safety check, and sees to it. Whether to go on.
    fn attend(&mut self) -> bool {
        let due = (self.checked + SAFETY).saturating_duration_since(Instant::now());
        match self.sleeper.sleep(due) {
            Reason::Stop => return false,
            Reason::Event if !self.settings.deaf => return self.confirm(),
            Reason::Event | Reason::Time => {}
        }
        if self.checked.elapsed() < SAFETY {
            return true;
        }
        if !self.check_identity() {
            return false;
        }
        if self.look() == Change::New {
            // The event may have come in the moment between.
            if self.sleeper.drain() && !self.settings.deaf {
                self.unannounced = 0;
            } else {
                self.unannounced += 1;
                self.shared.count_unannounced();
            }
            self.wake();
        }
        if self.unannounced >= UNANNOUNCED_MAX && self.settings.backend == Backend::Auto {
            eprintln!(
                "honker: changes of '{}' come without events of the file system; watching it by polling every {} ms",
                self.target.path,
                self.settings.poll_interval.as_secs_f64() * 1e3
            );
            self.shared.set_demoted();
            self.mode = Mode::Polling;
        }
        true
    }

    /// Looks until what an event has hinted at is there. Whether to go on.
    fn confirm(&mut self) -> bool {
        let since = Instant::now();
        loop {
            match self.look() {
                Change::New => {
                    self.unannounced = 0;
                    self.wake();
                    // What is in the queue now may belong to the commit just seen, or to the next: the next look tells.
                    return self.keep_apart();
                }
                Change::Announced => return true,
                Change::None => {}
            }
            let elapsed = since.elapsed();
            if elapsed >= SAFETY {
                return true;
            }
            if elapsed < SPIN {
                std::hint::spin_loop();
                continue;
            }
            if self.shared.is_stopped() {
                return false;
            }
            thread::sleep((elapsed / 8).clamp(LOOK_MIN, LOOK_MAX));
        }
    }

    /// Sleeps a little after a wake that came right after another. Whether to go on.
    fn keep_apart(&mut self) -> bool {
        if self.apart.is_zero() {
            return true;
        }
        thread::sleep(self.apart);
        !self.shared.is_stopped()
    }

    /// One turn of polling. Whether to go on.
    fn poll(&mut self) -> bool {
        if self.sleeper.sleep(self.settings.poll_interval) == Reason::Stop {
            return false;
        }
        if self.checked.elapsed() >= SAFETY && !self.check_identity() {
            return false;
        }
        if self.look() == Change::New {
            self.wake();
        }
        true
    }

    /// Whether the file is the one it was. If not, the watcher is dead.
    fn check_identity(&mut self) -> bool {
        self.checked = Instant::now();
        let now = identity(&self.target.path);
        match (self.identity, now) {
            (Some(before), Some(now)) if before != now => {
                self.shared.die(&Error::Watcher(format!(
                    "watcher died: '{}' is another file now; close the database and open it again",
                    self.target.path
                )));
                false
            }
            (Some(_), None) => {
                // Nobody can tell what has become of it.
                if cfg!(unix) {
                    self.wake();
                }
                true
            }
            _ => {
                self.identity = now.or(self.identity);
                true
            }
        }
    }

    /// Takes a look at the counter.
    fn look(&mut self) -> Change {
        let Some(counter) = &mut self.counter else {
            return match self.connect() {
                // What was committed in the meantime nobody has seen.
                Ok(true) => Change::New,
                Ok(false) => Change::None,
                Err(error) => self.trouble(&error),
            };
        };
        let stamp = match counter.look() {
            Ok(Some(stamp)) => stamp,
            Ok(None) => return Change::None,
            Err(error) => return self.trouble(&error),
        };
        if self.baseline == Some(stamp) {
            return Change::None;
        }
        self.baseline = Some(stamp);
        if self.shared.is_announced(&stamp) {
            return Change::Announced;
        }
        if matches!(stamp, Stamp::DataVersion(_)) {
            self.follow_journal_mode();
        }
        Change::New
    }

    /// The change may have been one to WAL mode.
    fn follow_journal_mode(&mut self) {
        let Some(counter) = &mut self.counter else { return };
        let found = counter.find_wal_index();
        if !counter.has_wal_index() {
            return;
        }
        let _ = found;
        self.baseline = counter.look().ok().flatten();
        self.shared.lend(counter.wal_index());
        if self.mode == Mode::Events {
            // Should that fail, the safety check notices that there are no events.
            let _ = self.watch_file();
        }
    }

    /// Opens the connection and takes the baseline; `false` if the file is not there, or locked just now.
    fn connect(&mut self) -> Result<bool> {
        if self.identity.is_none() && cfg!(unix) {
            self.identity = identity(&self.target.path);
            if self.identity.is_none() {
                return Ok(false);
            }
        }
        let opened = Counter::open(&self.target).and_then(|mut counter| Ok((counter.look()?, counter)));
        let (stamp, counter) = match opened {
            Ok((Some(stamp), counter)) => (stamp, counter),
            Ok((None, _)) => return Ok(false),
            Err(error) if is_locked(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.baseline = Some(stamp);
        self.shared.lend(counter.wal_index());
        self.counter = Some(counter);
        self.in_trouble = false;
        if self.mode == Mode::Events {
            let _ = self.watch_file();
        }
        Ok(true)
    }

    fn watch_file(&mut self) -> Result<()> {
        match self.counter.as_ref().and_then(Counter::written_file) {
            Some(path) => self.sleeper.watch(&path),
            // Nothing to watch yet: the safety check finds the file when it appears.
            None => Ok(()),
        }
    }

    /// The file cannot be read. It is tried again; and as nobody knows what happens meanwhile, all are woken.
    fn trouble(&mut self, error: &Error) -> Change {
        self.shared.lend(None);
        self.counter = None;
        self.baseline = None;
        if self.in_trouble {
            return Change::None;
        }
        eprintln!("honker: the watcher of '{}' cannot read it, and keeps trying: {error}", self.target.path);
        self.in_trouble = true;
        Change::New
    }

    fn wake(&mut self) {
        let now = Instant::now();
        let dense = now.duration_since(self.woke) < DENSE;
        self.apart = if dense { (self.apart * 2).clamp(APART_MIN, APART_MAX) } else { Duration::ZERO };
        self.woke = now;
        self.shared.wake();
    }
}

/// Signals are for the threads of the host; and a nap of 10 µs is to be one, not one of 60.
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
