//! Taking all that is in a database to another one (`honker move`): what is said of it here, and who is stopped.
//!
//! A row of `_honker_settings` says that the database moves, under which id, where to, and how far that is ([`Stage`]). Triggers
//! say so to whoever writes: our own operations, programs of other versions, and plain SQL, by RAISE(ABORT, 'HONKER_MOVED …'),
//! which is [`Error::Moved`] here. Who only waits is told when he looks (`check`). docs/decisions/0052-move.md has the reasons.
//!
//! While it is [`Stage::Moving`], what runs may end: jobs are settled, with their results, steps, callbacks and offsets. From
//! [`Stage::Closed`] on nothing changes any more, so that what is copied is all there is.

use crate::statement::{Sql, Value};
use crate::{Error, Result, Store, features, version};

/// The name of the row that says so. Rows whose names begin with it stay where they are.
pub const SETTING: &str = "move";

/// The name of the row, in a database that was filled by a move, that says by which.
pub const ARRIVED: &str = "move.arrived";

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Nothing is added and claimed any more; jobs that run are settled.
    Moving,
    /// Nothing is changed any more. What is here is being copied, or is there already.
    Closed,
    /// All is there.
    Moved,
}

/// A move.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Move {
    /// Whoever fills the target says there that it was by this one.
    pub id: String,
    /// Where to: a file, or a server's URL without its password.
    pub to: String,
    /// How far it is.
    pub stage: Stage,
    /// When it began.
    pub at: i64,
}

impl Move {
    /// What everybody is told who meets it.
    pub fn message(&self) -> String {
        let Move { id, to, stage, .. } = self;
        match stage {
            Stage::Moving | Stage::Closed => {
                format!(
                    "HONKER_MOVED: this database is being moved to {to} (move {id}); open that one when it is done"
                )
            }
            Stage::Moved => {
                format!("HONKER_MOVED: this database has moved to {to} (move {id}); open that one")
            }
        }
    }
}

impl Move {
    /// The same, as an error.
    pub(crate) fn error(&self) -> Error {
        Error::Moved(self.message().into())
    }
}

/// Claims that are valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Claims {
    /// How many.
    pub n: i64,
    /// The last second of the one that ends last.
    pub until: Option<i64>,
}

/// The highest id that a table has ever given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastId {
    /// The table, as in [`TABLES`].
    pub table: String,
    /// The id.
    pub id: i64,
}

/// The tables that give ids.
pub const COUNTED: [&str; 4] = ["live", "stream", "notifications", "batches"];

/// The tables that hold what is moved. All others are about processes, and stay.
pub const TABLES: [&str; 20] = [
    "live",
    "dead",
    "done",
    "job_options",
    "unique",
    "blocked",
    "slots",
    "steps",
    "results",
    "batches",
    "queues",
    "scheduler_tasks",
    "schedule_options",
    "stream",
    "stream_consumers",
    "streams",
    "notifications",
    "locks",
    "rate_limits",
    "settings",
];

/// Tables to which nothing is added while it is [`Stage::Moving`]. What settling a job adds goes to the others, and its batch's
/// callbacks to the jobs.
const CLOSED_FIRST: [&str; 9] = [
    "stream",
    "notifications",
    "locks",
    "rate_limits",
    "scheduler_tasks",
    "schedule_options",
    "batches",
    "queues",
    "streams",
];

/// Rows of the settings that are about this place.
const OWN_SETTINGS: &str = "name = 'move' OR name LIKE 'move.%' OR name = 'maintenance'";

static SQL_READ: Sql = Sql::new("SELECT value FROM main._honker_settings WHERE name = +?1");

static SQL_SAY: Sql = Sql::new("INSERT OR REPLACE INTO main._honker_settings (name, value) VALUES (?1, ?2)");

static SQL_FORGET: Sql = Sql::new("DELETE FROM main._honker_settings WHERE name = ?1");

static SQL_LAST_IDS: Sql =
    Sql::new("SELECT substr(name, 9), seq FROM main.sqlite_sequence WHERE name GLOB '_honker_*'");

static SQL_RAISE: Sql = Sql::new("UPDATE main.sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1");

static SQL_COUNT: Sql = Sql::new("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)");

static SQL_CLAIMS: Sql = Sql::new(
    "SELECT count(*), max(claim_expires_at) FROM main._honker_live WHERE state = 'processing' AND claim_expires_at >= +?1",
);

static SQL_CLAIMED: Sql = Sql::new(
    "SELECT id, worker_id FROM main._honker_live WHERE state = 'processing' AND claim_expires_at >= +?1 LIMIT 1000",
);

