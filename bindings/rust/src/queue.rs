//! A queue: enqueueing, claiming and settling by hand.

use honker_core::queue as engine;
use serde::Serialize;

use crate::enqueue::{enqueue_all, enqueue_one};
use crate::names::check;
use crate::settings::QueueUpdate;
use crate::{
    ClaimWaker, Database, DeadGroup, DeadJob, EnqueueOpts, Enqueued, Error, Job, JobRow, JobSpec, QueueStats,
    Requeued, Result, Settings, Transaction, json,
};

/// How a queue is used by this handle. Every field has a default.
///
/// ```
/// # use honker::QueueOpts;
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("emails", QueueOpts { visibility_timeout_s: 30, max_attempts: 10 });
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOpts {
    /// For how many seconds a claim is its worker's. Default 300.
    pub visibility_timeout_s: i64,
    /// How often a job that is enqueued here may be claimed, unless [`EnqueueOpts::max_attempts`] says. 3, the default,
    /// leaves it to what is set for the queue ([`QueueUpdate::max_attempts`]), which is 3 otherwise.
    pub max_attempts: i64,
}

impl QueueOpts {
    const MAX_ATTEMPTS: i64 = 3;
}

impl Default for QueueOpts {
    fn default() -> Self {
        QueueOpts { visibility_timeout_s: 300, max_attempts: QueueOpts::MAX_ATTEMPTS }
    }
}

/// A queue of a database. Cheap to clone, for any thread.
///
/// Jobs are delivered at least once: a claimed one is its worker's until it is settled, or until the visibility timeout is
/// over. A [`Worker`](crate::Worker) does what is done by hand here.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("greetings", QueueOpts::default());
/// q.enqueue(&serde_json::json!({"name": "world"}), EnqueueOpts::default())?;
/// let job = q.claim_one("worker-1")?.expect("a job");
/// let payload: serde_json::Value = job.payload_as()?;
/// assert_eq!(payload["name"], "world");
/// assert!(job.ack()?);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Queue {
    database: Database,
    name: String,
    opts: QueueOpts,
}

