//! An outbox: a queue whose jobs are delivered by a function, with a back-off that doubles.
//!
//! It is the queue `_outbox:<name>`. Whatever goes into that queue is delivered, from whichever language.

use std::sync::Arc;
use std::time::Duration;

use super::wait::Next;
use super::worker::{Worker, WorkerOptions};
use crate::Result;
use crate::database::Database;
use crate::queue::{ClaimedJob, Settlement};
use crate::watch::Subscription;

/// How an outbox delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxOptions {
    /// How long a delivery may take, in seconds, before it goes to another worker. Default 60.
    pub visibility_timeout_s: i64,
    /// How long, in seconds, the first retry waits; each further one waits twice as long as the one before. Default 5;
    /// 0 or less: no wait.
    pub base_backoff_s: i64,
    /// How often it looks without having been woken. Default 5 s; `None` for never.
    pub fallback: Option<Duration>,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        OutboxOptions { visibility_timeout_s: 60, base_backoff_s: 5, fallback: Some(Duration::from_secs(5)) }
    }
}

/// The queue of the outbox of this name.
pub fn queue_of(name: &str) -> String {
    format!("_outbox:{name}")
}

/// How long, in seconds, a job waits after its delivery has failed for the `attempts`th time.
pub fn backoff_s(base_backoff_s: i64, attempts: i64) -> i64 {
    if base_backoff_s <= 0 {
        return 0;
    }
    // A wait that would end after the end of time is a wait of a thousand years.
    const MAX_S: i64 = 1000 * 366 * 86_400;
    let doublings = u32::try_from(attempts.saturating_sub(1).max(0)).unwrap_or(u32::MAX);
    1_i64.checked_shl(doublings).filter(|factor| *factor > 0).map_or(MAX_S, |factor| {
        base_backoff_s.checked_mul(factor).map_or(MAX_S, |delay_s| delay_s.min(MAX_S))
    })
}

/// A worker of an outbox. See the module documentation of [`crate::consume`].
pub struct Outbox {
    worker: Worker,
    options: OutboxOptions,
}

impl Outbox {
    /// A worker of the outbox `name`, that claims as `worker_id`.
    pub fn new(
        database: &Database,
        name: &str,
        worker_id: impl Into<String>,
        options: OutboxOptions,
    ) -> Result<Self> {
        Ok(Outbox::on(database, Arc::new(database.subscribe()?), name, worker_id, options))
    }

    /// As [`Outbox::new`], waiting with a subscription that others wait with as well, in turns.
    pub fn on(
        database: &Database,
        subscription: Arc<Subscription>,
        name: &str,
        worker_id: impl Into<String>,
        options: OutboxOptions,
    ) -> Self {
        let claims =
            WorkerOptions { visibility_timeout_s: options.visibility_timeout_s, fallback: options.fallback };
        Outbox { worker: Worker::on(database, subscription, queue_of(name), worker_id, claims), options }
    }

    /// The next job to deliver; waits for it for at most `timeout` (`None`: without end).
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<ClaimedJob>> {
        Ok(match self.worker.next(1, timeout)? {
            Next::Item(jobs) => jobs.into_iter().next().map_or(Next::Woken, Next::Item),
            Next::Timeout => Next::Timeout,
            Next::Woken => Next::Woken,
        })
    }

    /// The job was delivered. `false` if it was not this worker's any more.
    pub fn delivered(&self, id: i64) -> Result<bool> {
        self.worker.settle(&Settlement::Ack { id })
    }

    /// The delivery failed for the `attempts`th time, as the job says: it is tried again later or, if it was the last
    /// attempt, dead with this error. `false` if it was not this worker's any more.
    pub fn failed(&self, id: i64, attempts: i64, error: &str) -> Result<bool> {
        let delay_s = backoff_s(self.options.base_backoff_s, attempts);
        self.worker.settle(&Settlement::Retry { id, delay_s, error: error.to_owned() })
    }

    /// The worker underneath.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }
}
