//! Workers: jobs of some queues, run side by side, until told to stop.

mod context;
mod failure;
mod hand;
mod handler;
mod pool;
mod run;
mod schedules;
mod signals;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

pub use self::context::{Cancelled, JobContext};
pub(crate) use self::failure::whole_seconds;
pub use self::failure::{Failure, Outcome};
#[cfg(feature = "tokio")]
use self::handler::AsyncMiddleware;
#[cfg(feature = "tokio")]
pub use self::handler::AsyncNext;
pub use self::handler::Next;
use self::handler::{Handler, Middleware};
use self::run::{Notifier, Run};
use crate::{Backoff, ClaimOptions, Database, Error, OpenOptions, Result, ScheduledTask, WorkerQueue};

type MakeSpan = Arc<dyn Fn(&JobContext) -> tracing::Span + Send + Sync>;
type Reporter = Arc<dyn Fn(&JobContext, &Failure) + Send + Sync>;

/// The most that [`WorkerBuilder::concurrency`] may be.
const CONCURRENCY_MAX: usize = 100_000;

/// How a worker works.
#[derive(Clone)]
struct Config {
    queues: Vec<(WorkerQueue, Handler)>,
    concurrency: usize,
    name: String,
    claims: ClaimOptions,
    stop_timeout: Duration,
    signals: bool,
    schedules: Vec<ScheduledTask>,
    middleware: Vec<Middleware>,
    #[cfg(feature = "tokio")]
    async_middleware: Vec<AsyncMiddleware>,
    span: Option<MakeSpan>,
    on_error: Option<Reporter>,
}

/// Runs the jobs of some queues side by side, as one wants it in production. See [`WorkerBuilder`] for what can be set.
///
/// - **Jobs** that return `Ok` are done. An error or a panic is a [`Failure`]: it is logged with `tracing`, told to
///   [`WorkerBuilder::on_error`], and the job is tried again with growing distances (15 s, 30 s, … an hour), or is dead after
///   its last attempt. What is finished is settled in the commit that claims the next ones.
/// - **Claims** of jobs that run are extended. One that is lost cancels its handler's [`JobContext`], and so does a run that
///   is longer than [`WorkerBuilder::max_run`].
/// - **Stopping**: at SIGTERM or SIGINT, or with a [`Stopper`], it claims nothing more. Jobs that run have 8 s; then their
///   contexts are cancelled, and what has not returned 1.5 s later is given back with its attempt. A second signal gives
///   everything back at once. One line says what was left.
/// - **Trouble that passes** (a locked file, a full disk, no file yet) is logged once, and tried again with growing
///   distances. A file that was replaced is opened anew.
/// - **A process that dies**, by SIGKILL too, leaves its jobs to others: at once on Linux, otherwise when their claims are
///   over.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// use honker::{JobContext, Outcome, Worker};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Email {
///     to: String,
/// }
///
/// fn send_email(email: Email, job: &JobContext) -> Outcome {
///     println!("to {}, attempt {} of {}", email.to, job.attempts, job.max_attempts);
///     Ok(())
/// }
///
/// # let db = honker::testing::TestDatabase::new()?;
/// # let q = db.queue("emails", QueueOpts::default());
/// q.enqueue(&Email { to: "alice".to_owned() }, EnqueueOpts { max_attempts: Some(10), ..Default::default() })?;
/// let worker = Worker::builder().typed("emails", send_email).concurrency(8).build(&db)?;
/// # let stopper = worker.stopper();
/// # std::thread::spawn(move || {
/// #     let is_open = |stats: honker::QueueStats| stats.pending + stats.claimed > 0;
/// #     while is_open(q.stats().unwrap()) {
/// #         std::thread::sleep(std::time::Duration::from_millis(5));
/// #     }
/// #     stopper.stop();
/// # });
/// worker.run()?; // until SIGTERM or SIGINT
/// # Ok::<(), honker::Error>(())
/// ```
pub struct Worker {
    config: Config,
    source: Source,
    control: Arc<Control>,
}

/// Where a worker has its database from.
#[derive(Clone)]
enum Source {
    Open(Database),
    /// It opens the file itself, and waits for it as long as there is none.
    Path(PathBuf, OpenOptions),
}

/// What stops a run from elsewhere.
#[derive(Default)]
pub(crate) struct Control {
    state: Mutex<ControlState>,
}

#[derive(Default)]
struct ControlState {
    stopped: bool,
    hurried: bool,
    running: Option<Arc<Notifier>>,
}

impl Control {
    fn change(&self, change: impl FnOnce(&mut ControlState)) {
        let running = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            state.running.clone()
        };
        if let Some(running) = running {
            running.look();
        }
    }

    /// Whether to stop, and whether at once.
    fn asked(&self) -> (bool, bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.stopped, state.hurried)
    }
}

