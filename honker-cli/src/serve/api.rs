//! What is read: `GET /api/…`. Ids and offsets are texts: JavaScript's numbers do not hold them.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Refusal, Shared};
use crate::failure::Failure;
use crate::{moment, overview, plain, read};

type Answer = Result<Json<Value>, Refusal>;

/// So many jobs are listed at once.
const JOBS_MAX: i64 = 200;

/// In lists a payload is cut after so many characters.
const PAYLOAD_MAX: usize = 500;

/// What has 64 bits that matter.
const IDS: [&str; 10] = [
    "id",
    "job_id",
    "batch_id",
    "last_job_id",
    "cursor",
    "offset",
    "first_offset",
    "last_offset",
    "min_id",
    "max_id",
];

/// Makes ids texts, at whatever depth.
pub fn ids_as_text(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(ids_as_text),
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                match value {
                    Value::Number(number) if IDS.contains(&key.as_str()) => {
                        *value = number.to_string().into()
                    }
                    // What a user gave is not ours.
                    _ if key == "metadata" => {}
                    _ => ids_as_text(value),
                }
            }
        }
        _ => {}
    }
}

/// Makes the ids of a filter numbers again.
pub fn ids_as_numbers(filter: &mut Map<String, Value>) -> Result<(), Failure> {
    for key in IDS {
        if let Some(Value::String(text)) = filter.get(key) {
            let id: i64 = text.parse().map_err(|_| Failure::Usage(format!("{key} is no id: {text}")))?;
            filter.insert(key.to_owned(), id.into());
        }
    }
    Ok(())
}

fn answer(mut value: Value) -> Answer {
    ids_as_text(&mut value);
    Ok(Json(value))
}

fn to_value<T: serde::Serialize>(value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::Failed(error.to_string()))
}

/// `GET /api/overview`.
pub async fn overview(State(site): State<Shared>) -> Answer {
    let write = site.write;
    let file = site.database.path().to_owned();
    let mut value = site.with(|database| to_value(&overview::read(database)?)).await?;
    value["write"] = write.into();
    value["file"] = file.into();
    value["token"] = site.token.is_some().into();
    answer(value)
}

#[derive(Deserialize)]
pub struct HistoryOf {
    queue: Option<String>,
    minutes: Option<i64>,
}

/// `GET /api/history`.
pub async fn history(State(site): State<Shared>, Query(of): Query<HistoryOf>) -> Answer {
    let minutes = of.minutes.unwrap_or(60).clamp(1, 24 * 60);
    let minutes = site
        .with(move |database| to_value(&overview::history(database, of.queue.as_deref(), minutes)?))
        .await?;
    answer(json!({ "minutes": minutes }))
}

/// `GET /api/jobs`: the parameters are the keys of a filter (docs/sql.md); `state` may be several, with commas between; `metadata` is a JSON
/// object.
pub async fn jobs(State(site): State<Shared>, Query(given): Query<Vec<(String, String)>>) -> Answer {
    let mut filter = filter_of(given)?;
    let limit = filter.get("limit").and_then(Value::as_i64).unwrap_or(50).min(JOBS_MAX);
    filter.insert("limit".to_owned(), limit.into());
    let mut page =
        site.with(move |database| to_value(&database.jobs_list(&Value::Object(filter).to_string())?)).await?;
    for job in page["jobs"].as_array_mut().into_iter().flatten() {
        let payload = job["payload"].as_str().unwrap_or_default();
        if let Some((at, _)) = payload.char_indices().nth(PAYLOAD_MAX) {
            job["payload"] = payload[..at].into();
            job["payload_cut"] = true.into();
        }
    }
    answer(page)
}

fn filter_of(given: Vec<(String, String)>) -> Result<Map<String, Value>, Failure> {
    let mut filter = Map::new();
    for (key, text) in given {
        let value = match key.as_str() {
            "state" => text.split(',').map(Value::from).collect(),
            "metadata" => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            "limit" | "created_from" | "created_to" | "ended_from" | "ended_to" => {
                let number: i64 =
                    text.parse().map_err(|_| Failure::Usage(format!("{key} is no number: {text}")))?;
                number.into()
            }
            _ => Value::String(text),
        };
        if filter.insert(key.clone(), value).is_some() {
            return Err(Failure::Usage(format!("{key} is given twice")));
        }
    }
    ids_as_numbers(&mut filter)?;
    Ok(filter)
}

/// `GET /api/jobs/{id}`: everything known of it, and what happened to it when.
pub async fn job(State(site): State<Shared>, Path(id): Path<String>) -> Answer {
    let id: i64 = id.parse().map_err(|_| Refusal(404, "there is no such job".to_owned()))?;
    let found = site.with(move |database| read::job(database, id)).await?;
    let found = found.ok_or_else(|| Refusal(404, "there is no such job (any more)".to_owned()))?;
    let job = &found.job;
    let now = moment::now();
    let mut timeline = vec![json!({ "at": job.created_at, "what": "enqueued" })];
    if job.run_at != job.created_at {
        let what = if job.run_at > now { "will be due" } else { "due" };
        timeline.push(json!({ "at": job.run_at, "what": what }));
    }
    if let Some(at) = job.claim_expires_at {
        let worker = job.worker_id.as_deref().unwrap_or("?");
        timeline.push(json!({ "at": at, "what": format!("end of the claim of {worker}") }));
    }
    for (at, what) in [(job.expires_at, "expires"), (job.died_at, "died"), (job.finished_at, "done")] {
        timeline.extend(at.map(|at| json!({ "at": at, "what": what })));
    }
    timeline.sort_by_key(|event| event["at"].as_i64());
    let mut value = to_value(&found)?;
    value["timeline"] = timeline.into();
    answer(value)
}

#[derive(Deserialize)]
pub struct OfQueue {
    queue: Option<String>,
}

/// `GET /api/dead`: the dead, by what they died of.
pub async fn dead(State(site): State<Shared>, Query(of): Query<OfQueue>) -> Answer {
    let groups = site.with(move |database| to_value(&database.dead_groups(of.queue.as_deref())?)).await?;
    answer(json!({ "groups": groups }))
}

/// `GET /api/schedules`.
pub async fn schedules(State(site): State<Shared>) -> Answer {
    let schedules = site
        .with(|database| {
            let now = moment::now();
            let with_words = |schedule: honker_core::schedule::Schedule| {
                let mut value = to_value(&schedule)?;
                value["words"] = plain::words(&schedule.cron_expr).into();
                // The next one is what the file says: it may have been missed.
                let after = schedule.next_fire_at.saturating_sub(1).max(now.saturating_sub(1));
                value["next"] = to_value(&plain::boundaries(&schedule.cron_expr, after, 5))?;
                Ok(value)
            };
            database.scheduler_list()?.into_iter().map(with_words).collect::<Result<Vec<Value>, Failure>>()
        })
        .await?;
    answer(json!({ "schedules": schedules }))
}

/// `GET /api/streams`.
pub async fn streams(State(site): State<Shared>) -> Answer {
    let streams = site.with(|database| to_value(&read::streams(database)?)).await?;
    answer(json!({ "streams": streams }))
}

/// `GET /api/locks`: locks and rate limits.
pub async fn locks(State(site): State<Shared>) -> Answer {
    let value = site
        .with(|database| {
            let locks = read::locks(database, moment::now())?;
            Ok(json!({ "locks": to_value(&locks)?, "rate_limits": to_value(&read::rate_limits(database)?)? }))
        })
        .await?;
    answer(value)
}
