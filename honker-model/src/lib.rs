//! A small in-memory model of honker: what its tables hold and what every operation answers, in plain Rust.
//!
//! The model is the specification in the form that is easiest to believe: no SQL, no indexes, no fast paths, every rule
//! written down where it is applied. One file for each noun holds its state and its operations; [`program`] makes random
//! sequences of operations; [`tables`] shows the state as the rows that the file must hold. Whoever can execute an
//! [`Operation`] on real tables can be compared with the model, answer by answer and row by row. `tests/model.rs` does
//! that for honker-core.
//!
//! Time is a number that a program sets. Nothing here reads a clock, touches a file or knows SQLite.

mod generator;
pub mod lock;
pub mod notify;
pub mod operation;
pub mod program;
pub mod queue;
pub mod rate_limit;
pub mod result;
pub mod schedule;
pub mod stream;
pub mod tables;
pub mod unique;

pub use operation::{Answer, Operation};
pub use program::Program;
pub use tables::Cell;

/// Everything a honker file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Live and dead jobs.
    pub queue: queue::Queue,
    /// Events and the consumers' offsets.
    pub stream: stream::Stream,
    /// Notifications.
    pub notify: notify::Notifications,
    /// Results.
    pub result: result::Results,
    /// Locks.
    pub lock: lock::Locks,
    /// Rate-limit windows.
    pub rate_limit: rate_limit::RateLimits,
    /// Schedules.
    pub schedule: schedule::Schedules,
}

/// The state, the time, and the states that open savepoints would go back to.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The current second.
    pub now: i64,
    /// What the file holds now.
    pub state: State,
    savepoints: Vec<State>,
}

impl Model {
    /// An empty file at this second.
    pub fn new(now: i64) -> Self {
        Model { now, ..Model::default() }
    }

    /// How many savepoints are open.
    pub fn depth(&self) -> usize {
        self.savepoints.len()
    }
}

/// Why an operation is refused. A refused operation has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An argument cannot be used; the error's text contains these words.
    Invalid(&'static str),
    /// A row with this key exists.
    Constraint,
}

/// What an operation that may be refused comes to.
pub type Outcome<T> = Result<T, Refusal>;

/// `now + seconds`, refused in the name of `argument` where 64 bits cannot hold it.
fn after(now: i64, argument: &'static str, seconds: i64) -> Outcome<i64> {
    now.checked_add(seconds).ok_or(Refusal::Invalid(argument))
}

/// Whether `time` lies more than `seconds` before `now`, whatever the three are.
fn older(time: i64, now: i64, seconds: i64) -> bool {
    i128::from(time) < i128::from(now) - i128::from(seconds)
}

/// One call moves, releases or removes no more than this many rows beside those that its caller asks for.
pub const ROWS_MAX: usize = 1_000;

/// The first `limit` of `rows`; a negative `limit` means all of them.
fn limited<T>(rows: impl Iterator<Item = T>, limit: i64) -> Vec<T> {
    rows.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}
