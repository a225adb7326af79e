//! Whether the file is still the one that was opened.
//!
//! A file that is replaced by its name (a backup moved over it, a deployment that brings its own) leaves a connection with
//! the old one, which nobody else can open: whatever is written there is lost. Before an operation runs, the name is
//! looked at, if that was last done 50 ms ago or longer. An operation that begins 100 ms after the file was replaced
//! answers [`Error::Watcher`]; nothing finer can be promised. From then on all do: the database has to be opened again.
//!
//! A name that belongs to no file may be a network that is slow or a step of somebody's moving files about. Operations
//! go on, for a second; while it is missing for longer they answer an error as well, until it is back.
//!
//! The file is asked by its name and never opened: closing a descriptor would drop the locks of this process. Any thread
//! may look; who finds that another one is looking goes by what was seen before.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::identity::{self, Identity};
use crate::{Error, Result};

const LOOK_EVERY_MS: u64 = 50;

/// For how long the name may belong to no file.
const MISSING_MAX_MS: u64 = 1000;

pub(super) struct Presence {
    path: String,
    /// `None` where files have no identity.
    identity: Option<Identity>,
    opened: Instant,
    /// When the name was last looked at, in milliseconds since it was opened.
    looked_at: AtomicU64,
    /// [`THERE`], [`REPLACED`], or since when there is no file.
    seen: AtomicU64,
}

const THERE: u64 = 0;
const REPLACED: u64 = u64::MAX;

impl Presence {
    /// To be made when the file has just been opened.
    pub(super) fn new(path: &str) -> Self {
        Presence {
            path: path.to_owned(),
            identity: identity::identity(path),
            opened: Instant::now(),
            looked_at: AtomicU64::new(0),
            seen: AtomicU64::new(THERE),
        }
    }

    /// An error if an operation would reach a file that nobody else can open.
    pub(super) fn check(&self) -> Result<()> {
        let Some(before) = self.identity else { return Ok(()) };
        // Never 0, which is THERE.
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        if now.saturating_sub(looked_at) >= LOOK_EVERY_MS
            && self.looked_at.compare_exchange(looked_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.look(before, now);
        }
        let is = match self.seen.load(Ordering::Relaxed) {
            THERE => return Ok(()),
            // In the words of the watcher, which may be the first to notice.
            REPLACED => format!("watcher died: '{}' is another file now", self.path),
            since if now.saturating_sub(since) < MISSING_MAX_MS => return Ok(()),
            _ => format!("'{}' has been deleted or moved", self.path),
        };
        Err(Error::Watcher(format!("{is}; close the database and open it again")))
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
