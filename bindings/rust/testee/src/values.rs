//! Values: what requests say as the crate takes it, and what the crate returns as JSON.

use std::time::Duration;

use honker::{EnqueueOpts, Job, Member, OnConflict, Row, StreamEvent, Unique, UniqueUntil, Value as Sql};
use serde_json::{Value, json};

/// The arguments of a request.
pub struct Arguments<'a>(pub &'a Value);

impl Arguments<'_> {
    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    pub fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }

    pub fn optional_text(&self, key: &str) -> Option<&str> {
        self.0[key].as_str()
    }

    pub fn integer(&self, key: &str) -> i64 {
        self.0[key].as_i64().unwrap_or_default()
    }

    pub fn optional(&self, key: &str) -> Option<i64> {
        self.0[key].as_i64()
    }

    /// What is unsigned in the crate, which refuses any other number as its type does.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, honker::Error> {
        let unsigned =
            |n| u64::try_from(n).map_err(|error| honker::Error::Invalid(format!("{key}: {error}")));
        self.optional(key).map(unsigned).transpose()
    }

    pub fn timeout(&self) -> Option<Duration> {
        u64::try_from(self.integer("timeout_ms")).ok().map(Duration::from_millis)
    }

    pub fn ms(&self, key: &str) -> Option<Duration> {
        self.optional(key).map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
    }

    /// A payload, or another value that is stored as JSON.
    pub fn payload(&self, key: &str) -> String {
        payload(&self.0[key])
    }

    pub fn ids(&self) -> Vec<i64> {
        self.0["ids"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect()
    }

    pub fn parameters(&self) -> Vec<Sql> {
        self.0["params"].as_array().into_iter().flatten().map(parameter).collect()
    }

    /// The options of an enqueue. How often it is tried is said by who made the queue.
    pub fn enqueue_opts(&self, max_attempts: Option<i64>) -> EnqueueOpts {
        let member = self.0.get("member").map(|member| Member {
            job_id: member["job_id"].as_i64().unwrap_or_default(),
            worker_id: member["worker_id"].as_str().unwrap_or_default().to_owned(),
        });
        EnqueueOpts {
            delay: self.optional("delay_s"),
            run_at: self.optional("run_at"),
            priority: self.integer("priority"),
            expires: self.optional("expires_s"),
            max_attempts,
            metadata: serde_json::from_value(self.0["metadata"].clone()).unwrap_or_default(),
            unique: self.optional_text("unique_key").map(|key| Unique {
                for_s: self.optional("unique_for_s"),
                until: match self.text("unique_until") {
                    "claimed" => UniqueUntil::Claimed,
                    _ => UniqueUntil::Settled,
                },
                on_conflict: match self.text("on_conflict") {
                    "replace" => OnConflict::Replace,
                    _ => OnConflict::Keep,
                },
                ..Unique::new(key)
            }),
            concurrency_key: self.optional_text("concurrency_key").map(str::to_owned),
            batch_id: self.optional("batch_id"),
            member,
            max_run_s: self.optional("max_run_s"),
        }
    }
}

pub fn payload(value: &Value) -> String {
    value.get("$text").and_then(Value::as_str).map_or_else(|| value.to_string(), str::to_owned)
}

fn parameter(value: &Value) -> Sql {
    if let Some(hex) = value.get("$hex").and_then(Value::as_str) {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
        return Sql::Blob((0..hex.len()).step_by(2).map(byte).collect());
    }
    match value {
        Value::Null => Sql::Null,
        Value::String(text) => Sql::Text(text.clone()),
        number => {
            number.as_i64().map_or_else(|| Sql::Real(number.as_f64().unwrap_or_default()), Sql::Integer)
        }
    }
}

/// What was stored.
pub fn stored(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!({ "$text": text }))
}

/// Rows as the crate returns them, wherever they are, with their payloads as values.
pub fn table(value: Value) -> Value {
    match value {
        Value::Array(rows) => rows.into_iter().map(table).collect(),
        Value::Object(row) => {
            let field = |(key, value): (String, Value)| {
                let value = match (&*key, value) {
                    ("payload", Value::String(text)) => stored(&text),
                    ("metadata", metadata) => metadata,
                    (_, value) => table(value),
                };
                (key, value)
            };
            Value::Object(row.into_iter().map(field).collect())
        }
        value => value,
    }
}

pub fn rows(rows: &[Row]) -> Value {
    let value = |value: &Sql| match value {
        Sql::Null => Value::Null,
        Sql::Integer(value) => json!(value),
        Sql::Real(value) => json!(value),
        Sql::Text(value) => json!(value),
        Sql::Blob(value) => {
            json!({ "$hex": value.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
    };
    rows.iter().map(|row| Value::Array(row.values().iter().map(value).collect())).collect()
}

pub fn job(job: &Job) -> Value {
    let payload = stored(std::str::from_utf8(&job.payload).unwrap_or_default());
    let mut value = json!({
        "id": job.id, "queue": job.queue, "payload": payload, "worker": job.worker_id, "attempts": job.attempts,
    });
    if job.serial() != 0 {
        value["serial"] = job.serial().into();
    }
    if !job.metadata.is_empty() {
        value["metadata"] = json!(job.metadata);
    }
    value
}

pub fn jobs(jobs: &[Job]) -> Value {
    jobs.iter().map(job).collect()
}

pub fn event(event: &StreamEvent) -> Value {
    json!({
        "offset": event.offset, "topic": event.topic, "key": event.key, "payload": stored(&event.payload),
        "created_at": event.created_at,
    })
}
