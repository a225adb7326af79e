//! A row as the other engine has it, or why it cannot be there.

use honker_core::Result;
use honker_core::database::{Database, Value};
use serde_json::Value as Json;

use super::tables::{Column, Kind, Table};

/// So many bytes the names of a row may have together on a server, where an index has them (docs/postgres.md).
const NAMES_MAX: usize = 2_650;

/// The row for the other engine.
pub(super) fn fit(mut row: Vec<Value>, table: &Table, from: &Database, to: &Database) -> Result<Vec<Value>> {
    if !from.is_remote() && !to.is_remote() {
        return Ok(row);
    }
    if to.is_remote()
        && let Some(why) = unfit(&row, table)
    {
        return Err(table.refused(&row, &why));
    }
    for index in 0..row.len() {
        let column = &table.columns[index];
        let given = std::mem::replace(&mut row[index], Value::Null);
        match value(given, column, to.is_remote()) {
            Ok(fitting) => row[index] = fitting,
            Err(given) => {
                row[index] = given;
                return Err(table.refused(&row, &format!("its {} is of a wrong type", column.name)));
            }
        }
    }
    Ok(row)
}

/// What a server does not take of it.
fn unfit(row: &[Value], table: &Table) -> Option<String> {
    let mut names = 0;
    for (value, column) in row.iter().zip(table.columns) {
        let Value::Text(text) = value else { continue };
        if text.contains('\0') {
            return Some(format!("its {} has a NUL, which Postgres does not store", column.name));
        }
        if matches!(column.kind, Kind::Name | Kind::NameOrNull) {
            names += text.len();
        }
        if matches!(column.kind, Kind::QueueSettings) && !are_settings(text) {
            return Some(
                "these settings of a queue make no sense: see honker limit, or delete the row".to_owned(),
            );
        }
    }
    (names > NAMES_MAX)
        .then(|| format!("its names have {names} bytes, and Postgres takes no more than {NAMES_MAX}"))
}

/// The settings of a queue, as the server reads them when a move has arrived.
fn are_settings(text: &str) -> bool {
    let Ok(Json::Object(settings)) = serde_json::from_str(text) else { return false };
    let is_number = |value: &Json| value.is_null() || value.is_i64();
    !text.contains("\\u0000")
        && settings.iter().all(|(key, value)| match key.as_str() {
            "paused" => value.is_null() || value.is_boolean(),
            "concurrency" | "concurrency_per_key" | "max_attempts" | "keep_done_s" | "keep_dead_s" => {
                is_number(value)
            }
            "rate" => {
                value.is_null()
                    || value.as_object().is_some_and(|rate| {
                        ["limit", "per_s"].iter().all(|key| rate.get(*key).is_none_or(is_number))
                    })
            }
            _ => true,
        })
}

/// A value of this column; the one that was given, if it has none.
fn value(value: Value, column: &Column, to_server: bool) -> std::result::Result<Value, Value> {
    Ok(match (column.kind, value) {
        (kind, Value::Null) if kind.is_optional() => Value::Null,
        (Kind::Integer | Kind::IntegerOrNull, Value::Integer(number)) => Value::Integer(number),
        // As claims read it (docs/sql.md).
        (Kind::Integer | Kind::IntegerOrNull, Value::Real(number)) => Value::Integer(number.round() as i64),
        (Kind::Setting, Value::Integer(number)) if to_server => Value::Text(number.to_string()),
        (Kind::Setting, Value::Text(text)) if !to_server => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Value::Integer(number),
            _ => Value::Text(text),
        },
        (Kind::Setting, Value::Integer(number)) => Value::Integer(number),
        (Kind::Integer | Kind::IntegerOrNull, given) => return Err(given),
        (_, Value::Text(text)) => Value::Text(text),
        (_, given) => return Err(given),
    })
}
