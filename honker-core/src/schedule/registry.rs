//! Registering schedules, changing them, looking at them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::options::{self, Overlap, ScheduleOptions};
use super::{Expression, calendar, last_fire};
use crate::error::Cause;
use crate::queue::{self, Enqueue};
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store};

/// In the table of schedules: how often a job may be claimed when neither its schedule nor its queue says (`options.rs`).
pub(super) const MAX_ATTEMPTS_DEFAULT: i64 = 3;

/// The next boundary. Any SQL may have stored a number that is not whole: a boundary between two seconds is the later one.
macro_rules! boundary {
    () => {
        "CAST(CAST(next_fire_at AS INTEGER) + (next_fire_at > CAST(next_fire_at AS INTEGER)) AS INTEGER)"
    };
}

/// The first column that holds what its type does not allow, or NULL. Only SQL of somebody's own can have stored it.
macro_rules! malformed {
    () => {
        "CASE WHEN typeof(name) <> 'text' THEN 'name' WHEN typeof(queue) <> 'text' THEN 'queue'
              WHEN typeof(cron_expr) <> 'text' THEN 'cron_expr' WHEN typeof(payload) <> 'text' THEN 'payload'
              WHEN priority >= '' THEN 'priority' WHEN expires_s >= '' THEN 'expires_s'
              WHEN next_fire_at >= '' THEN 'next_fire_at' WHEN max_attempts >= '' THEN 'max_attempts' END"
    };
}
pub(super) use {boundary, malformed};

/// What to register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration<'a> {
    /// The schedule's name; registering it again replaces it.
    pub name: &'a str,
    /// When: a schedule expression.
    pub expression: &'a str,
    /// The jobs that it enqueues. They expire so many seconds after their boundary; their delay counts from when they are
    /// enqueued; attempts below 1 mean 1, and none what is set for their queue. There is no `run_at`, and no `member`.
    pub job: Enqueue<'a>,
    /// What becomes of a boundary while the last of these jobs is live.
    pub overlap: Overlap,
}

/// What to change. Whatever is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Update<'a> {
    /// A new expression; the next boundary is then computed from now.
    pub expression: Option<&'a str>,
    /// A new payload.
    pub payload: Option<&'a str>,
    /// A new priority.
    pub priority: Option<i64>,
    /// A new expiry; `Some(None)` removes it.
    pub expires_s: Option<Option<i64>>,
    /// How often its jobs may be claimed; `Some(None)`: what is set for their queue, or else 3.
    pub max_attempts: Option<Option<i64>>,
}

/// A row of `_honker_scheduler_tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The schedule's name.
    pub name: String,
    /// Where its jobs go.
    pub queue: String,
    /// The expression, as it was given.
    pub cron_expr: String,
    /// The payload of its jobs.
    pub payload: String,
    /// The priority of its jobs.
    pub priority: i64,
    /// Seconds after the boundary at which a job expires.
    pub expires_s: Option<i64>,
    /// The next boundary.
    pub next_fire_at: i64,
    /// Whether it is running, not paused.
    pub enabled: bool,
    /// How often its jobs may be claimed; what is set for their queue, if the schedule does not say.
    pub max_attempts: i64,
    /// Why it does not fire: what is wrong with the stored expression, or which column holds a value of a wrong type.
    /// Registering and updating check them, other SQL and other versions of the grammar do not.
    pub error: Option<String>,
    /// What becomes of a boundary while the last of its jobs is live.
    pub overlap: Overlap,
    /// What else there is to say of its jobs, by the names of the options of an enqueue.
    pub options: Map<String, Json>,
}

// Registering at every start of an application must not move the next boundary: those missed while it was down are
// still owed. One that is no number is not worth keeping. `enabled` stays as well: a paused schedule stays paused.
static SQL_REGISTER: Sql = Sql::new(
    "INSERT INTO main._honker_scheduler_tasks
       (name, queue, cron_expr, payload, priority, expires_s, next_fire_at, max_attempts)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
     ON CONFLICT (name) DO UPDATE SET
       queue = excluded.queue, cron_expr = excluded.cron_expr, payload = excluded.payload,
       priority = excluded.priority, expires_s = excluded.expires_s, max_attempts = excluded.max_attempts,
       next_fire_at = CASE WHEN _honker_scheduler_tasks.cron_expr = excluded.cron_expr
                                 AND _honker_scheduler_tasks.next_fire_at < ''
                           THEN _honker_scheduler_tasks.next_fire_at ELSE excluded.next_fire_at END",
);

static SQL_UNREGISTER: Sql = Sql::new("DELETE FROM main._honker_scheduler_tasks WHERE name = +?1");

