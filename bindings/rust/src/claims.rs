//! Waiting for jobs.

use std::time::Duration;

use honker_core::consume as engine;

use crate::names::check;
use crate::waiting::{Waker, at_last, in_time};
use crate::{Database, Job, Queue, Result};

/// A job that is a [`Claimer`]'s no more; what does it should stop.
///
/// ```
/// # use honker::{ClaimOptions, EnqueueOpts, LostReason, QueueOpts, WorkerQueue};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("emails", QueueOpts::default());
/// q.enqueue(&"hello", EnqueueOpts::default())?;
/// let mut claimer = db.claimer(vec![WorkerQueue::new("emails")], "worker-1", ClaimOptions::default())?;
/// let job = claimer.next(1, None)?.jobs.remove(0);
/// q.cancel(job.id)?;
/// let lost = claimer.next(0, None)?.lost;
/// assert_eq!((lost[0].id, lost[0].reason), (job.id, LostReason::Gone));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::LostJob;
/// Why a job is a worker's no more. See [`LostJob`].
///
/// ```
/// use honker::LostReason;
/// assert_ne!(LostReason::Gone, LostReason::Lapsed);
/// ```
#[doc(inline)]
pub use engine::Reason as LostReason;
/// A job of a [`Claimer`], and what becomes of it.
///
/// ```
/// use honker::{Settlement, Verdict};
/// let done = Settlement { id: 1, serial: 1, verdict: Verdict::Ack };
/// ```
#[doc(inline)]
pub use engine::Settlement;
/// What becomes of a job. See [`Claimer`].
///
/// ```
/// use honker::Verdict;
/// let later = Verdict::Retry { delay_s: None, error: "no route to host".to_owned() };
/// ```
#[doc(inline)]
pub use engine::Verdict;
/// How a [`Claimer`] claims.
///
/// ```
/// use honker::ClaimOptions;
/// let options = ClaimOptions { visibility_timeout_s: 30, ..Default::default() };
/// ```
#[doc(inline)]
pub use engine::WorkerOptions as ClaimOptions;
/// A queue that a [`Claimer`] or a [`Worker`](crate::Worker) claims from: its name, how often it is asked first compared
/// with the others, and how many of its jobs may be in hand.
///
/// ```
/// use honker::WorkerQueue;
/// let often = WorkerQueue { weight: 3, max_in_hand: Some(2), ..WorkerQueue::new("emails") };
/// ```
#[doc(inline)]
pub use engine::WorkerQueue;

/// Waits for jobs of one queue, and leaves settling them to you. Used by one thread at a time; no thread waits beside it.
///
/// Claims are not extended by themselves. [`Worker`](crate::Worker) does all of that.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("emails", QueueOpts::default());
/// # q.enqueue(&"alice", EnqueueOpts::default())?;
/// let mut waker = q.claim_waker()?;
/// let job = waker.next("worker-1")?; // sleeps until there is one, whoever enqueues it in whichever process
/// job.ack()?;
/// assert!(waker.try_next("worker-1")?.is_none());
/// # Ok::<(), honker::Error>(())
/// ```
pub struct ClaimWaker {
    queue: Queue,
    waiter: engine::Waiter,
    /// For the worker id that was given last.
    worker: Option<(String, engine::Worker)>,
}

impl ClaimWaker {
    pub(crate) fn new(queue: &Queue) -> Result<Self> {
        let waiter = engine::Waiter::new(queue.database().engine())?;
        Ok(ClaimWaker { queue: queue.clone(), waiter, worker: None })
    }

    /// The next job, waited for without a limit.
    pub fn next(&mut self, worker_id: &str) -> Result<Job> {
        at_last(self.wait(worker_id, None)?)
    }

    /// The next job, if one is due.
    pub fn try_next(&mut self, worker_id: &str) -> Result<Option<Job>> {
        self.next_timeout(worker_id, Duration::ZERO)
    }

    /// The next job; `None` if the time was over first.
    pub fn next_timeout(&mut self, worker_id: &str, timeout: Duration) -> Result<Option<Job>> {
        in_time(self.wait(worker_id, Some(timeout))?)
    }

    fn wait(&mut self, worker_id: &str, timeout: Option<Duration>) -> Result<engine::Next<Job>> {
        use engine::Next;
        check([("queue", self.queue.name()), ("worker_id", worker_id)])?;
        let until = timeout.and_then(|timeout| std::time::Instant::now().checked_add(timeout));
        let ClaimWaker { queue, waiter, worker } = self;
        if worker.as_ref().is_none_or(|(id, _)| id != worker_id) {
            let options = engine::WorkerOptions {
                visibility_timeout_s: queue.opts().visibility_timeout_s,
                heartbeat: false,
                // Whoever looks at a job sees the id as it was given.
                rescue: false,
                ..engine::WorkerOptions::default()
            };
            let queues = vec![engine::WorkerQueue::new(queue.name())];
            // The old one leaves first.
            *worker = None;
            *worker =
                Some((worker_id.to_owned(), engine::Worker::on(waiter, 0, queues, worker_id, options)?));
        }
        let Some((_, worker)) = worker else { return Err(crate::Error::Closed) };
        loop {
            let left = match (timeout, until) {
                (Some(Duration::ZERO), _) => Some(Duration::ZERO),
                (_, Some(until)) => Some(until.saturating_duration_since(std::time::Instant::now())),
                _ => None,
            };
            match worker.next(1, left)? {
                // A claim that is over is told when the job is settled.
                Next::Item(batch) => match batch.jobs.into_iter().next() {
                    Some(claimed) => {
                        return Ok(Next::Item(Job::new(queue.database(), claimed.job, claimed.serial)));
                    }
                    None => continue,
                },
                Next::Timeout => return Ok(Next::Timeout),
                Next::Woken => return Ok(Next::Woken),
            }
        }
    }

