//! What a schedule has beside its row: a row of `_honker_schedule_options`, which says how its jobs are enqueued and
//! remembers the last one of them.
//!
//! Priority, expiry and budget of the jobs are columns of the schedule itself. A schedule that has no more has no row here.

use serde_json::Value as Json;

use super::registry::Registration;
use crate::features::begin_use;
use crate::given::{self, Given};
use crate::queue::{self, Enqueue, JobOptions};
use crate::statement::Sql;
use crate::{Error, Result, Store};

/// What becomes of a boundary while the last job that the schedule has enqueued is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// Another one is enqueued.
    #[default]
    Allow,
    /// Nothing is enqueued, unless no claim may take that job any more.
    Skip,
}

/// The options of a schedule.
pub(crate) struct ScheduleOptions {
    pub(crate) job: JobOptions,
    pub(crate) overlap: Overlap,
}

/// What is stored of a schedule.
pub(super) struct Stored {
    pub(super) options: ScheduleOptions,
    pub(super) last_job_id: Option<i64>,
}

static SQL_READ: Sql =
    Sql::new("SELECT options, last_job_id FROM main._honker_schedule_options WHERE name = +?1");

static SQL_WRITE: Sql = Sql::new(
    "INSERT INTO main._honker_schedule_options (name, options) VALUES (?1, ?2)
     ON CONFLICT (name) DO UPDATE SET options = excluded.options",
);

static SQL_REMEMBER: Sql =
    Sql::new("UPDATE main._honker_schedule_options SET last_job_id = ?2 WHERE name = +?1");

static SQL_FORGET: Sql = Sql::new("DELETE FROM main._honker_schedule_options WHERE name = +?1");

impl ScheduleOptions {
    /// Reads the argument of this name. Unknown keys and wrong types are errors that name them.
    pub(crate) fn parse(argument: &str, text: &str) -> Result<Self> {
        let mut object = given::object(argument, text)?;
        let overlap = match object.remove("overlap") {
            None => Overlap::Allow,
            Some(value) => Given { argument, key: "overlap", value: &value }
                .one_of([("allow", Overlap::Allow), ("skip", Overlap::Skip)])?,
        };
        Ok(ScheduleOptions { job: JobOptions::read(argument, &object)?, overlap })
    }
}

impl Stored {
    /// Whether a boundary has to be skipped.
    pub(super) fn overlaps(&self, store: &Store, now: i64) -> Result<bool> {
        match (self.options.overlap, self.last_job_id) {
            (Overlap::Skip, Some(id)) => queue::may_still_run(store, now, id),
            _ => Ok(false),
        }
    }
}

/// An error if a schedule cannot enqueue such jobs.
pub(super) fn check(store: &Store, now: i64, schedule: &Registration<'_>) -> Result<()> {
    if schedule.job.run_at.is_some() || schedule.job.member.is_some() {
        let key = if schedule.job.run_at.is_some() { "run_at" } else { "member" };
        return Err(Error::invalid(format!("{key} is for a single job, not for those of a schedule")));
    }
    // Metadata that is no JSON is not in there.
    if schedule.job.metadata.is_none() && queue::to_json(&schedule.job).is_empty() {
        return Ok(());
    }
    // An expiry beyond the end of time is the end of time.
    queue::check(store, now, &Enqueue { expires_s: None, ..schedule.job })
}

/// Stores the options of a schedule that is registered. Belongs into [`Store::atomic`].
pub(super) fn write(store: &Store, schedule: &Registration<'_>) -> Result<()> {
    let mut options = queue::to_json(&schedule.job);
    if schedule.overlap == Overlap::Skip {
        options.insert("overlap".to_owned(), "skip".into());
    }
    if options.is_empty() {
        return forget(store, schedule.name);
    }
    begin_use(store, |features| features.schedules = true)?;
    let options = Json::Object(options).to_string();
    store.insert(&SQL_WRITE, &[schedule.name.into(), options.as_str().into()]).map(drop)
}

/// The options of a schedule, if it has any. An error if SQL of somebody's own has stored what cannot be read: of the kind that
/// is the schedule's affair.
pub(super) fn read(store: &Store, name: &str) -> Result<Option<Stored>> {
    if !store.features().schedules {
        return Ok(None);
    }
    let row = store.query_one(&SQL_READ, &[name.into()], |row| (row.text(0), row.optional_integer(1)))?;
    let Some((options, last_job_id)) = row else { return Ok(None) };
    match ScheduleOptions::parse("its row of _honker_schedule_options", &options) {
        Ok(options) => Ok(Some(Stored { options, last_job_id })),
        Err(error) => Err(Error::Sql(error.to_string().into())),
    }
}

/// The schedule has enqueued this job. Belongs into [`Store::atomic`].
pub(super) fn remember(store: &Store, name: &str, job_id: i64) -> Result<()> {
    store.execute(&SQL_REMEMBER, &[name.into(), job_id.into()]).map(drop)
}

/// Forgets the options of a schedule. Belongs into [`Store::atomic`].
pub(super) fn forget(store: &Store, name: &str) -> Result<()> {
    if store.features().schedules {
        store.execute(&SQL_FORGET, &[name.into()])?;
    }
    Ok(())
}
