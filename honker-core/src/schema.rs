//! What honker keeps in a file: its tables and indexes, and how older files are brought up to date.
//!
//! The columns, their order and their defaults are a contract with every client that reads or writes the tables with
//! SQL of its own; indexes are ours to choose (docs/decisions/0002-claims.md says why these). All of it lives in schema
//! `main`. Bootstrapping an up-to-date file only reads.
//!
//! Definitions are replaced once, when the file's version is raised (`version.rs`). Whatever somebody makes of an index
//! after that stays: a program of another version has its reasons, and two that correct each other at every open would
//! wake everybody each time (docs/decisions/0021-schema-version.md).

use crate::queue::conditions::{claimable, delayed, exception, exception_at, exceptional};
use crate::version::{FileVersion, VERSION};
use crate::{Error, Result, Store, features};

struct Object {
    name: &'static str,
    sql: &'static str,
}

const NOTIFICATIONS: Object = Object {
    name: "_honker_notifications",
    sql: "CREATE TABLE IF NOT EXISTS main._honker_notifications (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (unixepoch())
)",
};

const NOTIFICATION_INDEXES: [Object; 2] = [
    Object {
        name: "_honker_notifications_recent",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_notifications_recent
  ON _honker_notifications (channel, id)",
    },
    Object {
        name: "_honker_notifications_age",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_notifications_age
  ON _honker_notifications (created_at)",
    },
];

const VERSION_TABLE: Object = Object {
    name: "_honker_schema",
    sql: "CREATE TABLE IF NOT EXISTS main._honker_schema (version INTEGER, min_version INTEGER)",
};

const TABLES: [Object; 21] = [
    Object {
        name: "_honker_live",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_live (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue TEXT NOT NULL,
  payload TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending',
  priority INTEGER NOT NULL DEFAULT 0,
  run_at INTEGER NOT NULL DEFAULT (unixepoch()),
  worker_id TEXT,
  claim_expires_at INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL DEFAULT 3,
  created_at INTEGER NOT NULL DEFAULT (unixepoch()),
  expires_at INTEGER
)",
    },
    Object {
        name: "_honker_dead",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_dead (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  payload TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0,
  run_at INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  created_at INTEGER NOT NULL DEFAULT (unixepoch()),
  died_at INTEGER NOT NULL DEFAULT (unixepoch())
)",
    },
    Object {
        name: "_honker_locks",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_locks (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  expires_at INTEGER NOT NULL
)",
    },
    Object {
        name: "_honker_rate_limits",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_rate_limits (
  name TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  count INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (name, window_start)
)",
    },
    Object {
        name: "_honker_scheduler_tasks",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_scheduler_tasks (
  name TEXT PRIMARY KEY,
  queue TEXT NOT NULL,
  cron_expr TEXT NOT NULL,
  payload TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0,
  expires_s INTEGER,
  next_fire_at INTEGER NOT NULL,
  enabled INTEGER NOT NULL DEFAULT 1,
  max_attempts INTEGER NOT NULL DEFAULT 3
)",
    },
    Object {
        name: "_honker_results",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_results (
  job_id INTEGER PRIMARY KEY,
  value TEXT,
  created_at INTEGER NOT NULL DEFAULT (unixepoch()),
  expires_at INTEGER
)",
    },
    Object {
        name: "_honker_stream",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_stream (
  offset INTEGER PRIMARY KEY AUTOINCREMENT,
  topic TEXT NOT NULL,
  key TEXT,
  payload TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (unixepoch())
)",
    },
    Object {
        name: "_honker_stream_consumers",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_stream_consumers (
  name TEXT NOT NULL,
  topic TEXT NOT NULL,
  offset INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (name, topic)
)",
    },
    // What a job has beside its row; a job that has nothing has no row here.
    Object {
        name: "_honker_job_options",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_job_options (
  job_id INTEGER PRIMARY KEY,
  metadata TEXT,
  unique_key TEXT,
  unique_until TEXT,
  concurrency_key TEXT,
  batch_id INTEGER,
  max_run_s INTEGER,
  batch_exit TEXT
)",
    },
    // The features that most files do not use (features.rs).
    Object {
        name: "_honker_unique",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_unique (
  queue TEXT NOT NULL,
  key TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  mode TEXT NOT NULL,
  until INTEGER,
  PRIMARY KEY (queue, key)
) WITHOUT ROWID",
    },
    Object {
        name: "_honker_queues",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_queues (
  name TEXT PRIMARY KEY,
  settings TEXT NOT NULL,
  window_start INTEGER,
  window_count INTEGER
)",
    },
    Object {
        name: "_honker_blocked",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_blocked (
  job_id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  key TEXT NOT NULL,
  priority INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  expires_at INTEGER
)",
    },
    Object {
        name: "_honker_slots",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_slots (
  job_id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  key TEXT
)",
    },
    Object {
        name: "_honker_batches",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_batches (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  on_finished TEXT,
  on_success TEXT,
  total INTEGER NOT NULL DEFAULT 0,
  pending INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0,
  dead INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  sealed_at INTEGER,
  finished_at INTEGER,
  keep_s INTEGER
)",
    },
    Object {
        name: "_honker_steps",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_steps (
  job_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (job_id, name)
) WITHOUT ROWID",
    },
    Object {
        name: "_honker_done",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_done (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  payload TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0,
  run_at INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL DEFAULT (unixepoch()),
  finished_at INTEGER NOT NULL DEFAULT (unixepoch())
)",
    },
    Object {
        name: "_honker_schedule_options",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_schedule_options (
  name TEXT PRIMARY KEY,
  options TEXT NOT NULL,
  last_job_id INTEGER
)",
    },
    Object {
        name: "_honker_counters",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_counters (
  minute INTEGER NOT NULL,
  queue TEXT NOT NULL,
  name TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (minute, queue, name)
) WITHOUT ROWID",
    },
    Object {
        name: "_honker_instances",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_instances (
  id TEXT PRIMARY KEY,
  file_id BLOB,
  byte INTEGER,
  pid INTEGER,
  host TEXT,
  started_at INTEGER,
  info TEXT
)",
    },
    Object {
        name: "_honker_streams",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_streams (
  topic TEXT PRIMARY KEY,
  keep_s INTEGER,
  keep_n INTEGER
)",
    },
    Object {
        name: "_honker_settings",
        sql: "CREATE TABLE IF NOT EXISTS main._honker_settings (
  name TEXT PRIMARY KEY,
  value
)",
    },
];

