//! What whoever watches sees of the file: commits, and whether it still is the file it was.
//!
//! A file that is locked is looked at again later: the connection and the baseline stay as they are. One that cannot be
//! read is reported, its connection closed, and tried again; whoever waits is woken before and after, because nobody
//! knows what is committed in between.
//!
//! Without a log, a look means that SQLite looks for a journal as well, by its name, and plays back and deletes one that
//! seems to be left over. If another file has the name by now, the journal is that one's, and in use: so each look is
//! preceded by one at the name.
//!
//! Once the file's name, or that of its log, belongs to another file, the connection is closed without touching any file:
//! what SQLite usually does then (write the log back, delete it, by its name) would hit the new one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::announced::Announced;
use super::counter::{By, Counter, NoWalIndex, Stamp, WalIndex};
use super::health::Health;
use super::{Backend, Target};
use crate::identity::{Identity, identity};
use crate::{Error, Result};

pub(super) struct Detector {
    target: Target,
    by: By,
    announced: Arc<Announced>,
    health: Arc<Health>,
    counter: Option<Counter>,
    /// What has been seen last.
    baseline: Option<Stamp>,
    /// The file that is watched, if it has been there yet, and its write-ahead log.
    identity: Option<Identity>,
    log: Option<Identity>,
    /// The last look found the file locked.
    locked: bool,
    /// Commits are written to another file than before.
    moved: bool,
    /// An error has been reported, and nothing has been read since.
    in_trouble: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// A commit of which subscribers know already.
    Announced,
    /// A commit.
    Commit,
    /// There may have been commits that nobody has seen.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    /// The name belongs to no file. Nobody can tell what that means.
    Gone,
    /// It belongs to another file; this is what there is to say about that.
    Replaced(String),
}

impl Detector {
    pub(super) fn new(
        target: &Target,
        backend: Backend,
        announced: Arc<Announced>,
        health: Arc<Health>,
    ) -> Self {
        Detector {
            target: target.clone(),
            by: if backend == Backend::Polling { By::DataVersion } else { By::WalIndex },
            announced,
            health,
            counter: None,
            baseline: None,
            identity: None,
            log: None,
            locked: false,
            moved: false,
            in_trouble: false,
        }
    }

    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// Whether there is a file. Where files have no identity, opening it tells.
    pub(super) fn is_there(&self) -> bool {
        identity(self.path()).is_some() || cfg!(not(unix))
    }

