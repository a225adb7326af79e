//! What has to be done from time to time, whoever does it: removing what is kept no longer, and what somebody's SQL, or an
//! older program, has left behind.
//!
//! Whatever works a queue or leads schedules asks now and then whether a run is due; one of all that have the file open makes
//! it, a minute after the last one began. A run is made of steps, each a transaction of at most 1,000 rows, with looks beside
//! the writer before it. It may stop anywhere: the next one does what is left.
//!
//! A file that has nothing of all this is not written to.

use crate::queue::upkeep::{self, Scan, Stray};
use crate::statement::Sql;
use crate::{Result, Store, batch, counters, notify, stream};

/// So many seconds after one run began the next may.
const EVERY_S: i64 = 60;

static SQL_LAST: Sql = Sql::new("SELECT value FROM main._honker_settings WHERE name = 'maintenance'");

static SQL_BEGIN: Sql =
    Sql::new("INSERT OR REPLACE INTO main._honker_settings (name, value) VALUES ('maintenance', ?1)");

static SQL_ANYTHING: Sql = Sql::new(
    "SELECT EXISTS (SELECT 1 FROM main._honker_job_options) OR EXISTS (SELECT 1 FROM main._honker_unique)
         OR EXISTS (SELECT 1 FROM main._honker_queues) OR EXISTS (SELECT 1 FROM main._honker_slots)
         OR EXISTS (SELECT 1 FROM main._honker_blocked) OR EXISTS (SELECT 1 FROM main._honker_steps)
         OR EXISTS (SELECT 1 FROM main._honker_batches) OR EXISTS (SELECT 1 FROM main._honker_done)
         OR EXISTS (SELECT 1 FROM main._honker_streams)
         OR EXISTS (SELECT 1 FROM main._honker_settings WHERE name = 'notifications.keep_s')",
);

/// A part of a run.
enum Task {
    /// Does at most 1,000 rows in one transaction; how many those were.
    Rows(fn(&Store, i64) -> Result<i64>),
    /// Looks at all rows of a table beside the writer, and mends some.
    Scan(&'static Scan),
}

/// In this order: what is removed first need not be looked at later.
static TASKS: &[Task] = &[
    Task::Rows(upkeep::mend_malformed),
    Task::Rows(upkeep::expire_done),
    Task::Rows(upkeep::expire_dead),
    Task::Scan(&upkeep::OPTIONS),
    Task::Scan(&upkeep::STEPS),
    Task::Scan(&upkeep::SLOTS),
    Task::Scan(&upkeep::BLOCKED),
    Task::Scan(&upkeep::LIVE),
    Task::Scan(&upkeep::KEYS),
    Task::Scan(&upkeep::BATCHES),
    Task::Rows(batch::expire),
    Task::Rows(stream::expire),
    Task::Rows(notify::expire),
    Task::Rows(counters::add_up),
];

/// Where a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Run {
    task: usize,
    after: i64,
    is_over: bool,
}

/// What a look has found to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing can be said without the lock.
    Unknown,
    /// Rows of jobs.
    Stray(Stray),
}

impl Run {
    /// A run of another engine, which has its own tasks, at one of them; `None`: it is over.
    #[cfg(feature = "runtime")]
    pub fn at(task: Option<usize>) -> Self {
        Run { task: task.unwrap_or(usize::MAX), after: i64::MIN, is_over: task.is_none() }
    }

    /// The task that is next.
    pub fn task(self) -> usize {
        self.task
    }

    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        self.is_over
    }

    fn next_task(self) -> Self {
        let task = self.task + 1;
        Run { task, after: i64::MIN, is_over: task >= TASKS.len() }
    }

    /// What comes after a task that has failed.
    pub fn skip(self) -> Self {
        self.next_task()
    }

    /// Where it goes on after a look that has found nothing to mend.
    pub fn after(self, found: &Found) -> Option<Self> {
        match found {
            Found::Stray(stray) if stray.jobs.is_empty() => Some(self.past(stray)),
            _ => None,
        }
    }

    fn past(self, stray: &Stray) -> Self {
        match stray.last {
            Some(last) => Run { after: last, ..self },
            None => self.next_task(),
        }
    }
}

/// Whether a run should begin now. Reads, and takes no lock.
pub fn is_due(store: &Store, now: i64) -> Result<bool> {
    let last = match store.query_one(&SQL_LAST, &[], |row| row.integer(0)) {
        // A file that nobody has brought up to date.
        Err(error) if error.lacks_table("_honker_settings") => {
            return Ok(false);
        }
        last => last?,
    };
    if last.is_some_and(|last| last <= now && now - last < EVERY_S) {
        return Ok(false);
    }
    let anything = store.query_one(&SQL_ANYTHING, &[], |row| row.integer(0) != 0)?;
    Ok(anything == Some(true) || counters::any_old(store, now)? || upkeep::any_malformed(store)?)
}

/// Begins a run, unless somebody has meanwhile; whether it did.
pub fn begin(store: &Store, now: i64) -> Result<Option<Run>> {
    store.atomic(|| {
        if !is_due(store, now)? {
            return Ok(None);
        }
        store.insert(&SQL_BEGIN, &[now.into()])?;
        Ok(Some(Run { task: 0, after: i64::MIN, is_over: false }))
    })
}

/// Looks what there is to do at this place of a run, without the lock.
pub fn look(store: &Store, now: i64, run: Run) -> Result<Found> {
    match TASKS.get(run.task) {
        Some(Task::Scan(scan)) => scan.look(store, now, run.after).map(Found::Stray),
        _ => Ok(Found::Unknown),
    }
}

/// Does it, in one transaction; where the run goes on.
pub fn step(store: &Store, now: i64, run: Run, found: &Found) -> Result<Run> {
    match (TASKS.get(run.task), found) {
        (Some(Task::Rows(rows)), _) => {
            // What was done in a transaction that others share is less than what may be.
            let done = rows(store, now)?;
            Ok(if done > 0 { run } else { run.next_task() })
        }
        (Some(Task::Scan(scan)), Found::Stray(stray)) => {
            scan.mend(store, now, &stray.jobs)?;
            Ok(run.past(stray))
        }
        _ => Ok(run.next_task()),
    }
}
