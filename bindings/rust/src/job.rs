//! A job in hand.

use std::sync::{Arc, OnceLock};

use honker_core::queue as engine;
use serde::de::DeserializeOwned;

use crate::{Batch, Database, Error, Member, Metadata, Result, Transaction, json};

/// A job that was claimed. Settling it answers `true` if the claim was still its worker's, and `false`, with nothing done,
/// if it was not: then somebody else does the job as well, or has done it.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// # let q = db.queue("emails", QueueOpts::default());
/// # q.enqueue(&"alice", EnqueueOpts::default())?;
/// if let Some(job) = q.claim_one("worker-1")? {
///     let to: String = job.payload_as()?;
///     match send(&to) {
///         Ok(()) => job.ack()?,
///         Err(error) => job.retry(60, &error)?,
///     };
/// }
/// # fn send(_: &str) -> Result<(), String> { Ok(()) }
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: i64,
    /// The queue it came from.
    pub queue: String,
    /// As it was stored.
    pub payload: Vec<u8>,
    /// Who holds it.
    pub worker_id: String,
    /// How often it has been claimed, this time included.
    pub attempts: i64,
    /// How often it may be claimed.
    pub max_attempts: i64,
    /// When it became due, in seconds since the Unix epoch.
    pub run_at: i64,
    /// The last second in which this claim is valid, unless it is extended.
    pub claim_expires_at: i64,
    /// What it was enqueued with.
    pub metadata: Metadata,
    /// For how many seconds it may run, if that was said when it was enqueued.
    pub max_run_s: Option<i64>,
    pub(crate) serial: i64,
    /// The first [`Error::StepNotSaved`], which a worker has to know of whatever its handler makes of it.
    pub(crate) not_saved: Arc<OnceLock<Error>>,
    pub(crate) database: Database,
}

impl Job {
    pub(crate) fn new(database: &Database, job: engine::ClaimedJob, serial: i64) -> Self {
        // Other SQL may have stored what is no object of texts.
        let metadata =
            job.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Job {
            id: job.id,
            queue: job.queue.as_ref().to_owned(),
            payload: job.payload.into_bytes(),
            worker_id: job.worker_id.as_ref().to_owned(),
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            run_at: job.run_at,
            claim_expires_at: job.claim_expires_at,
            metadata,
            max_run_s: job.max_run_s,
            serial,
            not_saved: Arc::default(),
            database: database.clone(),
        }
    }

    /// The payload as a value of yours. [`Error::Json`] if it is none.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T> {
        json::decode("the payload", &self.payload)
    }

    /// The database that it is from.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Names this claim of it, among those of a [`Claimer`](crate::Claimer); 0 for a job that was claimed otherwise.
    pub fn serial(&self) -> i64 {
        self.serial
    }

    /// It is done.
    pub fn ack(&self) -> Result<bool> {
        Ok(self.database.engine().ack(self.id, &self.worker_id)?)
    }

    /// As [`Job::ack`], in a transaction: what the job did there is done exactly once.
    pub fn ack_tx(&self, tx: &Transaction) -> Result<bool> {
        call!(&self.database, Some(tx), ack(self.id, &self.worker_id))
    }

    /// It could not be done now: it is due again in `delay_s` seconds, or dead with this error if its attempts are used up.
    pub fn retry(&self, delay_s: i64, error: &str) -> Result<bool> {
        crate::names::check([("error", error)])?;
        Ok(self.database.engine().retry(self.id, &self.worker_id, delay_s, error)?)
    }

    /// It can never be done: it is dead with this error.
    pub fn fail(&self, error: &str) -> Result<bool> {
        crate::names::check([("error", error)])?;
        Ok(self.database.engine().fail(self.id, &self.worker_id, error)?)
    }

    /// It goes back, due in `delay_s` seconds, and this attempt does not count.
    pub fn release(&self, delay_s: i64) -> Result<bool> {
        Ok(self.database.engine().release(self.id, &self.worker_id, delay_s)?)
    }

    /// It takes longer: the claim is valid for `extend_s` seconds from now.
    pub fn heartbeat(&self, extend_s: i64) -> Result<bool> {
        Ok(self.database.engine().heartbeat(self.id, &self.worker_id, extend_s)?)
    }

    /// On its behalf further jobs join its batch, although that is sealed.
    pub fn member(&self) -> Member {
        self.into()
    }

    /// The batch that it belongs to, if it does.
    pub fn batch(&self) -> Result<Option<Batch>> {
        let options = self.database.table("_honker_job_options");
        let sql = format!("SELECT batch_id FROM {options} WHERE job_id = ? AND batch_id IS NOT NULL");
        let row = self.database.query_row(&sql, crate::params![self.id])?;
        row.map(|row| Ok(self.database.batch_by_id(row.get(0)?))).transpose()
    }

    /// What has become of a step that has run, and would be run again.
    pub(crate) fn step_not_saved(&self) -> Option<&Error> {
        self.not_saved.get()
    }
}
