//! What commands and the page do to many jobs at once, and to schedules, that no single operation of the core does.

use std::time::Instant;

use honker_core::database::{Database, Value as Sql};
use honker_core::queue::{Applied, error_pattern};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Result};
use crate::read;

/// How many jobs a call of the core looks through for us.
const PAGE: usize = 1_000;

/// So many dead jobs of a group are retried in one transaction, and so many dead ones are looked at for them.
const GROUP_STEP: usize = 200;
const GROUP_PAGE: i64 = 10_000;

/// Counting ends here.
pub const COUNT_MAX: u64 = 100_000;

/// What a bulk action has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// How many jobs were changed.
    pub changed: i64,
    /// How many were passed over: another job has their unique key, or the file refuses the change.
    pub conflicts: i64,
    /// Where to go on, if it was ended before all were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<i64>,
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// So many were counted.
    pub found: u64,
    /// There may be more.
    pub at_least: bool,
}

/// The states of jobs that an action does anything to. `action` is as the core takes it.
pub fn states_of(action: &str) -> &'static [&'static str] {
    match action {
        "retry" => &["dead"],
        "run_now" => &["delayed"],
        "cancel" => &["due", "delayed", "processing", "blocked"],
        "delete" => &["due", "delayed", "processing", "blocked", "dead", "done"],
        _ => &["due", "delayed", "blocked", "dead"],
    }
}

/// The filter with its states cut down to those that the action does anything to; `None` if none is left.
pub fn narrowed(mut filter: Map<String, Value>, action: &str) -> Option<Map<String, Value>> {
    let meant = |state: &&&str| match filter.get("state") {
        None | Some(Value::Null) => true,
        Some(Value::Array(states)) => states.iter().any(|named| named == **state),
        Some(named) => named == **state,
    };
    let states: Vec<&str> = states_of(action).iter().filter(meant).copied().collect();
    filter.insert("state".to_owned(), states.clone().into());
    (!states.is_empty()).then_some(filter)
}

/// How many jobs a filter finds; no more than [`COUNT_MAX`] are counted, and none after `until`.
pub fn count(database: &Database, mut filter: Map<String, Value>, until: Option<Instant>) -> Result<Found> {
    filter.insert("limit".to_owned(), PAGE.into());
    let mut found = 0;
    loop {
        let page = database.jobs_list(&Value::Object(filter.clone()).to_string())?;
        found += page.jobs.len() as u64;
        let Some(cursor) = page.cursor else { return Ok(Found { found, at_least: false }) };
        if found >= COUNT_MAX || until.is_some_and(|until| Instant::now() >= until) {
            return Ok(Found { found, at_least: true });
        }
        filter.insert("cursor".to_owned(), cursor.into());
    }
}

/// Does an action to all that a filter finds, a page at a time; `goes_on` hears how far it is, and says whether to go on. An error
/// leaves the pages before it done.
pub fn apply(
    database: &Database,
    mut filter: Map<String, Value>,
    action: &str,
    mut goes_on: impl FnMut(Done) -> bool,
) -> Result<Done> {
    filter.insert("limit".to_owned(), PAGE.into());
    let mut done = Done::default();
    loop {
        let Applied { changed, conflicts, cursor, .. } =
            database.jobs_apply(&Value::Object(filter.clone()).to_string(), action)?;
        done = Done { changed: done.changed + changed, conflicts: done.conflicts + conflicts, cursor };
        let goes_on = goes_on(done);
        match cursor {
            Some(cursor) if goes_on => filter.insert("cursor".to_owned(), cursor.into()),
            _ => return Ok(done),
        };
    }
}

/// Retries the dead jobs of a group of [`Database::dead_groups`], of one queue or of all, from after the id `cursor` on; `goes_on` as
/// for [`apply`].
pub fn retry_group(
    database: &Database,
    queue: Option<&str>,
    group: Option<&str>,
    cursor: Option<i64>,
    mut goes_on: impl FnMut(Done) -> bool,
) -> Result<Done> {
    let mut done = Done { cursor, ..Done::default() };
    loop {
        let rows = read::query(
            database,
            "SELECT id, last_error FROM main._honker_dead
             WHERE id > ?1 AND (?2 IS NULL OR queue = ?2) ORDER BY id LIMIT ?3",
            &[done.cursor.unwrap_or(i64::MIN).into(), queue.map_or(Sql::Null, Sql::from), GROUP_PAGE.into()],
        )?;
        let Some(last) = rows.rows.last().and_then(|row| read::integer(&row[0])) else {
            return Ok(Done { cursor: None, ..done });
        };
        let is_of_group = |row: &&Vec<Sql>| match &row[1] {
            Sql::Null => group.is_none(),
            error => group == Some(error_pattern(&read::text(error)).as_str()),
        };
        let ids: Vec<i64> =
            rows.rows.iter().filter(is_of_group).filter_map(|row| read::integer(&row[0])).collect();
        for ids in ids.chunks(GROUP_STEP) {
            let mut transaction = database.begin()?;
            for id in ids {
                let filter = json!({ "min_id": id, "max_id": id, "state": "dead" }).to_string();
                let Applied { changed, conflicts, .. } = transaction.jobs_apply(&filter, "retry")?;
                done.changed += changed;
                done.conflicts += conflicts;
            }
            transaction.commit()?;
            done.cursor = ids.last().copied();
            if !goes_on(done) {
                return Ok(done);
            }
        }
        done.cursor = Some(last);
        if !goes_on(done) {
            return Ok(done);
        }
    }
}

/// Enqueues the job of a schedule now, beside those of its boundaries; its id. A unique key holds for it as for those; a delay
/// does not.
pub fn run_schedule_now(database: &Database, name: &str) -> Result<i64> {
    let mut transaction = database.begin()?;
    let schedule = transaction.scheduler_list()?.into_iter().find(|schedule| schedule.name == name);
    let schedule = schedule.ok_or_else(|| no_schedule(name))?;
    let mut options = schedule.options;
    options.remove("delay_s");
    options.insert("priority".to_owned(), schedule.priority.into());
    options.insert("max_attempts".to_owned(), schedule.max_attempts.into());
    if let Some(expires_s) = schedule.expires_s {
        options.insert("expires_s".to_owned(), expires_s.into());
    }
    let options = Value::Object(options).to_string();
    let parameters: [Sql; 3] =
        [schedule.queue.as_str().into(), schedule.payload.as_str().into(), options.as_str().into()];
    let schema = if database.is_remote() { "honker." } else { "" };
    let rows = transaction.query(&format!("SELECT {schema}honker_enqueue_with(?1, ?2, ?3)"), &parameters)?;
    let answer = rows.rows.first().map_or_else(String::new, |row| read::text(&row[0]));
    transaction.commit()?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
    answer["id"].as_i64().ok_or_else(|| Failure::Failed("the job has no id".to_owned()))
}

/// The error of a schedule that is not there.
pub fn no_schedule(name: &str) -> Failure {
    Failure::NotFound(format!("there is no schedule '{name}'"))
}

/// What `honker_queue_configure` takes to pause or resume.
pub fn paused(paused: bool) -> String {
    json!({ "paused": paused }).to_string()
}