/// Stops a worker, from any thread or task. See [`Worker::stopper`].
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// use honker::Worker;
/// let worker = Worker::builder().queue("emails", |_job| Ok(())).build(&db)?;
/// let stopper = worker.stopper();
/// std::thread::spawn(move || stopper.stop());
/// worker.run()?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Clone)]
pub struct Stopper(Arc<Control>);

impl Stopper {
    /// As the first signal: what runs may finish.
    pub fn stop(&self) {
        self.0.change(|state| state.stopped = true);
    }

    /// As the second signal: what runs is given back at once.
    pub fn stop_now(&self) {
        self.0.change(|state| (state.stopped, state.hurried) = (true, true));
    }
}

impl std::fmt::Debug for Stopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stopper")
    }
}

impl Worker {
    /// What makes one.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::new()
    }

    /// What stops it. A worker that was stopped does not run again.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.control))
    }

    /// Runs jobs until it is told to stop. Handlers run in threads of its own.
    ///
    /// An error if the worker cannot go on (the database was closed, the file is damaged), or if handlers have not returned:
    /// [`Error::Misuse`] says how many. Errors that pass are waited out. One run at a time.
    pub fn run(&self) -> Result<()> {
        Run::new(self, None)?.run()
    }

    /// As [`Worker::run`], for handlers that are futures, which run as tasks of the present `tokio` runtime. Blocking ones
    /// run in threads, as there. If the future is dropped, the worker is told to stop, and does so by itself.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> honker::Result<()> {
    /// # use honker::{EnqueueOpts, QueueOpts};
    /// # let db = honker::testing::TestDatabase::new()?;
    /// # db.queue("emails", QueueOpts::default()).enqueue(&"alice", EnqueueOpts::default())?;
    /// use honker::Worker;
    ///
    /// let worker = Worker::builder()
    ///     .queue_async("emails", |job| async move {
    ///         let to: String = job.payload_as()?;
    ///         tokio::task::yield_now().await;
    ///         println!("to {to}");
    ///         Ok(())
    ///     })
    ///     .build(&db)?;
    /// # worker.stopper().stop();
    /// worker.run_async().await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn run_async(&self) -> Result<()> {
        struct StopOnDrop(Stopper);
        impl Drop for StopOnDrop {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        let stop = StopOnDrop(self.stopper());
        let run = Run::new(self, Some(tokio::runtime::Handle::current()))?;
        let ended = crate::database::blocking(move || run.run()).await;
        std::mem::forget(stop);
        ended
    }

    /// Runs the jobs that are due, one after the other, in this thread, until there is none; how many that were. For tests,
    /// and for programs that something else starts when there is work. Every error ends it. Schedules are left alone, and so
    /// are handlers that are futures, which are [`Error::Misuse`].
    pub fn run_due(&self) -> Result<usize> {
        Run::new(self, None)?.run_due()
    }

    /// As [`Worker::run_due`], for handlers that are futures as well. If the future is dropped, it ends after the job that
    /// runs.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn run_due_async(&self) -> Result<usize> {
        let run = Run::new(self, Some(tokio::runtime::Handle::current()))?;
        crate::database::blocking(move || run.run_due()).await
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queues: Vec<&str> = self.config.queues.iter().map(|(queue, _)| queue.name.as_str()).collect();
        f.debug_struct("Worker")
            .field("name", &self.config.name)
            .field("queues", &queues)
            .finish_non_exhaustive()
    }
}

/// What a worker does, and how.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// use std::time::Duration;
/// use honker::{Backoff, ScheduledTask, Worker, WorkerQueue};
///
/// let worker = Worker::builder()
///     .queue(WorkerQueue { weight: 3, ..WorkerQueue::new("emails") }, |job| {
///         println!("{}", job.payload_as::<String>()?);
///         Ok(())
///     })
///     .queue("reports", |_job| Ok(()))
///     .concurrency(8)
///     .max_run(Duration::from_secs(600))
///     .backoff(Backoff { base_s: 5, ..Backoff::default() })
///     .schedule(ScheduledTask::new("nightly", "reports", "0 3 * * *", &())?)
///     .on_error(|job, failure| eprintln!("job {}: {failure}", job.id)) // to Sentry and the like
///     .build(&db)?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Clone)]
pub struct WorkerBuilder {
    config: Config,
}

