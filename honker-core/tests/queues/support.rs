//! What the tests share: a file in memory, and a clock that they hold in hand.

use std::cell::Cell;

use honker_core::queue::{self, Enqueue};
use honker_core::{Result, Store, maintenance, schema};
use rusqlite::Connection;

pub const NOW: i64 = 1_700_000_000;

/// A bootstrapped file in memory; the store goes first when both are dropped.
pub struct File {
    pub store: Store,
    pub connection: Connection,
    now: Cell<i64>,
}

impl File {
    pub fn new() -> Self {
        let file = File::over(Connection::open_in_memory().unwrap());
        schema::bootstrap(&file.store).unwrap();
        file
    }

    pub fn over(connection: Connection) -> Self {
        // SAFETY: the connection is open, and lives in the same struct behind the store.
        let store = unsafe { Store::from_handle(connection.handle()) };
        File { store, connection, now: Cell::new(NOW) }
    }

    pub fn now(&self) -> i64 {
        self.now.get()
    }

    pub fn at(&self, now: i64) -> &Self {
        self.now.set(now);
        self
    }

    pub fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub fn int(&self, sql: &str) -> i64 {
        self.connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn text(&self, sql: &str) -> String {
        self.connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn configure(&self, settings: &str) {
        queue::configure(&self.store, "q", settings).unwrap();
    }

    pub fn enqueue(&self) -> i64 {
        self.enqueue_with(&Enqueue::new("q", "p"))
    }

    pub fn enqueue_with(&self, job: &Enqueue<'_>) -> i64 {
        queue::enqueue(&self.store, self.now(), job).unwrap().id
    }

    /// A job with a concurrency key.
    pub fn enqueue_key(&self, key: &str) -> i64 {
        self.enqueue_with(&Enqueue { concurrency_key: Some(key), ..Enqueue::new("q", "p") })
    }

    /// The ids that a claim of so many answers; each is valid for 10 seconds, the present one not counted.
    pub fn claim(&self, n: i64) -> Vec<i64> {
        ids(self.try_claim(n))
    }

    pub fn try_claim(&self, n: i64) -> Result<queue::Claimed> {
        queue::claim_some(&self.store, self.now(), "q", "w", n, 10)
    }

    pub fn ack(&self, id: i64) -> bool {
        queue::ack(&self.store, self.now(), id, "w").unwrap()
    }

    pub fn may_claim(&self) -> bool {
        queue::may_claim(&self.store, self.now(), "q").unwrap()
    }

    /// Seconds from now; `None` if there is nothing to wait for.
    pub fn next_claim_in(&self) -> Option<i64> {
        queue::next_claim_at(&self.store, self.now(), "q").unwrap().map(|at| at - self.now())
    }

    /// Makes a run of maintenance, if one is due; whether it was.
    pub fn maintain(&self) -> bool {
        let due = maintenance::is_due(&self.store, self.now()).unwrap();
        let Some(mut run) = maintenance::begin(&self.store, self.now()).unwrap() else {
            assert!(!due);
            return false;
        };
        assert!(due);
        for steps in 0.. {
            if run.is_over() {
                break;
            }
            assert!(steps < 1_000, "it does not end: {run:?}");
            run = self.maintenance_step(run);
        }
        true
    }

    pub fn maintenance_step(&self, run: maintenance::Run) -> maintenance::Run {
        let found = maintenance::look(&self.store, self.now(), run).unwrap();
        if let Some(next) = run.after(&found) {
            return next;
        }
        // As whoever makes runs goes on after what the file refuses.
        maintenance::step(&self.store, self.now(), run, &found).unwrap_or_else(|_| run.skip())
    }

    /// Makes a run of maintenance now, whenever the last one was.
    pub fn run_all_of_it(&self) {
        self.run("DELETE FROM _honker_settings WHERE name = 'maintenance'");
        assert!(self.maintain());
    }

    /// Everything in the tables whose names begin with `_honker_`, to see whether something has changed.
    pub fn dump(&self) -> String {
        let mut tables = self
            .connection
            .prepare(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '_honker_*' ORDER BY 1",
            )
            .unwrap();
        let names: Vec<String> =
            tables.query_map([], |row| row.get(0)).unwrap().map(|name| name.unwrap()).collect();
        let mut dump = String::new();
        for name in names {
            let mut rows = self.connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
            let columns = rows.column_count();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values: Vec<String> =
                    (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect();
                dump.push_str(&format!("{name}: {}\n", values.join(", ")));
            }
        }
        dump
    }
}

pub fn ids(claimed: Result<queue::Claimed>) -> Vec<i64> {
    claimed.unwrap().jobs.iter().map(|job| job.id).collect()
}

/// No job.
pub const NONE: [i64; 0] = [];
