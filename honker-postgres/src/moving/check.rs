//! What keeps a database from being moved, found out before anything is changed.

use honker_core::database::{Database, Value};
use honker_core::{Error, Result};

use super::tables::{Column, Kind, TABLES, Table};

/// An error if a row of the source cannot be put into the target: a column of a type that only a file takes, a NUL in a text.
pub(super) fn rows(source: &Database, target: &Database) -> Result<()> {
    if source.is_remote() || !target.is_remote() {
        return Ok(());
    }
    for table in TABLES {
        let wrong: Vec<String> = table.columns.iter().map(wrong).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {} AND ({}) LIMIT 1",
            table.columns(),
            table.on(source),
            table.only,
            wrong.join(" OR ")
        );
        if let Some(row) = source.query(&sql, &[])?.rows.first() {
            return Err(named(table, row));
        }
    }
    Ok(())
}

/// A condition that holds for a value that cannot be moved.
fn wrong(column: &Column) -> String {
    let name = column.name;
    match column.kind {
        Kind::Integer => format!("typeof(\"{name}\") NOT IN ('integer', 'real')"),
        Kind::IntegerOrNull => format!("typeof(\"{name}\") NOT IN ('integer', 'real', 'null')"),
        Kind::Text => format!("typeof(\"{name}\") <> 'text' OR instr(\"{name}\", char(0)) > 0"),
        Kind::TextOrNull => {
            format!("typeof(\"{name}\") NOT IN ('text', 'null') OR instr(\"{name}\", char(0)) > 0")
        }
        Kind::Setting => format!("typeof(\"{name}\") NOT IN ('integer', 'text', 'null')"),
    }
}

fn named(table: &Table, row: &[Value]) -> Error {
    let key: Vec<String> = table
        .columns
        .iter()
        .zip(row)
        .take(table.key)
        .map(|(column, value)| {
            let value = match value {
                Value::Text(text) => format!("'{}'", text.escape_debug()),
                Value::Integer(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            format!("{} {value}", column.name)
        })
        .collect();
    Error::Invalid(format!(
        "the row of _honker_{} with {} cannot be moved: a column has a value of a wrong type, or a text with a NUL, which Postgres \
         does not store; change or remove it first",
        table.name,
        key.join(" and ")
    ))
}
