//! Jobs: put into a queue, claimed, settled.

use std::sync::Arc;

use honker_core::queue::{Claim, ClaimedJob, Enqueue, EnqueueStatus, Enqueued, Requeued, options_text};
use honker_core::{Error, Result};
use tokio_postgres::Row;

use super::ClaimStep;
use crate::on::{On, get, int, ints, text, texts};

fn status(text: &str) -> Result<EnqueueStatus> {
    match text {
        "enqueued" => Ok(EnqueueStatus::Enqueued),
        "exists" => Ok(EnqueueStatus::Exists),
        "replaced" => Ok(EnqueueStatus::Replaced),
        other => Err(Error::Internal(format!("an enqueue has answered '{other}'").into())),
    }
}

pub(crate) fn enqueue(on: &mut On<'_>, job: &Enqueue<'_>) -> Result<Enqueued> {
    let Some(options) = options_text(job)? else { return enqueue_plain(on, job) };
    let row = on.row(
        "SELECT id, status, pg_catalog.current_setting('honker.woken', true) AS woken FROM honker._enqueue($1, $2, $3, $4, $5, $6, $7, $8)",
        &[
            text(&job.queue),
            text(&job.payload),
            int(&job.run_at),
            int(&job.delay_s),
            int(&job.priority),
            int(&job.max_attempts),
            int(&job.expires_s),
            text(&options),
        ],
    )?;
    let enqueued = Enqueued { id: get(&row, 0)?, status: status(get(&row, 1)?)? };
    count_enqueued(on, job, &enqueued);
    Ok(enqueued)
}

fn count_enqueued(on: &mut On<'_>, job: &Enqueue<'_>, enqueued: &Enqueued) {
    if enqueued.status == EnqueueStatus::Enqueued {
        on.count_enqueued(job.queue);
    }
}

fn enqueue_plain(on: &mut On<'_>, job: &Enqueue<'_>) -> Result<Enqueued> {
    let row = on.row(
        "SELECT honker._enqueue_plain($1, $2, $3, $4, $5, $6, $7), pg_catalog.current_setting('honker.wake', true) OPERATOR(pg_catalog.=) 'collect',
             pg_catalog.current_setting('honker.woken', true) AS woken",
        &[
            text(&job.queue),
            text(&job.payload),
            int(&job.run_at),
            int(&job.delay_s),
            int(&job.priority),
            int(&job.max_attempts),
            int(&job.expires_s),
        ],
    )?;
    if get::<Option<bool>>(&row, 1)? == Some(true) {
        on.hear_item(format!("q:{}", job.queue));
    }
    on.count_enqueued(job.queue);
    Ok(Enqueued { id: get(&row, 0)?, status: EnqueueStatus::Enqueued })
}

pub(crate) fn enqueue_many(on: &mut On<'_>, jobs: &[Enqueue<'_>]) -> Result<Vec<Enqueued>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let options = jobs.iter().map(options_text).collect::<Result<Vec<_>>>()?;
    let options = options.iter().any(Option::is_some).then_some(options);
    let all = |of: fn(&Enqueue<'_>) -> Option<i64>| -> Vec<Option<i64>> { jobs.iter().map(of).collect() };
    let rows = on.rows(
        "SELECT id, status, pg_catalog.current_setting('honker.woken', true) AS woken
         FROM honker._enqueue_many($1, $2, $3, $4, $5, $6, $7, $8) ORDER BY n",
        &[
            texts(&jobs.iter().map(|job| job.queue).collect::<Vec<_>>()),
            texts(&jobs.iter().map(|job| job.payload).collect::<Vec<_>>()),
            ints(&all(|job| job.run_at)),
            ints(&all(|job| job.delay_s)),
            ints(&all(|job| Some(job.priority))),
            ints(&all(|job| job.max_attempts)),
            ints(&all(|job| job.expires_s)),
            texts(&options),
        ],
    )?;
    let read = |row| Ok(Enqueued { id: get(row, 0)?, status: status(get(row, 1)?)? });
    let all = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    jobs.iter().zip(&all).for_each(|(job, enqueued)| count_enqueued(on, job, enqueued));
    Ok(all)
}

/// A job, from these columns on: id, queue, payload, attempts, claim_expires_at, max_attempts, run_at, metadata, max_run_s.
/// Jobs that follow each other mostly come from one queue.
pub(super) fn claimed(
    row: &Row,
    from: usize,
    worker_id: &Arc<str>,
    last: Option<&ClaimedJob>,
) -> Result<ClaimedJob> {
    let queue: &str = get(row, from + 1)?;
    Ok(ClaimedJob {
        id: get(row, from)?,
        queue: last
            .filter(|last| &*last.queue == queue)
            .map_or_else(|| queue.into(), |last| Arc::clone(&last.queue)),
        payload: get(row, from + 2)?,
        worker_id: Arc::clone(worker_id),
        attempts: get(row, from + 3)?,
        claim_expires_at: get(row, from + 4)?,
        max_attempts: get(row, from + 5)?,
        run_at: get(row, from + 6)?,
        metadata: get(row, from + 7)?,
        max_run_s: get(row, from + 8)?,
    })
}

