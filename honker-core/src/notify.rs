//! Notifications: rows that tell listeners something, for as long as somebody leaves them there.

use crate::statement::{Sql, Value};
use crate::{Error, Result, Store};

static SQL_NOTIFY: Sql =
    Sql::new("INSERT INTO main._honker_notifications (channel, payload, created_at) VALUES (?1, ?2, ?3)");

static SQL_LATEST: Sql = Sql::new("SELECT coalesce(max(id), 0) FROM main._honker_notifications");

static SQL_READ: Sql = Sql::new(
    "SELECT id, channel, payload, created_at FROM main._honker_notifications
     WHERE channel = +?1 AND id > +?2 ORDER BY id LIMIT +?3",
);

// An older row is one created before ?1; a surplus row is one behind the ?2 newest, counted, because ids have gaps.
// A NULL switches its half off.
static SQL_PRUNE: Sql = Sql::new(
    "DELETE FROM main._honker_notifications
     WHERE created_at < +?1
        OR id <= (SELECT id FROM main._honker_notifications WHERE ?2 IS NOT NULL
                  ORDER BY id DESC LIMIT 1 OFFSET coalesce(?2, 0))",
);

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Increases from one to the next, over all channels.
    pub id: i64,
    /// Where it was sent.
    pub channel: String,
    /// As it was sent.
    pub payload: String,
    /// When it was sent.
    pub created_at: i64,
}

/// The highest id that any notification has; 0 if there is none.
pub fn latest(store: &Store) -> Result<i64> {
    let latest = store.query_one(&SQL_LATEST, &[], |row| row.integer(0))?;
    Ok(latest.unwrap_or(0))
}

/// Up to `limit` notifications of `channel` after the one with this id, oldest first.
pub fn read_since(store: &Store, channel: &str, id: i64, limit: i64) -> Result<Vec<Notification>> {
    store.query(&SQL_READ, &[channel.into(), id.into(), limit.into()], |row| Notification {
        id: row.integer(0),
        channel: row.text(1),
        payload: row.text(2),
        created_at: row.integer(3),
    })
}

/// Adds a notification; its id. Listeners see it when the transaction commits, and never if it does not.
pub fn notify(store: &Store, now: i64, channel: &str, payload: &str) -> Result<i64> {
    store.insert(&SQL_NOTIFY, &[channel.into(), payload.into(), now.into()])
}

/// Deletes notifications older than `older_than_s` seconds and those beyond the `max_keep` newest, each where given;
/// how many those were. One statement: what another process adds before it starts is counted.
pub fn prune(store: &Store, now: i64, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64> {
    if max_keep.is_some_and(|max_keep| max_keep < 0) {
        return Err(Error::invalid("max_keep must not be negative"));
    }
    if older_than_s.is_none() && max_keep.is_none() {
        return Ok(0);
    }
    let before = older_than_s.map(|older_than_s| now.saturating_sub(older_than_s));
    store.execute(&SQL_PRUNE, &[Value::from(before), Value::from(max_keep)])
}