static SQL_EXISTS: Sql = Sql::new("SELECT 1 FROM main._honker_scheduler_tasks WHERE name = +?1");

static SQL_UPDATE: Sql = Sql::new(
    "UPDATE main._honker_scheduler_tasks SET
       cron_expr = coalesce(?2, cron_expr), next_fire_at = coalesce(?3, next_fire_at),
       payload = coalesce(?4, payload), priority = coalesce(?5, priority),
       expires_s = CASE WHEN ?6 THEN ?7 ELSE expires_s END, max_attempts = coalesce(?8, max_attempts)
     WHERE name = +?1",
);

static SQL_ENABLE: Sql =
    Sql::new("UPDATE main._honker_scheduler_tasks SET enabled = 1 WHERE name = +?1 AND NOT enabled");

static SQL_DISABLE: Sql =
    Sql::new("UPDATE main._honker_scheduler_tasks SET enabled = 0 WHERE name = +?1 AND enabled");

macro_rules! list {
    ($options:literal) => {
        concat!(
            "SELECT name, queue, cron_expr, payload, priority, expires_s, ",
            boundary!(),
            ", enabled, max_attempts, ",
            malformed!(),
            ", ",
            $options,
            " FROM main._honker_scheduler_tasks ORDER BY name",
        )
    };
}
static SQL_LIST: Sql = Sql::new(list!(
    "(SELECT options FROM main._honker_schedule_options WHERE name = _honker_scheduler_tasks.name),
     (SELECT settings FROM main._honker_queues WHERE name = _honker_scheduler_tasks.queue)"
));
static SQL_LIST_OF_OLDER_FILE: Sql = Sql::new(list!("NULL, NULL"));

