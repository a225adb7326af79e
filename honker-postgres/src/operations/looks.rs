//! Looking at jobs and queues, and what is set for queues.

use honker_core::Result;
use honker_core::counters::Metrics;
use honker_core::queue::{Applied, DeadGroup, DeadJob, Job, JobList, QueueSettings, QueueStats, Settings};

use super::maybe;
use crate::on::{On, int, json, text};

/// Calls a function that answers JSON.
macro_rules! answer {
    ($on:expr, $sql:literal $(, $parameter:expr)*) => {
        json(&$on.value::<String>($sql, &[$($parameter),*])?)
    };
}

pub(crate) fn get_job(on: &mut On<'_>, id: i64) -> Result<Option<Job>> {
    maybe(on.value("SELECT honker.honker_get_job($1)", &[int(&id)])?)
}

pub(crate) fn queue_next_claim_at(on: &mut On<'_>, queue: &str) -> Result<Option<i64>> {
    let at: i64 = on.value("SELECT honker.honker_queue_next_claim_at($1)", &[text(&queue)])?;
    Ok((at != 0).then_some(at))
}

pub(crate) fn queue_stats(on: &mut On<'_>, queue: &str) -> Result<QueueStats> {
    answer!(on, "SELECT honker.honker_stats($1)::text", text(&queue))
}

pub(crate) fn queue_stats_all(on: &mut On<'_>) -> Result<Vec<QueueStats>> {
    answer!(on, "SELECT honker.honker_stats(NULL)::text")
}

pub(crate) fn queue_configure(on: &mut On<'_>, queue: &str, settings_json: &str) -> Result<()> {
    on.row(
        "SELECT honker.honker_queue_configure($1, $2), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[text(&queue), text(&settings_json)],
    )
    .map(drop)
}

pub(crate) fn queue_settings(on: &mut On<'_>, queue: &str) -> Result<Settings> {
    answer!(on, "SELECT honker.honker_queue_settings($1)::text", text(&queue))
}

pub(crate) fn queues(on: &mut On<'_>) -> Result<Vec<QueueSettings>> {
    answer!(on, "SELECT honker.honker_queues()::text")
}

pub(crate) fn metrics(on: &mut On<'_>) -> Result<Metrics> {
    on.add_counts(true);
    answer!(on, "SELECT honker.honker_metrics()::text")
}

pub(crate) fn dead_list(on: &mut On<'_>, queue: Option<&str>, limit: i64) -> Result<Vec<DeadJob>> {
    answer!(on, "SELECT honker.honker_dead_list($1, $2)::text", text(&queue), int(&limit))
}

pub(crate) fn dead_groups(on: &mut On<'_>, queue: Option<&str>) -> Result<Vec<DeadGroup>> {
    answer!(on, "SELECT honker.honker_dead_groups($1)::text", text(&queue))
}

pub(crate) fn jobs_list(on: &mut On<'_>, filter_json: &str) -> Result<JobList> {
    answer!(on, "SELECT honker.honker_jobs_list($1)::text", text(&filter_json))
}

pub(crate) fn jobs_apply(on: &mut On<'_>, filter_json: &str, action: &str) -> Result<Applied> {
    answer!(
        on,
        "SELECT honker.honker_jobs_apply($1, $2)::text, pg_catalog.current_setting('honker.woken', true) AS woken",
        text(&filter_json),
        text(&action)
    )
}
