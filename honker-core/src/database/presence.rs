//! Whether the file is still the one that was opened.
//!
//! A file that is replaced by its name (a backup moved over it, a deployment that brings its own) leaves a connection with
//! the old one, which nobody else can open: whatever is written there is lost. Before an operation runs, the name is
//! looked at, if that was last done 50 ms ago or longer. An operation that begins 100 ms after the file was replaced
//! answers [`Error::Watcher`]; nothing finer can be promised. From then on all do: the database has to be opened again.
//!
//! A name that belongs to no file may be a network that is slow or a step of somebody's moving files about. Operations
//! go on, for a second; while it is missing for longer they answer an error as well, until it is back. Between two looks the
//! process may have been paused, and the file been there: before the first such error it is looked for repeatedly for
//! 200 ms, and before each further one once more.
//!
//! The file is asked by its name and never opened: closing a descriptor would drop the locks of this process. Any thread
//! may look; who finds that another one is looking goes by what was seen before.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::identity::{self, Identity};
use crate::{Error, Result};

const LOOK_EVERY_MS: u64 = 50;

/// For how long the name may belong to no file.
const MISSING_MAX_MS: u64 = 1000;

/// How often, and how long after each other, it is looked for before that is an error.
const LAST_LOOKS: u32 = 20;
const BETWEEN_LAST_LOOKS: Duration = Duration::from_millis(10);

pub(super) struct Presence {
    path: String,
    /// `None` where files have no identity.
    identity: Option<Identity>,
    opened: Instant,
    /// When the name was last looked at, in milliseconds since it was opened.
    looked_at: AtomicU64,
    /// [`THERE`], [`REPLACED`], [`GONE`], or since when there is no file.
    seen: AtomicU64,
}

const THERE: u64 = 0;
const REPLACED: u64 = u64::MAX;
const GONE: u64 = u64::MAX - 1;

impl Presence {
    /// Of a file that is open and has this identity.
    pub(super) fn new(path: &str, identity: Option<Identity>) -> Self {
        Presence {
            path: path.to_owned(),
            identity,
            opened: Instant::now(),
            looked_at: AtomicU64::new(0),
            seen: AtomicU64::new(THERE),
        }
    }

    /// An error if an operation would reach a file that nobody else can open.
    pub(super) fn check(&self) -> Result<()> {
        let Some(before) = self.identity else { return Ok(()) };
        // Never 0, which is THERE.
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX / 2) + 1;
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        if now.saturating_sub(looked_at) >= LOOK_EVERY_MS
            && self.looked_at.compare_exchange(looked_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.look(before, now);
        }
        let is = match self.seen.load(Ordering::Relaxed) {
            THERE => return Ok(()),
            REPLACED => self.is_replaced(),
            since if since != GONE && now.saturating_sub(since) < MISSING_MAX_MS => return Ok(()),
            since => {
                self.look_again(before, since, now);
                match self.seen.load(Ordering::Relaxed) {
                    THERE => return Ok(()),
                    REPLACED => self.is_replaced(),
                    _ => format!("'{}' has been deleted or moved", self.path),
                }
            }
        };
        Err(Error::Watcher(format!("{is}; close the database and open it again")))
    }

    /// In the words of the watcher, which may be the first to notice.
    fn is_replaced(&self) -> String {
        format!("watcher died: '{}' is another file now", self.path)
    }

    /// Looks whether a file is back that was missing when it was last looked for.
    fn look_again(&self, before: Identity, since: u64, now: u64) {
        let looks = if since == GONE { 1 } else { LAST_LOOKS };
        for look in 0..looks {
            if look > 0 {
                std::thread::sleep(BETWEEN_LAST_LOOKS);
            }
            self.look(before, now);
            if matches!(self.seen.load(Ordering::Relaxed), THERE | REPLACED) {
                return;
            }
        }
        let seen = self.seen.load(Ordering::Relaxed);
        if !matches!(seen, THERE | REPLACED) {
            // Unless another thread has just seen something else.
            let _ = self.seen.compare_exchange(seen, GONE, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn look(&self, before: Identity, now: u64) {
        let seen = self.seen.load(Ordering::Relaxed);
        let see = match identity::look(&self.path) {
            _ if seen == REPLACED => return,
            Ok(found) if found == before => THERE,
            Ok(_) => REPLACED,
            Err(error) if error.kind() == ErrorKind::NotFound && seen == THERE => now,
            // Nobody can tell what that means.
            Err(_) => return,
        };
        self.seen.store(see, Ordering::Relaxed);
    }
}
