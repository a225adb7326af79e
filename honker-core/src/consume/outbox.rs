//! An outbox: a queue whose jobs are delivered by a function, with a back-off that doubles.
//!
//! It is the queue `_outbox:<name>`. Whatever goes into that queue is delivered, from whichever language.

use std::time::{Duration, Instant};

use super::registration::Next;
use super::settlement::{Claimed, Verdict};
use super::waiter::Waiter;
use super::worker::Worker;
use super::worker_options::{WorkerOptions, WorkerQueue};
use crate::Result;
use crate::database::{Database, deadline};
use crate::queue::{Backoff, DELAY_MAX_S};

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

/// A worker of an outbox. See the module documentation of [`crate::consume`].
pub struct Outbox {
    worker: Worker,
}

impl Outbox {
    /// A worker of the outbox `name`, that claims as `worker_id`, with a waiter of its own.
    pub fn new(
        database: &Database,
        name: &str,
        worker_id: impl Into<String>,
        options: OutboxOptions,
    ) -> Result<Self> {
        Outbox::on(&Waiter::new(database)?, 0, name, worker_id, options)
    }

    /// As [`Outbox::new`], at a waiter that others wait at as well, which names it by `token`.
    pub fn on(
        waiter: &Waiter,
        token: u64,
        name: &str,
        worker_id: impl Into<String>,
        options: OutboxOptions,
    ) -> Result<Self> {
        let claims = WorkerOptions {
            visibility_timeout_s: options.visibility_timeout_s,
            fallback: options.fallback,
            heartbeat: false,
            max_run_s: None,
            // Whoever looks at a delivery sees the id as it was given.
            rescue: false,
            backoff: Backoff { base_s: options.base_backoff_s, factor: 2.0, max_s: DELAY_MAX_S, jitter: 0.0 },
        };
        let queue = WorkerQueue::new(queue_of(name));
        Ok(Outbox { worker: Worker::on(waiter, token, vec![queue], worker_id, claims)? })
    }

    /// The next job to deliver; waits for it for at most `timeout` (`None`: without end).
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<Claimed>> {
        let until = timeout.and_then(deadline);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match self.worker.next(1, if timeout.is_some() { left } else { None })? {
                // A delivery that took too long is lost, and told when it is settled.
                Next::Item(batch) => match batch.jobs.into_iter().next() {
                    Some(job) => return Ok(Next::Item(job)),
                    None => continue,
                },
                Next::Timeout => return Ok(Next::Timeout),
                Next::Woken => return Ok(Next::Woken),
            }
        }
    }

    /// What this waits with.
    pub fn waiter(&self) -> Waiter {
        self.worker.waiter()
    }

    /// The job was delivered. `false` if it was not this worker's any more.
    pub fn delivered(&self, id: i64) -> Result<bool> {
        self.worker.settle_by_id(id, 0, &Verdict::Ack)
    }

    /// The delivery failed for the `attempts`th time, as the job says: it is tried again later or, if it was the last
    /// attempt, dead with this error. `false` if it was not this worker's any more.
    pub fn failed(&self, id: i64, attempts: i64, error: &str) -> Result<bool> {
        self.worker.settle_by_id(id, attempts, &Verdict::Retry { delay_s: None, error: error.to_owned() })
    }

    /// The delivery must not be tried again: it is dead with this error. `false` if it was not this worker's any more.
    pub fn discarded(&self, id: i64, error: &str) -> Result<bool> {
        self.worker.settle_by_id(id, 0, &Verdict::Fail { error: error.to_owned() })
    }
}
