//! A Postgres server whose databases cases use: each case has one of its own, a copy of one with honker's schema and the clock of
//! tests.
//!
//! Threads: every worker asks for databases; a list of connections to the server is shared.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use postgres::types::Type;
use postgres::{Client, NoTls, SimpleQueryMessage};
use serde_json::{Value, json};

use crate::leaks;

/// The database that all others are copies of.
const TEMPLATE: &str = "honker_template";

/// Cases name tables without a schema, and make tables of their own.
const SETTINGS: &str = "ALTER ROLE CURRENT_USER SET search_path = public, honker";

pub struct Server(Arc<Shared>);

struct Shared {
    url: String,
    /// Where the programs are that stop and start it.
    folder: PathBuf,
    /// Connections to it that make databases.
    idle: Mutex<Vec<Client>>,
    serial: AtomicU64,
}

impl Server {
    /// The one that `honker-postgres/tests/with-cluster` has started for us.
    pub fn from_environment() -> Result<Server, String> {
        let variable = |name: &str| {
            std::env::var(name)
                .map_err(|_| format!("{name} is not set: conformance/run --engine postgres starts a server"))
        };
        let server = Server(Arc::new(Shared {
            url: variable("HONKER_POSTGRES_URL")?,
            folder: variable("HONKER_POSTGRES_FOLDER")?.into(),
            idle: Mutex::default(),
            serial: AtomicU64::new(1),
        }));
        server.0.execute(&format!("CREATE DATABASE {TEMPLATE}"))?;
        server.0.execute(SETTINGS)?;
        let say = |error: postgres::Error| format!("{TEMPLATE}: {}", told(&error));
        let mut client = Client::connect(&server.0.url_of(TEMPLATE), NoTls).map_err(say)?;
        client.batch_execute(honker_postgres::SQL).map_err(say)?;
        client.batch_execute(honker_postgres::TEST_CLOCK_SQL).map_err(say)?;
        Ok(server)
    }

    /// A new one.
    pub fn database(&self) -> Result<Database, String> {
        let name = format!("case_{}", self.0.serial.fetch_add(1, Ordering::Relaxed));
        self.0.execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))?;
        let url = self.0.url_of(&name);
        Ok(Database { server: Arc::clone(&self.0), name, url, client: Mutex::default() })
    }
}

impl Shared {
    fn url_of(&self, database: &str) -> String {
        self.url.replacen("/postgres?", &format!("/{database}?"), 1)
    }

    /// Does something on a connection to the server, none of a case's.
    fn with<T>(&self, body: impl Fn(&mut Client) -> Result<T, postgres::Error>) -> Result<T, String> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = idle().pop();
        let done = on(&mut client, &self.url, body);
        idle().extend(client);
        done
    }

    fn execute(&self, sql: &str) -> Result<(), String> {
        self.with(|client| client.batch_execute(sql)).map_err(|error| format!("{sql}: {error}"))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let path = self.folder.join(program);
        let output = Command::new(&path).args(arguments).output();
        let output = output.map_err(|error| format!("{}: {error}", path.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{}: {}", path.display(), String::from_utf8_lossy(&output.stderr))),
        }
    }
}

/// Does something on a connection, a new one if there is none or it is lost.
fn on<T>(
    client: &mut Option<Client>,
    url: &str,
    body: impl Fn(&mut Client) -> Result<T, postgres::Error>,
) -> Result<T, String> {
    for again in [true, false] {
        let connected = match client {
            Some(client) => client,
            None => client.insert(Client::connect(url, NoTls).map_err(|error| told(&error))?),
        };
        match body(connected) {
            Err(error)
                if again
                    && error.as_db_error().is_none_or(|error| error.code().code().starts_with("57P")) =>
            {
                *client = None;
            }
            done => return done.map_err(|error| told(&error)),
        }
    }
    Err("the connection was lost twice".to_owned())
}

fn told(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.to_string(),
    }
}

/// A database of a case. It is gone when this is dropped.
pub struct Database {
    server: Arc<Shared>,
    name: String,
    url: String,
    client: Mutex<Option<Client>>,
}

