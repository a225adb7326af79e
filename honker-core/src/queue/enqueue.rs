//! Putting jobs into a queue.

use serde::Serialize;

use super::dead_letter::{Reason, dead_letter};
use super::options::{self, METADATA_BYTES_MAX};
use super::replace::replace;
use super::settings::{MAX_ATTEMPTS, Settings};
use super::unique::{self, OnConflict, Unique};
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store, batch, time};

static SQL_ENQUEUE: Sql = Sql::new(
    "INSERT INTO main._honker_live (queue, payload, priority, run_at, max_attempts, created_at, expires_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
);

/// What to enqueue. [`Enqueue::new`] has the defaults: due now, priority 0, 3 attempts, no expiry, and no options beside these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueue<'a> {
    /// The queue's name.
    pub queue: &'a str,
    /// Stored as it is.
    pub payload: &'a str,
    /// When the job becomes due. Ignored when `delay_s` is given.
    pub run_at: Option<i64>,
    /// Seconds from now until the job becomes due; may be negative.
    pub delay_s: Option<i64>,
    /// Larger is sooner.
    pub priority: i64,
    /// How often the job may be claimed. With 0 or less it never is, and the next claim on its queue moves it to the dead.
    /// `None`: what is set for its queue, or else 3.
    pub max_attempts: Option<i64>,
    /// Seconds from now after which the job may not be claimed any more; 0 or less means it is born expired.
    pub expires_s: Option<i64>,
    /// A JSON object of texts, at most 8 kB, which comes back with the job.
    pub metadata: Option<&'a str>,
    /// What it shares with the jobs of its queue that are not to run at the same time as it.
    pub concurrency_key: Option<&'a str>,
    /// The batch that it belongs to.
    pub batch_id: Option<i64>,
    /// On whose behalf it joins a batch that is sealed.
    pub member: Option<Member<'a>>,
    /// Of what there is to be only one such job in its queue.
    pub unique: Option<Unique<'a>>,
    /// For how many seconds it may run, at least 1. `None`: as long as the worker says.
    pub max_run_s: Option<i64>,
}

/// A running job of a batch, and who holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The job.
    pub job_id: i64,
    /// Who has claimed it.
    pub worker_id: &'a str,
}

/// What an enqueue has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The job's id; that of the job that has the unique key, unless this one was enqueued.
    pub id: i64,
    /// Which of the two it is.
    pub status: EnqueueStatus,
}

/// See [`Enqueued`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EnqueueStatus {
    /// The job is in its queue.
    Enqueued,
    /// Another job has its unique key, and stays as it is. Nothing was enqueued.
    Exists,
    /// The job that has its unique key has become this one.
    Replaced,
}

impl<'a> Enqueue<'a> {
    /// A job with the defaults.
    pub fn new(queue: &'a str, payload: &'a str) -> Self {
        Enqueue {
            queue,
            payload,
            run_at: None,
            delay_s: None,
            priority: 0,
            max_attempts: None,
            expires_s: None,
            metadata: None,
            concurrency_key: None,
            batch_id: None,
            member: None,
            unique: None,
            max_run_s: None,
        }
    }
}

/// In the answer to a claim of one job, beside its texts and metadata: the keys and the numbers, with room to spare.
pub(crate) const ANSWER_BYTES: usize = 1_000;

/// An error if the answer to a claim of this job would be longer than a SQLite value may be: nobody could ever take it, nor
/// what is behind it in its queue.
fn check_answerable(store: &Store, job: &Enqueue<'_>) -> Result<()> {
    // A byte takes six at most (`\u0000`). Not worth a look at the limit for a short one.
    const SHORT: usize = 1_000;
    let length = job.payload.len() + job.queue.len();
    if length <= SHORT {
        return Ok(());
    }
    let length_max = store.length_max();
    if (length as i64) < length_max / 6 - (ANSWER_BYTES + METADATA_BYTES_MAX) as i64 {
        return Ok(());
    }
    let length = answer_length(job.queue, job.payload, job.metadata);
    if length > length_max {
        return Err(Error::TooBig(
            format!(
                "the job takes {length} bytes in the JSON of a claim, more than this connection's limit of {length_max}"
            )
            .into(),
        ));
    }
    Ok(())
}

/// How many bytes the answer to a claim takes, at most, that has only this job.
pub(super) fn answer_length(queue: &str, payload: &str, metadata: Option<&str>) -> i64 {
    let length =
        escaped_length(payload) + escaped_length(queue) + metadata.map_or(0, str::len) + ANSWER_BYTES;
    length as i64
}