impl WorkerBuilder {
    fn new() -> Self {
        let config = Config {
            queues: Vec::new(),
            concurrency: 10,
            name: crate::names::worker(),
            claims: ClaimOptions::default(),
            stop_timeout: Duration::from_secs(8),
            signals: true,
            schedules: Vec::new(),
            middleware: Vec::new(),
            #[cfg(feature = "tokio")]
            async_middleware: Vec::new(),
            span: None,
            on_error: None,
        };
        WorkerBuilder { config }
    }

    /// Works on a queue with a handler. A name is a [`WorkerQueue`] with weight 1 and no limit. Which queue is asked first is
    /// drawn by weight; places that it cannot fill go to the others.
    pub fn queue(
        mut self,
        queue: impl Into<QueueArgument>,
        handler: impl Fn(&JobContext) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.config.queues.push((queue.into().0, Handler::Blocking(Arc::new(handler))));
        self
    }

    /// As [`WorkerBuilder::queue`], with the payload decoded. A job whose payload is no `T` is dead with the reason.
    pub fn typed<T: DeserializeOwned>(
        self,
        queue: impl Into<QueueArgument>,
        handler: impl Fn(T, &JobContext) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.queue(queue, move |job| match job.payload_as() {
            Ok(payload) => handler(payload, job),
            Err(error) => Err(Failure::discard(error)),
        })
    }

    /// As [`WorkerBuilder::queue`], with a handler that is a future, for [`Worker::run_async`].
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn queue_async<F>(
        mut self,
        queue: impl Into<QueueArgument>,
        handler: impl Fn(JobContext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let handler = move |job| Box::pin(handler(job)) as handler::Pending;
        self.config.queues.push((queue.into().0, Handler::Asynchronous(Arc::new(handler))));
        self
    }

    /// As [`WorkerBuilder::queue_async`], with the payload decoded. A job whose payload is no `T` is dead with the reason.
    ///
    /// ```
    /// # let db = honker::testing::TestDatabase::new()?;
    /// let worker = honker::Worker::builder()
    ///     .typed_async("emails", |to: String, _job| async move {
    ///         println!("to {to}");
    ///         Ok(())
    ///     })
    ///     .build(&db)?;
    /// # Ok::<(), honker::Error>(())
    /// ```
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn typed_async<T, F>(
        self,
        queue: impl Into<QueueArgument>,
        handler: impl Fn(T, JobContext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        T: DeserializeOwned,
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.queue_async(queue, move |job| {
            let handled = job.payload_as().map(|payload| handler(payload, job));
            async move {
                match handled {
                    Ok(handled) => handled.await,
                    Err(error) => Err(Failure::discard(error)),
                }
            }
        })
    }

    /// How many jobs run side by side, 1 to 100,000. Default 10.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.config.concurrency = concurrency;
        self
    }

    /// The worker id. Jobs show it with an `@` and 32 digits behind it, by which those of a process that dies are known.
    /// Default: process and a random number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// For how long a claim outlives a worker that died where nobody sees that; whole seconds, rounded up. Default 5 min.
    pub fn visibility_timeout(mut self, timeout: Duration) -> Self {
        self.config.claims.visibility_timeout_s = whole_seconds(timeout);
        self
    }

    /// How long a job may run, in whole seconds, rounded up; then its context is cancelled, and it is tried again, or dead
    /// after its last attempt. Default: without limit. [`EnqueueOpts::max_run_s`](crate::EnqueueOpts::max_run_s) goes before
    /// it.
    pub fn max_run(mut self, limit: Duration) -> Self {
        self.config.claims.max_run_s = Some(whole_seconds(limit));
        self
    }

    /// When a job that has failed is tried again. What is set for its queue goes before it.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.claims.backoff = backoff;
        self
    }

