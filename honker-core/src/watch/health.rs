//! What a watcher has to say about itself: counters, how it watches, and what went wrong. And the warnings of a database's
//! consumers, which are kept in the same way.
//!
//! The core never prints. Whoever wants to know asks for the [`Status`]; a new waiter hands out, once, what has not been
//! said yet ([`Warnings::take_unsaid`]). Counters are written by the thread that watches and read by any.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// So many are kept; should there be more, the oldest is dropped.
const WARNINGS_MAX: usize = 16;

/// How commits are noticed at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By events of the file system, confirmed by the change counter.
    Events,
    /// By looking at the change counter every poll interval.
    Polling,
}

/// How a watcher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It notices commits.
    Watching,
    /// The file cannot be read at present. The watcher keeps trying, and wakes its subscribers when it can be read again.
    Unreadable,
    /// It wakes nobody any more: the file was replaced, or the watcher failed.
    Died,
}

/// Something that a user should know. The same text is one warning, however often it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What is wrong, and what it means.
    pub text: String,
    /// How often it was given.
    pub count: u64,
    /// When it was last given, in seconds since 1970.
    pub last_at: i64,
}

/// A watcher's state, for diagnosis. Every field is of the moment when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The back end that was asked for, by its name.
    pub backend: &'static str,
    /// How commits are noticed at present.
    pub method: Method,
    /// How the watcher is.
    pub state: State,
    /// Whether it has gone over from events to polling.
    pub demoted: bool,
    /// How often it made sure that the file is the same one.
    pub checks: u64,
    /// How often it woke its subscribers.
    pub wakes: u64,
    /// How often it looked whether something was committed.
    pub looks: u64,
    /// How many commits a safety check found that no event had announced.
    pub unannounced: u64,
    /// What went wrong so far, the oldest first.
    pub warnings: Vec<Warning>,
}

#[derive(Default)]
pub(super) struct Health {
    pub(super) wakes: AtomicU64,
    pub(super) checks: AtomicU64,
    pub(super) unannounced: AtomicU64,
    pub(super) demoted: AtomicBool,
    pub(super) polls: AtomicBool,
    pub(super) unreadable: AtomicBool,
    pub(super) looks: AtomicU64,
    warnings: Warnings,
}

/// What went wrong so far. Any thread.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<Given>);

#[derive(Default)]
struct Given {
    all: Vec<Warning>,
    /// The texts that nobody has been told.
    unsaid: Vec<String>,
}

impl Warnings {
    /// Notes a warning.
    pub(crate) fn warn(&self, text: String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last_at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut warnings = self.lock();
        if let Some(warning) = warnings.all.iter_mut().find(|warning| warning.text == text) {
            warning.count += 1;
            warning.last_at = last_at;
            return;
        }
        if warnings.all.len() == WARNINGS_MAX {
            let dropped = warnings.all.remove(0).text;
            warnings.unsaid.retain(|text| *text != dropped);
        }
        warnings.unsaid.push(text.clone());
        warnings.all.push(Warning { text, count: 1, last_at });
    }

    /// What has not been said yet, as one text; it counts as said then.
    pub(super) fn take_unsaid(&self) -> Option<String> {
        let unsaid = std::mem::take(&mut self.lock().unsaid);
        (!unsaid.is_empty()).then(|| unsaid.join("; "))
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<Warning> {
        self.lock().all.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    /// Notes a warning.
    pub(super) fn warn(&self, text: String) {
        self.warnings.warn(text);
    }

    /// See [`Warnings::take_unsaid`].
    pub(super) fn take_unsaid(&self) -> Option<String> {
        self.warnings.take_unsaid()
    }

    /// The status of a watcher that lives, or has died.
    pub(super) fn status(&self, backend: &'static str, died: bool) -> Status {
        Status {
            backend,
            method: if self.polls.load(Ordering::Relaxed) { Method::Polling } else { Method::Events },
            state: match (died, self.unreadable.load(Ordering::Relaxed)) {
                (true, _) => State::Died,
                (false, true) => State::Unreadable,
                (false, false) => State::Watching,
            },
            demoted: self.demoted.load(Ordering::Relaxed),
            checks: self.checks.load(Ordering::Relaxed),
            wakes: self.wakes.load(Ordering::Relaxed),
            looks: self.looks.load(Ordering::Relaxed),
            unannounced: self.unannounced.load(Ordering::Relaxed),
            warnings: self.warnings.all(),
        }
    }
}
