//! A worker: claims jobs of one queue, or waits for them.

use std::sync::Arc;
use std::time::Duration;

use super::wait::{Next, Patience};
use crate::Result;
use crate::database::Database;
use crate::queue::{Claim, ClaimedJob, Settlement};
use crate::watch::{Subscription, Waker};

/// How a worker claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerOptions {
    /// For how many seconds a claim is the worker's. Default 300.
    pub visibility_timeout_s: i64,
    /// How often it looks without having been woken. Default 5 s; `None` for never.
    pub fallback: Option<Duration>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        WorkerOptions { visibility_timeout_s: 300, fallback: Some(Duration::from_secs(5)) }
    }
}

/// What [`Worker::settle_and_next`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled<T> {
    /// For each settlement, whether the job was still the worker's. All that is `true` is committed.
    pub held: Vec<bool>,
    /// The next jobs. An error is one of the waiting: what was settled is settled.
    pub next: Result<Next<T>>,
}

/// See the module documentation of [`crate::consume`].
pub struct Worker {
    database: Database,
    subscription: Arc<Subscription>,
    queue: String,
    worker_id: String,
    options: WorkerOptions,
    /// The last claim found something, so the next one is made without looking first.
    busy: bool,
}

impl Worker {
    /// A worker on `queue` that claims as `worker_id`.
    pub fn new(
        database: &Database,
        queue: impl Into<String>,
        worker_id: impl Into<String>,
        options: WorkerOptions,
    ) -> Result<Self> {
        Ok(Worker::on(database, Arc::new(database.subscribe()?), queue, worker_id, options))
    }

    /// As [`Worker::new`], waiting with a subscription that others wait with as well, in turns.
    pub fn on(
        database: &Database,
        subscription: Arc<Subscription>,
        queue: impl Into<String>,
        worker_id: impl Into<String>,
        options: WorkerOptions,
    ) -> Self {
        Worker {
            subscription,
            database: database.clone(),
            queue: queue.into(),
            worker_id: worker_id.into(),
            options,
            busy: false,
        }
    }

    /// Up to `n` jobs, claimed as [`crate::queue::claim`] does; waits for at least one of them for at most `timeout` (`None`:
    /// without end). With an `n` of 0 or less it is no jobs, at once.
    pub fn next(&mut self, n: i64, timeout: Option<Duration>) -> Result<Next<Vec<ClaimedJob>>> {
        self.settle_and_next(&[], n, timeout)?.next
    }

    /// Settles jobs and claims the next ones in one transaction, then waits as [`Worker::next`] does if there are none.
    ///
    /// On an error nothing was settled, and nothing claimed. Otherwise the settlements are committed, whatever has become
    /// of the waiting ([`Settled::next`]).
    pub fn settle_and_next(
        &mut self,
        settlements: &[Settlement],
        n: i64,
        timeout: Option<Duration>,
    ) -> Result<Settled<Vec<ClaimedJob>>> {
        let mut patience = Patience::new(&self.database, timeout);
        let mut held = Vec::new();
        if !settlements.is_empty() {
            let settled = self.database.settle_and_claim(settlements, &self.wanted(n))?;
            held = settled.held;
            self.busy = !settled.claimed.is_empty();
            if self.busy {
                return Ok(Settled { held, next: Ok(Next::Item(settled.claimed)) });
            }
        }
        let next = if n > 0 { self.wait(n, &mut patience) } else { Ok(Next::Item(Vec::new())) };
        Ok(Settled { held, next })
    }

    /// Settles one job; whether it was still the worker's.
    pub fn settle(&self, settlement: &Settlement) -> Result<bool> {
        self.database.settle(&self.worker_id, settlement)
    }

    fn wait(&mut self, n: i64, patience: &mut Patience) -> Result<Next<Vec<ClaimedJob>>> {
        if self.busy {
            let jobs = self.database.claim(&self.wanted(n))?;
            if !jobs.is_empty() {
                return Ok(Next::Item(jobs));
            }
            self.busy = false;
        }
        loop {
            let outlook = self.database.claim_outlook(&self.queue)?;
            if outlook.may_claim {
                let jobs = self.database.claim(&self.wanted(n))?;
                if !jobs.is_empty() {
                    self.busy = true;
                    return Ok(Next::Item(jobs));
                }
            }
            if let Some(next) = patience.wait(&self.subscription, outlook.next_at, self.options.fallback)? {
                return Ok(next);
            }
        }
    }

    fn wanted(&self, n: i64) -> Claim<'_> {
        let timeout_s = self.options.visibility_timeout_s;
        Claim { queue: &self.queue, worker_id: &self.worker_id, n, timeout_s }
    }

    /// Ends [`Worker::next`] from another thread.
    pub fn waker(&self) -> Waker {
        self.subscription.waker()
    }

    /// What this worker waits with, for event loops.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}
