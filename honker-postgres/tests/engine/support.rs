//! A database of its own for each test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use honker_core::database::{Database, Options, Value};
use honker_core::queue::{Claim, ClaimedJob, Enqueue};
use honker_postgres::connect;
use postgres::{Client, NoTls};

static COUNT: AtomicU32 = AtomicU32::new(0);
static CREATING: Mutex<()> = Mutex::new(());

/// A database on the server, with the schema.
pub struct Server {
    pub url: String,
}

impl Server {
    /// `None`, which is said, if there is no server.
    pub fn new() -> Option<Self> {
        let Ok(server) = std::env::var("HONKER_POSTGRES_URL") else {
            println!(
                "SKIPPED postgres: no server (honker-postgres/tests/with-cluster cargo test -p honker-postgres)"
            );
            return None;
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("engine_{}_{number}", std::process::id());
        let _one_at_a_time = CREATING.lock().unwrap();
        let mut admin = Client::connect(&server, NoTls).unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let url = server.replacen("/postgres?", &format!("/{name}?"), 1);
        Client::connect(&url, NoTls).unwrap().batch_execute(honker_postgres::SQL).unwrap();
        Some(Server { url })
    }

    pub fn open(&self) -> Database {
        self.open_with(&Options::default())
    }

    pub fn open_with(&self, options: &Options) -> Database {
        connect(&self.url, options, false).unwrap()
    }

    /// A connection that has nothing of ours.
    pub fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }
}

pub fn enqueue(database: &Database, queue: &str, payload: &str) -> i64 {
    database.enqueue(&Enqueue::new(queue, payload)).unwrap().id
}

pub fn claim(database: &Database, queue: &str, worker_id: &str, n: i64) -> Vec<ClaimedJob> {
    database.claim(&Claim { queue, worker_id, n, timeout_s: 300 }).unwrap()
}

/// The only value of a query.
pub fn value(database: &Database, sql: &str) -> Value {
    let mut rows = database.query(sql, &[]).unwrap().rows;
    assert_eq!(rows.len(), 1, "{sql}");
    rows.remove(0).remove(0)
}

pub fn count(database: &Database, table: &str) -> i64 {
    match value(database, &format!("SELECT count(*) FROM {table}")) {
        Value::Integer(count) => count,
        other => panic!("{other:?}"),
    }
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub const LONG: Option<Duration> = Some(Duration::from_secs(60));