    /// Opens the connection and takes the baseline; `false` if the file is not there, or locked just now.
    pub(super) fn connect(&mut self) -> Result<bool> {
        let found = identity(self.path());
        if cfg!(unix) && (found.is_none() || self.identity.is_some_and(|before| found != Some(before))) {
            return Ok(false);
        }
        let opened = Counter::open(&self.target, self.by).and_then(|counter| Ok((counter.look()?, counter)));
        let (stamp, counter) = match opened {
            Ok((Some(stamp), counter)) => (stamp, counter),
            Ok((None, _)) => return Ok(false),
            Err(Error::Busy(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        if identity(self.path()) != found {
            // It was replaced just now, by which of the two we may have opened.
            counter.abandon();
            return Ok(false);
        }
        self.identity = found;
        self.log = counter.log().and_then(identity);
        self.baseline = Some(stamp);
        self.announced.lend(counter.wal_index().ok());
        self.counter = Some(counter);
        self.moved = true;
        self.in_trouble = false;
        self.health.unreadable.store(false, Ordering::Relaxed);
        Ok(true)
    }

    /// Why the header of the wal-index cannot be looked at, if that is so.
    pub(super) fn no_wal_index(&self) -> Option<NoWalIndex> {
        self.counter.as_ref().map_or(Some(NoWalIndex::NotInWalMode), |counter| counter.wal_index().err())
    }

    /// The file that a commit writes to; `None` as long as there is no file.
    pub(super) fn written_file(&self) -> Option<String> {
        self.counter.as_ref().and_then(Counter::written_file)
    }

    /// What there is to say if the file that a commit writes to has just lost its name.
    pub(super) fn lost(&self) -> Option<String> {
        let written = self.written_file().filter(|written| identity(written).is_none())?;
        Some(format!("'{written}' was deleted or moved; close the database and open it again"))
    }

    /// Where the file will appear.
    pub(super) fn directory(&self) -> &str {
        Path::new(self.path())
            .parent()
            .and_then(Path::to_str)
            .filter(|parent| !parent.is_empty())
            .unwrap_or(".")
    }

    /// Whether commits are written to another file than when this was last asked.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Whether a look would find a commit.
    pub(super) fn has_news(&self) -> bool {
        let seen = self.counter.as_ref().and_then(|counter| self.look_through(counter).ok().flatten());
        seen.is_some() && seen != self.baseline
    }

    /// Whether the last look had no answer: the file was locked, or could not be read.
    pub(super) fn is_in_the_dark(&self) -> bool {
        self.locked || self.in_trouble
    }

    /// Looks for commits.
    pub(super) fn look(&mut self) -> Change {
        self.health.looks.fetch_add(1, Ordering::Relaxed);
        self.locked = false;
        let seen = match &self.counter {
            None => match self.connect() {
                Ok(true) => return Change::Unknown,
                Ok(false) => return Change::None,
                Err(error) => Err(error),
            },
            Some(counter) => self.look_through(counter),
        };
        match seen {
            Ok(None) => {
                self.locked = true;
                Change::None
            }
            Ok(Some(stamp)) if self.baseline == Some(stamp) => Change::None,
            Ok(Some(stamp)) => {
                self.baseline = Some(stamp);
                self.follow_journal_mode();
                // What the wal-index shows by now: an announcement of it was made after what has been seen here.
                let wal_index = self.counter.as_ref().and_then(|counter| counter.wal_index().ok());
                match wal_index.map(WalIndex::look) {
                    Some(headers) if self.announced.is_announced(&headers) => Change::Announced,
                    _ => Change::Commit,
                }
            }
            Err(error) => {
                self.disconnect();
                if self.in_trouble {
                    return Change::None;
                }
                self.in_trouble = true;
                let path = self.path();
                self.health.unreadable.store(true, Ordering::Relaxed);
                self.health
                    .warn(format!("the watcher of '{path}' cannot read it, and keeps trying: {error}"));
                Change::Unknown
            }
        }
    }

    fn look_through(&self, counter: &Counter) -> Result<Option<Stamp>> {
        if counter.log().is_none() && identity(self.path()) != self.identity {
            return Ok(None);
        }
        counter.look()
    }

    /// Whether the file is the one it was.
    pub(super) fn check(&mut self) -> Presence {
        let Some(before) = self.identity else { return Presence::There };
        let advice = "close the database and open it again";
        match identity(self.path()) {
            None => return Presence::Gone,
            Some(now) if now != before => {
                return Presence::Replaced(format!("'{}' is another file now; {advice}", self.path()));
            }
            Some(_) => {}
        }
        if self.counter.as_ref().is_some_and(|counter| self.has_other_log(counter)) {
            return Presence::Replaced(format!("the log of '{}' is another file now; {advice}", self.path()));
        }
        Presence::There
    }

    /// Whether the log has been replaced. One that was only deleted is still everybody's.
    fn has_other_log(&self, counter: &Counter) -> bool {
        let now = counter.log().and_then(identity);
        matches!((self.log, now), (Some(before), Some(now)) if before != now)
    }

    /// The commit may have been one to WAL mode.
    fn follow_journal_mode(&mut self) {
        let Some(counter) = &mut self.counter else { return };
        // If it fails, the next commit is another opportunity.
        if counter.find_wal_index() != Ok(true) {
            return;
        }
        self.baseline = counter.look().ok().flatten();
        self.log = counter.log().and_then(identity);
        self.announced.lend(counter.wal_index().ok());
        self.moved = true;
    }

    fn disconnect(&mut self) {
        // Before the connection is closed nobody may look through it any more.
        self.announced.lend(None);
        self.baseline = None;
        if let Some(counter) = self.counter.take()
            && (identity(self.path()) != self.identity || self.has_other_log(&counter))
        {
            counter.abandon();
        }
    }
}

impl Drop for Detector {
    fn drop(&mut self) {
        self.disconnect();
    }
}
