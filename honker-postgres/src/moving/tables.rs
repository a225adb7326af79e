//! What is moved: the tables, with those of their columns that both engines have.

use honker_core::database::Database;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    IntegerOrNull,
    Text,
    TextOrNull,
    /// A number on a file, and its text on a server.
    Setting,
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
    "queues" [1] ("name" Text, "settings" Text, "window_start" IntegerOrNull, "window_count" IntegerOrNull);
    "live" [1] ("id" Integer, "queue" Text, "payload" Text, "state" Text, "priority" Integer, "run_at" Integer,
        "worker_id" TextOrNull, "claim_expires_at" IntegerOrNull, "attempts" Integer, "max_attempts" Integer,
        "created_at" Integer, "expires_at" IntegerOrNull);
    "dead" [1] ("id" Integer, "queue" Text, "payload" Text, "priority" Integer, "run_at" Integer, "attempts" Integer,
        "max_attempts" Integer, "last_error" TextOrNull, "created_at" Integer, "died_at" Integer);
    "done" [1] ("id" Integer, "queue" Text, "payload" Text, "priority" Integer, "run_at" Integer, "attempts" Integer,
        "max_attempts" Integer, "created_at" Integer, "finished_at" Integer);
    "job_options" [1] ("job_id" Integer, "metadata" TextOrNull, "unique_key" TextOrNull, "unique_until" TextOrNull,
        "concurrency_key" TextOrNull, "batch_id" IntegerOrNull, "max_run_s" IntegerOrNull, "batch_exit" TextOrNull);
    "unique" [2] ("queue" Text, "key" Text, "job_id" Integer, "mode" Text, "until" IntegerOrNull);
    "blocked" [1] ("job_id" Integer, "queue" Text, "key" Text, "priority" Integer, "run_at" Integer,
        "expires_at" IntegerOrNull);
    "slots" [1] ("job_id" Integer, "queue" Text, "key" TextOrNull);
    "steps" [2] ("job_id" Integer, "name" Text, "value" Text);
    "results" [1] ("job_id" Integer, "value" TextOrNull, "created_at" Integer, "expires_at" IntegerOrNull);
    "scheduler_tasks" [1] ("name" Text, "queue" Text, "cron_expr" Text, "payload" Text, "priority" Integer,
        "expires_s" IntegerOrNull, "next_fire_at" Integer, "enabled" Integer, "max_attempts" Integer);
    "schedule_options" [1] ("name" Text, "options" Text, "last_job_id" IntegerOrNull);
    "stream" [1] ("offset" Integer, "topic" Text, "key" TextOrNull, "payload" Text, "created_at" Integer);
    "stream_consumers" [2] ("name" Text, "topic" Text, "offset" Integer);
    "streams" [1] ("topic" Text, "keep_s" IntegerOrNull, "keep_n" IntegerOrNull);
    "notifications" [1] ("id" Integer, "channel" Text, "payload" Text, "created_at" Integer);
    "locks" [1] ("name" Text, "owner" Text, "expires_at" Integer);
    "rate_limits" [2] ("name" Text, "window_start" Integer, "count" Integer);
    "settings" [1] ("name" Text, "value" Setting)
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
        list(self.columns)
    }

    /// Those of the key.
    pub(super) fn key(&self) -> String {
        list(&self.columns[..self.key])
    }
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
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
