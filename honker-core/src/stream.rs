//! Event streams: an append-only log per topic, and how far each consumer has come.
//!
//! Offsets count across all topics of a file: within a topic they increase, with gaps. A consumer's offset only ever
//! moves forward, so late and repeated saves do no harm.

use serde::Serialize;

use crate::bound::Allowance;
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store, given, moving};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its place in the log.
    pub offset: i64,
    /// The topic it was published to.
    pub topic: String,
    /// The publisher's key, if it gave one.
    pub key: Option<String>,
    /// As it was published.
    pub payload: String,
    /// When it was published.
    pub created_at: i64,
}

static SQL_PUBLISH: Sql =
    Sql::new("INSERT INTO main._honker_stream (topic, key, payload, created_at) VALUES (?1, ?2, ?3, ?4)");

static SQL_READ: Sql = Sql::new(
    "SELECT offset, topic, key, payload, created_at FROM main._honker_stream
     WHERE topic = +?1 AND offset > +?2 ORDER BY offset LIMIT +?3",
);

static SQL_SAVE: Sql = Sql::new(
    "INSERT INTO main._honker_stream_consumers (name, topic, offset) VALUES (?1, ?2, ?3)
     ON CONFLICT (name, topic) DO UPDATE SET offset = excluded.offset
     WHERE excluded.offset > _honker_stream_consumers.offset",
);

static SQL_GET: Sql =
    Sql::new("SELECT offset FROM main._honker_stream_consumers WHERE name = +?1 AND topic = +?2");

static SQL_KEEPS: Sql = Sql::new("SELECT keep_s, keep_n FROM main._honker_streams WHERE topic = +?1");

static SQL_TOPICS: Sql = Sql::new("SELECT topic, keep_s, keep_n FROM main._honker_streams");

static SQL_CONFIGURE: Sql = Sql::new(
    "INSERT INTO main._honker_streams (topic, keep_s, keep_n) VALUES (?1, ?2, ?3)
     ON CONFLICT (topic) DO UPDATE SET keep_s = excluded.keep_s, keep_n = excluded.keep_n",
);

static SQL_UNCONFIGURE: Sql = Sql::new("DELETE FROM main._honker_streams WHERE topic = +?1");

// One for each consumer that has saved an offset of the topic.
static SQL_FINISHED: Sql =
    Sql::new("SELECT min(offset) FROM main._honker_stream_consumers WHERE topic = +?1");

static SQL_SURPLUS: Sql = Sql::new(
    "SELECT offset FROM main._honker_stream WHERE topic = +?1 ORDER BY offset DESC LIMIT 1 OFFSET +?2",
);

static SQL_OLDEST: Sql = Sql::new(
    "SELECT length(CAST(payload AS BLOB)), offset, created_at <= ?3 OR created_at >= '' FROM main._honker_stream
     WHERE topic = +?1 AND offset <= +?2 ORDER BY offset LIMIT +?4",
);

static SQL_DELETE: Sql = Sql::new("DELETE FROM main._honker_stream WHERE offset = +?1");

/// What is kept of a topic. The default is everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// For how many seconds an event is kept.
    pub keep_s: Option<i64>,
    /// How many events are kept, the newest ones.
    pub keep_n: Option<i64>,
}

/// What [`trim`] removes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trim {
    /// What is kept. Where it says nothing, the topic's own setting holds.
    pub retention: Retention,
    /// Events that a consumer has not finished may be removed as well.
    pub past_consumers: bool,
}

impl Trim {
    /// Reads the argument of this name: a JSON object with the keys keep_s, keep_n and past_consumers.
    pub fn parse(argument: &str, text: &str) -> Result<Self> {
        let mut trim = Trim::default();
        for (key, value) in given::object(argument, text)? {
            match key.as_str() {
                "past_consumers" => {
                    trim.past_consumers =
                        value.as_bool().ok_or_else(|| given::wrong(argument, &key, &value, "a boolean"))?;
                }
                key => {
                    set(&mut trim.retention, argument, key, &value)?;
                }
            }
        }
        Ok(trim)
    }
}

fn set(retention: &mut Retention, argument: &str, key: &str, value: &serde_json::Value) -> Result<()> {
    let (place, least) = match key {
        "keep_s" => (&mut retention.keep_s, 1),
        "keep_n" => (&mut retention.keep_n, 0),
        _ => return Err(given::unknown(argument, key)),
    };
    *place = if value.is_null() { None } else { Some(given::at_least(least, argument, key, value)?) };
    Ok(())
}

/// Sets what is kept of a topic: a JSON object with the keys keep_s and keep_n, of which those that are given are changed, and
/// null removes one. Maintenance removes the rest.
pub fn configure(store: &Store, topic: &str, options_json: &str) -> Result<()> {
    let given = given::object("options", options_json)?;
    let mut checked = Retention::default();
    given.iter().try_for_each(|(key, value)| set(&mut checked, "options", key, value))?;
    store.atomic(|| {
        let before = kept(store, topic)?;
        let mut retention = before;
        given.iter().try_for_each(|(key, value)| set(&mut retention, "options", key, value))?;
        if retention == before {
            return Ok(());
        }
        if retention == Retention::default() {
            return store.execute(&SQL_UNCONFIGURE, &[topic.into()]).map(drop);
        }
        let parameters = [topic.into(), Value::from(retention.keep_s), Value::from(retention.keep_n)];
        store.insert(&SQL_CONFIGURE, &parameters).map(drop)
    })
}