    /// What ends its waits from another thread.
    pub fn waker(&self) -> Waker {
        Waker(self.waiter.clone())
    }
}

impl std::fmt::Debug for ClaimWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClaimWaker").field("queue", &self.queue.name()).finish_non_exhaustive()
    }
}

/// What a [`Claimer`] has to say.
///
/// ```
/// use honker::Claims;
/// let nothing = Claims::default();
/// assert!(nothing.jobs.is_empty() && nothing.lost.is_empty() && nothing.held.is_empty());
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Claims {
    /// For each settlement, whether the job was still the claimer's. An error is that of a settlement that the file refused:
    /// its job is still in hand.
    pub held: Vec<Result<bool>>,
    /// The jobs that were claimed.
    pub jobs: Vec<Job>,
    /// The jobs that were lost.
    pub lost: Vec<LostJob>,
}

/// The engine of a worker, for schedulers of your own: each call settles what is finished, extends the claims of what runs
/// and claims what there is room for, all in one commit, and waits if there is nothing to say. Used by one thread at a time.
/// [`Worker`](crate::Worker) is made of it.
///
/// Its claims are extended for as long as it is called; those of a process that dies are given to others at once, on Linux.
///
/// ```
/// # use std::time::Duration;
/// # use honker::{ClaimOptions, EnqueueOpts, QueueOpts, Settlement, Verdict, WorkerQueue};
/// # let db = honker::testing::TestDatabase::new()?;
/// # db.queue("emails", QueueOpts::default()).enqueue(&"hello", EnqueueOpts::default())?;
/// let mut claimer = db.claimer(vec![WorkerQueue::new("emails")], "worker-1", ClaimOptions::default())?;
/// let jobs = claimer.next(10, Some(Duration::from_secs(30)))?.jobs;
/// let done: Vec<_> = jobs
///     .iter()
///     .map(|job| Settlement { id: job.id, serial: job.serial(), verdict: Verdict::Ack })
///     .collect();
/// let next = claimer.settle_and_next(&done, 10, Some(Duration::ZERO))?;
/// assert!(matches!(next.held[..], [Ok(true)]));
/// # Ok::<(), honker::Error>(())
/// ```
pub struct Claimer {
    database: Database,
    worker: engine::Worker,
}

impl Database {
    /// A claimer of these queues. [`Error::Invalid`](crate::Error::Invalid) if there is none, one of them twice, or an option
    /// that makes no sense.
    pub fn claimer(
        &self,
        queues: Vec<WorkerQueue>,
        worker_id: &str,
        options: ClaimOptions,
    ) -> Result<Claimer> {
        check(queues.iter().map(|queue| ("queue", &*queue.name)).chain([("worker_id", worker_id)]))?;
        let waiter = engine::Waiter::new(self.engine())?;
        let worker = engine::Worker::on(&waiter, 0, queues, worker_id, options)?;
        Ok(Claimer { database: self.clone(), worker })
    }
}

impl Claimer {
    /// Claims up to `n` jobs; waits for one, or for one that is lost, at most for `timeout` (`None`: without a limit). All
    /// are empty if that is over. With an `n` of 0 it claims none.
    pub fn next(&mut self, n: i64, timeout: Option<Duration>) -> Result<Claims> {
        self.settle_and_next(&[], n, timeout)
    }

    /// Settles jobs, and then does what [`Claimer::next`] does. On an error nothing was settled and nothing claimed; if it
    /// is the waiting that fails, the next call says so. [`Error::Woken`](crate::Error::Woken) comes only if nothing was to
    /// be settled; otherwise everything is empty then.
    pub fn settle_and_next(
        &mut self,
        settlements: &[Settlement],
        n: i64,
        timeout: Option<Duration>,
    ) -> Result<Claims> {
        let engine::Settled { held, next } = self.worker.settle_and_next(settlements, n, timeout)?;
        let held: Vec<Result<bool>> = held.into_iter().map(|held| held.map_err(Into::into)).collect();
        let batch = match next {
            Ok(next) if held.is_empty() => in_time(next)?,
            Ok(engine::Next::Item(batch)) => Some(batch),
            Err(error) if held.is_empty() => return Err(error.into()),
            // What is settled has to be told; the trouble comes again.
            Ok(_) | Err(_) => None,
        };
        let batch = batch.unwrap_or_default();
        let jobs =
            batch.jobs.into_iter().map(|claimed| Job::new(&self.database, claimed.job, claimed.serial));
        Ok(Claims { held, jobs: jobs.collect(), lost: batch.lost })
    }

    /// The job of this claim was settled otherwise than through this database, or is given up to the end of its claim: it is
    /// in hand no more. `false` if it was not.
    pub fn settled(&self, id: i64, serial: i64) -> bool {
        self.worker.settled(id, serial)
    }

    /// How many jobs are in hand.
    pub fn in_hand(&self) -> usize {
        self.worker.in_hand()
    }

    /// What ends its waits from another thread.
    pub fn waker(&self) -> Waker {
        Waker(self.worker.waiter())
    }
}

impl std::fmt::Debug for Claimer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claimer").field("in_hand", &self.in_hand()).finish_non_exhaustive()
    }
}
