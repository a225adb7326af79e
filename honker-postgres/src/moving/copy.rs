//! Copying a table, a page at a time, in the order of its key.

use honker_core::database::{Database, Transaction, Value};
use honker_core::{Error, Result};
use serde_json::Value as Json;

use super::tables::{Column, Kind, Table};

/// Rows of the first page; as many as fit into `PAGE_BYTES` afterwards.
const PAGE_FIRST: usize = 16;
const PAGE_MAX: usize = 2_000;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What is copied from, or to: a transaction that is open, and what it is of.
pub(super) struct Side<'a> {
    pub(super) database: &'a Database,
    pub(super) transaction: &'a mut Transaction,
}

/// How many rows are to be moved.
pub(super) fn count(side: &mut Side<'_>, table: &Table) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {} WHERE {}", table.on(side.database), table.only);
    let rows = side.transaction.query(&sql, &[])?.rows;
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(n)) => Ok(u64::try_from(*n).unwrap_or(0)),
        _ => Err(Error::Internal("a count is no number".into())),
    }
}

/// Copies all rows; how many those were. `tell` hears of each page.
pub(super) fn copy(
    from: &mut Side<'_>,
    to: &mut Side<'_>,
    table: &Table,
    mut tell: impl FnMut(u64),
) -> Result<u64> {
    let (mut done, mut size, mut after) = (0, PAGE_FIRST, None);
    loop {
        let page = read(from, table, after.as_deref(), size)?;
        let Some(last) = page.last() else { return Ok(done) };
        after = Some(last[..table.key].to_vec());
        let bytes: usize = page.iter().flatten().map(length).sum();
        let page_size = page.len();
        let rows = page
            .into_iter()
            .map(|row| fit(row, table, from.database, to.database))
            .collect::<Result<Vec<_>>>()?;
        write(to, table, &rows)?;
        done += page_size as u64;
        tell(done);
        if page_size < size {
            return Ok(done);
        }
        size = (PAGE_BYTES / (bytes / page_size).max(1)).clamp(1, PAGE_MAX).min(size * 4);
    }
}

fn read(
    from: &mut Side<'_>,
    table: &Table,
    after: Option<&[Value]>,
    limit: usize,
) -> Result<Vec<Vec<Value>>> {
    let (columns, key) = (table.columns(), table.key());
    let mut parameters = after.unwrap_or_default().to_vec();
    let places = (1..=parameters.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    let beyond = if parameters.is_empty() { String::new() } else { format!(" AND ({key}) > ({places})") };
    let sql = format!(
        "SELECT {columns} FROM {} WHERE {}{beyond} ORDER BY {key} LIMIT ?{}",
        table.on(from.database),
        table.only,
        parameters.len() + 1
    );
    parameters.push(Value::Integer(limit as i64));
    Ok(from.transaction.query(&sql, &parameters)?.rows)
}

fn length(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        _ => 8,
    }
}

/// The row as the other engine has it.
fn fit(mut row: Vec<Value>, table: &Table, from: &Database, to: &Database) -> Result<Vec<Value>> {
    if !from.is_remote() && !to.is_remote() {
        return Ok(row);
    }
    for (value, column) in row.iter_mut().zip(table.columns) {
        let given = std::mem::replace(value, Value::Null);
        *value = fit_value(given, column, to.is_remote()).ok_or_else(|| {
            Error::Invalid(format!(
                "a row of _honker_{} cannot be moved: its {} is not what belongs there",
                table.name, column.name
            ))
        })?;
    }
    Ok(row)
}

fn fit_value(value: Value, column: &Column, to_server: bool) -> Option<Value> {
    Some(match (column.kind, value) {
        (Kind::IntegerOrNull | Kind::TextOrNull | Kind::Setting, Value::Null) => Value::Null,
        (Kind::Integer | Kind::IntegerOrNull, Value::Integer(number)) => Value::Integer(number),
        // As claims read it (docs/sql.md).
        (Kind::Integer | Kind::IntegerOrNull, Value::Real(number)) => Value::Integer(number.round() as i64),
        (Kind::Text | Kind::TextOrNull, Value::Text(text)) => Value::Text(text),
        (Kind::Setting, Value::Integer(number)) if to_server => Value::Text(number.to_string()),
        (Kind::Setting, Value::Text(text)) if to_server => Value::Text(text),
        (Kind::Setting, Value::Text(text)) => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Value::Integer(number),
            _ => Value::Text(text),
        },
        (Kind::Setting, Value::Integer(number)) => Value::Integer(number),
        _ => return None,
    })
}

fn write(to: &mut Side<'_>, table: &Table, rows: &[Vec<Value>]) -> Result<()> {
    let (name, columns) = (table.on(to.database), table.columns());
    if !to.database.is_remote() {
        let places = (1..=table.columns.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO {name} ({columns}) VALUES ({places})");
        for row in rows {
            to.transaction.execute(&sql, row)?;
        }
        return Ok(());
    }
    // A page in one round trip: the server reads the rows from a JSON text.
    let object = |row: &Vec<Value>| {
        let members =
            table.columns.iter().zip(row).map(|(column, value)| (column.name.to_owned(), json(value)));
        Json::Object(members.collect())
    };
    let text = Json::Array(rows.iter().map(object).collect()).to_string();
    let sql = format!(
        "INSERT INTO {name} ({columns}) SELECT {columns} FROM pg_catalog.json_populate_recordset(NULL::{name}, ?1::json)"
    );
    let inserted = to.transaction.execute(&sql, &[Value::Text(text)])?;
    if inserted != rows.len() as u64 {
        return Err(Error::Constraint(
            format!(
                "{} of {} rows were put into {name}: a trigger keeps the others out",
                inserted,
                rows.len()
            )
            .into(),
        ));
    }
    Ok(())
}

fn json(value: &Value) -> Json {
    match value {
        Value::Integer(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        _ => Json::Null,
    }
}
