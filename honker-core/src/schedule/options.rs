//! What a schedule has beside its row: a row of `_honker_schedule_options`, which says how its jobs are enqueued and
//! remembers the last one of them.
//!
//! Priority, expiry and attempts of the jobs are columns of the schedule itself. A schedule that has no more has no row here,
//! with one exception: the default of the attempts, 3, stands for what is set for the queue, and a schedule that has named just
//! this number says so here. That is nothing that an older program would break, so it does not keep it from writing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::registry::{MAX_ATTEMPTS_DEFAULT, Registration};
use crate::features::{self, Features, begin_use};
use crate::given::{self, Given};
use crate::queue::{self, Enqueue, JobOptions};
use crate::statement::Sql;
use crate::version::FileVersion;
use crate::{Error, Result, Store};

/// What becomes of a boundary while the last job that the schedule has enqueued is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

// Those of schedules that have only named the default of the attempts are nothing to be kept from older programs.
static SQL_ANY_USED: Sql =
    Sql::new("SELECT 1 FROM main._honker_schedule_options WHERE options <> '{\"max_attempts\":3}' LIMIT 1");

static SQL_FORGET: Sql = Sql::new("DELETE FROM main._honker_schedule_options WHERE name = +?1");

impl ScheduleOptions {
    /// Those of a row. An error if SQL of somebody's own has stored what cannot be read.
    pub(super) fn of_row(text: &str) -> Result<Self> {
        Self::parse("the row in _honker_schedule_options", text)
    }

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

/// An error if a schedule cannot have what it is given because it is for single jobs.
pub fn check_single(schedule: &Registration<'_>) -> Result<()> {
    if schedule.job.run_at.is_some() || schedule.job.member.is_some() {
        let key = if schedule.job.run_at.is_some() { "run_at" } else { "member" };
        return Err(Error::invalid(format!("{key} is for a single job, not for those of a schedule")));
    }
    Ok(())
}

/// An error if a schedule cannot enqueue such jobs.
pub(super) fn check(store: &Store, now: i64, schedule: &Registration<'_>) -> Result<()> {
    check_single(schedule)?;
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
    name_max_attempts(&mut options, schedule.job.max_attempts.map(|named| named.max(1)));
    put(store, schedule.name, options)
}

/// The attempts of a schedule's jobs are changed. Belongs into [`Store::atomic`].
pub(super) fn change_max_attempts(store: &Store, name: &str, max_attempts: Option<i64>) -> Result<()> {
    if !has_table(store)? {
        return Ok(());
    }
    let stored = store.query_one(&SQL_READ, &[name.into()], |row| row.text(0))?;
    // What cannot be read is not made worse.
    let Ok(stored) = serde_json::from_str::<Map<String, Json>>(stored.as_deref().unwrap_or("{}")) else {
        return Ok(());
    };
    let mut options = stored.clone();
    name_max_attempts(&mut options, max_attempts);
    if options == stored { Ok(()) } else { put(store, name, options) }
}

/// See the module documentation.
fn name_max_attempts(options: &mut Map<String, Json>, max_attempts: Option<i64>) {
    if max_attempts == Some(MAX_ATTEMPTS_DEFAULT) {
        options.insert("max_attempts".to_owned(), MAX_ATTEMPTS_DEFAULT.into());
    } else {
        options.remove("max_attempts");
    }
}

fn put(store: &Store, name: &str, options: Map<String, Json>) -> Result<()> {
    if options.is_empty() {
        return forget(store, name);
    }
    if options.len() > 1 || !options.contains_key("max_attempts") {
        begin_use(store, |features| features.schedules = true)?;
    } else if has_table(store)? {
        store.set_features(Features { schedules: true, ..store.features() });
    } else {
        return Ok(());
    }
    let options = Json::Object(options).to_string();
    store.insert(&SQL_WRITE, &[name.into(), options.as_str().into()]).map(drop)
}

/// Whether the file has the table. One that was made by an older program may not.
pub(super) fn has_table(store: &Store) -> Result<bool> {
    Ok(FileVersion::read(store)?.version >= features::MIN_VERSION)
}

/// Whether a schedule has options that an older program would not keep to.
pub(crate) fn uses_options(store: &Store) -> Result<bool> {
    Ok(store.query_one(&SQL_ANY_USED, &[], |_| ())?.is_some())
}

/// The options of a schedule, if it has any. An error if SQL of somebody's own has stored what cannot be read: of the kind that
/// is the schedule's affair.
pub(super) fn read(store: &Store, name: &str) -> Result<Option<Stored>> {
    if !store.features().schedules {
        return Ok(None);
    }
    let row = store.query_one(&SQL_READ, &[name.into()], |row| (row.text(0), row.optional_integer(1)))?;
    let Some((options, last_job_id)) = row else { return Ok(None) };
    match ScheduleOptions::of_row(&options) {
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
    if has_table(store)? {
        store.execute(&SQL_FORGET, &[name.into()])?;
    }
    Ok(())
}
