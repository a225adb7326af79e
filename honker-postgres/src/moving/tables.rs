//! What is moved: the tables, with those of their columns that both engines have.

use honker_core::Error;
use honker_core::database::{Database, Value};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    IntegerOrNull,
    Text,
    TextOrNull,
    /// A text that a server has in an index, which takes only so long ones.
    Name,
    NameOrNull,
    /// The JSON text of what is set for a queue.
    QueueSettings,
    /// A number on a file, and its text on a server.
    Setting,
}

impl Kind {
    /// Whether it may be NULL.
    pub(super) fn is_optional(self) -> bool {
        matches!(self, Kind::IntegerOrNull | Kind::TextOrNull | Kind::NameOrNull | Kind::Setting)
    }
}

pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

pub(super) struct Table {
    /// Without `_honker_`.
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    /// So many of the first columns are the key.
    pub(super) key: usize,
    /// Which rows are moved.
    pub(super) only: &'static str,
}

macro_rules! tables {
    ($($name:literal [$key:literal] ($($column:literal $kind:ident),*) $($only:literal)?;)*) => {
        &[$(Table {
            name: $name,
            columns: &[$(Column { name: $column, kind: Kind::$kind }),*],
            key: $key,
            only: concat!("1 = 1" $(, " AND ", $only)?),
        }),*]
    };
}

/// Those of `honker_core::moving::TABLES`. Batches come before the jobs that refer to them, by habit: nothing checks it.
pub(super) static TABLES: &[Table] = tables! {
    "batches" [1] ("id" Integer, "on_finished" TextOrNull, "on_success" TextOrNull, "total" Integer, "pending" Integer,
        "done" Integer, "dead" Integer, "cancelled" Integer, "sealed_at" IntegerOrNull, "finished_at" IntegerOrNull,
        "keep_s" IntegerOrNull);
    "queues" [1] ("name" Name, "settings" QueueSettings, "window_start" IntegerOrNull, "window_count" IntegerOrNull);
    "live" [1] ("id" Integer, "queue" Name, "payload" Text, "state" Text, "priority" Integer, "run_at" Integer,
        "worker_id" TextOrNull, "claim_expires_at" IntegerOrNull, "attempts" Integer, "max_attempts" Integer,
        "created_at" Integer, "expires_at" IntegerOrNull);
    "dead" [1] ("id" Integer, "queue" Name, "payload" Text, "priority" Integer, "run_at" Integer, "attempts" Integer,
        "max_attempts" Integer, "last_error" TextOrNull, "created_at" Integer, "died_at" Integer);
    "done" [1] ("id" Integer, "queue" Name, "payload" Text, "priority" Integer, "run_at" Integer, "attempts" Integer,
        "max_attempts" Integer, "created_at" Integer, "finished_at" Integer);
    "job_options" [1] ("job_id" Integer, "metadata" TextOrNull, "unique_key" TextOrNull, "unique_until" TextOrNull,
        "concurrency_key" TextOrNull, "batch_id" IntegerOrNull, "max_run_s" IntegerOrNull, "batch_exit" TextOrNull);
    "unique" [2] ("queue" Name, "key" Name, "job_id" Integer, "mode" Text, "until" IntegerOrNull);
    "blocked" [1] ("job_id" Integer, "queue" Name, "key" Name, "priority" Integer, "run_at" Integer,
        "expires_at" IntegerOrNull);
    "slots" [1] ("job_id" Integer, "queue" Name, "key" NameOrNull);
    "steps" [2] ("job_id" Integer, "name" Name, "value" Text);
    "results" [1] ("job_id" Integer, "value" TextOrNull, "created_at" Integer, "expires_at" IntegerOrNull);
    "scheduler_tasks" [1] ("name" Name, "queue" Text, "cron_expr" Text, "payload" Text, "priority" Integer,
        "expires_s" IntegerOrNull, "next_fire_at" Integer, "enabled" Integer, "max_attempts" Integer);
    "schedule_options" [1] ("name" Name, "options" Text, "last_job_id" IntegerOrNull);
    "stream" [1] ("offset" Integer, "topic" Name, "key" TextOrNull, "payload" Text, "created_at" Integer);
    "stream_consumers" [2] ("name" Name, "topic" Name, "offset" Integer);
    "streams" [1] ("topic" Name, "keep_s" IntegerOrNull, "keep_n" IntegerOrNull);
    "notifications" [1] ("id" Integer, "channel" Name, "payload" Text, "created_at" Integer);
    "locks" [1] ("name" Name, "owner" Text, "expires_at" Integer);
    "rate_limits" [2] ("name" Name, "window_start" Integer, "count" Integer);
    "settings" [1] ("name" Name, "value" Setting)
        "name <> 'move' AND name NOT LIKE 'move.%' AND name <> 'maintenance'";
};

impl Table {
    /// Its name in SQL.
    pub(super) fn on(&self, database: &Database) -> String {
        let schema = if database.is_remote() { "honker" } else { "main" };
        format!("{schema}._honker_{}", self.name)
    }

    /// All columns, for SQL of either engine.
    pub(super) fn columns(&self) -> String {
        self.each(quoted)
    }

    /// Those of the key.
    pub(super) fn key(&self) -> String {
        self.columns[..self.key].iter().map(quoted).collect::<Vec<_>>().join(", ")
    }

    /// Something of all columns, for SQL.
    pub(super) fn each(&self, what: impl Fn(&Column) -> String) -> String {
        self.columns.iter().map(what).collect::<Vec<_>>().join(", ")
    }

    /// How many bytes the texts of a row have, in SQL.
    pub(super) fn length(&self, on: &Database) -> String {
        let length = |column: &Column| match (on.is_remote(), column.name) {
            (true, name) => format!("coalesce(octet_length(\"{name}\"), 0)"),
            (false, name) => format!("coalesce(length(CAST(\"{name}\" AS BLOB)), 0)"),
        };
        let is_text = |column: &&Column| !matches!(column.kind, Kind::Integer | Kind::IntegerOrNull);
        let all: Vec<String> = self.columns.iter().filter(is_text).map(length).collect();
        // On a server a sum of lengths would be of a shorter type.
        format!("CAST({} AS bigint)", if all.is_empty() { "0".to_owned() } else { all.join(" + ") })
    }

    /// The error of a row that cannot be moved.
    pub(super) fn refused(&self, row: &[Value], why: &str) -> Error {
        let key: Vec<String> = self
            .columns
            .iter()
            .zip(row)
            .take(self.key)
            .map(|(column, value)| {
                let value = match value {
                    Value::Text(text) => format!("'{}'", shortened(text)),
                    Value::Integer(number) => number.to_string(),
                    other => format!("{other:?}"),
                };
                format!("{} {value}", column.name)
            })
            .collect();
        let (name, key) = (self.name, key.join(" and "));
        Error::Invalid(format!(
            "the row of _honker_{name} with {key} cannot be moved: {why}; change or remove it first"
        ))
    }
}

fn quoted(column: &Column) -> String {
    format!("\"{}\"", column.name)
}

/// A name as a message has it.
fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::TABLES;

    #[test]
    fn they_are_those_whose_writers_are_stopped() {
        let copied: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!(copied, BTreeSet::from(honker_core::moving::TABLES));
        assert_eq!(copied.len(), TABLES.len());
    }
}
