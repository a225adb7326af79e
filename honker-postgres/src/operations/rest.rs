//! Batches, steps, results, locks, rate limits, maintenance; and what only the engine for files does.

use honker_core::batch::Batch;
use honker_core::lock::Holder;
use honker_core::maintenance::{Found, Run};
use honker_core::queue::{Instance, Registrant};
use honker_core::{Error, Result};

use super::maybe;
use crate::on::{On, get, int, text};

pub(crate) fn batch_create(on: &mut On<'_>, options_json: &str) -> Result<i64> {
    on.value("SELECT honker.honker_batch_create($1)", &[text(&options_json)])
}

pub(crate) fn batch_seal(on: &mut On<'_>, id: i64) -> Result<bool> {
    on.is(
        "SELECT honker.honker_batch_seal($1), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&id)],
    )
}

pub(crate) fn batch_get(on: &mut On<'_>, id: i64) -> Result<Option<Batch>> {
    maybe(on.value("SELECT honker.honker_batch_get($1)", &[int(&id)])?)
}

pub(crate) fn step_get(on: &mut On<'_>, job_id: i64, name: &str) -> Result<Option<String>> {
    on.value("SELECT honker.honker_step_get($1, $2)", &[int(&job_id), text(&name)])
}

pub(crate) fn step_save(
    on: &mut On<'_>,
    job_id: i64,
    worker_id: &str,
    name: &str,
    value: &str,
) -> Result<Option<String>> {
    on.value(
        "SELECT honker.honker_step_save($1, $2, $3, $4)",
        &[int(&job_id), text(&worker_id), text(&name), text(&value)],
    )
}

pub(crate) fn result_save(on: &mut On<'_>, job_id: i64, value: &str, ttl_s: i64) -> Result<()> {
    on.row(
        "SELECT honker.honker_result_save($1, $2, $3), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&job_id), text(&value), int(&ttl_s)],
    )
    .map(drop)
}

pub(crate) fn result_get(on: &mut On<'_>, job_id: i64) -> Result<Option<String>> {
    on.value("SELECT honker.honker_result_get($1)", &[int(&job_id)])
}

pub(crate) fn result_sweep(on: &mut On<'_>) -> Result<i64> {
    on.value("SELECT honker.honker_result_sweep()", &[])
}

pub(crate) fn lock_acquire(on: &mut On<'_>, name: &str, owner: &str, ttl_s: i64) -> Result<bool> {
    on.is(
        "SELECT honker.honker_lock_acquire($1, $2, $3), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[text(&name), text(&owner), int(&ttl_s)],
    )
}

pub(crate) fn lock_renew(on: &mut On<'_>, name: &str, owner: &str, ttl_s: i64) -> Result<bool> {
    on.is("SELECT honker.honker_lock_renew($1, $2, $3)", &[text(&name), text(&owner), int(&ttl_s)])
}

pub(crate) fn lock_release(on: &mut On<'_>, name: &str, owner: &str) -> Result<bool> {
    on.is("SELECT honker.honker_lock_release($1, $2), pg_catalog.current_setting('honker.woken', true) AS woken", &[text(&name), text(&owner)])
}

pub(crate) fn lock_holder(on: &mut On<'_>, name: &str) -> Result<Option<Holder>> {
    let rows = on.rows("SELECT owner, expires_at FROM honker._lock_holder($1)", &[text(&name)])?;
    rows.first().map(|row| Ok(Holder { owner: get(row, 0)?, expires_at: get(row, 1)? })).transpose()
}

pub(crate) fn rate_limit_try(on: &mut On<'_>, name: &str, limit: i64, per_s: i64) -> Result<bool> {
    on.is("SELECT honker.honker_rate_limit_try($1, $2, $3)", &[text(&name), int(&limit), int(&per_s)])
}

pub(crate) fn rate_limit_sweep(on: &mut On<'_>, older_than_s: i64) -> Result<i64> {
    on.value("SELECT honker.honker_rate_limit_sweep($1)", &[int(&older_than_s)])
}

pub(crate) fn maintenance_is_due(on: &mut On<'_>) -> Result<bool> {
    on.value("SELECT honker._maintenance_due()", &[])
}

pub(crate) fn maintenance_begin(on: &mut On<'_>) -> Result<Option<Run>> {
    Ok(on.value::<bool>("SELECT honker._maintenance_begin()", &[])?.then(|| Run::at(Some(0))))
}

pub(crate) fn maintenance_look(_: &mut On<'_>, _: Run) -> Result<Found> {
    // The step looks for itself.
    Ok(Found::Unknown)
}

pub(crate) fn maintenance_step(on: &mut On<'_>, run: Run, _: &Found) -> Result<Run> {
    let task = i64::try_from(run.task()).unwrap_or(i64::MAX);
    let next: Option<i64> = on.value(
        "SELECT honker._maintenance_step($1), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&task)],
    )?;
    Ok(Run::at(next.and_then(|next| usize::try_from(next).ok())))
}

/// Who is alive on a server, the server's engine finds out (`instance.rs`); these are the other engine's means.
fn of_files<T>() -> Result<T> {
    Err(Error::Unsupported("that is for files: on a server, locks of sessions say who is alive".into()))
}

pub(crate) fn instances(_: &mut On<'_>) -> Result<Vec<Instance>> {
    of_files()
}

pub(crate) fn instance_register(_: &mut On<'_>, _: &Instance, _: Registrant<'_>) -> Result<()> {
    of_files()
}

pub(crate) fn instance_claims(_: &mut On<'_>, _: &str) -> Result<Vec<i64>> {
    of_files()
}

pub(crate) fn rescue(_: &mut On<'_>, _: &Instance, _: &[i64], _: bool) -> Result<i64> {
    of_files()
}
