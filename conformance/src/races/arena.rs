//! Where a race happens: one file, two processes, and their lanes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::Database;
use crate::protocol::Answer;
use crate::testee::{Testee, Ticket};
use crate::testees::Made;
use crate::value::FILE;

/// The second it is, unless a race moves the clock.
pub const NOW: i64 = 1_700_000_000;

/// How long an answer may take that waits for nothing but other lanes.
pub const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Arena {
    pub dir: PathBuf,
    pub database: Database,
    pub testees: [Testee; 2],
}

impl Arena {
    /// Two processes that have the database open as `db`, at [`NOW`], and the queue `q` as `q`.
    pub fn open(pair: [&Arc<Made>; 2], dir: &Path) -> Result<Arena, String> {
        let start = |index: usize| Testee::start(pair[index], &dir.join(format!("testee-{index}")), "UTC");
        let database = pair[0].engine.database(dir.join(FILE))?;
        let arena = Arena { dir: dir.to_owned(), database, testees: [start(0)?, start(1)?] };
        arena.database.set_clock(Some(NOW))?;
        for index in 0..2 {
            arena.ready(&arena.testees[index])?;
        }
        Ok(arena)
    }

    /// Opens the database and the queue.
    pub fn ready(&self, testee: &Testee) -> Result<(), String> {
        testee.control.set_clock(Some(NOW));
        let lane = Lane { testee, name: None };
        lane.must("open", json!({ "as": "db", "path": self.database.address() }))?;
        lane.must("queue.open", json!({ "on": "db", "as": "q", "name": "q", "visibility_timeout_s": 60 }))?;
        Ok(())
    }

    /// Both let go of everything, and the file is in order.
    pub fn close(&self) -> Result<(), String> {
        for testee in self.testees.iter().filter(|testee| testee.is_alive()) {
            Lane { testee, name: None }.must("reset", json!({}))?;
        }
        self.database.inspect()
    }

    pub fn set_clock(&self, now: i64) -> Result<(), String> {
        self.database.set_clock(Some(now))?;
        self.testees.iter().for_each(|testee| testee.control.set_clock(Some(now)));
        Ok(())
    }

    /// So many lanes of each testee.
    pub fn lanes(&self, each: usize) -> Vec<Lane<'_>> {
        let names = (0..each).flat_map(|index| self.testees.iter().map(move |testee| (testee, index)));
        names.map(|(testee, index)| Lane { testee, name: Some(format!("lane{index}")) }).collect()
    }

    /// One lane of a testee.
    pub fn lane(&self, index: usize, name: &str) -> Lane<'_> {
        Lane { testee: &self.testees[index], name: Some(name.to_owned()) }
    }

    /// The main lane of a testee.
    pub fn main(&self, index: usize) -> Lane<'_> {
        Lane { testee: &self.testees[index], name: None }
    }

    /// The rows of a query, asked from outside.
    pub fn rows(&self, sql: &str) -> Result<Vec<Value>, String> {
        let rows = self.database.query(sql, &[])?;
        Ok(rows.as_array().cloned().unwrap_or_default())
    }

    /// The one number that a query gives.
    pub fn number(&self, sql: &str) -> Result<i64, String> {
        let rows = self.rows(sql)?;
        rows.first().and_then(|row| row[0].as_i64()).ok_or_else(|| format!("{sql}: no number"))
    }
}

/// A lane of a testee.
pub struct Lane<'a> {
    pub testee: &'a Testee,
    pub name: Option<String>,
}

impl Lane<'_> {
    pub fn send(&self, op: &str, arguments: Value) -> Ticket {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        self.testee.send(op, arguments, self.name.as_deref())
    }

    pub fn answer(&self, ticket: Ticket) -> Result<Answer, String> {
        self.testee.answer(ticket, TIMEOUT).map_err(|trouble| format!("{}: {trouble}", self.testee.made.name))
    }

    pub fn ask(&self, op: &str, arguments: Value) -> Result<Answer, String> {
        self.answer(self.send(op, arguments))
    }

    /// What it must answer with `ok`.
    pub fn must(&self, op: &str, arguments: Value) -> Result<Value, String> {
        match self.ask(op, arguments)? {
            Answer::Ok(value) => Ok(value),
            other => Err(format!("{}: {op}: {other}", self.testee.made.name)),
        }
    }

    /// What it must answer with `ok`, which means yes, or with this outcome, which means no.
    pub fn may(&self, op: &str, arguments: Value, no: &str) -> Result<bool, String> {
        match self.ask(op, arguments)? {
            Answer::Ok(_) => Ok(true),
            Answer::Outcome(outcome) if outcome == no => Ok(false),
            other => Err(format!("{}: {op}: {other}", self.testee.made.name)),
        }
    }

    /// A worker's name that is this lane's own.
    pub fn worker(&self) -> String {
        format!("{}-{}", self.testee.pid, self.name.as_deref().unwrap_or("main"))
    }
}

/// Does it on all lanes at once, each in a thread of its own; what each came to, in their order, or the first failure.
pub fn at_once<'a, T: Send>(
    lanes: &[Lane<'a>],
    body: impl Fn(usize, &Lane<'a>) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    thread::scope(|scope| {
        let body = &body;
        let threads: Vec<_> =
            lanes.iter().enumerate().map(|(index, lane)| scope.spawn(move || body(index, lane))).collect();
        let outcomes = threads.into_iter().map(|thread| thread.join().map_err(|_| "a panic".to_owned()));
        outcomes.collect::<Result<Vec<_>, _>>()?.into_iter().collect()
    })
}

/// The integers under `key` in each object of a list.
pub fn numbers(list: &Value, key: &str) -> Vec<i64> {
    list.as_array().into_iter().flatten().filter_map(|item| item[key].as_i64()).collect()
}