const INDEXES: [Object; 15] = [
    // Those of the job table (queue/conditions.rs). The rowid completes the claim order (priority DESC, run_at, id).
    Object {
        name: "_honker_live_claim",
        sql: concat!(
            "CREATE INDEX IF NOT EXISTS main._honker_live_claim
  ON _honker_live (queue, run_at > created_at, priority DESC, run_at) WHERE ",
            claimable!()
        ),
    },
    Object {
        name: "_honker_live_due",
        sql: concat!(
            "CREATE INDEX IF NOT EXISTS main._honker_live_due
  ON _honker_live (queue, run_at, priority) WHERE ",
            delayed!()
        ),
    },
    Object {
        name: "_honker_live_inflight",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_live_inflight
  ON _honker_live (queue, attempts >= max_attempts, claim_expires_at) WHERE state = 'processing'",
    },
    Object {
        name: "_honker_live_exceptions",
        sql: concat!(
            "CREATE INDEX IF NOT EXISTS main._honker_live_exceptions
  ON _honker_live (queue, ",
            exception!(),
            ", ",
            exception_at!(),
            ") WHERE ",
            exceptional!()
        ),
    },
    Object {
        name: "_honker_dead_age",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_dead_age
  ON _honker_dead (queue, died_at)",
    },
    Object {
        name: "_honker_rate_limits_window",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_rate_limits_window
  ON _honker_rate_limits (window_start)",
    },
    Object {
        name: "_honker_results_expiry",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_results_expiry
  ON _honker_results (expires_at) WHERE expires_at IS NOT NULL",
    },
    Object {
        name: "_honker_stream_topic",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_stream_topic
  ON _honker_stream (topic, offset)",
    },
    Object {
        name: "_honker_job_options_batch",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_job_options_batch
  ON _honker_job_options (batch_id) WHERE batch_id IS NOT NULL",
    },
    Object {
        name: "_honker_unique_job",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_unique_job
  ON _honker_unique (job_id)",
    },
    Object {
        name: "_honker_blocked_best",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_blocked_best
  ON _honker_blocked (queue, key, priority DESC, run_at, job_id)",
    },
    Object {
        name: "_honker_blocked_expiry",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_blocked_expiry
  ON _honker_blocked (queue, expires_at) WHERE expires_at IS NOT NULL",
    },
    Object {
        name: "_honker_slots_key",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_slots_key
  ON _honker_slots (queue, key)",
    },
    Object {
        name: "_honker_batches_finished",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_batches_finished
  ON _honker_batches (finished_at + ifnull(keep_s, 86400)) WHERE finished_at IS NOT NULL",
    },
    Object {
        name: "_honker_done_finished",
        sql: "CREATE INDEX IF NOT EXISTS main._honker_done_finished
  ON _honker_done (queue, finished_at)",
    },
];

/// Indexes of earlier versions whose work others do now.
const RETIRED_INDEXES: [&str; 4] = [
    "_honker_live_pending_deadline",
    "_honker_live_processing_deadline",
    "_honker_live_expiry",
    "_honker_live_exhausted",
];

/// Columns that earlier versions of a table lack.
const ADDED_COLUMNS: [(&str, &str, &str); 2] = [
    ("_honker_scheduler_tasks", "enabled", "INTEGER NOT NULL DEFAULT 1"),
    ("_honker_scheduler_tasks", "max_attempts", "INTEGER NOT NULL DEFAULT 3"),
];

/// Creates the notifications table, the one part of the schema that every connection with our functions has from the
/// start, bootstrapped or not. A read-only connection is left as it is: there is nothing it could notify. So is a file
/// of a newer version, whose schema is not ours to change.
pub fn ensure_notifications(store: &Store) -> Result<()> {
    if store.is_readonly() {
        return Ok(());
    }
    let exists = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = '_honker_notifications'";
    if store.query_once(exists, |_| ())?.is_empty() && FileVersion::read(store)?.version <= VERSION {
        store.execute_once(NOTIFICATIONS.sql)?;
    }
    Ok(())
}

/// Installs every table and index that is missing and brings older files up to date. Never drops data. Any number of
/// processes may do this at once; on a file that is up to date, or of a newer version, nothing is written. An error if
/// this program is too old to write to the file.
pub fn bootstrap(store: &Store) -> Result<()> {
    if missing(store)?.is_empty() {
        return Ok(());
    }
    if store.is_readonly() {
        // Said here, because what would fail first is the look for a table that is not there.
        return Err(Error::ReadOnly("attempt to write a readonly database".into()));
    }
    ensure_notifications(store)?;
    store.atomic(|| {
        // Looked up again under the write lock: another process may have been first.
        for sql in missing(store)? {
            match store.execute_once(&sql) {
                // Inside a writing statement there is no lock of ours to keep another process out.
                Err(Error::Sql(cause)) if cause.message.starts_with("duplicate column name") => {}
                done => done?,
            }
        }
        store.last_look().look_again();
        Ok(())
    })
}

/// The statements that would make this file's schema ours.
fn missing(store: &Store) -> Result<Vec<String>> {
    let file = FileVersion::read(store)?;
    file.check()?;
    if file.version > VERSION {
        return Ok(Vec::new());
    }
    let raise = file.version < VERSION;
    let existing = existing_objects(store)?;
    let find =
        |name: &str| existing.iter().find(|(existing, _)| existing == name).map(|(_, sql)| sql.as_str());
    let mut statements = Vec::new();

    for table in [&NOTIFICATIONS, &VERSION_TABLE].into_iter().chain(&TABLES) {
        if find(table.name).is_none() {
            statements.push(table.sql.to_owned());
        }
    }
    for (table, column, definition) in ADDED_COLUMNS {
        if find(table).is_some() && !columns(store, table)?.iter().any(|name| name == column) {
            statements.push(format!("ALTER TABLE main.{table} ADD COLUMN {column} {definition}"));
        }
    }
    if raise {
        for name in RETIRED_INDEXES {
            if find(name).is_some() {
                statements.push(format!("DROP INDEX IF EXISTS main.{name}"));
            }
        }
    }
    for index in NOTIFICATION_INDEXES.iter().chain(&INDEXES) {
        match find(index.name) {
            Some(sql) if !raise || definition(sql) == definition(index.sql) => continue,
            Some(_) => statements.push(format!("DROP INDEX IF EXISTS main.{}", index.name)),
            None => {}
        }
        statements.push(index.sql.to_owned());
    }
    if raise {
        let min_version = file.min_version;
        statements.push("DELETE FROM main._honker_schema".to_owned());
        statements.push(format!("INSERT INTO main._honker_schema VALUES ({VERSION}, {min_version})"));
    }
    if file.min_version < features::MIN_VERSION && features::are_used(store)? {
        // Somebody's SQL has removed what the file says of itself.
        statements.push(format!("UPDATE main._honker_schema SET min_version = {}", features::MIN_VERSION));
    }
    Ok(statements)
}

/// Names and SQL texts of what is there.
fn existing_objects(store: &Store) -> Result<Vec<(String, String)>> {
    store.query_once(
        "SELECT name, sql FROM main.sqlite_master WHERE type IN ('table', 'index') AND name GLOB '_honker_*'",
        |row| (row.text(0), row.text(1)),
    )
}

fn columns(store: &Store, table: &str) -> Result<Vec<String>> {
    store.query_once(&format!("PRAGMA main.table_info({table})"), |row| row.text(1))
}

/// The part of a CREATE INDEX that says what the index holds, in a form that can be compared: another tool may have
/// recreated it with other white space or letter case.
fn definition(create_index: &str) -> String {
    let lower = create_index.to_ascii_lowercase();
    lower.split_whitespace().skip_while(|word| *word != "on").collect()
}