/// What is kept of a topic.
pub fn kept(store: &Store, topic: &str) -> Result<Retention> {
    let row = store.query_one(&SQL_KEEPS, &[topic.into()], |row| Retention {
        keep_s: row.optional_integer(0),
        keep_n: row.optional_integer(1),
    })?;
    Ok(row.unwrap_or_default())
}

/// Removes the events of a topic that are not kept any more, oldest first and at most 1,000 in one call; how many those were.
/// Call it until it answers 0.
pub fn trim(store: &Store, now: i64, topic: &str, trim: &Trim) -> Result<i64> {
    // Outside of a transaction the newest are counted before the write lock is taken: those that are added meanwhile are
    // left to the next call. In one of the caller's, reading before locking could cost it the lock.
    let counted = if store.in_transaction() { None } else { Some(surplus(store, topic, trim)?) };
    store.atomic(|| {
        let counted = counted.map_or_else(|| surplus(store, topic, trim), Ok)?;
        remove(store, now, topic, trim, counted, &mut Allowance::new(store))
    })
}

/// Removes the events of all topics that are not kept any more, at most 1,000; how many those were.
pub(crate) fn expire(store: &Store, now: i64) -> Result<i64> {
    store.atomic(|| {
        let mut allowance = Allowance::new(store);
        let mut removed = 0;
        let topics = store.query(&SQL_TOPICS, &[], |row| {
            (row.text(0), Retention { keep_s: row.optional_integer(1), keep_n: row.optional_integer(2) })
        })?;
        for (topic, retention) in topics {
            if !allowance.refused() {
                let trim = Trim { retention, past_consumers: false };
                let counted = surplus(store, &topic, &trim)?;
                removed += remove(store, now, &topic, &trim, counted, &mut allowance)?;
            }
        }
        Ok(removed)
    })
}

/// What is kept, where neither says nothing.
fn effective(store: &Store, topic: &str, trim: &Trim) -> Result<Retention> {
    let Retention { keep_s, keep_n } = trim.retention;
    if keep_s.is_some() && keep_n.is_some() {
        return Ok(trim.retention);
    }
    let own = kept(store, topic)?;
    Ok(Retention { keep_s: keep_s.or(own.keep_s), keep_n: keep_n.or(own.keep_n) })
}

/// The last event that is too much.
fn surplus(store: &Store, topic: &str, trim: &Trim) -> Result<Option<i64>> {
    let Some(keep_n) = effective(store, topic, trim)?.keep_n else { return Ok(None) };
    store.query_one(&SQL_SURPLUS, &[topic.into(), keep_n.into()], |row| row.integer(0))
}

/// Belongs into [`Store::atomic`].
fn remove(
    store: &Store,
    now: i64,
    topic: &str,
    trim: &Trim,
    surplus: Option<i64>,
    allowance: &mut Allowance<'_>,
) -> Result<i64> {
    let keep_s = effective(store, topic, trim)?.keep_s;
    if surplus.is_none() && keep_s.is_none() {
        return Ok(0);
    }
    let finished = match trim.past_consumers {
        true => None,
        false => store.query_one(&SQL_FINISHED, &[topic.into()], |row| row.optional_integer(0))?.flatten(),
    };
    let before = keep_s.map(|keep_s| now.saturating_sub(keep_s));
    let parameters = [
        topic.into(),
        finished.unwrap_or(i64::MAX).into(),
        Value::from(before),
        (allowance.rows() + 1).into(),
    ];
    let mut old = Vec::new();
    store.query_while(&SQL_OLDEST, &parameters, |row| {
        let offset = row.integer(1);
        let is_over =
            surplus.is_some_and(|surplus| offset <= surplus) || before.is_some() && row.integer(2) != 0;
        if is_over && allowance.admit(row.integer(0)) {
            old.push(offset);
            return true;
        }
        false
    })?;
    let mut removed = 0;
    for offset in old {
        if store.execute(&SQL_DELETE, &[offset.into()])? == 0 {
            return Err(Error::ignored("removed", "_honker_stream"));
        }
        removed += 1;
    }
    Ok(removed)
}

/// Appends an event; its offset.
pub fn publish(store: &Store, now: i64, topic: &str, key: Option<&str>, payload: &str) -> Result<i64> {
    store.insert(&SQL_PUBLISH, &[topic.into(), Value::from(key), payload.into(), now.into()])
}

/// Up to `limit` events of `topic` after `offset`, oldest first. A negative `limit` means all of them.
pub fn read_since(store: &Store, topic: &str, offset: i64, limit: i64) -> Result<Vec<Event>> {
    let found = store.query(&SQL_READ, &[topic.into(), offset.into(), limit.into()], |row| Event {
        offset: row.integer(0),
        topic: row.text(1),
        key: row.optional_text(2),
        payload: row.text(3),
        created_at: row.integer(4),
    })?;
    if found.is_empty() && limit != 0 {
        moving::check(store)?;
    }
    Ok(found)
}

/// Records that `consumer` has finished everything up to `offset`. `false` if it was that far already.
pub fn save_offset(store: &Store, consumer: &str, topic: &str, offset: i64) -> Result<bool> {
    Ok(store.execute(&SQL_SAVE, &[consumer.into(), topic.into(), offset.into()])? > 0)
}

/// The offset `consumer` last saved; 0 if it never did.
pub fn get_offset(store: &Store, consumer: &str, topic: &str) -> Result<i64> {
    let saved = store.query_one(&SQL_GET, &[consumer.into(), topic.into()], |row| row.integer(0))?;
    Ok(saved.unwrap_or(0))
}
