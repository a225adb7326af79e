//! What is changed: `POST /api/…`, all with JSON bodies. `guard.rs` has let them through.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use honker_core::database::{Database, Value as Sql};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{id_of, ids_as_numbers, ids_as_text};
use super::{Refusal, Shared};
use crate::act::{self, Done, Found};
use crate::failure::Failure;
use crate::read;

/// A bulk action goes on for so long, and then says where it is: no request takes for ever, and whoever asked sees how far it is.
const SLICE: Duration = Duration::from_secs(2);

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

/// `POST /api/jobs/apply`: does an action to all jobs that a filter finds. If there are too many for one request, the answer has a
/// cursor: the same again with it in the filter goes on.
pub async fn apply(State(site): State<Shared>, bytes: Bytes) -> Answer {
    let Apply { mut filter, action, dry_run } = body(&bytes)?;
    ids_as_numbers(&mut filter)?;
    let action = match action {
        Value::String(name) => name,
        object => object.to_string(),
    };
    let Some(filter) = act::narrowed(filter, &action) else {
        return Ok(Json(
            json!({ "changed": 0, "conflicts": 0, "found": 0, "at_least": false, "cursor": null }),
        ));
    };
    if dry_run {
        let until = Some(Instant::now() + SLICE);
        let Found { found, at_least } =
            site.with(move |database| act::count(database, filter, until)).await?;
        let answer =
            json!({ "changed": 0, "conflicts": 0, "found": found, "at_least": at_least, "cursor": null });
        return Ok(Json(answer));
    }
    let goes_on = slice();
    let done = site.with(move |database| act::apply(database, filter, &action, goes_on)).await?;
    Ok(answer(done))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryGroup {
    queue: Option<String>,
    error: Option<String>,
    cursor: Option<String>,
}

/// Says that a bulk action goes on, until its time is over.
fn slice() -> impl FnMut(Done) -> bool {
    let until = Instant::now() + SLICE;
    move |_| Instant::now() < until
}

fn answer(done: Done) -> Json<Value> {
    let Done { changed, conflicts, cursor } = done;
    let mut answer = json!({
        "changed": changed,
        "conflicts": conflicts,
        "found": changed + conflicts,
        "at_least": cursor.is_some(),
        "cursor": cursor,
    });
    ids_as_text(&mut answer);
    Json(answer)
}

/// `POST /api/dead/retry`: retries the dead jobs of a group; the cursor is as for [`apply`].
pub async fn retry_group(State(site): State<Shared>, bytes: Bytes) -> Answer {
    let RetryGroup { queue, error, cursor } = body(&bytes)?;
    let cursor = cursor.map(|text| id_of("cursor", &text)).transpose()?;
    let goes_on = slice();
    let retry = move |database: &Database| {
        act::retry_group(database, queue.as_deref(), error.as_deref(), cursor, goes_on)
    };
    Ok(answer(site.with(retry).await?))
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
