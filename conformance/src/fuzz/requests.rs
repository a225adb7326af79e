//! The arguments of operations that have many.

use honker_model::queue::{Enqueue, Setting};
use honker_model::schedule::{Changes, Registration};
use serde_json::{Value, json};

use super::answers::value;

pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub fn enqueue(on: &str, job: &Enqueue) -> Value {
    let mut arguments = json!({ "on": on, "payload": value(job.payload), "priority": job.priority });
    for (name, number) in [("run_at", job.run_at), ("delay_s", job.delay_s), ("expires_s", job.expires_s)] {
        if let Some(number) = number {
            arguments[name] = number.into();
        }
    }
    arguments
}

pub fn registration(schedule: &Registration) -> Value {
    let mut arguments = json!({
        "on": "db", "name": schedule.name, "queue": schedule.queue, "schedule": schedule.expression,
        "payload": value(schedule.payload), "priority": schedule.priority,
    });
    for (name, number) in [("expires_s", schedule.expires_s), ("max_attempts", schedule.max_attempts)] {
        if let Some(number) = number {
            arguments[name] = number.into();
        }
    }
    arguments
}

pub fn update(name: &str, changes: &Changes) -> Value {
    let mut arguments = json!({ "on": "db", "name": name });
    let changed = [
        ("schedule", changes.expression.map(Value::from)),
        ("payload", changes.payload.map(value)),
        ("priority", changes.priority.map(Value::from)),
        ("expires_s", changes.expires_s.map(Value::from)),
        ("max_attempts", changes.max_attempts.map(Value::from)),
    ];
    for (name, change) in changed {
        if let Some(change) = change {
            arguments[name] = change;
        }
    }
    arguments
}

/// One setting of a queue, as an object.
pub fn settings(setting: Setting) -> Value {
    match setting {
        Setting::Paused(paused) => json!({ "paused": paused }),
        Setting::Concurrency(limit) => json!({ "concurrency": limit }),
        Setting::Rate(rate) => {
            json!({ "rate": rate.map(|(limit, per_s)| json!({ "limit": limit, "per_s": per_s })) })
        }
    }
}