/// What is said of a move of this database; `None` if it stays.
pub fn state(store: &Store) -> Result<Option<Move>> {
    let row = store.query_one(&SQL_READ, &[SETTING.into()], |row| row.optional_text(0));
    match row {
        Ok(row) => row.flatten().map(|text| read(&text)).transpose(),
        Err(error) if error.lacks_table("_honker_settings") => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(text: &str) -> Result<Move> {
    serde_json::from_str(text).map_err(|error| {
        Error::Internal(format!("what is said of this database's move cannot be read: {error}").into())
    })
}

/// The id of the move that has filled this database.
pub fn arrived(store: &Store) -> Result<Option<String>> {
    Ok(store.query_one(&SQL_READ, &[ARRIVED.into()], |row| row.optional_text(0))?.flatten())
}

/// [`Error::Moved`] if this database is moved or being moved: for who finds nothing here, and would wait in vain. It costs a look
/// at whether the schema has changed, as long as there are no triggers.
pub(crate) fn check(store: &Store) -> Result<()> {
    match current(store)? {
        Some(found) => Err(found.error()),
        None => Ok(()),
    }
}

/// As [`check`], once it has moved: what jobs that run have to say may still come before that.
pub(crate) fn check_moved(store: &Store) -> Result<()> {
    match current(store)? {
        Some(found) if found.stage == Stage::Moved => Err(found.error()),
        _ => Ok(()),
    }
}

/// Whether it is being moved, or was.
pub(crate) fn current(store: &Store) -> Result<Option<Move>> {
    version::look_for_triggers(store)?;
    if store.last_look().has_triggers() { state(store) } else { Ok(None) }
}

/// Begins a move: nothing is added and claimed any more. If one has begun already, that one is answered, and nothing is done.
pub fn begin(store: &Store, now: i64, id: &str, to: &str) -> Result<Move> {
    store.atomic(|| {
        if let Some(found) = state(store)? {
            return Ok(found);
        }
        let begun = Move { id: id.to_owned(), to: to.to_owned(), stage: Stage::Moving, at: now };
        say(store, &begun)?;
        for table in CLOSED_FIRST {
            refuse(store, table, "INSERT", "", &begun)?;
        }
        refuse(store, "scheduler_tasks", "UPDATE", "", &begun)?;
        refuse(store, "scheduler_tasks", "DELETE", "", &begun)?;
        refuse(store, "settings", "INSERT", &format!("WHEN NOT ({})", own_settings("NEW")), &begun)?;
        // A batch whose last member is settled enqueues what it was given.
        refuse_where(store, "live", "INSERT", "", CALLBACKS, &begun)?;
        refuse(store, "live", "UPDATE", CLAIMS, &begun)?;
        Ok(begun)
    })
}

/// A row that becomes claimed, by whom ever.
const CLAIMS: &str = "WHEN NEW.state = 'processing'
  AND (OLD.state <> 'processing' OR OLD.worker_id IS NOT NEW.worker_id OR OLD.attempts <> NEW.attempts)";

const CALLBACKS: &str = "NOT EXISTS (
    SELECT 1 FROM _honker_batches b WHERE b.finished_at IS NOT NULL AND (
      (json_valid(b.on_finished) AND json_extract(b.on_finished, '$.queue') = NEW.queue
        AND json_extract(b.on_finished, '$.payload') = NEW.payload)
      OR (json_valid(b.on_success) AND json_extract(b.on_success, '$.queue') = NEW.queue
        AND json_extract(b.on_success, '$.payload') = NEW.payload)))";

/// Claims that are valid still.
pub fn claims(store: &Store, now: i64) -> Result<Claims> {
    let found = store.query_one(&SQL_CLAIMS, &[now.into()], |row| Claims {
        n: row.integer(0),
        until: row.optional_integer(1),
    })?;
    Ok(found.unwrap_or_default())
}

/// Gives back up to 1,000 jobs that are claimed, as if their workers had released them; how many those were.
pub fn give_back(store: &Store, now: i64) -> Result<i64> {
    store.atomic(|| {
        let claimed = store.query(&SQL_CLAIMED, &[now.into()], |row| {
            (row.integer(0), row.optional_text(1).unwrap_or_default())
        })?;
        let mut given = 0;
        for (id, worker_id) in &claimed {
            // One that somebody's SQL has claimed in a way of its own lapses in its time.
            given += i64::from(crate::queue::release(store, now, *id, worker_id, 0)?);
        }
        Ok(given)
    })
}

/// Lets nobody change anything any more, if no claim is valid; whether that is so.
pub fn close(store: &Store, now: i64) -> Result<bool> {
    store.atomic(|| {
        let Some(found) = state(store)? else { return Err(no_move()) };
        if found.stage != Stage::Moving {
            return Ok(true);
        }
        if claims(store, now)?.n > 0 {
            return Ok(false);
        }
        stop_all(store, &Move { stage: Stage::Closed, ..found })?;
        Ok(true)
    })
}

/// All of it is where it was to go.
pub fn end(store: &Store) -> Result<()> {
    store.atomic(|| {
        let Some(found) = state(store)? else { return Err(no_move()) };
        if found.stage == Stage::Moved {
            return Ok(());
        }
        stop_all(store, &Move { stage: Stage::Moved, ..found })
    })
}

/// The database stays, as if nothing had been: whoever calls this has seen to it that nothing of it is elsewhere.
pub fn cancel(store: &Store) -> Result<()> {
    store.atomic(|| {
        match state(store)? {
            None => return Err(no_move()),
            Some(found) if found.stage == Stage::Moved => {
                return Err(Error::Misuse(format!(
                    "a move that is over cannot be cancelled: {}",
                    found.message()
                )));
            }
            Some(_) => {}
        }
        drop_triggers(store)?;
        store.execute(&SQL_FORGET, &[SETTING.into()])?;
        store.last_look().look_again();
        Ok(())
    })
}

/// In a transaction: nobody else writes until it is over.
pub fn lock(store: &Store) -> Result<()> {
    store.atomic(|| Ok(()))
}

/// The highest ids that tables have given, where they have given any.
pub fn last_ids(store: &Store) -> Result<Vec<LastId>> {
    let all = store.query(&SQL_LAST_IDS, &[], |row| LastId { table: row.text(0), id: row.integer(1) })?;
    Ok(all.into_iter().filter(|last| COUNTED.contains(&last.table.as_str())).collect())
}

/// The end of filling this database: it says by which move, and from where; ids go on where the others ended.
pub fn arrive(store: &Store, id: &str, from: &str, last: &[LastId]) -> Result<()> {
    store.atomic(|| {
        for LastId { table, id } in last {
            let name = format!("_honker_{table}");
            if store.execute(&SQL_RAISE, &[name.as_str().into(), (*id).into()])? == 0 {
                store.execute(&SQL_COUNT, &[name.as_str().into(), (*id).into()])?;
            }
        }
        if features::are_used(store)? {
            features::begin_use(store, |_| ())?;
        }
        store.execute(&SQL_SAY, &["move.from".into(), from.into()])?;
        store.execute(&SQL_SAY, &[ARRIVED.into(), id.into()])?;
        // What this connection knows of the features is not what is there now.
        store.last_look().look_again();
        Ok(())
    })
}

fn no_move() -> Error {
    Error::Misuse("this database is not being moved".to_owned())
}

fn say(store: &Store, what: &Move) -> Result<()> {
    let text = serde_json::to_string(what).map_err(|error| Error::Internal(error.to_string().into()))?;
    store.execute(&SQL_SAY, &[SETTING.into(), Value::from(text.as_str())]).map(drop)
}

/// Nobody changes anything from now on.
fn stop_all(store: &Store, what: &Move) -> Result<()> {
    drop_triggers(store)?;
    say(store, what)?;
    for table in TABLES {
        for verb in ["INSERT", "UPDATE", "DELETE"] {
            let row = if verb == "INSERT" { "NEW" } else { "OLD" };
            let when =
                if table == "settings" { format!("WHEN NOT ({})", own_settings(row)) } else { String::new() };
            refuse(store, table, verb, &when, what)?;
        }
    }
    Ok(())
}

fn own_settings(row: &str) -> String {
    OWN_SETTINGS.replace("name", &format!("{row}.name"))
}

fn refuse(store: &Store, table: &str, verb: &str, when: &str, what: &Move) -> Result<()> {
    refuse_where(store, table, verb, when, "1", what)
}

fn refuse_where(
    store: &Store,
    table: &str,
    verb: &str,
    when: &str,
    condition: &str,
    what: &Move,
) -> Result<()> {
    let message = what.message().replace('\'', "''");
    let name = format!("_honker_move_{table}_{}", verb.to_ascii_lowercase());
    store.execute_once(&format!(
        "CREATE TRIGGER main.{name} BEFORE {verb} ON _honker_{table} {when}
         BEGIN SELECT RAISE(ABORT, '{message}') WHERE {condition}; END"
    ))?;
    store.last_look().look_again();
    Ok(())
}

fn drop_triggers(store: &Store) -> Result<()> {
    let names = store.query_once(
        "SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND name GLOB '_honker_move_*'",
        |row| row.text(0),
    )?;
    for name in names {
        store.execute_once(&format!("DROP TRIGGER main.\"{}\"", name.replace('"', "\"\"")))?;
    }
    Ok(())
}
