//! Schedules, which enqueue a job at each of their times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use honker_core::consume::Leader;
use honker_core::schedule as engine;
use serde::Serialize;

use crate::names::check;
use crate::settings::Change;
use crate::waiting::Waker;
use crate::{Database, EnqueueOpts, Error, Result, Transaction, json};

/// A boundary of a schedule that was fired.
///
/// ```
/// # use honker::{FireStatus, ScheduledTask};
/// # let db = honker::testing::TestDatabase::new()?;
/// # let scheduler = db.scheduler();
/// scheduler.add(ScheduledTask::new("pulse", "pulses", "@every 1s", &"go")?)?;
/// let due = scheduler.soonest()?.unwrap();
/// let fire = scheduler.tick_at(due)?.remove(0);
/// assert_eq!((fire.fire_at, fire.status), (due, FireStatus::Enqueued));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Fire as ScheduledFire;
/// What has become of the job of a boundary. See [`ScheduledFire`].
///
/// ```
/// use honker::FireStatus;
/// assert_ne!(FireStatus::Enqueued, FireStatus::Skipped);
/// ```
#[doc(inline)]
pub use engine::FireStatus;
/// What becomes of a boundary while the last job of the schedule is live: by default another one is enqueued.
///
/// ```
/// # use honker::{Overlap, ScheduledTask};
/// # let db = honker::testing::TestDatabase::new()?;
/// let task = ScheduledTask { overlap: Overlap::Skip, ..ScheduledTask::new("sync", "sync", "@every 1m", &())? };
/// db.scheduler().add(task)?;
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Overlap;
/// A schedule of the file.
///
/// ```
/// # use honker::ScheduledTask;
/// # let db = honker::testing::TestDatabase::new()?;
/// db.scheduler().add(ScheduledTask::new("nightly", "backups", "0 3 * * *", &"go")?)?;
/// let row = db.scheduler().list()?.remove(0);
/// assert_eq!((row.name.as_str(), row.cron_expr.as_str(), row.enabled), ("nightly", "0 3 * * *", true));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Schedule as ScheduleRow;

/// What to schedule.
///
/// ```
/// # use honker::ScheduledTask;
/// # let db = honker::testing::TestDatabase::new()?;
/// let nightly = ScheduledTask {
///     expires_s: Some(3600), // not worth while an hour later
///     ..ScheduledTask::new("nightly", "reports", "CRON_TZ=Europe/Berlin 0 3 * * *", &"2026-01")?
/// };
/// db.scheduler().add(nightly)?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledTask {
    /// The schedule's name; adding it again replaces it.
    pub name: String,
    /// Where its jobs go.
    pub queue: String,
    /// When: five or six fields of cron, `@daily` and its like, or `@every 5m`.
    pub schedule: String,
    /// The payload of its jobs, as it is stored: JSON.
    pub payload: String,
    /// The priority of its jobs.
    pub priority: i64,
    /// Seconds after the boundary at which a job expires.
    pub expires_s: Option<i64>,
    /// How often its jobs may be claimed. Default: what is set for their queue, or else 3.
    pub max_attempts: Option<i64>,
    /// What becomes of a boundary while the last job is live.
    pub overlap: Overlap,
    /// Further options of its jobs: delay, metadata, unique and concurrency key, batch, longest run. Those that stand above
    /// are not looked at here.
    pub options: EnqueueOpts,
}

impl ScheduledTask {
    /// A schedule with the defaults. The payload is encoded as JSON.
    pub fn new<T: Serialize + ?Sized>(
        name: impl Into<String>,
        queue: impl Into<String>,
        schedule: impl Into<String>,
        payload: &T,
    ) -> Result<Self> {
        Ok(ScheduledTask {
            name: name.into(),
            queue: queue.into(),
            schedule: schedule.into(),
            payload: json::encode("the payload", payload)?,
            priority: 0,
            expires_s: None,
            max_attempts: None,
            overlap: Overlap::default(),
            options: EnqueueOpts::default(),
        })
    }
}

