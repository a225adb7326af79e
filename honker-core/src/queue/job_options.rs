//! The options of an enqueue as a JSON object, as SQL functions take them, and as they are stored for jobs that are enqueued
//! later.

use serde_json::{Map, Value};

#[cfg(feature = "runtime")]
use super::options;
use super::{Enqueue, Member, OnConflict, Unique, UniqueUntil};
use crate::given::{self, Given};
use crate::{Error, Result};

/// Options of a job that were read from JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct JobOptions {
    run_at: Option<i64>,
    delay_s: Option<i64>,
    priority: Option<i64>,
    max_attempts: Option<i64>,
    expires_s: Option<i64>,
    metadata: Option<String>,
    concurrency_key: Option<String>,
    batch_id: Option<i64>,
    member: Option<(i64, String)>,
    max_run_s: Option<i64>,
    unique_key: Option<String>,
    unique_until: UniqueUntil,
    unique_for_s: Option<i64>,
    on_conflict: OnConflict,
}

impl JobOptions {
    /// Reads the argument of this name. Unknown keys and wrong types are errors that name them.
    pub(crate) fn parse(argument: &str, text: &str) -> Result<Self> {
        Self::read(argument, &given::object(argument, text)?)
    }

    /// As [`JobOptions::parse`].
    pub(crate) fn read(argument: &str, object: &Map<String, Value>) -> Result<Self> {
        let mut options = JobOptions::default();
        for (key, value) in object {
            let option = Given { argument, key, value };
            match key.as_str() {
                "run_at" => options.run_at = option.optional_integer()?,
                "delay_s" => options.delay_s = option.optional_integer()?,
                "priority" => options.priority = Some(option.integer()?),
                "max_attempts" => options.max_attempts = Some(option.integer()?),
                "expires_s" => options.expires_s = option.optional_integer()?,
                "metadata" if value.is_null() => {}
                "metadata" if value.is_object() => options.metadata = Some(value.to_string()),
                "metadata" => return Err(option.wrong("an object of texts or null")),
                "concurrency_key" => options.concurrency_key = option.optional_text()?,
                "batch_id" => options.batch_id = option.optional_integer()?,
                "member" => options.member = member(option)?,
                "max_run_s" => options.max_run_s = option.optional_integer()?,
                "unique_key" => options.unique_key = option.optional_text()?,
                "unique_until" => {
                    options.unique_until = option
                        .one_of([("settled", UniqueUntil::Settled), ("claimed", UniqueUntil::Claimed)])?
                }
                "unique_for_s" => options.unique_for_s = option.optional_integer()?,
                "on_conflict" => {
                    options.on_conflict =
                        option.one_of([("keep", OnConflict::Keep), ("replace", OnConflict::Replace)])?
                }
                _ => return Err(given::unknown(argument, key)),
            }
        }
        let needs_key = ["unique_until", "unique_for_s", "on_conflict"];
        match needs_key.into_iter().find(|key| object.get(*key).is_some_and(|value| !value.is_null())) {
            Some(key) if options.unique_key.is_none() => {
                Err(Error::invalid(format!("{argument}: {key} is given without unique_key")))
            }
            _ => Ok(options),
        }
    }

    /// The job that has these options.
    pub(crate) fn job<'a>(&'a self, queue: &'a str, payload: &'a str) -> Enqueue<'a> {
        Enqueue {
            queue,
            payload,
            run_at: self.run_at,
            delay_s: self.delay_s,
            priority: self.priority.unwrap_or(0),
            max_attempts: self.max_attempts,
            expires_s: self.expires_s,
            metadata: self.metadata.as_deref(),
            concurrency_key: self.concurrency_key.as_deref(),
            batch_id: self.batch_id,
            member: self.member.as_ref().map(|(job_id, worker_id)| Member { job_id: *job_id, worker_id }),
            unique: self.unique_key.as_deref().map(|key| Unique {
                key,
                until: self.unique_until,
                for_s: self.unique_for_s,
                on_conflict: self.on_conflict,
            }),
            max_run_s: self.max_run_s,
        }
    }
}

/// What a job has that no column of a schedule holds, as an object that [`JobOptions::read`] reads.
pub(crate) fn to_json(job: &Enqueue<'_>) -> Map<String, Value> {
    let mut object = Map::new();
    let mut set = |key: &str, value: Option<Value>| object.extend(value.map(|value| (key.to_owned(), value)));
    set("delay_s", job.delay_s.map(Value::from));
    // It has been checked.
    set("metadata", job.metadata.and_then(|metadata| serde_json::from_str(metadata).ok()));
    set("concurrency_key", job.concurrency_key.map(Value::from));
    set("batch_id", job.batch_id.map(Value::from));
    set("max_run_s", job.max_run_s.map(Value::from));
    if let Some(unique) = job.unique {
        set("unique_key", Some(unique.key.into()));
        set("unique_until", Some(unique.until.text().into()));
        set("unique_for_s", unique.for_s.map(Value::from));
        set("on_conflict", Some(unique.on_conflict.text().into()));
    }
    object
}

/// The options of a job that no argument of `honker_enqueue` stands for, checked, as the text of a JSON object; `None` if it has
/// none. For an engine that hands them on.
#[cfg(feature = "runtime")]
pub fn options_text(job: &Enqueue<'_>) -> Result<Option<String>> {
    options::check(job)?;
    let mut object = to_json(job);
    object.remove("delay_s");
    if let Some(Member { job_id, worker_id }) = job.member {
        object.insert("member".to_owned(), serde_json::json!({ "job_id": job_id, "worker_id": worker_id }));
    }
    Ok((!object.is_empty()).then(|| Value::Object(object).to_string()))
}

fn member(given: Given<'_>) -> Result<Option<(i64, String)>> {
    let wrong = || given.wrong("{\"job_id\": integer, \"worker_id\": text} or null");
    match given.value {
        Value::Null => Ok(None),
        Value::Object(member) if member.len() == 2 => {
            let job_id = member.get("job_id").and_then(Value::as_i64).ok_or_else(wrong)?;
            let worker_id = member.get("worker_id").and_then(Value::as_str).ok_or_else(wrong)?;
            Ok(Some((job_id, worker_id.to_owned())))
        }
        _ => Err(wrong()),
    }
}
