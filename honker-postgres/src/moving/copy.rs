//! Copying a table, a page at a time.

use honker_core::Result;
use honker_core::database::Value;
use serde_json::Value as Json;

use super::fit::fit;
use super::page::{Place, Side};
use super::tables::Table;

/// Copies all rows; how many those were. `tell` hears of each page.
pub(super) fn copy(
    from: &mut Side<'_>,
    to: &mut Side<'_>,
    table: &Table,
    mut tell: impl FnMut(u64),
) -> Result<u64> {
    let (mut done, mut place) = (0, Place::default());
    loop {
        let page = place.next(from, table)?;
        if page.is_empty() {
            return Ok(done);
        }
        let rows = page
            .into_iter()
            .map(|row| fit(row, table, from.database, to.database))
            .collect::<Result<Vec<_>>>()?;
        write(to, table, &rows)?;
        done += rows.len() as u64;
        tell(done);
    }
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
    to.transaction.execute(&sql, &[Value::Text(text)]).map(drop)
}

fn json(value: &Value) -> Json {
    match value {
        Value::Integer(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        _ => Json::Null,
    }
}
