//! What a worker, or the leader of the schedules, does for the file beside its work ([`crate::maintenance`]).
//!
//! It asks once a minute whether a run is due, and makes steps of it for some milliseconds at a time, each a transaction, so that
//! neither its own work nor anybody else's waits for more than that. Most runs are over then: a program that only ever makes single
//! calls, each with a worker of its own, makes whole runs as well. An error is no error of its user's: the next run tries again, and what the file refuses is
//! a warning of the database's status.

use std::time::{Duration, Instant};

use crate::Result;
use crate::database::Database;
use crate::maintenance::Run;
use crate::queue::is_refusal_of_row;

/// How often it asks.
const EVERY: Duration = Duration::from_secs(60);

/// For how long it makes steps at a time, if the first takes no longer.
const AT_A_TIME: Duration = Duration::from_millis(5);

pub(super) struct Maintenance {
    /// When it asks next; `None`: at once.
    asks_at: Option<Instant>,
    run: Option<Run>,
}

impl Maintenance {
    pub(super) fn new() -> Self {
        Maintenance { asks_at: None, run: None }
    }

    /// Makes the next steps, if there are any now.
    pub(super) fn step(&mut self, database: &Database) {
        let now = Instant::now();
        self.one_step(database, now);
        while self.run.is_some() && now.elapsed() < AT_A_TIME {
            self.one_step(database, now);
        }
    }

    fn one_step(&mut self, database: &Database, now: Instant) {
        if self.run.is_none() {
            if self.asks_at.is_some_and(|at| now < at) {
                return;
            }
            self.asks_at = Some(now + EVERY);
        }
        self.run = match self.try_step(database) {
            Ok(run) => run,
            Err(error) if is_refusal_of_row(&error) => {
                database.warnings().warn(format!("maintenance has passed over rows: {error}"));
                self.run.map(Run::skip)
            }
            Err(_) => None,
        };
        self.run.take_if(|run| run.is_over());
    }

    fn try_step(&self, database: &Database) -> Result<Option<Run>> {
        let Some(run) = self.run else {
            return if database.maintenance_is_due()? { database.maintenance_begin() } else { Ok(None) };
        };
        let found = database.maintenance_look(run)?;
        match run.after(&found) {
            Some(next) => Ok(Some(next)),
            None => database.maintenance_step(run, &found).map(Some),
        }
    }

    /// When there will be a next step.
    pub(super) fn next_at(&self) -> Option<Instant> {
        if self.run.is_some() { Some(Instant::now()) } else { self.asks_at }
    }
}
