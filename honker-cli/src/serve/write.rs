//! What is changed: `POST /api/…`, all with JSON bodies. `guard.rs` has let them through.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use honker_core::database::Value as Sql;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{ids_as_numbers, ids_as_text};
use super::{Refusal, Shared};
use crate::act::{self, Done};
use crate::failure::Failure;
use crate::read;

type Answer = std::result::Result<Json<Value>, Refusal>;

/// The body, whatever it says of its type; unknown keys are errors that name them.
fn body<T: for<'de> Deserialize<'de>>(bytes: &Bytes) -> std::result::Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| Refusal(400, format!("the body: {error}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    filter: Map<String, Value>,
    action: Value,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /api/jobs/apply`: does an action to all jobs that a filter finds.
pub async fn apply(State(site): State<Shared>, bytes: Bytes) -> Answer {
    let Apply { mut filter, action, dry_run } = body(&bytes)?;
    ids_as_numbers(&mut filter)?;
    let action = match action {
        Value::String(name) => name,
        object => object.to_string(),
    };
    let Some(filter) = act::narrowed(filter, &action) else {
        return Ok(Json(json!({ "changed": 0, "conflicts": 0, "found": 0 })));
    };
    if dry_run {
        let found = site.with(move |database| act::count(database, filter)).await?;
        return Ok(Json(json!({ "changed": 0, "conflicts": 0, "found": found })));
    }
    let Done { changed, conflicts } =
        site.with(move |database| act::apply(database, filter, &action, |_| {})).await?;
    Ok(Json(json!({ "changed": changed, "conflicts": conflicts, "found": changed + conflicts })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryGroup {
    queue: Option<String>,
    error: Option<String>,
}

/// `POST /api/dead/retry`: retries all dead jobs of a group.
pub async fn retry_group(State(site): State<Shared>, bytes: Bytes) -> Answer {
    let RetryGroup { queue, error } = body(&bytes)?;
    let done =
        site.with(move |database| act::retry_group(database, queue.as_deref(), error.as_deref())).await?;
    Ok(Json(json!({ "changed": done.changed, "conflicts": done.conflicts })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enqueue {
    queue: String,
    payload: String,
    #[serde(default)]
    options: Map<String, Value>,
}

/// `POST /api/jobs`: enqueues a job; the options are those of `honker_enqueue_with` (docs/sql.md).
pub async fn enqueue(State(site): State<Shared>, bytes: Bytes) -> Answer {
    let Enqueue { queue, payload, mut options } = body(&bytes)?;
    ids_as_numbers(&mut options)?;
    let mut answer: Value = site
        .with(move |database| {
            let mut transaction = database.begin()?;
            let options = Value::Object(options).to_string();
            let parameters: [Sql; 3] =
                [queue.as_str().into(), payload.as_str().into(), options.as_str().into()];
            let rows =
                transaction.query("SELECT honker_enqueue_with(?1, ?2, ?3)", &parameters).map_err(as_usage)?;
            transaction.commit()?;
            let text = rows.rows.first().map_or_else(String::new, |row| read::text(&row[0]));
            serde_json::from_str(&text).map_err(|error| Failure::Failed(error.to_string()))
        })
        .await?;
    ids_as_text(&mut answer);
    Ok(Json(answer))
}

/// What an SQL function refuses is wrong with its arguments.
fn as_usage(error: honker_core::Error) -> Failure {
    match error {
        honker_core::Error::Sql(cause) => Failure::Usage(cause.message),
        other => other.into(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    queue: String,
    settings: Map<String, Value>,
}

/// `POST /api/queues/settings`: pauses, resumes and limits.
pub async fn settings(State(site): State<Shared>, bytes: Bytes) -> Answer {
    let Settings { queue, settings } = body(&bytes)?;
    let set = site
        .with(move |database| {
            database.queue_configure(&queue, &Value::Object(settings).to_string())?;
            Ok(database.queue_settings(&queue)?)
        })
        .await?;
    Ok(Json(serde_json::to_value(set).unwrap_or_default()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    name: String,
    action: ScheduleAction,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScheduleAction {
    Pause,
    Resume,
    RunNow,
}

/// `POST /api/schedules/action`.
pub async fn schedule(State(site): State<Shared>, bytes: Bytes) -> Answer {
    let Schedule { name, action } = body(&bytes)?;
    let mut answer = site
        .with(move |database| {
            if !database.scheduler_list()?.iter().any(|schedule| schedule.name == name) {
                return Err(act::no_schedule(&name));
            }
            Ok(match action {
                ScheduleAction::Pause => json!({ "changed": database.scheduler_pause(&name)? }),
                ScheduleAction::Resume => json!({ "changed": database.scheduler_resume(&name)? }),
                ScheduleAction::RunNow => {
                    json!({ "changed": true, "job_id": act::run_schedule_now(database, &name)? })
                }
            })
        })
        .await?;
    ids_as_text(&mut answer);
    Ok(Json(answer))
}
