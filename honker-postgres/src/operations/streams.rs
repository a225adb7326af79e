//! Notifications and event streams.

use honker_core::Result;
use honker_core::notify::Notification;
use honker_core::stream::{Event, Trim};
use serde_json::{Map, Value};

use crate::on::{On, get, int, text};

pub(crate) fn notify(on: &mut On<'_>, channel: &str, payload: &str) -> Result<i64> {
    on.value(
        "SELECT honker.notify($1, $2), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[text(&channel), text(&payload)],
    )
}

pub(crate) fn notifications_latest(on: &mut On<'_>) -> Result<i64> {
    on.value("SELECT honker._notifications_latest()", &[])
}

pub(crate) fn notifications_read_since(
    on: &mut On<'_>,
    channel: &str,
    id: i64,
    limit: i64,
) -> Result<Vec<Notification>> {
    let rows = on.rows(
        "SELECT id, channel, payload, created_at FROM honker._notifications_read($1, $2, $3)",
        &[text(&channel), int(&id), int(&limit)],
    )?;
    let read = |row| {
        Ok(Notification {
            id: get(row, 0)?,
            channel: get(row, 1)?,
            payload: get(row, 2)?,
            created_at: get(row, 3)?,
        })
    };
    rows.iter().map(read).collect()
}

pub(crate) fn notifications_configure(on: &mut On<'_>, options_json: &str) -> Result<()> {
    on.row("SELECT honker.honker_notifications_configure($1)", &[text(&options_json)]).map(drop)
}

pub(crate) fn notifications_prune(
    on: &mut On<'_>,
    older_than_s: Option<i64>,
    max_keep: Option<i64>,
) -> Result<i64> {
    on.value("SELECT honker.honker_prune_notifications($1, $2)", &[int(&older_than_s), int(&max_keep)])
}

pub(crate) fn stream_publish(on: &mut On<'_>, topic: &str, key: Option<&str>, payload: &str) -> Result<i64> {
    on.value(
        "SELECT honker.honker_stream_publish($1, $2, $3), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[text(&topic), text(&key), text(&payload)],
    )
}

pub(crate) fn stream_read_since(on: &mut On<'_>, topic: &str, offset: i64, limit: i64) -> Result<Vec<Event>> {
    let rows = on.rows(
        "SELECT \"offset\", topic, key, payload, created_at FROM honker._stream_read($1, $2, $3)",
        &[text(&topic), int(&offset), int(&limit)],
    )?;
    let read = |row| {
        Ok(Event {
            offset: get(row, 0)?,
            topic: get(row, 1)?,
            key: get(row, 2)?,
            payload: get(row, 3)?,
            created_at: get(row, 4)?,
        })
    };
    rows.iter().map(read).collect()
}

pub(crate) fn stream_save_offset(on: &mut On<'_>, consumer: &str, topic: &str, offset: i64) -> Result<bool> {
    on.is(
        "SELECT honker.honker_stream_save_offset($1, $2, $3)",
        &[text(&consumer), text(&topic), int(&offset)],
    )
}

pub(crate) fn stream_get_offset(on: &mut On<'_>, consumer: &str, topic: &str) -> Result<i64> {
    on.value("SELECT honker.honker_stream_get_offset($1, $2)", &[text(&consumer), text(&topic)])
}

pub(crate) fn stream_configure(on: &mut On<'_>, topic: &str, options_json: &str) -> Result<()> {
    on.row("SELECT honker.honker_stream_configure($1, $2)", &[text(&topic), text(&options_json)]).map(drop)
}

pub(crate) fn stream_trim(on: &mut On<'_>, topic: &str, trim: &Trim) -> Result<i64> {
    let mut options = Map::new();
    let mut set =
        |key: &str, value: Option<i64>| options.extend(value.map(|value| (key.to_owned(), value.into())));
    set("keep_s", trim.retention.keep_s);
    set("keep_n", trim.retention.keep_n);
    options.insert("past_consumers".to_owned(), trim.past_consumers.into());
    let options = Value::Object(options).to_string();
    on.value("SELECT honker.honker_stream_trim($1, $2)", &[text(&topic), text(&options)])
}
