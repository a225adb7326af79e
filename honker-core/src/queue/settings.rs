//! What is set for a queue, for every process at once: a row of `_honker_queues`, whose `settings` are a JSON object of the
//! keys that somebody has given.
//!
//! Whoever sets something is told what is wrong with it. Whoever only reads takes what makes sense and the default for the
//! rest: a newer version, or somebody's SQL, may have written what this version does not know, and a queue must not stand
//! still for that.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::backoff::Backoff;
use crate::features::begin_use;
use crate::statement::{Row, Sql};
use crate::{Error, Result, Store, given};

const ARGUMENT: &str = "settings";

/// How often a job may be claimed when neither its enqueue nor its queue says.
pub(crate) const MAX_ATTEMPTS: i64 = 3;

/// What is set for a queue. The default is what holds where nothing is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Claims answer empty. What runs goes on.
    pub paused: bool,
    /// So many claims may be valid at once.
    pub concurrency: Option<i64>,
    /// So many may be of jobs with the same concurrency key.
    pub concurrency_per_key: Option<i64>,
    /// How many claims there may be in a time.
    pub rate: Option<Rate>,
    /// How often a job may be claimed whose enqueue does not say.
    pub max_attempts: i64,
    /// When a job that has failed is tried again, if its settlement does not say; `None`: as its worker says.
    pub retry: Option<Backoff>,
    /// For how many seconds done jobs can be read in `_honker_done`; 0: not at all.
    pub keep_done_s: i64,
    /// For how many seconds dead jobs are kept; `None`: for ever.
    pub keep_dead_s: Option<i64>,
}

/// At most `limit` claims in each window of `per_s` seconds, which begin at multiples of it since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub limit: i64,
    /// In so many seconds.
    pub per_s: i64,
}

/// A queue, and what is set for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueSettings {
    /// Its name.
    pub queue: String,
    /// What is set.
    #[serde(flatten)]
    pub settings: Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            paused: false,
            concurrency: None,
            concurrency_per_key: None,
            rate: None,
            max_attempts: MAX_ATTEMPTS,
            retry: None,
            keep_done_s: 0,
            keep_dead_s: None,
        }
    }
}

static SQL_READ: Sql = Sql::new("SELECT settings FROM main._honker_queues WHERE name = +?1");

static SQL_WRITE: Sql = Sql::new(
    "INSERT INTO main._honker_queues (name, settings) VALUES (?1, ?2)
     ON CONFLICT (name) DO UPDATE SET settings = excluded.settings",
);

static SQL_QUEUE_OF: Sql = Sql::new("SELECT queue, attempts FROM main._honker_live WHERE id = +?1");

static SQL_NEW_WINDOW: Sql =
    Sql::new("UPDATE main._honker_queues SET window_start = NULL, window_count = NULL WHERE name = +?1");

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_queues WHERE name = +?1");

/// The smallest queue name in each place that names queues, which `$of` says more about.
macro_rules! next_queue {
    ($of:literal) => {
        concat!(
            "(SELECT min(queue) FROM (
                 SELECT min(queue) AS queue FROM main._honker_live WHERE ",
            $crate::queue::conditions::claimable!(),
            $of,
            "    UNION ALL SELECT min(queue) FROM main._honker_live WHERE state = 'processing'",
            $of,
            "    UNION ALL SELECT min(queue) FROM main._honker_live WHERE ",
            $crate::queue::conditions::exceptional!(),
            $of,
            "    UNION ALL SELECT min(queue) FROM main._honker_blocked WHERE true",
            $of,
            "    UNION ALL SELECT min(queue) FROM main._honker_dead WHERE true",
            $of,
            "    UNION ALL SELECT min(queue) FROM main._honker_done WHERE true",
            $of,
            "    UNION ALL SELECT min(name) FROM (SELECT name, name AS queue FROM main._honker_queues) WHERE true",
            $of,
            "))"
        )
    };
}

// From name to name, each of which is found by a step in an index.
static SQL_QUEUES: Sql = Sql::new(concat!(
    "WITH RECURSIVE names (name) AS (
         SELECT ",
    next_queue!(""),
    "    UNION ALL
         SELECT ",
    next_queue!(" AND queue > names.name"),
    "    FROM names WHERE names.name IS NOT NULL)
     SELECT names.name, queues.settings FROM names LEFT JOIN main._honker_queues queues ON queues.name = names.name
     WHERE names.name IS NOT NULL"
));

impl Settings {
    /// Those of a row, as far as they make sense.
    pub(super) fn of_row(settings: &str) -> Self {
        let mut read = Settings::default();
        for (key, value) in &object(settings) {
            let _ = read.set(key, value);
        }
        read
    }

    /// Those of a queue. Asked only of a file with settings of queues ([`crate::features`]).
    pub(super) fn of(store: &Store, queue: &str) -> Result<Self> {
        let row = store.query_one(&SQL_READ, &[queue.into()], |row| remembered(store, &row.text(0)))?;
        Ok(row.unwrap_or_default())
    }

