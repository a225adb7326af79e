//! The state as rows: what `SELECT *` gives for every table, in the order of its key.
//!
//! Answers that consist of several values use the same rows, so that one comparison and one way of printing serve both.

use std::fmt;

use crate::State;

/// One value.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    /// NULL.
    Null,
    /// An INTEGER.
    Integer(i64),
    /// A TEXT.
    Text(String),
}

/// One row.
pub type Row = Vec<Cell>;

/// The tables and their keys, in the order of [`dump`].
pub const TABLES: [(&str, &str); 10] = [
    ("_honker_live", "id"),
    ("_honker_dead", "id"),
    ("_honker_stream", "offset"),
    ("_honker_stream_consumers", "name, topic"),
    ("_honker_notifications", "id"),
    ("_honker_results", "job_id"),
    ("_honker_locks", "name"),
    ("_honker_rate_limits", "name, window_start"),
    ("_honker_scheduler_tasks", "name"),
    ("_honker_unique", "queue, key"),
];

/// The rows of all [`TABLES`].
pub fn dump(state: &State) -> [Vec<Row>; 10] {
    let State { queue, stream, notify, result, lock, rate_limit, schedule } = state;
    [
        queue.live.iter().map(|(id, job)| job.row(*id)).collect(),
        queue.dead.iter().map(|(id, dead)| dead.row(*id)).collect(),
        stream.events.iter().map(|(offset, event)| event.row(*offset)).collect(),
        stream.consumers.iter().map(|((name, topic), offset)| row![name, topic, *offset]).collect(),
        notify.rows.iter().map(|(id, n)| row![*id, &n.channel, &n.payload, n.created_at]).collect(),
        result
            .0
            .iter()
            .map(|(id, saved)| row![*id, &saved.value, saved.created_at, saved.expires_at])
            .collect(),
        lock.0.iter().map(|(name, lock)| row![name, &lock.owner, lock.expires_at]).collect(),
        rate_limit.0.iter().map(|((name, window), count)| row![name, *window, *count]).collect(),
        schedule.list(),
        queue
            .keys
            .iter()
            .map(|((queue, key), holder)| {
                let mode = if holder.until_claimed { "claimed" } else { "settled" };
                row![queue, key, holder.id, mode, holder.until]
            })
            .collect(),
    ]
}

/// A [`Row`] of whatever cells can be made from.
#[macro_export]
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($crate::Cell::from($cell)),*] };
}
pub use row;

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Integer(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Cell::Text(value.to_owned())
    }
}

impl From<&String> for Cell {
    fn from(value: &String) -> Self {
        Cell::Text(value.clone())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Cell::Text(value)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("NULL"),
            Cell::Integer(value) => write!(f, "{value}"),
            Cell::Text(value) => write!(f, "{value:?}"),
        }
    }
}
