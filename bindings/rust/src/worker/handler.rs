//! Handlers, and what stands around them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use super::{Failure, JobContext, Outcome};

pub(super) type Blocking = Arc<dyn Fn(&JobContext) -> Outcome + Send + Sync>;
pub(super) type Middleware = Arc<dyn Fn(&JobContext, Next<'_>) -> Outcome + Send + Sync>;
pub(super) type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;
pub(super) type Asynchronous = Arc<dyn Fn(JobContext) -> Pending + Send + Sync>;
#[cfg(feature = "tokio")]
pub(super) type AsyncMiddleware = Arc<dyn Fn(JobContext, AsyncNext) -> Pending + Send + Sync>;

/// Does the jobs of a queue.
#[derive(Clone)]
pub(super) enum Handler {
    /// In a thread of the worker's.
    Blocking(Blocking),
    /// As a task of a `tokio` runtime.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "there is no runtime"))]
    Asynchronous(Asynchronous),
}

/// What a middleware stands around: the next one, or the handler.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// use std::time::Instant;
/// use honker::Worker;
///
/// let worker = Worker::builder()
///     .queue("emails", |_job| Ok(()))
///     .middleware(|job, next| {
///         let begun = Instant::now();
///         let outcome = next.run(job);
///         println!("{} took {:?}", job.queue, begun.elapsed());
///         outcome
///     })
///     .build(&db)?;
/// # worker.run_due()?;
/// # Ok::<(), honker::Error>(())
/// ```
pub struct Next<'a> {
    middleware: &'a [Middleware],
    handler: &'a Blocking,
}

impl Next<'_> {
    /// Runs the job.
    pub fn run(self, job: &JobContext) -> Outcome {
        match self.middleware.split_first() {
            Some((first, middleware)) => first(job, Next { middleware, handler: self.handler }),
            None => (self.handler)(job),
        }
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").field("middleware", &self.middleware.len()).finish()
    }
}

/// Runs a handler and all that stands around it; a panic is a failure.
pub(super) fn run(handler: &Blocking, middleware: &[Middleware], job: &JobContext) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| Next { middleware, handler }.run(job)))
        .unwrap_or_else(|panic| Err(Failure::panic(&*panic)))
}

/// What an asynchronous middleware stands around: the next one, or the handler.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> honker::Result<()> {
/// # let db = honker::testing::TestDatabase::new()?;
/// use std::time::Duration;
/// use honker::{Failure, Worker};
///
/// let worker = Worker::builder()
///     .queue_async("emails", |_job| async { Ok(()) })
///     .middleware_async(|job, next| async move {
///         tokio::time::timeout(Duration::from_secs(30), next.run(job))
///             .await
///             .unwrap_or_else(|late| Err(Failure::new(late)))
///     })
///     .build(&db)?;
/// # worker.run_due_async().await?;
/// # Ok(()) }
/// ```
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub struct AsyncNext {
    middleware: std::vec::IntoIter<AsyncMiddleware>,
    handler: Asynchronous,
}

#[cfg(feature = "tokio")]
impl AsyncNext {
    /// Runs the job.
    pub async fn run(mut self, job: JobContext) -> Outcome {
        match self.middleware.next() {
            Some(first) => first(job, self).await,
            None => (self.handler)(job).await,
        }
    }
}

#[cfg(feature = "tokio")]
impl std::fmt::Debug for AsyncNext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncNext").field("middleware", &self.middleware.len()).finish()
    }
}

/// As [`run`], for a future: a panic of one of its polls is a failure.
#[cfg(feature = "tokio")]
pub(super) async fn run_asynchronous(
    handler: Asynchronous,
    middleware: Vec<AsyncMiddleware>,
    job: JobContext,
) -> Outcome {
    let mut pending = std::pin::pin!(AsyncNext { middleware: middleware.into_iter(), handler }.run(job));
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| pending.as_mut().poll(context))) {
        Ok(poll) => poll,
        Err(panic) => std::task::Poll::Ready(Err(Failure::panic(&*panic))),
    })
    .await
}
