//! What commands and the page show that no single operation of the core answers: read with SQL of our own, which only reads.

use std::collections::HashMap;

use honker_core::database::{Database, Rows, Value};
use honker_core::queue::ListedJob;
use honker_core::schedule::Schedule;
use serde::Serialize;
use serde_json::json;

use crate::failure::{Failure, Result};

/// Of how many events a lag is counted exactly; beyond, it is at least this.
const LAG_MAX: i64 = 1_000_000;

/// So many values are offered for completion.
const VALUES_MAX: usize = 50;

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Its name.
    pub topic: String,
    /// How many events are kept.
    pub events: i64,
    /// The offset of the oldest that is kept.
    pub first_offset: Option<i64>,
    /// The offset of the newest.
    pub last_offset: Option<i64>,
    /// When the newest was published.
    pub last_at: Option<i64>,
    /// Those who have saved an offset, by name.
    pub consumers: Vec<Consumer>,
}

/// Who reads a stream and has saved how far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Everything up to here is finished.
    pub offset: i64,
    /// How many events come after that; counted up to a million.
    pub lag: i64,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// Its name.
    pub name: String,
    /// Who took it.
    pub owner: String,
    /// The second from which on anybody may take it.
    pub expires_at: i64,
    /// Whether that has come.
    pub stale: bool,
}

/// The window of a rate limit that was used last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Its name.
    pub name: String,
    /// When the window began.
    pub window_start: i64,
    /// How often it was used in it.
    pub count: i64,
}

/// A step of a job that is finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What was saved for it.
    pub value: String,
}

/// Everything known of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: ListedJob,
    /// Its steps, by name.
    pub steps: Vec<Step>,
}

/// A schedule, and when it fired last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleDetail {
    /// The schedule.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// The boundary that was fired last. `None`: none was, or by a program that does not say.
    pub last_fire_at: Option<i64>,
}

/// Runs one SQL statement that only reads. It names our tables by the schema of a file, `main`.
pub fn query(database: &Database, sql: &str, parameters: &[Value]) -> honker_core::Result<Rows> {
    if database.is_remote() {
        return database.query(&sql.replace("main._honker_", "honker._honker_"), parameters);
    }
    database.query(sql, parameters)
}

/// The highest id that a table has given.
pub fn last_id(database: &Database, table: &str) -> Result<i64> {
    let last = database.move_last_ids()?;
    Ok(last.into_iter().find(|last| last.table == table).map_or(0, |last| last.id))
}

/// Schedules, by name.
pub fn schedules(database: &Database) -> Result<Vec<ScheduleDetail>> {
    let rows = query(
        database,
        "SELECT substr(name, 23), value FROM main._honker_settings WHERE substr(name, 1, 22) = 'schedule.last_fire_at.'",
        &[],
    )?;
    let last: HashMap<String, Option<i64>> =
        rows.rows.iter().map(|row| (text(&row[0]), integer(&row[1]))).collect();
    let detail = |schedule: Schedule| ScheduleDetail {
        last_fire_at: last.get(&schedule.name).copied().flatten(),
        schedule,
    };
    Ok(database.scheduler_list()?.into_iter().map(detail).collect())
}

/// Streams, by name, with their consumers.
pub fn streams(database: &Database) -> Result<Vec<Topic>> {
    let rows = query(
        database,
        "SELECT topic, count(*), min(\"offset\"), max(\"offset\"), max(created_at) FROM main._honker_stream GROUP BY topic
         UNION ALL
         SELECT DISTINCT topic, 0, CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint) FROM main._honker_stream_consumers
          WHERE topic NOT IN (SELECT topic FROM main._honker_stream)
         ORDER BY topic",
        &[],
    )?;
    let mut topics = Vec::new();
    for row in rows.rows {
        let topic = text(&row[0]);
        topics.push(Topic {
            events: integer(&row[1]).unwrap_or(0),
            first_offset: integer(&row[2]),
            last_offset: integer(&row[3]),
            last_at: integer(&row[4]),
            consumers: consumers(database, &topic)?,
            topic,
        });
    }
    Ok(topics)
}