    /// How long jobs that run may go on when the worker is told to stop. Default 8 s, to be done within the 10 s that Docker
    /// gives.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.config.stop_timeout = timeout;
        self
    }

    /// Whether SIGTERM and SIGINT stop the worker. Default yes. A handler that the program has for them is called as well,
    /// and one that is ignored stays so. On Windows they never stop it: use a [`Stopper`].
    pub fn signals(mut self, signals: bool) -> Self {
        self.config.signals = signals;
        self
    }

    /// Adds a schedule to the file when the worker starts. A worker that has one fires schedules, those that are in the file
    /// already as well; of all processes that do, one at a time.
    pub fn schedule(mut self, task: ScheduledTask) -> Self {
        self.config.schedules.push(task);
        self
    }

    /// Stands around each blocking handler, the first one outermost. See [`Next`]. A worker that has middleware and no
    /// blocking handler is [`Error::Invalid`].
    pub fn middleware(
        mut self,
        middleware: impl Fn(&JobContext, Next<'_>) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.config.middleware.push(Arc::new(middleware));
        self
    }

    /// Stands around each handler that is a future, the first one outermost. See [`AsyncNext`]. A worker that has such
    /// middleware and no such handler is [`Error::Invalid`].
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn middleware_async<F>(
        mut self,
        middleware: impl Fn(JobContext, AsyncNext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let middleware = move |job, next| Box::pin(middleware(job, next)) as handler::Pending;
        self.config.async_middleware.push(Arc::new(middleware));
        self
    }

    /// Makes the `tracing` span in which a handler, and all that stands around it, runs: the place to give it a parent, from
    /// the job's metadata, as OpenTelemetry does. It must not block. Default: a span `job` at the level info with `queue`,
    /// `id`, `attempt`, `max_attempts`, `wait_s`, and `traceparent` if the metadata has it.
    ///
    /// ```
    /// # let db = honker::testing::TestDatabase::new()?;
    /// let worker = honker::Worker::builder()
    ///     .queue("emails", |_job| Ok(()))
    ///     .span(|job| tracing::info_span!("email", id = job.id, waited = ?job.waited()))
    ///     .build(&db)?;
    /// # worker.run_due()?;
    /// # Ok::<(), honker::Error>(())
    /// ```
    pub fn span(mut self, make: impl Fn(&JobContext) -> tracing::Span + Send + Sync + 'static) -> Self {
        self.config.span = Some(Arc::new(make));
        self
    }

    /// Is told of each failure, beside the log, in the thread of the handler or of the worker. It must not block. What it
    /// panics with is logged.
    pub fn on_error(mut self, reporter: impl Fn(&JobContext, &Failure) + Send + Sync + 'static) -> Self {
        self.config.on_error = Some(Arc::new(reporter));
        self
    }

    /// A worker on a database that is open. [`Error::Invalid`] if there is no queue, one of them twice, or an option that
    /// makes no sense.
    pub fn build(self, database: &Database) -> Result<Worker> {
        self.make(Source::Open(database.clone()))
    }

    /// A worker that opens the file itself, and waits for it as long as there is none.
    ///
    /// ```no_run
    /// let worker = honker::Worker::builder().queue("emails", |_job| Ok(())).open("app.db")?;
    /// worker.run()?;
    /// # Ok::<(), honker::Error>(())
    /// ```
    pub fn open(self, path: impl AsRef<Path>) -> Result<Worker> {
        self.open_with_options(path, OpenOptions::default())
    }

    /// As [`WorkerBuilder::open`], with options.
    pub fn open_with_options(self, path: impl AsRef<Path>, options: OpenOptions) -> Result<Worker> {
        self.make(Source::Path(path.as_ref().to_owned(), options))
    }

    fn make(self, source: Source) -> Result<Worker> {
        let Config { concurrency, queues, claims, .. } = &self.config;
        if !(1..=CONCURRENCY_MAX).contains(concurrency) {
            return Err(Error::Invalid(format!("concurrency is {concurrency}, not 1 to {CONCURRENCY_MAX}")));
        }
        let queues = queues.iter().map(|(queue, _)| queue.clone()).collect::<Vec<_>>();
        claims.check(&queues)?;
        let is_blocking = |(_, handler): &(_, Handler)| matches!(handler, Handler::Blocking(_));
        if !self.config.middleware.is_empty() && !self.config.queues.iter().any(is_blocking) {
            return Err(Error::invalid(
                "there is middleware, and no blocking handler for it to stand around",
            ));
        }
        #[cfg(feature = "tokio")]
        if !self.config.async_middleware.is_empty() && self.config.queues.iter().all(is_blocking) {
            return Err(Error::invalid("there is middleware_async, and no handler that is a future"));
        }
        for task in &self.config.schedules {
            crate::next_after(&task.schedule, 0)?;
        }
        Ok(Worker { config: self.config, source, control: Arc::default() })
    }
}

impl std::fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerBuilder").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// A queue's name, or a [`WorkerQueue`].
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// use honker::{Worker, WorkerQueue};
/// let few = WorkerQueue { max_in_hand: Some(2), ..WorkerQueue::new("reports") };
/// Worker::builder().queue("emails", |_job| Ok(())).queue(few, |_job| Ok(())).build(&db)?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct QueueArgument(WorkerQueue);

impl From<&str> for QueueArgument {
    fn from(name: &str) -> Self {
        QueueArgument(WorkerQueue::new(name))
    }
}

impl From<String> for QueueArgument {
    fn from(name: String) -> Self {
        QueueArgument(WorkerQueue::new(name))
    }
}

impl From<WorkerQueue> for QueueArgument {
    fn from(queue: WorkerQueue) -> Self {
        QueueArgument(queue)
    }
}
