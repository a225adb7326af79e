//! The same on a connection of your own to Postgres: the crates postgres, tokio-postgres and sqlx, or any other driver. The
//! statements call honker's SQL functions. Their parameters are texts and integers of 64 bits, and all options are there; times
//! are the server's.
//!
//! What the server refuses has an SQLSTATE; [`error`] is honker's error for those that are its own. After any error only a
//! rollback works.

use serde::Serialize;

use crate::{EnqueueOpts, Error, Job, JobSpec, Result};

/// A job, for a connection of your own to Postgres: bind the three texts to [`Enqueue::SQL`] in the order in which they stand here.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// use honker::foreign::postgres::Enqueue;
///
/// let q = db.queue("emails", QueueOpts::default());
/// let job = q.enqueue_statement(&"alice", EnqueueOpts { delay: Some(60), ..Default::default() })?;
/// // With tokio-postgres: tx.query_one(Enqueue::SQL, &[&job.queue, &job.payload, &job.options]).await?;
/// assert_eq!((&*job.queue, &*job.payload, &*job.options), ("emails", r#""alice""#, r#"{"delay_s":60}"#));
/// assert!(Enqueue::SQL.contains("$3"));
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueue {
    /// The queue.
    pub queue: String,
    /// The payload, JSON.
    pub payload: String,
    /// The options, JSON.
    pub options: String,
}

impl Enqueue {
    /// The statement. It answers a row of `id`, an integer of 64 bits, and `status`: `enqueued`, or because of a unique key
    /// `exists` or `replaced`, with the id of the job that has it.
    pub const SQL: &'static str = "SELECT (answer->>'id')::int8 AS id, answer->>'status' AS status FROM \
        (SELECT honker.honker_enqueue_with($1::text, $2::text, $3::text)::json AS answer OFFSET 0) AS one";

    pub(crate) fn new<T: Serialize + ?Sized>(queue: &str, payload: &T, opts: EnqueueOpts) -> Result<Self> {
        let JobSpec { queue, payload, options } = JobSpec::new(queue, payload, opts)?;
        Ok(Enqueue { queue, payload, options: crate::json::encode("the options", &options.to_json())? })
    }
}

/// The ack of a job, for a connection of your own to Postgres: what the job did in its transaction is done exactly once. Bind the
/// three fields to [`Ack::SQL`] in the order in which they stand here; if it answers 0, the claim was lost: roll back. In a handler
/// of a [`Worker`](crate::Worker), say so with [`JobContext::settled`](crate::JobContext::settled) once your commit has succeeded.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// # let q = db.queue("emails", QueueOpts::default());
/// # q.enqueue(&"alice", EnqueueOpts::default())?;
/// use honker::foreign::postgres::Ack;
///
/// let job = q.claim_one("worker-1")?.unwrap();
/// let ack = Ack::of(&job);
/// // tx.query_one(Ack::SQL, &[&ack.id, &ack.worker_id, &ack.attempts]).await?.get::<_, i64>(0) == 1
/// # assert_eq!((ack.id, ack.attempts, Ack::SQL.contains("$3")), (job.id, 1, true));
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
}

impl Ack {
    /// The statement. (honker's function knows the worker, not the claim.)
    pub const SQL: &'static str = "SELECT CASE WHEN EXISTS (SELECT FROM honker._honker_live WHERE id = $1::int8 AND \
        attempts = $3::int8) THEN honker.honker_ack($1::int8, $2::text) ELSE 0 END AS acked";

    /// The ack of this job.
    pub fn of(job: &Job) -> Self {
        Ack { id: job.id, worker_id: job.worker_id.clone(), attempts: job.attempts }
    }
}

/// honker's own error for an SQLSTATE and its message; `None` if the error is Postgres's.
///
/// ```
/// use honker::{Error, foreign::postgres::error};
/// assert!(matches!(error("HK001", "delay is out of range"), Some(Error::Invalid(_))));
/// assert!(matches!(error("HK005", "HONKER_MOVED: …"), Some(Error::Moved(_))));
/// assert!(error("23505", "duplicate key").is_none());
/// ```
pub fn error(sqlstate: &str, message: &str) -> Option<Error> {
    let text = message.to_owned();
    Some(match sqlstate {
        "HK001" => Error::Invalid(text),
        "HK002" => Error::Misuse(text),
        "HK003" => Error::TooOld(text),
        "HK004" => Error::TooBig(text.into()),
        "HK005" => Error::Moved(text.into()),
        _ => return None,
    })
}
