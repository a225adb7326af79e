//! Enqueueing and acking with a connection of your own, in its transaction: rusqlite, sqlx, diesel or any other driver of SQLite;
//! [`postgres`] has the same for Postgres.
//!
//! honker's tables are tables of the file, so a job is a row. The statement has the times of this process's clock; its
//! parameters are values for your driver. Workers are woken by your commit, whatever made it. The tables have to be there:
//! [`Database::open`](crate::Database::open) makes them once.
//!
//! What a row has no column for (metadata, unique and concurrency keys, batches, `max_run_s`) needs
//! [`Queue::enqueue_tx`](crate::Queue::enqueue_tx), and hooks of
//! [`OpenOptions::around_enqueue`](crate::OpenOptions::around_enqueue) do not see the job.

pub mod postgres;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::{EnqueueOpts, Error, Job, Result, json};

/// Now, in seconds since the Unix epoch.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// A job as a row, for a connection of your own: bind the seven fields to [`Insert::SQL`] in the order in which they stand
/// here.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// use honker::foreign::Insert;
///
/// let q = db.queue("emails", QueueOpts::default());
/// let job = q.insert_statement(&"alice", EnqueueOpts { delay: Some(60), ..Default::default() })?;
/// // With rusqlite: conn.execute(Insert::SQL, (&job.queue, &job.payload, job.priority, job.run_at, job.max_attempts,
/// //                             job.created_at, job.expires_at))?;
/// assert_eq!(Insert::SQL.matches('?').count(), 7);
/// assert_eq!(job.run_at, job.created_at + 60);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The queue.
    pub queue: String,
    /// The payload, JSON.
    pub payload: String,
    /// Larger is sooner.
    pub priority: i64,
    /// When it becomes due.
    pub run_at: i64,
    /// How often it may be claimed; `None`: what is set for the queue, or else 3.
    pub max_attempts: Option<i64>,
    /// Now.
    pub created_at: i64,
    /// From when on it may not be claimed any more.
    pub expires_at: Option<i64>,
}

impl Insert {
    /// The statement. `last_insert_rowid()` is the job's id.
    pub const SQL: &'static str = "INSERT INTO _honker_live \
        (queue, payload, priority, run_at, max_attempts, created_at, expires_at) \
        SELECT queue, payload, priority, run_at, coalesce(max_attempts, (SELECT json_extract(settings, '$.max_attempts') \
        FROM _honker_queues WHERE name = queue), 3), created_at, expires_at FROM (SELECT ? AS queue, ? AS payload, \
        ? AS priority, ? AS run_at, ? AS max_attempts, ? AS created_at, ? AS expires_at)";

    pub(crate) fn new<T: Serialize + ?Sized>(queue: &str, payload: &T, opts: EnqueueOpts) -> Result<Self> {
        if queue.contains('\0') {
            return Err(Error::invalid("the name of the queue has a NUL in it"));
        }
        let given = [
            ("metadata", !opts.metadata.is_empty()),
            ("unique", opts.unique.is_some()),
            ("concurrency_key", opts.concurrency_key.is_some()),
            ("batch_id", opts.batch_id.is_some()),
            ("member", opts.member.is_some()),
            ("max_run_s", opts.max_run_s.is_some()),
        ];
        if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(Error::Invalid(format!("{name} has no column: enqueue with Queue::enqueue_tx")));
        }
        let now = now();
        let after = |name: &str, seconds: i64| {
            now.checked_add(seconds).ok_or_else(|| Error::Invalid(format!("{name} is too large: {seconds}")))
        };
        Ok(Insert {
            queue: queue.to_owned(),
            payload: json::encode("the payload", payload)?,
            priority: opts.priority,
            run_at: match opts.delay {
                Some(delay) => after("delay", delay)?,
                None => opts.run_at.unwrap_or(now),
            },
            max_attempts: opts.max_attempts,
            created_at: now,
            expires_at: opts.expires.map(|expires| after("expires", expires)).transpose()?,
        })
    }
}

/// The ack of a job, for a connection of your own: what the job did in its transaction is done exactly once. Bind the four
/// fields to [`Ack::SQL`] in the order in which they stand here; if it deletes no row, the claim was lost: roll back.
///
/// What else the job had, workers let go of within a minute: its place in a batch, its steps, and its slot of the
/// concurrency key. It is not kept as done, and no metric counts it. In a handler of a [`Worker`](crate::Worker), say so
/// with [`JobContext::settled`](crate::JobContext::settled) once your commit has succeeded.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// # let q = db.queue("emails", QueueOpts::default());
/// # q.enqueue(&"alice", EnqueueOpts::default())?;
/// use honker::foreign::Ack;
///
/// let job = q.claim_one("worker-1")?.unwrap();
/// let ack = Ack::of(&job);
/// # let tx = db.transaction()?;
/// let deleted = tx.execute(Ack::SQL, honker::params![ack.id, ack.worker_id, ack.attempts, ack.now])?;
/// assert_eq!(deleted, 1);
/// # tx.commit()?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The job.
    pub id: i64,
    /// Who holds it.
    pub worker_id: String,
    /// How often it had been claimed: another number is another claim.
    pub attempts: i64,
    /// Now.
    pub now: i64,
}

impl Ack {
    /// The statement.
    pub const SQL: &'static str =
        "DELETE FROM _honker_live WHERE id = ? AND worker_id = ? AND attempts = ? AND claim_expires_at >= ?";

    /// The ack of this job.
    pub fn of(job: &Job) -> Self {
        Ack { id: job.id, worker_id: job.worker_id.clone(), attempts: job.attempts, now: now() }
    }
}