/// What to change of a schedule. What is not said stays.
///
/// ```
/// # use honker::{Change, ScheduleUpdate, ScheduledTask};
/// # let db = honker::testing::TestDatabase::new()?;
/// db.scheduler().add(ScheduledTask::new("nightly", "backups", "0 3 * * *", &"go")?)?;
/// let later = ScheduleUpdate { schedule: Some("0 4 * * *".to_owned()), expires_s: Change::Reset, ..Default::default() };
/// assert!(db.scheduler().update("nightly", &later)?);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleUpdate {
    /// A new expression; the next boundary is then counted from now.
    pub schedule: Option<String>,
    /// A new payload, as it is stored.
    pub payload: Option<String>,
    /// A new priority.
    pub priority: Option<i64>,
    /// A new expiry, or none.
    pub expires_s: Change<i64>,
    /// A new number of attempts, or the default.
    pub max_attempts: Change<i64>,
}

/// The schedules of a file. They are fired by whichever process runs a scheduler: one of them at a time leads.
///
/// ```
/// # use std::sync::Arc;
/// # use std::sync::atomic::{AtomicBool, Ordering};
/// # use honker::{QueueOpts, ScheduledTask};
/// # let db = honker::testing::TestDatabase::new()?;
/// db.scheduler().add(ScheduledTask::new("pulse", "pulses", "@every 1s", &"go")?)?;
/// let stop = Arc::new(AtomicBool::new(false));
/// # let (inner, other) = (db.clone(), stop.clone());
/// # std::thread::spawn(move || {
/// #     inner.queue("pulses", QueueOpts::default()).claim_waker().unwrap().next("w").unwrap();
/// #     other.store(true, Ordering::SeqCst);
/// # });
/// db.scheduler().run(stop, "host-1")?; // until `stop` is true; a `Worker` does that beside its jobs
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scheduler {
    database: Database,
}

impl Scheduler {
    pub(crate) fn new(database: &Database) -> Self {
        Scheduler { database: database.clone() }
    }

    /// Adds a schedule, or replaces the one of its name. If the expression is what it was, so is the next boundary.
    pub fn add(&self, task: ScheduledTask) -> Result<()> {
        self.add_in(None, &task)
    }

    /// As [`Scheduler::add`], in a transaction.
    pub fn add_tx(&self, tx: &Transaction, task: ScheduledTask) -> Result<()> {
        self.add_in(Some(tx), &task)
    }

    /// As [`Scheduler::add`], with so many attempts for its jobs.
    pub fn add_with_max_attempts(&self, mut task: ScheduledTask, max_attempts: i64) -> Result<()> {
        task.max_attempts = Some(max_attempts);
        self.add_in(None, &task)
    }

    pub(crate) fn add_in(&self, tx: Option<&Transaction>, task: &ScheduledTask) -> Result<()> {
        let expression = &*task.schedule;
        check([
            ("name", &*task.name),
            ("schedule", expression),
            ("queue", &task.queue),
            ("payload", &task.payload),
        ])?;
        task.options.with_job(&task.queue, &task.payload, |job| {
            let (priority, expires_s, max_attempts) = (task.priority, task.expires_s, task.max_attempts);
            let schedule = engine::Registration {
                name: &task.name,
                expression: &task.schedule,
                job: honker_core::queue::Enqueue { priority, expires_s, max_attempts, ..job },
                overlap: task.overlap,
            };
            call!(&self.database, tx, scheduler_register(&schedule))
        })
    }

    /// Removes a schedule; `false` if there is none of this name. Its jobs stay.
    pub fn remove(&self, name: &str) -> Result<bool> {
        Ok(self.database.engine().scheduler_unregister(name)? > 0)
    }

