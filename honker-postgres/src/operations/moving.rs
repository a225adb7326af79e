//! Taking all that is in a database to another one: what is said of it here, and who is stopped.

use honker_core::Result;
use honker_core::moving::{Claims, LastId, Move};

use super::maybe;
use crate::on::{On, get, ints, json, text, texts};

pub(crate) fn move_state(on: &mut On<'_>) -> Result<Option<Move>> {
    maybe(on.value("SELECT honker._move_state()", &[])?)
}

pub(crate) fn move_arrived(on: &mut On<'_>) -> Result<Option<String>> {
    on.value("SELECT honker._move_arrived()", &[])
}

pub(crate) fn move_begin(on: &mut On<'_>, id: &str, to: &str) -> Result<Move> {
    json(&on.value::<String>("SELECT honker._move_begin($1, $2)", &[text(&id), text(&to)])?)
}

pub(crate) fn move_claims(on: &mut On<'_>) -> Result<Claims> {
    let row = on.row("SELECT n, until FROM honker._move_claims()", &[])?;
    Ok(Claims { n: get(&row, 0)?, until: get(&row, 1)? })
}

pub(crate) fn move_give_back(on: &mut On<'_>) -> Result<i64> {
    on.value(
        "SELECT honker._move_give_back(), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[],
    )
}

pub(crate) fn move_close(on: &mut On<'_>) -> Result<bool> {
    on.value("SELECT honker._move_close()", &[])
}

pub(crate) fn move_end(on: &mut On<'_>) -> Result<()> {
    on.row("SELECT honker._move_end()::text", &[]).map(drop)
}

pub(crate) fn move_cancel(on: &mut On<'_>) -> Result<()> {
    on.row("SELECT honker._move_cancel()::text", &[]).map(drop)
}

pub(crate) fn move_lock(on: &mut On<'_>) -> Result<()> {
    on.row("SELECT honker._move_lock()::text, honker._move_lock_tables()::text", &[]).map(drop)
}

pub(crate) fn move_last_ids(on: &mut On<'_>) -> Result<Vec<LastId>> {
    let rows = on.rows("SELECT name, last FROM honker._move_last_ids()", &[])?;
    rows.iter().map(|row| Ok(LastId { table: get(row, 0)?, id: get(row, 1)? })).collect()
}

pub(crate) fn move_arrive(on: &mut On<'_>, id: &str, from: &str, last: &[LastId]) -> Result<()> {
    let tables: Vec<&str> = last.iter().map(|last| last.table.as_str()).collect();
    let ids: Vec<i64> = last.iter().map(|last| last.id).collect();
    on.row(
        "SELECT honker._move_arrive($1, $2, $3, $4)::text",
        &[text(&id), text(&from), texts(&tables), ints(&ids)],
    )
    .map(drop)
}
