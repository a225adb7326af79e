//! Firing what is due.

use serde::Serialize;

use super::Expression;
use super::last_fire;
use super::options;
use super::registry::{MAX_ATTEMPTS_DEFAULT, boundary, in_schedule, malformed, usable};
use crate::queue::{self, Enqueue, EnqueueStatus, JobOptions, check_keys, is_refusal_of_row};
use crate::statement::Sql;
use crate::unit::Unit;
use crate::{Error, Result, Store};

/// How many missed boundaries of one schedule a tick catches up; the rest are skipped.
const FIRES_MAX: usize = 64;

/// One boundary that was fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fire {
    /// The schedule.
    pub name: String,
    /// Where its job went.
    pub queue: String,
    /// The boundary.
    pub fire_at: i64,
    /// The job; `None` if none was enqueued. If its key was taken, the one that has it.
    pub job_id: Option<i64>,
    /// What has become of it. Not among the keys of the JSON if it was enqueued.
    #[serde(skip_serializing_if = "FireStatus::is_enqueued")]
    pub status: FireStatus,
}

/// What has become of the job of a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FireStatus {
    /// It is in its queue.
    Enqueued,
    /// Another job has its unique key, and stays as it is.
    Exists,
    /// The job that has its unique key has become this one.
    Replaced,
    /// The last job of the schedule is still live, and no other is to be beside it.
    Skipped,
}

impl FireStatus {
    fn is_enqueued(&self) -> bool {
        *self == FireStatus::Enqueued
    }
}

impl From<EnqueueStatus> for FireStatus {
    fn from(status: EnqueueStatus) -> Self {
        match status {
            EnqueueStatus::Enqueued => FireStatus::Enqueued,
            EnqueueStatus::Exists => FireStatus::Exists,
            EnqueueStatus::Replaced => FireStatus::Replaced,
        }
    }
}

static SQL_DUE: Sql = Sql::new(concat!(
    "SELECT name, queue, cron_expr, payload, priority, expires_s, boundary, max_attempts, malformed, id
     FROM (SELECT *, rowid AS id, ",
    boundary!(),
    " AS boundary, ",
    malformed!(),
    " AS malformed FROM main._honker_scheduler_tasks WHERE enabled)
     WHERE boundary <= ?1 ORDER BY name",
));

// By the row, as a name that is no proper text is found by no comparison.
static SQL_ADVANCE: Sql =
    Sql::new("UPDATE main._honker_scheduler_tasks SET next_fire_at = ?2 WHERE rowid = ?1");

struct Due {
    rowid: i64,
    name: String,
    queue: String,
    expression: String,
    payload: String,
    priority: i64,
    expires_s: Option<i64>,
    next_fire_at: i64,
    max_attempts: i64,
    malformed: Option<String>,
}

/// What a tick has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ticked {
    /// What was fired.
    pub fires: Vec<Fire>,
    /// The schedules that were due and could not be fired. They stay due.
    pub refused: Vec<Refused>,
}

/// A schedule that the file refuses to fire: a trigger of the user's raises, a constraint is violated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The schedule's row.
    pub rowid: i64,
    /// Why, with the schedule's name.
    pub error: Error,
}

/// Enqueues a job for every boundary up to `until` that no tick has fired, oldest first, at most 64 for each schedule;
/// what each schedule missed beyond that is skipped.
///
/// The jobs are due at once, and expire `expires_s` after their boundary: one caught up too late is born expired. Any
/// number of processes may tick at the same time: each boundary is fired once. A schedule whose stored expression cannot be
/// used is passed over, and [`super::list`] says why. So is one that the file refuses to fire; it stays due, and if nothing
/// else is fired either, why the first of them was refused is the error, which names the schedule.
pub fn tick(store: &Store, now: i64, until: i64) -> Result<Vec<Fire>> {
    tick_into(store, now, until, Ok)
}

/// As [`tick`], with the answer made of the fires before they are final: if it cannot be made, nothing is fired.
pub(crate) fn tick_into<T>(
    store: &Store,
    now: i64,
    until: i64,
    answer: impl Fn(Vec<Fire>) -> Result<T>,
) -> Result<T> {
    // An idle tick takes no lock. In a transaction of the caller's, reading before locking could cost it the lock.
    if !store.in_transaction() && due(store, until)?.is_empty() {
        return answer(Vec::new());
    }
    passing_over(store, |passed_over| {
        let ticked = fire_due(store, now, until, passed_over)?;
        Ok(match ticked.refused.into_iter().next() {
            Some(refused) if ticked.fires.is_empty() => Err(refused.error),
            _ => Ok(answer(ticked.fires)?),
        })
    })?
}

/// Runs `unit`, which fires what is due, as a unit. At once, which costs nothing extra; if something is refused, again with a
/// savepoint for each schedule (`Some`): those in it are passed over.
pub(super) fn passing_over<T>(
    store: &Store,
    unit: impl Fn(Option<&mut Vec<Refused>>) -> Result<T>,
) -> Result<T> {
    let is_alone = !store.in_transaction();
    let mut reason = match store.atomic(|| unit(None)) {
        Err(error) if is_refusal_of_row(&error) => error,
        done => return done,
    };
    // A trigger's RAISE(ROLLBACK) leaves nothing to go on in. Each round knows one more schedule to pass over.
    let mut refused = Vec::new();
    loop {
        if !is_alone && !store.in_transaction() {
            return Err(Error::Aborted(
                format!("not done, the transaction was rolled back: {reason}").into(),
            ));
        }
        let known = refused.len();
        match store.atomic(|| unit(Some(&mut refused))) {
            Err(error) if refused.len() > known => reason = error,
            done => return done,
        }
    }
}