    /// Changes a schedule; `false` if there is none of this name, or nothing to change.
    pub fn update(&self, name: &str, update: &ScheduleUpdate) -> Result<bool> {
        let payload = update.payload.as_deref().unwrap_or_default();
        check([("schedule", update.schedule.as_deref().unwrap_or_default()), ("payload", payload)])?;
        let changes = engine::Update {
            expression: update.schedule.as_deref(),
            payload: update.payload.as_deref(),
            priority: update.priority,
            expires_s: update.expires_s.map(|expires_s| *expires_s),
            max_attempts: update.max_attempts.map(|max_attempts| *max_attempts),
        };
        Ok(self.database.engine().scheduler_update(name, &changes)?)
    }

    /// Changes how often the jobs of a schedule may be claimed.
    pub fn update_max_attempts(&self, name: &str, max_attempts: i64) -> Result<bool> {
        self.update(name, &ScheduleUpdate { max_attempts: max_attempts.into(), ..Default::default() })
    }

    /// Stops a schedule from firing; `false` if it does not exist or is paused already.
    pub fn pause(&self, name: &str) -> Result<bool> {
        Ok(self.database.engine().scheduler_pause(name)?)
    }

    /// Lets a paused schedule fire again; `false` if it does not exist or is not paused.
    pub fn resume(&self, name: &str) -> Result<bool> {
        Ok(self.database.engine().scheduler_resume(name)?)
    }

    /// All schedules, by name.
    pub fn list(&self) -> Result<Vec<ScheduleRow>> {
        Ok(self.database.engine().scheduler_list()?)
    }

    /// The next boundary of any schedule that is not paused. It may lie in the past.
    pub fn soonest(&self) -> Result<Option<i64>> {
        Ok(self.database.engine().scheduler_soonest()?)
    }

    /// Fires what is due, whoever leads: for programs that do without [`Scheduler::run`].
    pub fn tick(&self) -> Result<Vec<ScheduledFire>> {
        Ok(self.database.engine().scheduler_tick(None)?)
    }

    /// Fires what is due at this second.
    pub fn tick_at(&self, now: i64) -> Result<Vec<ScheduledFire>> {
        Ok(self.database.engine().scheduler_tick(Some(now))?)
    }

    /// Leads, or stands by, until `stop` is true, which is looked at ten times a second. `owner` has to be unique among all
    /// that run. When it ends somebody else leads at once.
    pub fn run(&self, stop: Arc<AtomicBool>, owner: &str) -> Result<()> {
        let mut leading = self.lead(owner)?;
        while !stop.load(Ordering::SeqCst) {
            match leading.next(Some(Duration::from_millis(100))) {
                Ok(_) | Err(Error::Woken) => {}
                Err(error) => return Err(error),
            }
        }
        leading.resign()
    }

    /// A candidate, to be asked for what it fires: for loops of your own.
    pub fn lead(&self, owner: &str) -> Result<Leading> {
        check([("owner", owner)])?;
        Ok(Leading { leader: Leader::new(self.database.engine(), owner)? })
    }
}

/// Leads, or stands by, while it is asked. Dropping it gives leadership up. Used by one thread at a time.
///
/// ```
/// # use std::time::Duration;
/// # use honker::ScheduledTask;
/// # let db = honker::testing::TestDatabase::new()?;
/// db.scheduler().add(ScheduledTask::new("pulse", "pulses", "@every 1s", &"go")?)?;
/// let mut leading = db.scheduler().lead("host-1")?;
/// let fires = leading.next(Some(Duration::from_secs(60)))?;
/// assert_eq!(fires[0].name, "pulse");
/// # Ok::<(), honker::Error>(())
/// ```
pub struct Leading {
    leader: Leader,
}

impl Leading {
    /// What is fired next; empty if the time was over first (`None`: without a limit).
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Vec<ScheduledFire>> {
        Ok(crate::waiting::in_time(self.leader.next(timeout)?)?.unwrap_or_default())
    }

    /// Gives leadership up.
    pub fn resign(&mut self) -> Result<()> {
        Ok(self.leader.resign()?)
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.leader.leads()
    }

    /// What ends its waits from another thread.
    pub fn waker(&self) -> Waker {
        Waker(self.leader.waiter())
    }
}

impl std::fmt::Debug for Leading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leading").field("leads", &self.leads()).finish()
    }
}
