//! Reading a table a page at a time, in the order of its key. A page has as many rows as fit into some megabytes, and at least one:
//! how long they are is asked first, so that rows that get longer need no more memory than others.

use honker_core::database::{Database, Transaction, Value};
use honker_core::{Error, Result};

use super::tables::Table;

/// Rows and bytes of a page, unless a single row is longer.
const ROWS_MAX: usize = 2_000;
const BYTES_MAX: i64 = 4 * 1024 * 1024;

/// Whom to ask: a database, or a transaction of it.
pub(super) trait Ask {
    fn ask(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>>;
    fn database(&self) -> &Database;
}

impl Ask for &Database {
    fn ask(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>> {
        Ok(self.query(sql, parameters)?.rows)
    }

    fn database(&self) -> &Database {
        self
    }
}

/// A transaction that is open, and what it is of.
pub(super) struct Side<'a> {
    pub(super) database: &'a Database,
    pub(super) transaction: &'a mut Transaction,
}

impl Ask for Side<'_> {
    fn ask(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>> {
        Ok(self.transaction.query(sql, parameters)?.rows)
    }

    fn database(&self) -> &Database {
        self.database
    }
}

/// How many rows of a table are to be moved.
pub(super) fn count(of: &mut impl Ask, table: &Table) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {} WHERE {}", table.on(of.database()), table.only);
    match of.ask(&sql, &[])?.first().and_then(|row| row.first()) {
        Some(Value::Integer(n)) => Ok(u64::try_from(*n).unwrap_or(0)),
        _ => Err(Error::Internal("a count is no number".into())),
    }
}

/// Where the next page begins.
#[derive(Default)]
pub(super) struct Place(Option<Vec<Value>>);

impl Place {
    /// The next page; an empty one is the end.
    pub(super) fn next(&mut self, of: &mut impl Ask, table: &Table) -> Result<Vec<Vec<Value>>> {
        let n = self.fitting(of, table)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        let (sql, mut parameters) = self.sql(of.database(), table, &table.columns());
        parameters.push(Value::Integer(n));
        let rows = of.ask(&sql, &parameters)?;
        for row in &rows {
            is_whole(of, table, row)?;
        }
        self.0 = rows.last().map(|row| row[..table.key].to_vec());
        Ok(rows)
    }

    /// How many rows the next page has.
    fn fitting(&self, of: &mut impl Ask, table: &Table) -> Result<i64> {
        let (sql, mut parameters) = self.sql(of.database(), table, &table.length(of.database()));
        parameters.push(Value::Integer(ROWS_MAX as i64));
        let (mut n, mut bytes) = (0, 0);
        for row in of.ask(&sql, &parameters)? {
            if let Some(Value::Integer(length)) = row.first() {
                bytes += length;
            }
            if n > 0 && bytes > BYTES_MAX {
                break;
            }
            n += 1;
        }
        Ok(n)
    }

    /// A SELECT of what comes here, with its parameters but for the last, which says how many rows.
    fn sql(&self, of: &Database, table: &Table, what: &str) -> (String, Vec<Value>) {
        let parameters = self.0.clone().unwrap_or_default();
        let (on, only, key) = (table.on(of), table.only, table.key());
        let places = (1..=parameters.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let beyond = if parameters.is_empty() { String::new() } else { format!(" AND ({key}) > ({places})") };
        let last = parameters.len() + 1;
        (format!("SELECT {what} FROM {on} WHERE {only}{beyond} ORDER BY {key} LIMIT ?{last}"), parameters)
    }
}

/// A file may have texts that are no UTF-8. What is read of such a one has replacement characters in it, and is not what was there.
fn is_whole(of: &mut impl Ask, table: &Table, row: &[Value]) -> Result<()> {
    let replaced =
        |value: &Value| matches!(value, Value::Text(text) if text.contains(char::REPLACEMENT_CHARACTER));
    if of.database().is_remote() || !row.iter().any(replaced) {
        return Ok(());
    }
    let bytes = table.each(|column| format!("CAST(\"{}\" AS BLOB)", column.name));
    let key = table.key();
    let places = (1..=table.key).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {bytes} FROM {} WHERE ({key}) = ({places})", table.on(of.database()));
    let stored = of.ask(&sql, &row[..table.key])?;
    let is_as_stored = |(value, stored): (&Value, &Value)| match (value, stored) {
        (Value::Text(text), Value::Blob(bytes)) => text.as_bytes() == &bytes[..],
        _ => true,
    };
    // A row that is not found by its key: the key is such a text.
    if stored.first().is_some_and(|stored| row.iter().zip(stored).all(is_as_stored)) {
        return Ok(());
    }
    Err(table.refused(row, "a text of it is no UTF-8"))
}
