//! What the model answers, in the words of the protocol, and what it holds, in those of the tables.

use honker_model::tables::Row;
use honker_model::{Answer, Cell, Operation};
use serde_json::{Value, json};

/// Columns that hold JSON, which packages may write with or without spaces.
pub const JSON_COLUMNS: [&str; 2] = ["payload", "value"];

/// The columns of each of the model's tables, in its order.
pub const COLUMNS: [&str; 9] = [
    "id, queue, payload, state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, created_at, \
     expires_at",
    "id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at",
    "offset, topic, key, payload, created_at",
    "name, topic, offset",
    "id, channel, payload, created_at",
    "job_id, value, created_at, expires_at",
    "name, owner, expires_at",
    "name, window_start, count",
    "name, queue, cron_expr, payload, priority, expires_s, next_fire_at, enabled, max_attempts",
];

/// What an answer of `true` or nothing gives, and what `false` does.
pub fn done_or(outcome: &'static str) -> impl FnOnce(&Answer) -> Value {
    move |answer| if *answer == Answer::Flag(false) { outcome.into() } else { json!({}) }
}

/// What the actor's answer must be, by the model's.
pub fn gives(operation: &Operation, answer: &Answer) -> Value {
    use Operation::*;
    match operation {
        Enqueue(_) | Notify { .. } => json!({ "id": number(answer) }),
        Claim { .. } => json!({ "jobs": objects(answer, &["id", "queue", "payload", "worker", "attempts"]) }),
        AckBatch { .. } => json!({ "acked": number(answer) }),
        Cancel { .. } => json!({ "cancelled": flag(answer) }),
        GetJob { .. } => {
            let names: Vec<&str> = COLUMNS[0].split(", ").collect();
            objects(answer, &names).pop().map_or("EMPTY".into(), |job| json!({ "job": job }))
        }
        SweepExpired { .. } | DeadPurge { .. } | Prune { .. } | ResultSweep | RateLimitSweep { .. } => {
            json!({ "n": number(answer) })
        }
        NextClaimAt { .. } | Soonest | NextAfter { .. } => json!({ "at": number(answer) }),
        DeadRequeue { .. } => json!({ "requeued": flag(answer) }),
        Publish { .. } | GetOffset { .. } => json!({ "offset": number(answer) }),
        ReadSince { .. } => {
            json!({ "events": objects(answer, &["offset", "topic", "key", "payload", "created_at"]) })
        }
        SaveOffset { .. } => json!({ "saved": flag(answer) }),
        ResultGet { .. } => match answer {
            Answer::Value(Cell::Text(text)) => json!({ "value": value(text) }),
            _ => "EMPTY".into(),
        },
        StepSave { .. } | StepGet { .. } => match answer {
            Answer::Value(Cell::Text(text)) => json!({ "value": value(text) }),
            _ if matches!(operation, StepSave { .. }) => "LOST".into(),
            _ => "EMPTY".into(),
        },
        RateLimitTry { .. } => done_or("LIMITED")(answer),
        Unregister { .. } => json!({ "changed": number(answer) == 1 }),
        Pause { .. } | Resume { .. } | Update { .. } => json!({ "changed": flag(answer) }),
        ListSchedules => {
            let names: Vec<&str> = COLUMNS[8].split(", ").collect();
            let mut schedules = objects(answer, &names);
            for schedule in &mut schedules {
                schedule["enabled"] = (schedule["enabled"] == 1).into();
            }
            json!({ "schedules": schedules })
        }
        Tick { .. } => json!({ "fires": objects(answer, &["name", "queue", "fire_at", "job_id"]) }),
        _ => json!({}),
    }
}

pub fn number(answer: &Answer) -> i64 {
    match answer {
        Answer::Value(Cell::Integer(number)) => *number,
        _ => 0,
    }
}

pub fn flag(answer: &Answer) -> bool {
    *answer == Answer::Flag(true)
}

pub fn objects(answer: &Answer, names: &[&str]) -> Vec<Value> {
    let Answer::Rows(rows) = answer else { return Vec::new() };
    rows.iter()
        .map(|row: &Row| {
            names.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), given(name, cell))).collect()
        })
        .collect()
}

/// A cell as an answer has it.
pub fn given(name: &str, cell: &Cell) -> Value {
    match cell {
        Cell::Text(text) if JSON_COLUMNS.contains(&name) => value(text),
        Cell::Text(text) => escaped(text),
        Cell::Integer(number) => (*number).into(),
        Cell::Null => Value::Null,
    }
}

/// A cell as the table has it.
pub fn stored(name: &str, cell: &Cell) -> Value {
    match cell {
        // Quoted, so that the text "null" is not nothing.
        Cell::Text(text) if JSON_COLUMNS.contains(&name) => serde_json::json!({ "$json": value(text) }),
        other => given(name, other),
    }
}

/// The JSON value that stands for a text of the model's: itself, or the text as a string.
pub fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// A text that a case takes as it is.
pub fn escaped(text: &str) -> Value {
    if text.starts_with('$') { format!("${text}").into() } else { text.into() }
}