    /// Sets one of them; an error that says what is wrong with it.
    fn set(&mut self, key: &str, value: &Value) -> Result<()> {
        match key {
            "paused" => self.paused = value.as_bool().ok_or_else(|| wrong(key, value, "a boolean"))?,
            "concurrency" => self.concurrency = Some(at_least(1, key, value)?),
            "concurrency_per_key" => self.concurrency_per_key = Some(at_least(1, key, value)?),
            "rate" => {
                let (mut limit, mut per_s) = (None, None);
                for (name, value) in members(key, value, "an object of limit and per_s")? {
                    let path = format!("{key}.{name}");
                    match name.as_str() {
                        "limit" => limit = Some(at_least(1, &path, value)?),
                        "per_s" => per_s = Some(at_least(1, &path, value)?),
                        _ => return Err(unknown(&path)),
                    }
                }
                let missing = |name| Error::invalid(format!("{ARGUMENT}: {key} has no {name}"));
                let limit = limit.ok_or_else(|| missing("limit"))?;
                self.rate = Some(Rate { limit, per_s: per_s.ok_or_else(|| missing("per_s"))? });
            }
            "max_attempts" => self.max_attempts = at_least(1, key, value)?,
            "retry" => {
                let mut retry = Backoff::default();
                for (name, value) in members(key, value, "an object of base_s, factor, max_s and jitter")? {
                    let path = format!("{key}.{name}");
                    match name.as_str() {
                        "base_s" => retry.base_s = at_least(0, &path, value)?,
                        "factor" => retry.factor = number(&path, value, 1.0, f64::MAX, "at least 1")?,
                        "max_s" => retry.max_s = at_least(0, &path, value)?,
                        "jitter" => retry.jitter = number(&path, value, 0.0, 1.0, "from 0 to 1")?,
                        _ => return Err(unknown(&path)),
                    }
                }
                self.retry = Some(retry);
            }
            "keep_done_s" => self.keep_done_s = at_least(0, key, value)?,
            "keep_dead_s" => self.keep_dead_s = Some(at_least(0, key, value)?),
            _ => return Err(unknown(key)),
        }
        Ok(())
    }
}

/// As [`Settings::of_row`], which is done once for many looks at the same row.
pub(super) fn remembered(store: &Store, row: &str) -> Settings {
    let (last, settings) = &mut *store.last_settings().borrow_mut();
    if last != row {
        (*last, *settings) = (row.to_owned(), Settings::of_row(row));
    }
    settings.clone()
}

/// Sets what `settings_json` gives, a JSON object; a key that is null goes back to its default. The others stay as they were.
///
/// It holds for every process from the commit on, which wakes the workers. Setting what is set already writes nothing.
pub fn configure(store: &Store, queue: &str, settings_json: &str) -> Result<()> {
    let given = given::object(ARGUMENT, settings_json)?;
    let mut checked = Settings::default();
    for (key, value) in &given {
        // A default has to be one of something.
        if value.is_null() && KEYS.contains(&key.as_str()) {
            continue;
        }
        checked.set(key, value)?;
    }
    store.atomic(|| {
        let before = store.query_one(&SQL_READ, &[queue.into()], |row| row.text(0))?;
        let stored = before.as_deref().map(object).unwrap_or_default();
        let mut merged = stored.clone();
        for (key, value) in given {
            if value.is_null() {
                merged.remove(&key);
            } else {
                merged.insert(key, value);
            }
        }
        if merged == stored {
            return Ok(());
        }
        begin_use(store, |features| features.queues = true)?;
        if merged.is_empty() {
            store.execute(&SQL_DELETE, &[queue.into()])?;
            return Ok(());
        }
        let text = Value::Object(merged).to_string();
        store.insert(&SQL_WRITE, &[queue.into(), text.as_str().into()])?;
        let per_s = |settings: Settings| settings.rate.map(|rate| rate.per_s);
        if per_s(Settings::of_row(&text)) != before.and_then(|before| per_s(Settings::of_row(&before))) {
            store.execute(&SQL_NEW_WINDOW, &[queue.into()])?;
        }
        Ok(())
    })
}

/// How often a job may be claimed whose enqueue does not say, by the row of its queue.
pub(crate) fn max_attempts_of(settings: &str) -> i64 {
    Settings::of_row(settings).max_attempts
}

/// In how many seconds a job is tried again, if that is set for its queue. Belongs into [`Store::atomic`].
pub(super) fn retry_delay(store: &Store, id: i64) -> Result<Option<i64>> {
    if !store.features().queues {
        return Ok(None);
    }
    let job = store.query_one(&SQL_QUEUE_OF, &[id.into()], |row| (row.text(0), row.integer(1)))?;
    let Some((queue, attempts)) = job else { return Ok(None) };
    Ok(Settings::of(store, &queue)?.retry.map(|retry| retry.delay_s(attempts)))
}

/// What holds for a queue, whether or not there is one of that name.
pub fn settings(store: &Store, queue: &str) -> Result<Settings> {
    Settings::of(store, queue)
}

/// Every queue that has settings, or a job that is live, dead or kept after it was done; by name.
pub fn queues(store: &Store) -> Result<Vec<QueueSettings>> {
    let read = |row: &Row<'_>| QueueSettings {
        queue: row.text(0),
        settings: row.optional_text(1).map_or_else(Settings::default, |row| Settings::of_row(&row)),
    };
    store.query(&SQL_QUEUES, &[], read)
}

const KEYS: [&str; 8] = [
    "paused",
    "concurrency",
    "concurrency_per_key",
    "rate",
    "max_attempts",
    "retry",
    "keep_done_s",
    "keep_dead_s",
];

fn object(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}

fn members<'a>(key: &str, value: &'a Value, expected: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| wrong(key, value, expected))
}

fn at_least(least: i64, key: &str, value: &Value) -> Result<i64> {
    given::at_least(least, ARGUMENT, key, value)
}

fn number(key: &str, value: &Value, least: f64, most: f64, range: &str) -> Result<f64> {
    let number = value.as_f64().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| wrong(key, value, &format!("a number {range}")))
}

fn unknown(key: &str) -> Error {
    given::unknown(ARGUMENT, key)
}

fn wrong(key: &str, value: &Value, expected: &str) -> Error {
    given::wrong(ARGUMENT, key, value, &format!("{expected} or null"))
}