fn consumers(database: &Database, topic: &str) -> Result<Vec<Consumer>> {
    let rows = query(
        database,
        "SELECT name, \"offset\", (SELECT count(*) FROM (
             SELECT 1 FROM main._honker_stream s WHERE s.topic = c.topic AND s.\"offset\" > c.\"offset\" LIMIT ?2) AS behind)
         FROM main._honker_stream_consumers c WHERE topic = ?1 ORDER BY name",
        &[topic.into(), LAG_MAX.into()],
    )?;
    let consumer = |row: Vec<Value>| Consumer {
        name: text(&row[0]),
        offset: integer(&row[1]).unwrap_or(0),
        lag: integer(&row[2]).unwrap_or(0),
    };
    Ok(rows.rows.into_iter().map(consumer).collect())
}

/// Locks, by name. Those that nobody gave up and whose time is over are among them.
pub fn locks(database: &Database, now: i64) -> Result<Vec<Lock>> {
    let rows = query(database, "SELECT name, owner, expires_at FROM main._honker_locks ORDER BY name", &[])?;
    let lock = |row: Vec<Value>| {
        let expires_at = integer(&row[2]).unwrap_or(0);
        Lock { name: text(&row[0]), owner: text(&row[1]), expires_at, stale: expires_at <= now }
    };
    Ok(rows.rows.into_iter().map(lock).collect())
}

/// Rate limits, by name, each with the window that was used last.
pub fn rate_limits(database: &Database) -> Result<Vec<RateLimit>> {
    let rows = query(
        database,
        "SELECT name, window_start, count FROM main._honker_rate_limits l
         WHERE window_start = (SELECT max(window_start) FROM main._honker_rate_limits m WHERE m.name = l.name) ORDER BY name",
        &[],
    )?;
    let limit = |row: Vec<Value>| RateLimit {
        name: text(&row[0]),
        window_start: integer(&row[1]).unwrap_or(0),
        count: integer(&row[2]).unwrap_or(0),
    };
    Ok(rows.rows.into_iter().map(limit).collect())
}

/// A job, wherever it is.
pub fn job(database: &Database, id: i64) -> Result<Option<JobDetail>> {
    let filter = json!({ "min_id": id, "max_id": id }).to_string();
    let Some(job) = database.jobs_list(&filter)?.jobs.into_iter().next() else { return Ok(None) };
    let rows = query(
        database,
        "SELECT name, value FROM main._honker_steps WHERE job_id = ?1 ORDER BY name",
        &[id.into()],
    )?;
    let steps = rows.rows.into_iter().map(|row| Step { name: text(&row[0]), value: text(&row[1]) }).collect();
    Ok(Some(JobDetail { job, steps }))
}

/// What jobs have lately in a column that a filter may name: for completion.
pub fn values(database: &Database, of: &str) -> Result<Vec<String>> {
    let sql = match of {
        "error" => {
            "SELECT DISTINCT substr(last_error, 1, 200) FROM
                 (SELECT last_error FROM main._honker_dead ORDER BY id DESC LIMIT 500) AS latest WHERE last_error <> ''"
        }
        "worker_id" => {
            "SELECT DISTINCT worker_id FROM
                 (SELECT worker_id FROM main._honker_live WHERE state = 'processing' LIMIT 500) AS some"
        }
        "unique_key" => {
            "SELECT DISTINCT unique_key FROM (SELECT unique_key FROM main._honker_job_options
                 ORDER BY job_id DESC LIMIT 500) AS latest WHERE unique_key IS NOT NULL"
        }
        "metadata" if database.is_remote() => {
            "SELECT DISTINCT json_build_object(one.key, one.value)::text FROM (SELECT metadata FROM main._honker_job_options
                 WHERE metadata IS NOT NULL ORDER BY job_id DESC LIMIT 500) AS job, json_each(job.metadata::json) AS one"
        }
        "metadata" => {
            "SELECT DISTINCT json_object(one.key, one.value) FROM (SELECT metadata FROM main._honker_job_options
                 WHERE metadata IS NOT NULL ORDER BY job_id DESC LIMIT 500) AS job, json_each(job.metadata) AS one"
        }
        _ => return Err(Failure::Usage(format!("there are no values of {of}"))),
    };
    let rows = query(database, &format!("{sql} LIMIT {VALUES_MAX}"), &[])?;
    Ok(rows.rows.iter().map(|row| text(&row[0])).collect())
}

/// A column that is text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => real.to_string(),
        Value::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Null => String::new(),
    }
}

/// A column that is a number.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(integer) => Some(*integer),
        Value::Real(real) => Some(*real as i64),
        // A setting, on a server.
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}
