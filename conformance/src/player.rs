//! A testee in one actor's place. The process serves one case after the other, until it dies or cannot be relied on.
//!
//! Invariant: what a player hands to a case is a process that has nothing open and no fault planted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::engine::Database;
use crate::leaks;
use crate::testee::Testee;
use crate::testees::Made;

pub struct Player {
    made: Arc<Made>,
    dir: PathBuf,
    testee: Option<Testee>,
    /// How many threads it has with nothing to do.
    threads: usize,
    /// How many processes and databases it has had: each gets files of its own.
    serial: u32,
}

impl Player {
    /// Its files are made in `dir`.
    pub fn new(made: &Arc<Made>, dir: PathBuf) -> Player {
        Player { made: Arc::clone(made), dir, testee: None, threads: 0, serial: 0 }
    }

    pub fn made(&self) -> &Made {
        &self.made
    }

    /// Sees to it that there is a process, in this time zone.
    pub fn ready(&mut self, tz: &str) -> Result<(), String> {
        let usable = |testee: &Testee| testee.tz == tz && testee.is_alive() && testee.broken().is_none();
        if !self.testee.as_ref().is_some_and(usable) {
            self.start(tz)?;
        }
        let testee = self.testee();
        testee.control.disarm();
        testee.take_transcript();
        Ok(())
    }

    /// Puts a new process into the place of the last.
    pub fn start(&mut self, tz: &str) -> Result<(), String> {
        self.testee = None;
        self.serial += 1;
        let dir = self.dir.join(format!("process-{}", self.serial));
        self.testee = Some(Testee::start(&self.made, &dir, tz)?);
        // What a runtime starts when it is first used is not to be taken for a leak.
        self.open_another().map_err(|error| format!("{}: {error}", self.made.name))?;
        self.threads = leaks::threads(self.testee().pid).len();
        Ok(())
    }

    /// The process. There is one from [`Player::ready`] to [`Player::discard`].
    pub fn testee(&mut self) -> &mut Testee {
        self.testee.as_mut().expect("a player that is ready has a process")
    }

    pub fn running(&self) -> Option<&Testee> {
        self.testee.as_ref()
    }

    /// Kills the process, so that the next case is given a new one.
    pub fn discard(&mut self) {
        self.testee = None;
    }

    /// Ends the process in the orderly way.
    pub fn finish(mut self) -> Result<(), String> {
        // The last case may have failed, and its processes were killed.
        self.testee.take().filter(Testee::is_alive).map_or(Ok(()), Testee::finish)
    }

    /// Whether the process has no more threads than it should.
    pub fn check_threads(&self) -> Result<(), String> {
        let Some(testee) = &self.testee else { return Ok(()) };
        leaks::in_time(|| {
            let threads = leaks::threads(testee.pid);
            let ours = threads.iter().filter(|name| name.starts_with("honker-")).count();
            let too_many = ours > 0 || !self.made.own_threads && threads.len() > self.threads;
            too_many.then(|| {
                let (now, then) = (threads.len(), self.threads);
                format!("threads are left after reset: {now}, and there were {then}: {}", threads.join(", "))
            })
        })
    }

    /// Whether the process has nothing open in the directory of a case, which has been deleted.
    pub fn check_descriptors(&mut self, dir: &Path) -> Result<(), String> {
        let pid = self.testee().pid;
        if leaks::descriptors(pid, dir).is_empty() {
            return Ok(());
        }
        self.open_another()?;
        leaks::in_time(|| {
            let left = leaks::descriptors(pid, dir);
            (!left.is_empty()).then(|| format!("descriptors are left after reset: {}", left.join(", ")))
        })
    }

    /// Opens and closes a database that no case uses.
    fn open_another(&mut self) -> Result<(), String> {
        self.serial += 1;
        let path = self.dir.join(format!("other-{}.db", self.serial));
        let database = self.made.engine.database(path.clone())?;
        let testee = self.testee();
        testee.must("open", json!({"as": "db", "path": database.address()}))?;
        testee.must("reset", json!({}))?;
        match database {
            Database::File(_) => std::fs::remove_file(&path)
                .map_err(|error| format!("open has not made {}: {error}", path.display())),
            Database::Server(_) => Ok(()),
        }
    }
}