// The one after ?1, ?2 in the order of boundaries.
static SQL_NEXT: Sql = Sql::new(concat!(
    "SELECT boundary, id, cron_expr, malformed
     FROM (SELECT ",
    boundary!(),
    " AS boundary, rowid AS id, cron_expr, ",
    malformed!(),
    " AS malformed FROM main._honker_scheduler_tasks WHERE enabled)
     WHERE (boundary, id) > (+?1, +?2) ORDER BY boundary, id LIMIT 1",
));

/// Adds a schedule or replaces the one of that name.
pub fn register(store: &Store, now: i64, schedule: &Registration<'_>) -> Result<()> {
    let next_fire_at = Expression::parse(schedule.expression)?.next_after(now)?;
    options::check(store, now, schedule)?;
    let Registration { name, expression, job, .. } = *schedule;
    let max_attempts = job.max_attempts.unwrap_or(MAX_ATTEMPTS_DEFAULT).max(1);
    let parameters = [
        name.into(),
        job.queue.into(),
        expression.into(),
        job.payload.into(),
        job.priority.into(),
        Value::from(job.expires_s),
        next_fire_at.into(),
        max_attempts.into(),
    ];
    store.atomic(|| {
        store.insert(&SQL_REGISTER, &parameters)?;
        options::write(store, schedule)
    })
}

/// Removes a schedule; how many rows that were. Jobs it has enqueued stay.
pub fn unregister(store: &Store, name: &str) -> Result<i64> {
    store.atomic(|| {
        options::forget(store, name)?;
        last_fire::forget(store, name)?;
        store.execute(&SQL_UNREGISTER, &[name.into()])
    })
}

/// Changes parts of a schedule. `false`, and nothing written, if there is no such schedule or nothing to change.
pub fn update(store: &Store, now: i64, name: &str, changes: &Update<'_>) -> Result<bool> {
    if *changes == Update::default() {
        return Ok(false);
    }
    let next_fire_at =
        match changes.expression.map(|text| Expression::parse(text)?.next_after(now)).transpose() {
            Ok(next_fire_at) => next_fire_at,
            // There is nothing wrong with an expression for nothing.
            Err(_) if store.query_one(&SQL_EXISTS, &[name.into()], |_| ())?.is_none() => return Ok(false),
            Err(error) => return Err(error),
        };
    let max_attempts = changes.max_attempts.map(|named| named.unwrap_or(MAX_ATTEMPTS_DEFAULT).max(1));
    let parameters = [
        name.into(),
        Value::from(changes.expression),
        Value::from(next_fire_at),
        Value::from(changes.payload),
        Value::from(changes.priority),
        i64::from(changes.expires_s.is_some()).into(),
        Value::from(changes.expires_s.flatten()),
        Value::from(max_attempts),
    ];
    let Some(named) = changes.max_attempts else {
        return Ok(store.execute(&SQL_UPDATE, &parameters)? > 0);
    };
    store.atomic(|| {
        let changed = store.execute(&SQL_UPDATE, &parameters)? > 0;
        if changed {
            options::change_max_attempts(store, name, named)?;
        }
        Ok(changed)
    })
}

/// Stops a schedule from firing. `false` if it does not exist or is paused already.
pub fn pause(store: &Store, name: &str) -> Result<bool> {
    Ok(store.execute(&SQL_DISABLE, &[name.into()])? > 0)
}

/// Lets a paused schedule fire again; what it missed is caught up. `false` if it does not exist or is not paused.
pub fn resume(store: &Store, name: &str) -> Result<bool> {
    Ok(store.execute(&SQL_ENABLE, &[name.into()])? > 0)
}

/// All schedules, by name.
pub fn list(store: &Store) -> Result<Vec<Schedule>> {
    let sql = if options::has_table(store)? { &SQL_LIST } else { &SQL_LIST_OF_OLDER_FILE };
    store.query(sql, &[], |row| {
        let (expression, next_fire_at) = (row.text(2), row.integer(6));
        let text = row.optional_text(10).unwrap_or_else(|| "{}".to_owned());
        let read = ScheduleOptions::of_row(&text);
        let overlap = read.as_ref().map_or(Overlap::Allow, |options| options.overlap);
        let error =
            usable(&expression, next_fire_at, row.optional_text(9)).and_then(|usable| usable).and(read).err();
        let mut options: Map<String, Json> = serde_json::from_str(&text).unwrap_or_default();
        let is_named = options.remove("max_attempts").is_some();
        options.remove("overlap");
        let max_attempts = match (row.integer(8), row.optional_text(11)) {
            (MAX_ATTEMPTS_DEFAULT, Some(settings)) if !is_named => queue::max_attempts_of(&settings),
            (stored, _) => stored,
        };
        Schedule {
            name: row.text(0),
            queue: row.text(1),
            cron_expr: expression,
            payload: row.text(3),
            priority: row.integer(4),
            expires_s: row.optional_integer(5),
            next_fire_at,
            enabled: row.integer(7) != 0,
            max_attempts,
            error: error.map(|error| error.to_string()),
            overlap,
            options,
        }
    })
}

/// The next boundary of any schedule that is not paused and can fire. It may lie in the past.
pub fn soonest(store: &Store) -> Result<Option<i64>> {
    soonest_but(store, &[])
}

/// As [`soonest`], without the schedules of these rows.
pub(super) fn soonest_but(store: &Store, left_out: &[i64]) -> Result<Option<i64>> {
    let mut after = (i64::MIN, i64::MIN);
    loop {
        let next = store.query_one(&SQL_NEXT, &[after.0.into(), after.1.into()], |row| {
            (row.integer(0), row.integer(1), usable(&row.text(2), row.integer(0), row.optional_text(3)))
        })?;
        match next {
            // Nobody may sleep until a boundary that no tick fires.
            Some((boundary, rowid, Ok(Err(_)))) => after = (boundary, rowid),
            Some((boundary, rowid, _)) if left_out.contains(&rowid) => after = (boundary, rowid),
            next => return Ok(next.map(|(boundary, ..)| boundary)),
        }
    }
}

/// Reads a stored expression. The inner error is what is wrong with the schedule, whoever asks: a column is `malformed`,
/// or the expression cannot be read, or has no boundary after `boundary`. The outer one is this process's: it does not
/// know its own time zone.
pub(super) fn usable(
    expression: &str,
    boundary: i64,
    malformed: Option<String>,
) -> Result<Result<Expression>> {
    if let Some(column) = malformed {
        return Ok(Err(Error::invalid(format!("malformed row: {column} has a value of a wrong type"))));
    }
    let read = || {
        let expression = Expression::parse(expression)?;
        expression.next_after(boundary)?;
        Ok(expression)
    };
    let read = read();
    if read.is_err() {
        calendar::local_zone()?;
    }
    Ok(read)
}

/// Says which schedule an error belongs to, if it is about one.
pub(super) fn in_schedule(name: &str, error: Error) -> Error {
    let named = |mut cause: Cause| {
        cause.message = format!("schedule '{name}': {}", cause.message);
        cause
    };
    match error {
        Error::Invalid(message) => Error::Invalid(format!("schedule '{name}': {message}")),
        Error::Constraint(cause) => Error::Constraint(named(cause)),
        Error::Sql(cause) => Error::Sql(named(cause)),
        Error::TooBig(cause) => Error::TooBig(named(cause)),
        other => other,
    }
}