pub(crate) fn claim(on: &mut On<'_>, claim: &Claim<'_>) -> Result<ClaimStep> {
    let rows = on.rows(
        "SELECT id, queue, payload, attempts, claim_expires_at, max_attempts, run_at, metadata, max_run_s
         FROM honker._claim($1, $2, $3, $4)",
        &[text(&claim.queue), text(&claim.worker_id), int(&claim.n), int(&claim.timeout_s)],
    )?;
    let worker_id: Arc<str> = claim.worker_id.into();
    let mut step = ClaimStep { jobs: Vec::with_capacity(rows.len()), more: false };
    for row in &rows {
        if get::<Option<i64>>(row, 0)?.is_some() {
            let job = claimed(row, 0, &worker_id, step.jobs.last())?;
            on.count_claimed(&job, claim.timeout_s);
            step.jobs.push(job);
        } else if let Some(items) = get::<Option<&str>>(row, 2)? {
            on.hear_items(items)?;
        } else {
            step.more = true;
        }
    }
    Ok(step)
}

pub(crate) fn ack(on: &mut On<'_>, id: i64, worker_id: &str) -> Result<bool> {
    on.note_settlement(id, worker_id);
    let queues = on.unknown_queues(&[id])?;
    let acked = on.is(
        "SELECT honker.honker_ack($1, $2), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&id), text(&worker_id)],
    )?;
    if acked {
        on.count_done(&[id], queues);
    }
    Ok(acked)
}

pub(crate) fn ack_batch(on: &mut On<'_>, ids: &[i64], worker_id: &str) -> Result<i64> {
    ids.iter().for_each(|id| on.note_settlement(*id, worker_id));
    let queues = on.unknown_queues(ids)?;
    let acked: i64 = on.value(
        "SELECT honker.honker_ack_batch($1, $2), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[text(&serde_json::to_string(ids).unwrap_or_default()), text(&worker_id)],
    )?;
    // If it is not all of them, which they were is not said: it is so many.
    let count = usize::try_from(acked).unwrap_or(0).min(ids.len());
    on.count_done(&ids[..count], queues);
    Ok(acked)
}

pub(crate) fn retry(on: &mut On<'_>, id: i64, worker_id: &str, delay_s: i64, error: &str) -> Result<bool> {
    on.note_settlement(id, worker_id);
    on.is(
        "SELECT honker.honker_retry($1, $2, $3, $4), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&id), text(&worker_id), int(&delay_s), text(&error)],
    )
}

pub(crate) fn fail(on: &mut On<'_>, id: i64, worker_id: &str, error: &str) -> Result<bool> {
    on.note_settlement(id, worker_id);
    on.is(
        "SELECT honker.honker_fail($1, $2, $3), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&id), text(&worker_id), text(&error)],
    )
}

pub(crate) fn release(on: &mut On<'_>, id: i64, worker_id: &str, delay_s: i64) -> Result<bool> {
    on.note_settlement(id, worker_id);
    on.is(
        "SELECT honker.honker_release($1, $2, $3), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&id), text(&worker_id), int(&delay_s)],
    )
}

pub(crate) fn heartbeat(on: &mut On<'_>, id: i64, worker_id: &str, extend_s: i64) -> Result<bool> {
    on.is(
        "SELECT honker.honker_heartbeat($1, $2, $3), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&id), text(&worker_id), int(&extend_s)],
    )
}

pub(crate) fn cancel(on: &mut On<'_>, id: i64) -> Result<bool> {
    on.is(
        "SELECT honker.honker_cancel($1), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&id)],
    )
}

pub(crate) fn sweep_expired(on: &mut On<'_>, queue: &str) -> Result<i64> {
    on.value(
        "SELECT honker.honker_sweep_expired($1), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[text(&queue)],
    )
}

pub(crate) fn dead_requeue(on: &mut On<'_>, id: i64) -> Result<Requeued> {
    let outcome: String = on.value(
        "SELECT honker._dead_requeue($1), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[int(&id)],
    )?;
    match &*outcome {
        "requeued" => Ok(Requeued::Requeued),
        "not_found" => Ok(Requeued::NotFound),
        "key_taken" => Ok(Requeued::KeyTaken),
        other => Err(Error::Internal(format!("a requeue has answered '{other}'").into())),
    }
}

pub(crate) fn dead_purge(on: &mut On<'_>, queue: Option<&str>, older_than_s: i64) -> Result<i64> {
    on.value("SELECT honker.honker_dead_purge($1, $2)", &[text(&queue), int(&older_than_s)])
}