/// Fires what is due up to `until`, but for those that are passed over, to which it adds those that are refused.
pub(super) fn fire_due(
    store: &Store,
    now: i64,
    until: i64,
    mut passed_over: Option<&mut Vec<Refused>>,
) -> Result<Ticked> {
    // Keys that the caller's transaction has broken already say nothing of a schedule.
    let keys = !store.violates_deferred_keys();
    let mut fires = Vec::new();
    for (schedule, expression) in due(store, until)? {
        let fire = |fires: &mut Vec<Fire>| {
            fire(store, now, until, &schedule, &expression, fires)
                .and_then(|()| check_keys(store, keys))
                .map_err(|error| in_schedule(&schedule.name, error))
        };
        let Some(passed_over) = passed_over.as_deref_mut() else {
            fire(&mut fires)?;
            continue;
        };
        if passed_over.iter().any(|refused| refused.rowid == schedule.rowid) {
            continue;
        }
        // Without a savepoint a refusal is one of all.
        let Some(unit) = Unit::begin(store)? else {
            fire(&mut fires)?;
            continue;
        };
        let before = fires.len();
        match fire(&mut fires) {
            Ok(()) => unit.commit()?,
            Err(error) if is_refusal_of_row(&error) => {
                drop(unit);
                fires.truncate(before);
                passed_over.push(Refused { rowid: schedule.rowid, error: error.clone() });
                if !store.in_transaction() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    let refused = passed_over.map(|refused| refused.clone()).unwrap_or_default();
    Ok(Ticked { fires, refused })
}

/// The schedules that have to fire, and can.
fn due(store: &Store, until: i64) -> Result<Vec<(Due, Expression)>> {
    let due = store.query(&SQL_DUE, &[until.into()], |row| Due {
        rowid: row.integer(9),
        name: row.text(0),
        queue: row.text(1),
        expression: row.text(2),
        payload: row.text(3),
        priority: row.integer(4),
        expires_s: row.optional_integer(5),
        next_fire_at: row.integer(6),
        max_attempts: row.integer(7),
        malformed: row.optional_text(8),
    })?;
    let mut usable_ones = Vec::with_capacity(due.len());
    for mut schedule in due {
        match usable(&schedule.expression, schedule.next_fire_at, schedule.malformed.take()) {
            Ok(Ok(expression)) => usable_ones.push((schedule, expression)),
            Ok(Err(_)) => {}
            Err(error) => return Err(in_schedule(&schedule.name, error)),
        }
    }
    Ok(usable_ones)
}

fn fire(
    store: &Store,
    now: i64,
    until: i64,
    schedule: &Due,
    expression: &Expression,
    fires: &mut Vec<Fire>,
) -> Result<()> {
    let mut stored = options::read(store, &schedule.name)?;
    let none = JobOptions::default();
    let job_options = stored.as_ref().map_or(&none, |stored| &stored.options.job).clone();
    let job = job_options.job(&schedule.queue, &schedule.payload);
    let max_attempts = match schedule.max_attempts {
        MAX_ATTEMPTS_DEFAULT => job.max_attempts,
        named => Some(named),
    };
    let job = Enqueue { priority: schedule.priority, max_attempts, ..job };
    // Beyond the end of time is the end of time: one such row must not keep the other schedules from firing.
    let run_at = now.saturating_add(job.delay_s.unwrap_or(0));
    let mut boundary = schedule.next_fire_at;
    let (mut fired, mut last) = (0, None);
    while boundary <= until {
        if fired == FIRES_MAX {
            boundary = expression.first_after(boundary, until)?;
            break;
        }
        let overlaps = stored.as_ref().map_or(Ok(false), |stored| stored.overlaps(store, now))?;
        let (job_id, status) = if overlaps {
            (None, FireStatus::Skipped)
        } else {
            let expires_at = schedule.expires_s.map(|expires_s| boundary.saturating_add(expires_s));
            let enqueued = queue::enqueue_at(store, now, &job, run_at, expires_at).map_err(of_schedule)?;
            if let Some(stored) = &mut stored
                && enqueued.status != EnqueueStatus::Exists
            {
                stored.last_job_id = Some(enqueued.id);
                options::remember(store, &schedule.name, enqueued.id)?;
            }
            (Some(enqueued.id), enqueued.status.into())
        };
        let (name, queue) = (schedule.name.clone(), schedule.queue.clone());
        fires.push(Fire { name, queue, fire_at: boundary, job_id, status });
        fired += 1;
        last = Some(boundary);
        boundary = expression.next_after(boundary)?;
    }
    if let Some(last) = last {
        last_fire::remember(store, &schedule.name, last)?;
    }
    store.execute(&SQL_ADVANCE, &[schedule.rowid.into(), boundary.into()])?;
    Ok(())
}

/// What is wrong with the jobs of a schedule, such as a batch that is sealed, is no error of whoever fires it: the others go on.
fn of_schedule(error: Error) -> Error {
    match error {
        Error::Invalid(message) => Error::Sql(message.into()),
        other => other,
    }
}
