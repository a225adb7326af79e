//! What is read: `GET /api/…`. Ids and offsets are texts: JavaScript's numbers do not hold them.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, Query, State};
use honker_core::queue::ListedJob;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Refusal, Shared};
use crate::failure::Failure;
use crate::{moment, overview, plain, read};

type Answer = Result<Json<Value>, Refusal>;

/// So many jobs are listed at once.
const JOBS_MAX: i64 = 200;

/// In lists, texts from the file are cut after so many characters; of a single job, after so many.
const TEXT_MAX: usize = 500;
const WHOLE_TEXT_MAX: usize = 250_000;

/// So many steps of a job, and so many of whatever else there is a list of.
const STEPS_MAX: usize = 200;
const LIST_MAX: usize = 1_000;

/// A filter may find few among very many: so long a request looks for them.
const LOOK_MAX: Duration = Duration::from_secs(1);

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
            let id = id_of(key, text)?;
            filter.insert(key.to_owned(), id.into());
        }
    }
    Ok(())
}

/// The number of an id that is a text.
pub fn id_of(key: &str, text: &str) -> Result<i64, Failure> {
    text.parse().map_err(|_| Failure::Usage(format!("{key} is no id: {text}")))
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
    let file = site.current.get().path().to_owned();
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
    let limit = filter.get("limit").and_then(Value::as_i64).unwrap_or(50).clamp(1, JOBS_MAX);
    let page = site
        .with(move |database| {
            let until = Instant::now() + LOOK_MAX;
            let mut jobs = Vec::new();
            loop {
                filter.insert("limit".to_owned(), (limit - jobs.len() as i64).into());
                let page = database.jobs_list(&Value::Object(filter.clone()).to_string())?;
                for job in page.jobs {
                    let mut job = to_value(&job)?;
                    cut_job(&mut job, TEXT_MAX);
                    jobs.push(job);
                }
                match page.cursor {
                    Some(cursor) if (jobs.len() as i64) < limit && Instant::now() < until => {
                        filter.insert("cursor".to_owned(), cursor.into());
                    }
                    cursor => return Ok(json!({ "jobs": jobs, "cursor": cursor })),
                }
            }
        })
        .await?;
    answer(page)
}

/// Cuts the texts of a job; `payload_cut` says so of the payload.
fn cut_job(job: &mut Value, max: usize) {
    if cut(job, "payload", max) {
        job["payload_cut"] = true.into();
    }
    cut(job, "last_error", max);
    cut(job, "result", max);
}