impl Queue {
    pub(crate) fn new(database: &Database, name: String, opts: QueueOpts) -> Self {
        Queue { database: database.clone(), name, opts }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn opts(&self) -> QueueOpts {
        self.opts
    }

    fn complete(&self, mut opts: EnqueueOpts) -> EnqueueOpts {
        if opts.max_attempts.is_none() && self.opts.max_attempts != QueueOpts::MAX_ATTEMPTS {
            opts.max_attempts = Some(self.opts.max_attempts);
        }
        opts
    }

    /// Enqueues a job whose payload is encoded as JSON; its id. With a unique key that is taken: the id of the job that has
    /// it.
    pub fn enqueue<T: Serialize + ?Sized>(&self, payload: &T, opts: EnqueueOpts) -> Result<i64> {
        Ok(self.enqueue_with(payload, opts)?.id)
    }

    /// As [`Queue::enqueue`], in a transaction.
    pub fn enqueue_tx<T: Serialize + ?Sized>(
        &self,
        tx: &Transaction,
        payload: &T,
        opts: EnqueueOpts,
    ) -> Result<i64> {
        Ok(self.enqueue_with_tx(tx, payload, opts)?.id)
    }

    /// As [`Queue::enqueue`], and whether the job was enqueued.
    pub fn enqueue_with<T: Serialize + ?Sized>(&self, payload: &T, opts: EnqueueOpts) -> Result<Enqueued> {
        self.enqueue_text(None, json::encode("the payload", payload)?, opts)
    }

    /// As [`Queue::enqueue_with`], in a transaction.
    pub fn enqueue_with_tx<T: Serialize + ?Sized>(
        &self,
        tx: &Transaction,
        payload: &T,
        opts: EnqueueOpts,
    ) -> Result<Enqueued> {
        self.enqueue_text(Some(tx), json::encode("the payload", payload)?, opts)
    }

    /// Enqueues a job whose payload is stored as it is, JSON or not.
    pub fn enqueue_text(
        &self,
        tx: Option<&Transaction>,
        payload: impl Into<String>,
        opts: EnqueueOpts,
    ) -> Result<Enqueued> {
        enqueue_one(&self.database, tx, &self.name, payload.into(), self.complete(opts))
    }

    /// Enqueues a job for each payload, all with the same options: all of them or none; their ids.
    pub fn enqueue_many<T: Serialize>(&self, payloads: &[T], opts: EnqueueOpts) -> Result<Vec<i64>> {
        self.enqueue_many_in(None, payloads, opts)
    }

    /// As [`Queue::enqueue_many`], in a transaction.
    pub fn enqueue_many_tx<T: Serialize>(
        &self,
        tx: &Transaction,
        payloads: &[T],
        opts: EnqueueOpts,
    ) -> Result<Vec<i64>> {
        self.enqueue_many_in(Some(tx), payloads, opts)
    }

    fn enqueue_many_in<T: Serialize>(
        &self,
        tx: Option<&Transaction>,
        payloads: &[T],
        opts: EnqueueOpts,
    ) -> Result<Vec<i64>> {
        let opts = self.complete(opts);
        let spec = |payload: &T| JobSpec::new(self.name.clone(), payload, opts.clone());
        let jobs = payloads.iter().map(spec).collect::<Result<Vec<_>>>()?;
        Ok(enqueue_all(&self.database, tx, &jobs)?.into_iter().map(|enqueued| enqueued.id).collect())
    }

    /// Claims the job whose turn it is, if one is due.
    pub fn claim_one(&self, worker_id: &str) -> Result<Option<Job>> {
        Ok(self.claim_batch(worker_id, 1)?.into_iter().next())
    }

    /// Claims up to `n` jobs; a negative `n` means all that are due.
    pub fn claim_batch(&self, worker_id: &str, n: i64) -> Result<Vec<Job>> {
        self.claim_in(None, worker_id, n)
    }

    /// As [`Queue::claim_batch`], in a transaction.
    pub fn claim_batch_tx(&self, tx: &Transaction, worker_id: &str, n: i64) -> Result<Vec<Job>> {
        self.claim_in(Some(tx), worker_id, n)
    }

    fn claim_in(&self, tx: Option<&Transaction>, worker_id: &str, n: i64) -> Result<Vec<Job>> {
        let timeout_s = self.opts.visibility_timeout_s;
        check([("queue", &*self.name), ("worker_id", worker_id)])?;
        let claim = engine::Claim { queue: &self.name, worker_id, n, timeout_s };
        let jobs: Result<Vec<engine::ClaimedJob>> = call!(&self.database, tx, claim(&claim));
        Ok(jobs?.into_iter().map(|job| Job::new(&self.database, job, 0)).collect())
    }

    /// What waits for jobs of this queue.
    pub fn claim_waker(&self) -> Result<ClaimWaker> {
        ClaimWaker::new(self)
    }

    /// Acks a job by its id; `false` if `worker_id` does not hold it any more. [`Job::ack`] is the same for one in hand.
    pub fn ack(&self, id: i64, worker_id: &str) -> Result<bool> {
        Ok(self.database.engine().ack(id, worker_id)?)
    }

    /// As [`Queue::ack`], in a transaction: what the job did there is done exactly once.
    pub fn ack_tx(&self, tx: &Transaction, id: i64, worker_id: &str) -> Result<bool> {
        call!(&self.database, Some(tx), ack(id, worker_id))
    }

    /// Acks all of these that `worker_id` still holds, in one commit; how many those were.
    pub fn ack_batch(&self, ids: &[i64], worker_id: &str) -> Result<i64> {
        Ok(self.database.engine().ack_batch(ids, worker_id)?)
    }

    /// The job of this id could not be done now: it is due again in `delay_s` seconds, or dead with this error if its
    /// attempts are used up. `false` if `worker_id` does not hold it any more.
    pub fn retry(
        &self,
        tx: Option<&Transaction>,
        id: i64,
        worker_id: &str,
        delay_s: i64,
        error: &str,
    ) -> Result<bool> {
        check([("worker_id", worker_id), ("error", error)])?;
        call!(&self.database, tx, retry(id, worker_id, delay_s, error))
    }

    /// The job of this id can never be done: it is dead with this error. `false` if `worker_id` does not hold it any more.
    pub fn fail(&self, tx: Option<&Transaction>, id: i64, worker_id: &str, error: &str) -> Result<bool> {
        check([("worker_id", worker_id), ("error", error)])?;
        call!(&self.database, tx, fail(id, worker_id, error))
    }

    /// The job of this id goes back, due in `delay_s` seconds, and this attempt does not count. `false` if `worker_id` does
    /// not hold it any more.
    pub fn release(&self, tx: Option<&Transaction>, id: i64, worker_id: &str, delay_s: i64) -> Result<bool> {
        call!(&self.database, tx, release(id, worker_id, delay_s))
    }

    /// The job of this id takes longer: its claim is valid for `extend_s` seconds from now. `false` if `worker_id` does not
    /// hold it any more.
    pub fn heartbeat(&self, id: i64, worker_id: &str, extend_s: i64) -> Result<bool> {
        Ok(self.database.engine().heartbeat(id, worker_id, extend_s)?)
    }

    /// Removes a live job, whatever its state; who runs it is told. `false` if there is none of this id.
    pub fn cancel(&self, id: i64) -> Result<bool> {
        Ok(self.database.engine().cancel(id)?)
    }

    /// As [`Queue::cancel`], in a transaction.
    pub fn cancel_tx(&self, tx: &Transaction, id: i64) -> Result<bool> {
        call!(&self.database, Some(tx), cancel(id))
    }

    /// A live job by its id.
    pub fn get_job(&self, id: i64) -> Result<Option<JobRow>> {
        Ok(self.database.engine().get_job(id)?)
    }

    /// Moves the jobs that have expired to the dead; how many those were.
    pub fn sweep_expired(&self) -> Result<i64> {
        Ok(self.database.engine().sweep_expired(&self.name)?)
    }

    /// The second at which a claim could begin to find a job without a further commit; `None` if none ever will.
    pub fn next_claim_at(&self) -> Result<Option<i64>> {
        Ok(self.database.engine().queue_next_claim_at(&self.name)?)
    }

    /// How many of its jobs are in which condition.
    pub fn stats(&self) -> Result<QueueStats> {
        Ok(self.database.engine().queue_stats(&self.name)?)
    }

    /// Up to `limit` of its dead jobs, the newest first; a negative `limit` means all.
    pub fn dead(&self, limit: i64) -> Result<Vec<DeadJob>> {
        Ok(self.database.engine().dead_list(Some(&self.name), limit)?)
    }

    /// Its dead jobs, by what they died of.
    pub fn dead_groups(&self) -> Result<Vec<DeadGroup>> {
        Ok(self.database.engine().dead_groups(Some(&self.name))?)
    }

    /// Makes a dead job pending again, due now, with its attempts unused. [`Error::Invalid`] if it is one of another queue.
    pub fn requeue_dead(&self, id: i64) -> Result<Requeued> {
        Ok(self.database.engine().dead_requeue(id)?)
    }

    /// Removes the jobs that died more than so many seconds ago; how many those were.
    pub fn purge_dead(&self, older_than_s: i64) -> Result<i64> {
        Ok(self.database.engine().dead_purge(Some(&self.name), older_than_s)?)
    }

    /// Sets what holds for the queue in every process, at once: a [`QueueUpdate`], or a map of the same keys, of which null
    /// resets one. [`Error::Invalid`] names a key that is unknown or a value that cannot be.
    pub fn configure<T: Serialize + ?Sized>(&self, update: &T) -> Result<()> {
        check([("queue", &*self.name)])?;
        let update = json::encode("the settings", update)?;
        Ok(self.database.engine().queue_configure(&self.name, &update)?)
    }

    /// What is set for the queue.
    pub fn settings(&self) -> Result<Settings> {
        Ok(self.database.engine().queue_settings(&self.name)?)
    }

    /// Claims answer empty from now on, in every process. What runs goes on.
    pub fn pause(&self) -> Result<()> {
        self.configure(&QueueUpdate { paused: true.into(), ..Default::default() })
    }

    /// Ends a pause.
    pub fn resume(&self) -> Result<()> {
        self.configure(&QueueUpdate { paused: false.into(), ..Default::default() })
    }

    /// What was saved for a step of a job, as JSON. [`Job::step`] does it all.
    pub fn saved_step(&self, tx: Option<&Transaction>, job_id: i64, name: &str) -> Result<Option<String>> {
        call!(&self.database, tx, step_get(job_id, name))
    }

    /// Saves what a step of a job has come to, as JSON, once; what is stored. `None` if `worker_id` does not hold the job.
    pub fn save_step(
        &self,
        tx: Option<&Transaction>,
        job_id: i64,
        worker_id: &str,
        name: &str,
        value: &str,
    ) -> Result<Option<String>> {
        check([("name", name), ("value", value)])?;
        call!(&self.database, tx, step_save(job_id, worker_id, name, value))
    }

    /// The INSERT that enqueues a job with a connection of your own, and its parameters. See [`crate::foreign`].
    pub fn insert_statement<T: Serialize + ?Sized>(
        &self,
        payload: &T,
        opts: EnqueueOpts,
    ) -> Result<crate::foreign::Insert, Error> {
        crate::foreign::Insert::new(&self.name, payload, self.complete(opts))
    }

    /// The same for a connection of your own to Postgres. See [`crate::foreign::postgres`].
    pub fn enqueue_statement<T: Serialize + ?Sized>(
        &self,
        payload: &T,
        opts: EnqueueOpts,
    ) -> Result<crate::foreign::postgres::Enqueue, Error> {
        crate::foreign::postgres::Enqueue::new(&self.name, payload, self.complete(opts))
    }
}
