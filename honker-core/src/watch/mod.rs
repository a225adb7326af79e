//! Waking whoever waits for a commit, by anyone, in any process.
//!
//! One [`Watcher`] for a file and a process, whoever subscribes. Whoever leads (`leading.rs`: one that waits, or a thread)
//! sleeps in the kernel until the file is written to, makes sure that something was committed, and wakes all
//! [`Subscription`]s. A wake is a hint, never data:
//! "something was committed to this file"; who is woken looks with its own query. docs/decisions/0011-waking.md has the
//! measurements.
//!
//! The contract:
//! - Everything that is committed after [`Watcher::subscribe`] returned is followed by a wake; several close together
//!   may be followed by one. In WAL mode a transaction that is rolled back wakes nobody.
//! - Threads of this process that commit say so themselves ([`Watcher::announce`]), without the way through the kernel.
//! - Nobody opens a descriptor of the database file or its `-shm` file, ever: closing one drops the locks of the process.
//! - A file that is replaced by another, or a watcher that died, is an error for every subscriber, present and later.
//! - With its last subscription the watcher ends, and its connection is closed, before that subscription is gone.

mod announced;
mod counter;
mod descriptor;
mod detector;
pub mod handles;
mod health;
mod hub;
mod leading;
mod outlet;
mod shared;
mod sleeper;
mod subscription;
mod target;
mod thread;
mod timers;
mod watch_loop;
mod watcher;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

#[cfg(all(unix, feature = "runtime"))]
pub(crate) use self::descriptor::no_descriptor;
#[cfg(feature = "runtime")]
pub(crate) use self::health::Warnings;
pub use self::health::{Method, State, Status, Warning};
pub use self::subscription::{Subscription, Wake, Waker};
pub use self::target::Target;
#[cfg(feature = "runtime")]
pub use self::thread::block_signals;
#[cfg(all(target_os = "linux", feature = "runtime"))]
pub(crate) use self::timers::QuickTimers;
#[cfg(feature = "runtime")]
pub(crate) use self::watcher::Announcer;
pub use self::watcher::{Statistics, Watcher};
use crate::fork::PerProcess;
use crate::identity::{Identity, identity};
use crate::{Error, Result};

/// How a watcher notices commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Events of the file system, confirmed by the change counter. Where events prove unreliable it goes over to polling
    /// by itself, and says so in its [`Status`].
    #[default]
    Auto,
    /// `PRAGMA data_version` every poll interval.
    Polling,
    /// As `Auto`, but it never goes over to polling.
    Kernel,
    /// The header of the wal-index every poll interval.
    Shm,
}

impl FromStr for Backend {
    type Err = Error;

    /// From one of its names, exactly. The empty name is `Auto`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "" | "auto" => Ok(Backend::Auto),
            "polling" | "poll" => Ok(Backend::Polling),
            "kernel" | "kernel-watcher" => Ok(Backend::Kernel),
            "shm" | "shm-fast-path" => Ok(Backend::Shm),
            other => Err(Error::invalid(format!(
                "unknown watcher backend '{other}': there are auto, polling, kernel and shm"
            ))),
        }
    }
}

impl Backend {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Polling => "polling",
            Backend::Kernel => "kernel",
            Backend::Shm => "shm",
        }
    }
}

/// How a file is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Default [`Backend::Auto`].
    pub backend: Backend,
    /// How often the back ends that poll look. Default 1 ms; more than 0.
    pub poll_interval: Duration,
    /// For tests: events are not delivered, as on some network file systems.
    #[doc(hidden)]
    pub deaf: bool,
    /// For tests: a thread watches, always.
    #[doc(hidden)]
    pub threaded: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            backend: Backend::Auto,
            poll_interval: Duration::from_millis(1),
            deaf: false,
            threaded: false,
        }
    }
}

impl Settings {
    /// An error if they cannot be used.
    pub fn check(&self) -> Result<()> {
        if self.poll_interval.is_zero() {
            return Err(Error::invalid("watcher poll interval must be positive"));
        }
        Ok(())
    }
}

type Registry = Mutex<HashMap<(Identity, Settings), Weak<Watcher>>>;
static WATCHERS: PerProcess<Registry> = PerProcess::new();

/// The watcher of a file that this process has already, or else a new one.
pub fn shared(target: &Target, settings: &Settings) -> Result<Arc<Watcher>> {
    shared_unless(target, settings, &|| Ok(()))
}

/// As [`shared`], unless `ended` has an error to say: it is asked again and again while the first look has to wait.
pub(crate) fn shared_unless(
    target: &Target,
    settings: &Settings,
    ended: &dyn Fn() -> Result<()>,
) -> Result<Arc<Watcher>> {
    settings.check()?;
    let target = target.resolve()?;
    let Some(identity) = identity(target.path()) else {
        return Watcher::start_unless(&target, settings, ended);
    };
    let key = (identity, *settings);
    if let Some(running) = running(&key) {
        return Ok(running);
    }
    // Not under the lock: it may take seconds until the file can be read, and others watch other files.
    let started = Watcher::start_unless(&target, settings, ended)?;
    let mut watchers = watchers();
    watchers.retain(|_, watcher| watcher.strong_count() > 0);
    let faster = watchers.get(&key).and_then(Weak::upgrade).filter(|watcher| watcher.is_alive());
    if faster.is_none() {
        watchers.insert(key, Arc::downgrade(&started));
    }
    drop(watchers);
    Ok(faster.unwrap_or(started))
}

fn running(key: &(Identity, Settings)) -> Option<Arc<Watcher>> {
    let watcher = watchers().get(key).and_then(Weak::upgrade);
    watcher.filter(|watcher| watcher.is_alive())
}

fn watchers() -> MutexGuard<'static, HashMap<(Identity, Settings), Weak<Watcher>>> {
    WATCHERS.get().lock().unwrap_or_else(PoisonError::into_inner)
}