/// Cuts a text after so many characters; whether it was longer.
fn cut(object: &mut Value, key: &str, max: usize) -> bool {
    let Some(Value::String(text)) = object.get_mut(key) else { return false };
    let Some((at, _)) = text.char_indices().nth(max) else { return false };
    text.truncate(at);
    true
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

/// What happened to a job and will, as far as the file knows: of earlier attempts it has the number and not the times.
fn timeline(job: &ListedJob, now: i64) -> Vec<Value> {
    let (n, of) = (job.attempts, job.max_attempts);
    let mut timeline = vec![(job.created_at, "enqueued".to_owned())];
    let mut add = |at: Option<i64>, what: String| timeline.extend(at.map(|at| (at, what)));
    let due = if job.run_at > now { "will be due" } else { "due" };
    match job.state.as_str() {
        "due" | "delayed" if n > 0 => {
            add(Some(job.run_at), format!("{due} again, for attempt {} of {of}", n + 1))
        }
        "processing" => {
            let worker = job.worker_id.as_deref().unwrap_or("?");
            let holds = if job.claim_expires_at >= Some(now) { "holds" } else { "held" };
            add(job.claim_expires_at, format!("{worker} {holds} it until here, for attempt {n} of {of}"));
        }
        _ if job.run_at != job.created_at => add(Some(job.run_at), due.to_owned()),
        _ => {}
    }
    add(job.expires_at, if job.expires_at <= Some(now) { "expired" } else { "expires" }.to_owned());
    add(job.died_at, format!("died, after {n} of {of} attempts"));
    add(job.finished_at, format!("done, at attempt {n}"));
    timeline.sort_by_key(|(at, _)| *at);
    timeline.into_iter().map(|(at, what)| json!({ "at": at, "what": what })).collect()
}

/// `GET /api/jobs/{id}`: everything known of it, and what happened to it when.
pub async fn job(State(site): State<Shared>, Path(id): Path<String>) -> Answer {
    let id: i64 = id.parse().map_err(|_| Refusal(404, "there is no such job".to_owned()))?;
    let found = site.with(move |database| read::job(database, id)).await?;
    let found = found.ok_or_else(|| Refusal(404, "there is no such job (any more)".to_owned()))?;
    let timeline = timeline(&found.job, moment::now());
    let mut value = to_value(&found)?;
    cut_job(&mut value, WHOLE_TEXT_MAX);
    if let Value::Array(steps) = &mut value["steps"] {
        steps.truncate(STEPS_MAX);
        for step in steps {
            cut(step, "value", WHOLE_TEXT_MAX / 10);
        }
    }
    value["timeline"] = timeline.into();
    answer(value)
}

#[derive(Deserialize)]
pub struct ValuesOf {
    of: String,
}

/// `GET /api/values`: what a condition of a filter may be compared with, as the newest jobs have it.
pub async fn values(State(site): State<Shared>, Query(ValuesOf { of }): Query<ValuesOf>) -> Answer {
    let values = site.with(move |database| read::values(database, &of)).await?;
    answer(json!({ "values": values }))
}

#[derive(Deserialize)]
pub struct OfQueue {
    queue: Option<String>,
}

/// `GET /api/dead`: the dead, by what they died of.
pub async fn dead(State(site): State<Shared>, Query(of): Query<OfQueue>) -> Answer {
    let mut groups = site.with(move |database| to_value(&database.dead_groups(of.queue.as_deref())?)).await?;
    groups.as_array_mut().into_iter().flatten().for_each(|group| cut_job(&mut group["newest"], TEXT_MAX));
    answer(json!({ "groups": groups }))
}

/// `GET /api/schedules`.
pub async fn schedules(State(site): State<Shared>) -> Answer {
    let schedules = site
        .with(|database| {
            let now = moment::now();
            let with_words = |detail: read::ScheduleDetail| {
                let mut value = to_value(&detail)?;
                let schedule = detail.schedule;
                value["words"] = plain::words(&schedule.cron_expr).into();
                // The next one is what the file says: it may have been missed.
                let after = schedule.next_fire_at.saturating_sub(1).max(now.saturating_sub(1));
                value["next"] = to_value(&plain::boundaries(&schedule.cron_expr, after, 5))?;
                Ok(value)
            };
            read::schedules(database)?
                .into_iter()
                .take(LIST_MAX)
                .map(with_words)
                .collect::<Result<Vec<Value>, Failure>>()
        })
        .await?;
    answer(json!({ "schedules": schedules }))
}

/// `GET /api/streams`.
pub async fn streams(State(site): State<Shared>) -> Answer {
    let mut streams = site.with(read::streams).await?;
    streams.truncate(LIST_MAX);
    streams.iter_mut().for_each(|topic| topic.consumers.truncate(LIST_MAX));
    answer(json!({ "streams": to_value(&streams)? }))
}

/// `GET /api/locks`: locks and rate limits.
pub async fn locks(State(site): State<Shared>) -> Answer {
    let value = site
        .with(|database| {
            let (mut locks, mut limits) =
                (read::locks(database, moment::now())?, read::rate_limits(database)?);
            locks.truncate(LIST_MAX);
            limits.truncate(LIST_MAX);
            Ok(json!({ "locks": to_value(&locks)?, "rate_limits": to_value(&limits)? }))
        })
        .await?;
    answer(value)
}
