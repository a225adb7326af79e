//! The suite's own SQLite, which knows nothing of honker: it looks at the databases of a case from outside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde_json::{Value, json};

/// How many columns honker's tables have. Older files may have fewer; none may come to have more.
const COLUMNS: [(&str, i64); 9] = [
    ("_honker_notifications", 4),
    ("_honker_live", 12),
    ("_honker_dead", 10),
    ("_honker_locks", 3),
    ("_honker_rate_limits", 3),
    ("_honker_scheduler_tasks", 9),
    ("_honker_results", 4),
    ("_honker_stream", 5),
    ("_honker_stream_consumers", 3),
];

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// The rows of a query.
pub fn query(path: &Path, sql: &str, params: &[Value]) -> Result<Value, String> {
    let rows = || -> rusqlite::Result<Vec<Value>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = open(path, flags)?;
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(params.iter().map(to_sql)))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|index| row.get_ref(index).map(from_sql));
            all.push(Value::Array(values.collect::<rusqlite::Result<_>>()?));
        }
        Ok(all)
    };
    rows().map(Value::Array).map_err(|error| format!("{sql}: {error}"))
}

/// Executes statements in a file that may not exist yet.
pub fn execute(path: &Path, sql: &str) -> Result<(), String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    open(path, flags)
        .and_then(|connection| connection.execute_batch(sql))
        .map_err(|error| format!("{sql}: {error}"))
}

/// What is wrong with a database.
pub fn inspect(path: &Path) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let say = |error: rusqlite::Error| format!("{name}: {error}");
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(say)?;
    let found: Vec<String> = connection
        .prepare("PRAGMA integrity_check")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .map_err(say)?;
    if found != ["ok"] {
        return Err(format!("{name}: integrity_check: {}", found.join("; ")));
    }
    for (table, most) in COLUMNS {
        let many: i64 = connection
            .query_row("SELECT count(*) FROM pragma_table_info(?1)", [table], |row| row.get(0))
            .map_err(say)?;
        if many > most {
            return Err(format!("{name}: {table} has {many} columns, and should have {most}"));
        }
    }
    Ok(())
}

/// The files beside databases in `dir` that should have gone when the last connection was closed.
pub fn left_behind(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut left: Vec<PathBuf> = files.filter(|path| is_left_behind(path)).collect();
    left.sort();
    left
}

fn is_left_behind(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with("-wal") || name.ends_with("-shm") {
        return true;
    }
    // One that is empty or begins with a zero says nothing, to SQLite either: the journal modes TRUNCATE and PERSIST
    // leave such, and so does a process that is killed before its journal counts.
    name.ends_with("-journal")
        && std::fs::read(path).is_ok_and(|bytes| bytes.first().is_some_and(|byte| *byte != 0))
}

fn to_sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(truth) => Sql::Integer(i64::from(*truth)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Sql::Integer(integer),
            None => Sql::Real(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Sql::Text(text.clone()),
        other => Sql::Blob(from_hex(other["$hex"].as_str().unwrap_or_default())),
    }
}

fn from_sql(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => json!(integer),
        ValueRef::Real(real) => json!(real),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({"$bytes": to_hex(bytes)}),
        },
        ValueRef::Blob(bytes) => json!({"$hex": to_hex(bytes)}),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len() / 2).map(|index| text.get(2 * index..2 * index + 2));
    pairs.map(|pair| pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default()).collect()
}