/// How many bytes a text takes in JSON, without its quotes.
fn escaped_length(text: &str) -> usize {
    let length = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

/// An error if [`enqueue`] could not enqueue this job, whatever is in the file.
pub(crate) fn check(store: &Store, now: i64, job: &Enqueue<'_>) -> Result<()> {
    times(now, job)?;
    options::check(job)?;
    job.unique.as_ref().map_or(Ok(None), |unique| unique::last_second(now, unique))?;
    check_answerable(store, job)
}

/// When the job becomes due, and when it expires.
fn times(now: i64, job: &Enqueue<'_>) -> Result<(i64, Option<i64>)> {
    let run_at = match job.delay_s {
        Some(delay_s) => time::after(now, "delay", delay_s)?,
        None => job.run_at.unwrap_or(now),
    };
    let expires_at = job.expires_s.map(|expires_s| time::after(now, "expires", expires_s)).transpose()?;
    Ok((run_at, expires_at))
}

/// Adds a pending job. An error if it is so long that no claim could answer with it.
pub fn enqueue(store: &Store, now: i64, job: &Enqueue<'_>) -> Result<Enqueued> {
    let (run_at, expires_at) = times(now, job)?;
    enqueue_at(store, now, job, run_at, expires_at)
}

/// As [`enqueue`], with the job's times worked out already.
pub(crate) fn enqueue_at(
    store: &Store,
    now: i64,
    job: &Enqueue<'_>,
    run_at: i64,
    expires_at: Option<i64>,
) -> Result<Enqueued> {
    let enqueued = |id| Enqueued { id, status: EnqueueStatus::Enqueued };
    if !options::has_any(job) {
        return insert(store, now, job, run_at, expires_at).map(enqueued);
    }
    options::check(job)?;
    store.atomic(|| {
        if let Some(unique) = &job.unique
            && let Some(holder) = unique::holder(store, now, job.queue, unique.key)?
        {
            if !holder.is_waiting || unique.on_conflict == OnConflict::Keep {
                return Ok(Enqueued { id: holder.id, status: EnqueueStatus::Exists });
            }
            check_answerable(store, job)?;
            replace(store, holder.id, job, run_at, expires_at)?;
            unique::extend(store, now, job.queue, unique)?;
            return Ok(Enqueued { id: holder.id, status: EnqueueStatus::Replaced });
        }
        if let Some(batch_id) = job.batch_id {
            batch::join(store, now, batch_id, job.member)?;
        }
        let id = insert(store, now, job, run_at, expires_at)?;
        options::add(store, id, job)?;
        if let Some(unique) = &job.unique {
            unique::take(store, now, id, job.queue, unique)?;
        }
        Ok(enqueued(id))
    })
}

/// Adds the row of a pending job; its id.
fn insert(store: &Store, now: i64, job: &Enqueue<'_>, run_at: i64, expires_at: Option<i64>) -> Result<i64> {
    check_answerable(store, job)?;
    let add = |max_attempts: i64| {
        let parameters = [
            job.queue.into(),
            job.payload.into(),
            job.priority.into(),
            run_at.into(),
            max_attempts.into(),
            now.into(),
            Value::from(expires_at),
        ];
        store.insert(&SQL_ENQUEUE, &parameters)
    };
    let read = |id| Ok(counted(store, job.queue, id));
    if let Some(max_attempts) = job.max_attempts {
        return store.write_and_read(|| add(max_attempts), read);
    }
    match store.write_unless_used(|features| features.queues, || add(MAX_ATTEMPTS), read)? {
        Some(id) => Ok(id),
        None => store.atomic(|| read(add(budget(store, job)?)?)),
    }
}

fn counted(store: &Store, queue: &str, id: i64) -> i64 {
    if let Some(tally) = store.tally() {
        tally.enqueued(queue);
    }
    id
}

/// The budget of a job. Belongs into [`Store::atomic`].
pub(super) fn budget(store: &Store, job: &Enqueue<'_>) -> Result<i64> {
    match job.max_attempts {
        Some(max_attempts) => Ok(max_attempts),
        None if store.features().queues => Ok(Settings::of(store, job.queue)?.max_attempts),
        None => Ok(MAX_ATTEMPTS),
    }
}

/// Adds a job straight to the dead: one that nobody can make sense of, so that somebody sees it. Belongs into [`Store::atomic`].
pub(crate) fn enqueue_malformed(store: &Store, now: i64, queue: &str, payload: &str) -> Result<()> {
    let id = insert(store, now, &Enqueue::new(queue, payload), now, None)?;
    dead_letter(store, now, id, Reason::Malformed)
}

/// Does all of them or none, to whichever queues; in the order given.
pub fn enqueue_many(store: &Store, now: i64, jobs: &[Enqueue<'_>]) -> Result<Vec<Enqueued>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    store.atomic(|| jobs.iter().map(|job| enqueue(store, now, job)).collect())
}
