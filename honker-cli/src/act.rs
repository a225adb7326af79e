//! What commands and the page do to many jobs at once, and to schedules, that no single operation of the core does.

use honker_core::database::{Database, Value as Sql};
use honker_core::queue::{Applied, error_pattern};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Result};
use crate::read;

/// How many jobs a call of the core looks through for us.
const PAGE: usize = 1_000;

/// Counting ends here.
pub const COUNT_MAX: u64 = 100_000;

/// What a bulk action has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// How many jobs were changed.
    pub changed: i64,
    /// How many were passed over: another job has their unique key, or the file refuses the change.
    pub conflicts: i64,
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

/// How many jobs a filter finds; no more than [`COUNT_MAX`] are counted.
pub fn count(database: &Database, mut filter: Map<String, Value>) -> Result<u64> {
    filter.insert("limit".to_owned(), PAGE.into());
    let mut found = 0;
    loop {
        let page = database.jobs_list(&Value::Object(filter.clone()).to_string())?;
        found += page.jobs.len() as u64;
        match page.cursor {
            Some(cursor) if found < COUNT_MAX => filter.insert("cursor".to_owned(), cursor.into()),
            _ => return Ok(found.min(COUNT_MAX)),
        };
    }
}

/// Does an action to all that a filter finds, a page at a time; `after_page` hears how far it is. An error leaves the pages before
/// it done.
pub fn apply(
    database: &Database,
    mut filter: Map<String, Value>,
    action: &str,
    mut after_page: impl FnMut(Done),
) -> Result<Done> {
    filter.insert("limit".to_owned(), PAGE.into());
    let mut done = Done::default();
    loop {
        let Applied { changed, conflicts, cursor, .. } =
            database.jobs_apply(&Value::Object(filter.clone()).to_string(), action)?;
        done = Done { changed: done.changed + changed, conflicts: done.conflicts + conflicts };
        after_page(done);
        match cursor {
            Some(cursor) => filter.insert("cursor".to_owned(), cursor.into()),
            None => return Ok(done),
        };
    }
}

/// Retries all dead jobs of a group of [`Database::dead_groups`], of one queue or of all.
pub fn retry_group(database: &Database, queue: Option<&str>, group: Option<&str>) -> Result<Done> {
    let rows = database.query(
        "SELECT id, last_error FROM main._honker_dead WHERE ?1 IS NULL OR queue = ?1 ORDER BY id",
        &[queue.map_or(Sql::Null, Sql::from)],
    )?;
    let is_of_group = |error: &Sql| match error {
        Sql::Null => group.is_none(),
        error => group == Some(error_pattern(&read::text(error)).as_str()),
    };
    let mut all = Done::default();
    for row in rows.rows.iter().filter(|row| is_of_group(&row[1])) {
        let Some(id) = read::integer(&row[0]) else { continue };
        let filter = json!({ "min_id": id, "max_id": id, "state": "dead" }).to_string();
        let done = database.jobs_apply(&filter, "retry")?;
        all = Done { changed: all.changed + done.changed, conflicts: all.conflicts + done.conflicts };
    }
    Ok(all)
}

/// Enqueues the job of a schedule now, beside those of its boundaries; its id. A unique key holds for it as for those; a delay
/// does not.
pub fn run_schedule_now(database: &Database, name: &str) -> Result<i64> {
    let mut transaction = database.begin()?;
    let schedule = transaction.scheduler_list()?.into_iter().find(|schedule| schedule.name == name);
    let schedule = schedule.ok_or_else(|| no_schedule(name))?;
    let rows = transaction
        .query("SELECT options FROM main._honker_schedule_options WHERE name = ?1", &[name.into()])?;
    let stored = rows.rows.first().map_or_else(|| "{}".to_owned(), |row| read::text(&row[0]));
    let mut options: Map<String, Value> = serde_json::from_str(&stored)
        .map_err(|error| Failure::Failed(format!("the options of schedule '{name}': {error}")))?;
    options.remove("overlap");
    options.remove("delay_s");
    options.insert("priority".to_owned(), schedule.priority.into());
    options.insert("max_attempts".to_owned(), schedule.max_attempts.into());
    if let Some(expires_s) = schedule.expires_s {
        options.insert("expires_s".to_owned(), expires_s.into());
    }
    let options = Value::Object(options).to_string();
    let parameters: [Sql; 3] =
        [schedule.queue.as_str().into(), schedule.payload.as_str().into(), options.as_str().into()];
    let rows = transaction.query("SELECT honker_enqueue_with(?1, ?2, ?3)", &parameters)?;
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
