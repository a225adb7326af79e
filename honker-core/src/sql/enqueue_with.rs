//! `honker_enqueue_with`: an enqueue whose options are a JSON object, so that there can be more of them.

use serde::Serialize;
use serde_json::{Map, Value};

use super::function::{Answer, Arguments};
use super::json;
use crate::queue::{self, Enqueue};
use crate::{Error, Result, Store};

#[derive(Serialize)]
struct Enqueued {
    id: i64,
    status: &'static str,
}

pub(super) fn enqueue_with(store: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    let (queue, payload) = (arguments.text(0, "queue")?, arguments.text(1, "payload")?);
    let options: Map<String, Value> = serde_json::from_str(arguments.text(2, "options_json")?)
        .map_err(|error| Error::invalid(format!("options_json must be a JSON object: {error}")))?;
    let mut job = Enqueue::new(queue, payload);
    let mut metadata = None;
    for (key, value) in &options {
        match key.as_str() {
            "run_at" => job.run_at = optional_integer(key, value)?,
            "delay_s" => job.delay_s = optional_integer(key, value)?,
            "priority" => job.priority = integer(key, value)?,
            "max_attempts" => job.max_attempts = integer(key, value)?,
            "expires_s" => job.expires_s = optional_integer(key, value)?,
            "metadata" if value.is_null() => {}
            "metadata" if value.is_object() => metadata = Some(value.to_string()),
            "metadata" => return Err(wrong_type(key, value, "an object of texts or null")),
            _ => return Err(Error::invalid(format!("options_json has an unknown key '{key}'"))),
        }
    }
    job.metadata = metadata.as_deref();
    let id = queue::enqueue(store, store.now()?, &job)?;
    json(&Enqueued { id, status: "enqueued" })
}

fn integer(key: &str, value: &Value) -> Result<i64> {
    value.as_i64().ok_or_else(|| wrong_type(key, value, "an integer"))
}

fn optional_integer(key: &str, value: &Value) -> Result<Option<i64>> {
    if value.is_null() {
        return Ok(None);
    }
    value.as_i64().map(Some).ok_or_else(|| wrong_type(key, value, "an integer or null"))
}

fn wrong_type(key: &str, value: &Value, expected: &str) -> Error {
    // Not all of it: it may be long.
    let shown: String = value.to_string().chars().take(40).collect();
    Error::invalid(format!("{key} in options_json must be {expected}, not {shown}"))
}
