//! A database with the schema for each test, on the server that `with-cluster` has started.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls, SimpleQueryMessage};

static TEMPLATE: Once = Once::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database of its own.
pub struct Database {
    url: String,
}

/// The URL of the server, or `None`, said once for each test, if there is none.
pub fn server() -> Option<String> {
    let url = std::env::var("HONKER_POSTGRES_URL").ok();
    if url.is_none() {
        println!(
            "SKIPPED postgres: no server (run honker-postgres/tests/with-cluster cargo test -p honker-postgres)"
        );
    }
    url
}

fn in_database(url: &str, name: &str) -> String {
    url.replacen("/postgres?", &format!("/{name}?"), 1)
}

impl Database {
    /// With the schema and a clock that tests set; `None` without a server.
    pub fn new() -> Option<Self> {
        let url = server()?;
        let template = format!("template_{}", std::process::id());
        TEMPLATE.call_once(|| {
            let mut admin = Client::connect(&url, NoTls).expect("the server is up");
            admin.batch_execute(&format!("CREATE DATABASE {template}")).expect("it is new");
            let mut client = Client::connect(&in_database(&url, &template), NoTls).expect("it is there");
            client.batch_execute(honker_postgres::SQL).expect("the schema can be installed");
            client.batch_execute(honker_postgres::TEST_CLOCK_SQL).expect("the clock can be replaced");
        });
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = Client::connect(&url, NoTls).expect("the server is up");
        // Another test may be copying the template.
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        let created = (0..300).any(|_| {
            let done = admin.batch_execute(&create);
            if done.is_err() {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            done.is_ok()
        });
        assert!(created, "{create}");
        Some(Database { url: in_database(&url, &name) })
    }

    /// As [`Database::new`], where claims look for what is in their way no more often than in production.
    pub fn for_races() -> Option<Self> {
        let database = Self::new()?;
        let sql = honker_postgres::SQL;
        for name in ["_looks_closely", "_may_take_first"] {
            let start = sql.find(&format!("CREATE OR REPLACE FUNCTION {name}(")).expect("it is there");
            let end = sql[start..].find("$$;").expect("it ends") + 3;
            database.connect().check(&[(&sql[start..start + end], "")]);
        }
        Some(database)
    }

    /// An empty database.
    pub fn empty() -> Option<Self> {
        let url = server()?;
        let name = format!("empty_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = Client::connect(&url, NoTls).expect("the server is up");
        admin.batch_execute(&format!("CREATE DATABASE {name}")).expect("it is new");
        Some(Database { url: in_database(&url, &name) })
    }

    /// A connection that finds the functions without the schema's name.
    pub fn connect(&self) -> Session {
        let mut client = Client::connect(&self.url, NoTls).expect("the server is up");
        client.batch_execute("SET search_path = honker, public").expect("it is a setting");
        Session { client }
    }
}

/// A connection that is asked and answers in text.
pub struct Session {
    pub client: Client,
}

impl Session {
    /// The columns of all rows, with `|` between columns and line ends between rows; or `SQLSTATE message`.
    pub fn ask(&mut self, sql: &str) -> String {
        let messages = match self.client.simple_query(sql) {
            Ok(messages) => messages,
            Err(error) => {
                return match error.as_db_error() {
                    Some(error) => format!("{} {}", error.code().code(), error.message()),
                    None => error.to_string(),
                };
            }
        };
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let columns = (0..row.len()).map(|column| row.get(column).unwrap_or("∅").to_owned());
                Some(columns.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    /// A number that a statement answers.
    pub fn number(&mut self, sql: &str) -> i64 {
        let answer = self.ask(sql);
        answer.parse().unwrap_or_else(|_| panic!("{sql}: {answer}"))
    }

    /// Asks until that is the answer: the server takes its time to notice that a connection is gone.
    pub fn until(&mut self, sql: &str, expected: &str) {
        while self.ask(sql) != expected {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Statements and what they answer. One whose answer ends with `…` has to begin with what is before that.
    pub fn check(&mut self, expected: &[(&str, &str)]) {
        for (at, (sql, expected)) in expected.iter().enumerate() {
            let answer = self.ask(sql);
            let is_so = match expected.strip_suffix('…') {
                Some(start) => answer.starts_with(start),
                None => answer == *expected,
            };
            assert!(is_so, "statement {at}: {sql}\n expected {expected}\n answered {answer}");
        }
    }

    /// The time of this connection.
    pub fn at(&mut self, now: i64) -> &mut Self {
        self.ask(&format!("SET honker.now = '{now}'"));
        self
    }
}
