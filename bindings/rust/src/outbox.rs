//! Outboxes: jobs that are delivered by a function.

use std::fmt::Display;
use std::time::Duration;

use honker_core::consume::{Outbox as Deliveries, OutboxOptions, queue_of};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::waiting::{Waker, in_time};
use crate::{Database, EnqueueOpts, Error, Failure, Job, Queue, QueueOpts, Result, Transaction};

/// How an outbox delivers. Every field has a default.
///
/// ```
/// # use honker::OutboxOpts;
/// # let db = honker::testing::TestDatabase::new()?;
/// let webhooks = db.outbox("webhooks", OutboxOpts { max_attempts: 10, ..Default::default() });
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxOpts {
    /// How long a delivery may take, in seconds, before it goes to another worker. Default 60.
    pub visibility_timeout_s: i64,
    /// How often it is tried. Default 5.
    pub max_attempts: i64,
    /// How long, in seconds, the first retry waits; each further one waits twice as long. Default 5; 0 or less: no wait.
    pub base_backoff_s: i64,
}

impl Default for OutboxOpts {
    fn default() -> Self {
        OutboxOpts { visibility_timeout_s: 60, max_attempts: 5, base_backoff_s: 5 }
    }
}

/// The queue `_outbox:<name>`, whose jobs are delivered by a function. Cheap to clone, for any thread.
///
/// ```
/// # use honker::{EnqueueOpts, OutboxOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let webhooks = db.outbox("webhooks", OutboxOpts::default());
/// webhooks.enqueue(&"https://example.com/hook", EnqueueOpts::default())?;
/// let deliver = |url: String| -> Result<(), std::io::Error> {
///     println!("POST {url}");
///     Ok(())
/// };
/// assert!(webhooks.run_once("worker-1", deliver)?);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Outbox {
    name: String,
    queue: Queue,
    opts: OutboxOpts,
}

impl Outbox {
    pub(crate) fn new(database: &Database, name: String, opts: OutboxOpts) -> Self {
        let OutboxOpts { visibility_timeout_s, max_attempts, .. } = opts;
        let queue = database.queue(queue_of(&name), QueueOpts { visibility_timeout_s, max_attempts });
        Outbox { name, queue, opts }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    fn complete(&self, opts: EnqueueOpts) -> EnqueueOpts {
        EnqueueOpts { max_attempts: opts.max_attempts.or(Some(self.opts.max_attempts)), ..opts }
    }

    /// Enqueues what is to be delivered; its job's id.
    pub fn enqueue<T: Serialize + ?Sized>(&self, payload: &T, opts: EnqueueOpts) -> Result<i64> {
        self.queue.enqueue(payload, self.complete(opts))
    }

    /// As [`Outbox::enqueue`], in a transaction: it is delivered if and only if that is committed.
    pub fn enqueue_tx<T: Serialize + ?Sized>(
        &self,
        tx: &Transaction,
        payload: &T,
        opts: EnqueueOpts,
    ) -> Result<i64> {
        self.queue.enqueue_tx(tx, payload, self.complete(opts))
    }

    /// As [`Outbox::enqueue`], of a text that is stored as it is.
    pub fn enqueue_text(&self, tx: Option<&Transaction>, payload: &str, opts: EnqueueOpts) -> Result<i64> {
        Ok(self.queue.enqueue_text(tx, payload, self.complete(opts))?.id)
    }

    /// Delivers one if one is due; whether there was one. If `deliver` fails it is tried again later, or is dead with the
    /// error after the last attempt; a payload that is no `T` counts as a failed delivery.
    pub fn run_once<T, E>(&self, worker_id: &str, deliver: impl FnOnce(T) -> Result<(), E>) -> Result<bool>
    where
        T: DeserializeOwned,
        E: Display,
    {
        self.deliveries(worker_id)?.run_next(Some(Duration::ZERO), |job| match job.payload_as() {
            Ok(payload) => deliver(payload).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// What waits for what is to be delivered, for loops of your own.
    pub fn deliveries(&self, worker_id: &str) -> Result<OutboxWorker> {
        crate::names::check([("name", &*self.name), ("worker_id", worker_id)])?;
        let options = OutboxOptions {
            visibility_timeout_s: self.opts.visibility_timeout_s,
            base_backoff_s: self.opts.base_backoff_s,
            ..OutboxOptions::default()
        };
        let deliveries = Deliveries::new(self.queue.database().engine(), &self.name, worker_id, options)?;
        Ok(OutboxWorker { database: self.queue.database().clone(), deliveries })
    }
}

/// A worker of an outbox. Used by one thread at a time.
///
/// ```
/// # use honker::{EnqueueOpts, OutboxOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let webhooks = db.outbox("webhooks", OutboxOpts::default());
/// webhooks.enqueue(&"https://example.com/hook", EnqueueOpts::default())?;
/// let mut worker = webhooks.deliveries("worker-1")?;
/// worker.run_next(None, |job| {
///     println!("POST {}", job.payload_as::<String>().map_err(|error| error.to_string())?);
///     Ok(())
/// })?;
/// # Ok::<(), honker::Error>(())
/// ```
pub struct OutboxWorker {
    database: Database,
    deliveries: Deliveries,
}

impl OutboxWorker {
    /// Waits for a job to deliver, at most for `timeout` (`None`: without a limit), and delivers it; `false` if there was
    /// none. The error of `deliver` is stored with the job, which is dead at once after an [`Error::StepNotSaved`].
    pub fn run_next(
        &mut self,
        timeout: Option<Duration>,
        deliver: impl FnOnce(&Job) -> Result<(), String>,
    ) -> Result<bool> {
        let Some(claimed) = in_time(self.deliveries.next(timeout)?)? else { return Ok(false) };
        let job = Job::new(&self.database, claimed.job, claimed.serial);
        let held = match (deliver(&job), job.step_not_saved()) {
            (Ok(()), _) => self.deliveries.delivered(job.id)?,
            (Err(error), None) => self.deliveries.failed(job.id, job.attempts, &error)?,
            (Err(error), Some(not_saved)) => {
                self.deliveries.discarded(job.id, &Failure::new(error).of_step(not_saved).text())?
            }
        };
        if held { Ok(true) } else { Err(Error::Lost(format!("job {} took longer than its claim", job.id))) }
    }

    /// What ends its waits from another thread.
    pub fn waker(&self) -> Waker {
        Waker(self.deliveries.waiter())
    }
}

impl std::fmt::Debug for OutboxWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OutboxWorker")
    }
}
