//! Event streams: an append-only log per topic, and how far each consumer has come.
//!
//! Offsets count across all topics of a file: within a topic they increase, with gaps. A consumer's offset only ever
//! moves forward, so late and repeated saves do no harm.

use serde::Serialize;

use crate::statement::{Sql, Value};
use crate::{Result, Store};

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

/// Appends an event; its offset.
pub fn publish(store: &Store, now: i64, topic: &str, key: Option<&str>, payload: &str) -> Result<i64> {
    store.insert(&SQL_PUBLISH, &[topic.into(), Value::from(key), payload.into(), now.into()])
}

/// Up to `limit` events of `topic` after `offset`, oldest first. A negative `limit` means all of them.
pub fn read_since(store: &Store, topic: &str, offset: i64, limit: i64) -> Result<Vec<Event>> {
    store.query(&SQL_READ, &[topic.into(), offset.into(), limit.into()], |row| Event {
        offset: row.integer(0),
        topic: row.text(1),
        key: row.optional_text(2),
        payload: row.text(3),
        created_at: row.integer(4),
    })
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
