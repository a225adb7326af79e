//! What a handler gets: its job, and whether it should stop.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{Job, LostReason};

/// Why a handler should stop.
///
/// ```
/// use honker::Cancelled;
/// assert_eq!(Cancelled::Stopping.to_string(), "the worker stops");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// The job was cancelled, deleted, or settled by somebody else.
    Gone,
    /// The claim was over.
    Lapsed,
    /// The claim was over, and the job was claimed again.
    Taken,
    /// It ran for longer than it may. It is tried again already.
    Timeout,
    /// The worker stops.
    Stopping,
    /// The database was closed.
    Closed,
    /// The file was replaced by another: nobody can settle the job any more.
    Replaced,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cancelled::Gone => "the job was lost: it was cancelled, or settled by somebody else",
            Cancelled::Lapsed => "the job was lost: its claim was over",
            Cancelled::Taken => "the job was lost: its claim was over, and it was claimed again",
            Cancelled::Timeout => "the job was lost: it ran for longer than it may",
            Cancelled::Stopping => "the worker stops",
            Cancelled::Closed => "the database was closed",
            Cancelled::Replaced => "the file was replaced by another",
        })
    }
}

impl std::error::Error for Cancelled {}

impl From<LostReason> for Cancelled {
    fn from(reason: LostReason) -> Self {
        match reason {
            LostReason::Gone => Cancelled::Gone,
            LostReason::Lapsed => Cancelled::Lapsed,
            LostReason::Taken => Cancelled::Taken,
            LostReason::Timeout => Cancelled::Timeout,
        }
    }
}

/// A job that a [`Worker`](crate::Worker) runs, and whether its handler should stop: it is the [`Job`], and says so as soon
/// as it is known. Nothing stops a handler that does not ask. Cheap to clone, for any thread.
///
/// ```
/// use std::time::Duration;
/// use honker::{JobContext, Outcome};
///
/// fn crawl(job: &JobContext) -> Outcome {
///     let pages: Vec<String> = job.payload_as()?;
///     for page in pages {
///         if let Some(why) = job.cancelled() {
///             return Err(why.into()); // given back when the worker stops
///         }
///         println!("{page}");
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct JobContext {
    job: Arc<Job>,
    cancellation: Arc<Cancellation>,
    deadline: Option<Instant>,
    waited: Duration,
}

#[derive(Default)]
struct Cancellation {
    state: Mutex<State>,
    changed: Condvar,
    settled: AtomicBool,
}

#[derive(Default)]
struct State {
    why: Option<Cancelled>,
    /// Of the futures that wait.
    wakers: Vec<std::task::Waker>,
}

impl JobContext {
    pub(crate) fn new(job: Job, deadline: Option<Instant>) -> Self {
        let run_at = UNIX_EPOCH + Duration::from_secs(job.run_at.try_into().unwrap_or(0));
        let waited = SystemTime::now().duration_since(run_at).unwrap_or_default();
        JobContext { job: Arc::new(job), cancellation: Arc::default(), deadline, waited }
    }

    /// Why the handler should stop, if it should.
    pub fn cancelled(&self) -> Option<Cancelled> {
        self.lock().why
    }

    /// Whether the handler should stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled().is_some()
    }

    /// Sleeps for so long, or until the handler should stop; why, if so.
    pub fn sleep(&self, time: Duration) -> Option<Cancelled> {
        let until = Instant::now().checked_add(time);
        let mut state = self.lock();
        loop {
            if state.why.is_some() {
                return state.why;
            }
            let left = until.map_or(time, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            let wait = self.cancellation.changed.wait_timeout(state, left);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the handler should stop; why. A future for any runtime.
    pub async fn until_cancelled(&self) -> Cancelled {
        std::future::poll_fn(|context| {
            let mut state = self.lock();
            match state.why {
                Some(why) => std::task::Poll::Ready(why),
                None => {
                    if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                        state.wakers.push(context.waker().clone());
                    }
                    std::task::Poll::Pending
                }
            }
        })
        .await
    }

    /// Until when it may run, if there is a limit.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long the job had been due when it was claimed, counted from [`Job::run_at`], which a retry moves.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Says that the job was settled otherwise than through its database: with a connection of the handler's own, in a
    /// transaction that is committed ([`foreign::Ack`](crate::foreign::Ack)). If the handler returns `Ok` then, the worker
    /// leaves it alone.
    pub fn settled(&self) {
        self.cancellation.settled.store(true, Ordering::Release);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.cancellation.settled.load(Ordering::Acquire)
    }

    /// Tells the handler to stop, the first reason holds.
    pub(crate) fn cancel(&self, why: Cancelled) {
        let wakers = {
            let mut state = self.lock();
            state.why.get_or_insert(why);
            std::mem::take(&mut state.wakers)
        };
        self.cancellation.changed.notify_all();
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.cancellation.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for JobContext {
    type Target = Job;

    fn deref(&self) -> &Job {
        &self.job
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext").field("job", &self.job).field("cancelled", &self.cancelled()).finish()
    }
}