impl Database {
    pub fn url(&self) -> &str {
        &self.url
    }

    fn with<T>(&self, body: impl Fn(&mut Client) -> Result<T, postgres::Error>) -> Result<T, String> {
        on(&mut self.client.lock().unwrap_or_else(PoisonError::into_inner), &self.url, body)
    }

    pub fn execute(&self, sql: &str) -> Result<(), String> {
        self.with(|client| client.batch_execute(sql)).map_err(|error| format!("{sql}: {error}"))
    }

    /// The rows of a query, as SQLite would give them.
    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Value, String> {
        let sql = with_literals(sql, params);
        let rows = self.with(|client| {
            // One way says the types, the other gives every value as text.
            let statement = client.prepare(&sql)?;
            let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
            let rows = client.simple_query(&sql)?.into_iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some(types.iter().enumerate().map(|(at, kind)| from_sql(kind, row.get(at))).collect())
                }
                _ => None,
            });
            Ok(rows.collect())
        });
        rows.map(Value::Array).map_err(|error| format!("{sql}: {error}"))
    }

    pub fn set_clock(&self, now: Option<i64>) -> Result<(), String> {
        let insert =
            now.map(|now| format!("INSERT INTO honker._test_clock VALUES ({now})")).unwrap_or_default();
        self.execute(&format!("DELETE FROM honker._test_clock; {insert}"))
    }

    pub fn stop_server(&self) -> Result<(), String> {
        self.server.run("stop", &["immediate"])
    }

    pub fn start_server(&self) -> Result<(), String> {
        self.server.run("start", &[])
    }

    /// Everybody has let go of it: no connection is left, and nobody is said to listen.
    pub fn inspect(&self) -> Result<(), String> {
        drop(self.client.lock().unwrap_or_else(PoisonError::into_inner).take());
        let sql = format!(
            "SELECT coalesce(application_name, '') || ': ' || coalesce(query, '') FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        leaks::in_time(|| {
            let left = self.server.with(|client| {
                let rows = client.query(&sql, &[])?;
                rows.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<Vec<_>, _>>()
            });
            match left {
                Ok(left) if left.is_empty() => None,
                Ok(left) => {
                    Some(format!("connections to the server are left after reset: {}", left.join("; ")))
                }
                Err(error) => Some(error),
            }
        })
    }

    /// All rows of all tables that have some.
    pub fn dump(&self) -> Result<String, String> {
        let tables = self.query(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN \
             ('honker', 'public') ORDER BY 1",
            &[],
        )?;
        let mut text = String::new();
        for table in tables.as_array().into_iter().flatten().filter_map(|row| row[0].as_str()) {
            let rows = self.query(&format!("SELECT row_to_json(t)::text FROM {table} t"), &[])?;
            for row in rows.as_array().into_iter().flatten() {
                let _ = writeln!(text, "{table} {}", row[0].as_str().unwrap_or_default());
            }
        }
        Ok(text)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.client.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Err(error) = self.server.execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name)) {
            eprintln!("{error}");
        }
    }
}

/// `?1` and its like replaced by what they stand for.
fn with_literals(sql: &str, params: &[Value]) -> String {
    let literal = |value: &Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    };
    // From the last: `?1` is the beginning of `?10`.
    params
        .iter()
        .enumerate()
        .rev()
        .fold(sql.to_owned(), |sql, (at, value)| sql.replace(&format!("?{}", at + 1), &literal(value)))
}

fn from_sql(kind: &Type, value: Option<&str>) -> Value {
    let Some(text) = value else { return Value::Null };
    match *kind {
        Type::BOOL => json!(i64::from(text == "t")),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => {
            text.parse::<i64>()
                .map(Value::from)
                .or_else(|_| text.parse::<f64>().map(Value::from))
                .unwrap_or(json!(text))
        }
        Type::BYTEA => json!({"$hex": text.trim_start_matches("\\x")}),
        _ => json!(text),
    }
}
