//! An open file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use honker_core::database as engine;
use serde::Serialize;

use crate::enqueue::{EnqueueHook, Enqueued, JobSpec, enqueue_all};
use crate::names::{self, check};
use crate::value::{Row, Value, parameters};
use crate::{
    Batch, BatchOpts, DeadGroup, Error, Jobs, Lock, Metrics, Outbox, OutboxOpts, Queue, QueueOpts,
    QueueSettings, Result, Scheduler, Status, Stream, Subscription, Transaction, UpdateEvents, json,
};

/// How safe a commit is once it has been acknowledged. The default survives a crash of the process, and
/// [`Durability::Full`] a power cut as well.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// use honker::{Database, Durability, OpenOptions};
/// let db = Database::open_with_options(path, OpenOptions::new().durability(Durability::Full))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(inline)]
pub use engine::Durability;
/// How SQLite journals. The default, a write-ahead log, is the one in which readers do not wait for the writer.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// use honker::{Database, JournalMode, OpenOptions};
/// let db = Database::open_with_options(path, OpenOptions::new().journal_mode(JournalMode::Truncate))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(inline)]
pub use engine::JournalMode;

/// How a file is opened.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// use std::time::Duration;
/// use honker::{Database, OpenOptions};
///
/// let options = OpenOptions::new()
///     .busy_timeout(Duration::from_secs(1))
///     .watcher_backend("polling")?
///     .watcher_poll_interval(Duration::from_millis(5))?;
/// let db = Database::open_with_options(path, options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct OpenOptions {
    engine: engine::Options,
    pub(crate) hooks: Vec<EnqueueHook>,
}

impl OpenOptions {
    /// The defaults: write-ahead log, a busy timeout of 5 s, 8 readers.
    pub fn new() -> Self {
        OpenOptions::default()
    }

    /// How commits are noticed: `auto` (also the empty text), `polling` or `poll`, `kernel` or `kernel-watcher`, `shm` or
    /// `shm-fast-path`. [`Error::Invalid`] for any other name.
    pub fn watcher_backend(mut self, name: &str) -> Result<Self> {
        self.engine.watcher.backend = name.parse()?;
        Ok(self)
    }

    /// How often the back ends that poll look. Default 1 ms. [`Error::Invalid`] if it is zero.
    pub fn watcher_poll_interval(mut self, interval: Duration) -> Result<Self> {
        self.engine.watcher.poll_interval = interval;
        self.engine.watcher.check()?;
        Ok(self)
    }

    /// How long a call waits for a lock that another process, or a transaction of this one, holds. Default 5 s.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.engine.busy_timeout = timeout;
        self
    }

    /// How safe a commit is once it has been acknowledged.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.engine.durability = durability;
        self
    }

    /// How SQLite journals.
    pub fn journal_mode(mut self, mode: JournalMode) -> Self {
        self.engine.journal_mode = mode;
        self
    }

    /// How many reads may run at once. Default 8, at least 2.
    pub fn readers(mut self, readers: usize) -> Self {
        self.engine.readers_max = readers;
        self
    }

    /// After how many pages the write-ahead log is checkpointed. Default 10,000.
    pub fn wal_autocheckpoint(mut self, pages: u32) -> Self {
        self.engine.wal_autocheckpoint = pages;
        self
    }

    /// Stands around everything that this database enqueues, the first hook outermost: it sees the jobs and may change
    /// them, add metadata for instance, and calls `next` to enqueue them. It runs in the thread that enqueues. Jobs of
    /// schedules, and callbacks of batches, are enqueued by the file itself.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("app.db");
    /// use honker::{Database, EnqueueOpts, OpenOptions, QueueOpts};
    ///
    /// let options = OpenOptions::new().around_enqueue(|jobs, next| {
    ///     for job in jobs.iter_mut() {
    ///         job.options.metadata.insert("tenant".to_owned(), "acme".to_owned());
    ///     }
    ///     next(jobs)
    /// });
    /// let db = Database::open_with_options(path, options)?;
    /// let q = db.queue("emails", QueueOpts::default());
    /// q.enqueue(&"hello", EnqueueOpts::default())?;
    /// assert_eq!(q.claim_one("worker-1")?.unwrap().metadata["tenant"], "acme");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn around_enqueue(
        mut self,
        hook: impl Fn(
            &mut [JobSpec],
            &mut dyn FnMut(&mut [JobSpec]) -> Result<Vec<Enqueued>>,
        ) -> Result<Vec<Enqueued>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions").field("engine", &self.engine).field("hooks", &self.hooks.len()).finish()
    }
}

/// An open file. Clones are handles to the same one: share them between threads as you like. Writes of several threads
/// that meet share a commit; reads run beside them.
///
/// It is closed with [`Database::close`], or with the last handle, among which are those of the queues, jobs and
/// subscriptions made from it.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// use honker::{Database, EnqueueOpts, QueueOpts};
///
/// let db = Database::open(path)?; // makes the file if need be
/// let q = db.queue("greetings", QueueOpts::default());
/// q.enqueue(&"hello", EnqueueOpts::default())?;
/// assert_eq!(db.query_row("SELECT count(*) FROM _honker_live", [])?.unwrap().get::<i64>(0)?, 1);
/// db.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    engine: engine::Database,
    options: OpenOptions,
}

impl Database {
    /// Opens a file, makes it if need be, and brings honker's tables up to date.
    ///
    /// `path` is a file name or a `file:` URI. Databases in memory are [`Error::Invalid`]: nobody else could see them. With the
    /// feature `postgres` it may be the URL of a server as well (`postgres://…`), whose schema `honker` has been installed
    /// (docs/postgres.md).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Database::open_with_options(path, OpenOptions::default())
    }

    /// As [`Database::open`], with options.
    pub fn open_with_options(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self> {
        #[cfg(feature = "postgres")]
        let engine = honker_postgres::open(path, &options.engine)?;
        #[cfg(not(feature = "postgres"))]
        let engine = engine::Database::open(path, &options.engine)?;
        Ok(Database { inner: Arc::new(Inner { engine, options }) })
    }

    pub(crate) fn engine(&self) -> &engine::Database {
        &self.inner.engine
    }

    pub(crate) fn options(&self) -> &OpenOptions {
        &self.inner.options
    }

    pub(crate) fn is(&self, other: &Database) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The file, by its absolute path; or the server's URL, without a password.
    pub fn path(&self) -> &Path {
        Path::new(self.engine().path())
    }

    /// A table of honker's, as SQL of this crate names it.
    pub(crate) fn table(&self, name: &str) -> String {
        if names::is_url(self.path()) { format!("honker.{name}") } else { name.to_owned() }
    }

    /// A queue. It need not have been made before.
    pub fn queue(&self, name: impl Into<String>, opts: QueueOpts) -> Queue {
        Queue::new(self, name.into(), opts)
    }

    /// An outbox: a queue whose jobs are delivered by a function.
    pub fn outbox(&self, name: impl Into<String>, opts: OutboxOpts) -> Outbox {
        Outbox::new(self, name.into(), opts)
    }

    /// An event stream.
    pub fn stream(&self, topic: impl Into<String>) -> Stream {
        Stream::new(self, topic.into())
    }

    /// The schedules of the file.
    pub fn scheduler(&self) -> Scheduler {
        Scheduler::new(self)
    }

    /// Begins a transaction. Waits for the one that is open, if it is another thread's; [`Error::Misuse`] at once if it is
    /// this thread's own.
    pub fn transaction(&self) -> Result<Transaction> {
        Transaction::begin(self)
    }

    /// Runs one SQL statement that only reads; its rows. honker's SQL functions are not there.
    pub fn query(&self, sql: &str, params: impl IntoIterator<Item = Value>) -> Result<Vec<Row>> {
        Ok(Row::all(self.engine().query(sql, &parameters(params))?))
    }

    /// As [`Database::query`]; the first row, if there is any.
    pub fn query_row(&self, sql: &str, params: impl IntoIterator<Item = Value>) -> Result<Option<Row>> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// Enqueues jobs of several queues, each with its own options: all of them or none, in one commit.
    pub fn enqueue_many(&self, jobs: &[JobSpec]) -> Result<Vec<Enqueued>> {
        enqueue_all(self, None, jobs)
    }

    /// As [`Database::enqueue_many`], in a transaction.
    pub fn enqueue_many_tx(&self, tx: &Transaction, jobs: &[JobSpec]) -> Result<Vec<Enqueued>> {
        enqueue_all(self, Some(tx), jobs)
    }

    /// Sends a notification to who listens on a channel now; its id.
    pub fn notify<T: Serialize + ?Sized>(&self, channel: &str, payload: &T) -> Result<i64> {
        self.notify_json(None, channel, &json::encode("the payload", payload)?)
    }

    /// As [`Database::notify`], in a transaction: with its commit.
    pub fn notify_tx<T: Serialize + ?Sized>(
        &self,
        tx: &Transaction,
        channel: &str,
        payload: &T,
    ) -> Result<i64> {
        self.notify_json(Some(tx), channel, &json::encode("the payload", payload)?)
    }

    /// As [`Database::notify`], of a text that is stored as it is.
    pub fn notify_text(&self, tx: Option<&Transaction>, channel: &str, payload: &str) -> Result<i64> {
        self.notify_json(tx, channel, payload)
    }

    fn notify_json(&self, tx: Option<&Transaction>, channel: &str, payload: &str) -> Result<i64> {
        check([("channel", channel), ("payload", payload)])?;
        call!(self, tx, notify(channel, payload))
    }

    /// Listens on a channel, from now on.
    pub fn listen(&self, channel: impl Into<String>) -> Result<Subscription> {
        Subscription::new(self, channel.into())
    }

    /// Waits for commits, by anyone in any process.
    pub fn update_events(&self) -> Result<UpdateEvents> {
        UpdateEvents::new(self)
    }

    /// Removes the notifications that are older than so many seconds; how many those were.
    pub fn prune_notifications(&self, older_than_s: i64) -> Result<i64> {
        Ok(self.engine().notifications_prune(Some(older_than_s), None)?)
    }

    /// Removes all notifications but the newest; how many those were. A negative number is [`Error::Invalid`].
    pub fn prune_notifications_keep_latest(&self, n: i64) -> Result<i64> {
        Ok(self.engine().notifications_prune(None, Some(n))?)
    }

    /// Removes the notifications that are older than so many seconds, and those that are not among the `n` newest.
    pub fn prune_notifications_by(&self, older_than_s: Option<i64>, n: Option<i64>) -> Result<i64> {
        Ok(self.engine().notifications_prune(older_than_s, n)?)
    }

    /// For how many seconds notifications are kept, whoever sends them; `None`: until they are pruned.
    pub fn keep_notifications(&self, keep_s: Option<i64>) -> Result<()> {
        Ok(self.engine().notifications_configure(&serde_json::json!({ "keep_s": keep_s }).to_string())?)
    }

    /// Takes a lock for `ttl_s` seconds if it is free or its time is over; `None` if somebody else has it. `owner` has to be
    /// unique; [`Database::try_lock_any`] makes one.
    pub fn try_lock(&self, name: &str, owner: &str, ttl_s: i64) -> Result<Option<Lock>> {
        Lock::acquire(self, name, owner, ttl_s)
    }

    /// As [`Database::try_lock`], with an owner that is random.
    pub fn try_lock_any(&self, name: &str, ttl_s: i64) -> Result<Option<Lock>> {
        Lock::acquire(self, name, &crate::names::random(), ttl_s)
    }

    /// Counts one use in the present window of `per_s` seconds, of all processes on the file; `false`, and nothing counted,
    /// if there were `limit` already.
    pub fn try_rate_limit(&self, name: &str, limit: i64, per_s: i64) -> Result<bool> {
        check([("name", name)])?;
        Ok(self.engine().rate_limit_try(name, limit, per_s)?)
    }

    /// Removes the windows of rate limits that began more than so many seconds ago; how many those were.
    pub fn sweep_rate_limits(&self, older_than_s: i64) -> Result<i64> {
        Ok(self.engine().rate_limit_sweep(older_than_s)?)
    }

    /// Saves the result of a job, a text of your own, for `ttl_s` seconds; 0 or less: for good.
    pub fn save_result(&self, job_id: i64, value: &str, ttl_s: i64) -> Result<()> {
        check([("value", value)])?;
        Ok(self.engine().result_save(job_id, value, ttl_s)?)
    }

    /// As [`Database::save_result`], in a transaction.
    pub fn save_result_tx(&self, tx: &Transaction, job_id: i64, value: &str, ttl_s: i64) -> Result<()> {
        check([("value", value)])?;
        call!(self, Some(tx), result_save(job_id, value, ttl_s))
    }

    /// The result of a job, if there is one that has not expired.
    pub fn get_result(&self, job_id: i64) -> Result<Option<String>> {
        Ok(self.engine().result_get(job_id)?)
    }

    /// Waits for the result of a job; [`Error::Timeout`] after so long (`None`: never). A job that ends without a result
    /// never has one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let db = honker::testing::TestDatabase::new()?;
    /// db.save_result(1, "42", 3600)?;
    /// assert_eq!(db.wait_result(1, Some(Duration::from_secs(30)))?, "42");
    /// let late = db.wait_result(2, Some(Duration::ZERO)).unwrap_err();
    /// assert_eq!(late.to_string(), "wait_result(2) timed out");
    /// # Ok::<(), honker::Error>(())
    /// ```
    pub fn wait_result(&self, job_id: i64, timeout: Option<Duration>) -> Result<String> {
        use honker_core::consume::{Next, ResultWait};
        match ResultWait::new(self.engine(), job_id)?.next(timeout)? {
            Next::Item(value) => Ok(value),
            Next::Timeout | Next::Woken => Err(Error::Timeout(format!("wait_result({job_id}) timed out"))),
        }
    }

    /// Removes the results that have expired; how many those were.
    pub fn sweep_results(&self) -> Result<i64> {
        Ok(self.engine().result_sweep()?)
    }

    /// Makes a batch, calls `fill` with it, and seals it: from then on it finishes with the last of its jobs. If `fill`
    /// fails it stays open, and nothing comes of it.
    pub fn batch<T>(&self, opts: BatchOpts, fill: impl FnOnce(&Batch) -> Result<T>) -> Result<T> {
        let batch = Batch::create(self, None, &opts)?;
        let filled = fill(&batch)?;
        batch.seal()?;
        Ok(filled)
    }

    /// Makes a batch that is empty and open. `opts` is a [`BatchOpts`], or a map of the same keys.
    pub fn create_batch<T: Serialize>(&self, opts: T) -> Result<Batch> {
        Batch::create(self, None, &opts)
    }

    /// As [`Database::create_batch`], in a transaction.
    pub fn create_batch_tx<T: Serialize>(&self, tx: &Transaction, opts: T) -> Result<Batch> {
        Batch::create(self, Some(tx), &opts)
    }

    /// A batch by its id, which need not be one.
    pub fn batch_by_id(&self, id: i64) -> Batch {
        Batch::new(self, id)
    }

    /// The jobs that a filter finds: to list them, or to deal with all of them. `filter` is a
    /// [`JobFilter`](crate::JobFilter), or a map of the same keys, as in SQL.
    pub fn jobs<T: Serialize>(&self, filter: T) -> Jobs {
        Jobs::new(self, &filter)
    }

    /// What is set for the queues: every one that has settings or jobs.
    pub fn queues(&self) -> Result<Vec<QueueSettings>> {
        Ok(self.engine().queues()?)
    }

    /// The dead jobs of all queues, by what they died of.
    pub fn dead_groups(&self) -> Result<Vec<DeadGroup>> {
        Ok(self.engine().dead_groups(None)?)
    }

    /// What was counted of each queue, how long jobs waited and ran, and how many there are now.
    pub fn metrics(&self) -> Result<Metrics> {
        Ok(self.engine().metrics()?)
    }

    /// The state of the database, for diagnosis. It waits for nobody, and reads nothing from the file.
    pub fn status(&self) -> Result<Status> {
        Ok(self.engine().status()?)
    }

    /// Ends every call that runs or waits now with [`Error::Interrupted`]. Later ones are not affected.
    pub fn interrupt(&self) -> Result<()> {
        Ok(self.engine().interrupt()?)
    }

    /// Closes the database: calls that run or wait end with [`Error::Closed`], an open transaction is rolled back, locks
    /// are given up and offsets saved, and when this returns the file is nobody's. Closing twice does no harm.
    pub fn close(&self) -> Result<()> {
        Ok(self.engine().close()?)
    }

    /// Calls `f` on a thread that may block, and waits for it without blocking a task: for calls that may wait for a lock,
    /// in a `tokio` runtime. If the future is dropped `f` runs to its end all the same.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> honker::Result<()> {
    /// # let db = honker::testing::TestDatabase::new()?;
    /// use honker::{EnqueueOpts, QueueOpts};
    /// let id = db.run(|db| db.queue("emails", QueueOpts::default()).enqueue(&"hello", EnqueueOpts::default())).await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let database = self.clone();
        blocking(move || f(&database)).await
    }
}

/// Calls `f` on a thread of the present runtime that may block. A panic goes on here.
#[cfg(feature = "tokio")]
pub(crate) async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(f).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(_) => Err(Error::Closed),
        },
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.path()).finish()
    }
}

/// The expression of a schedule: when it fires next after a time, in seconds since the Unix epoch. [`Error::Invalid`] if it
/// cannot be understood; the text names the piece.
///
/// ```
/// assert_eq!(honker::next_after("@every 5s", 100)?, 105);
/// assert!(honker::next_after("61 * * * *", 0).is_err());
/// # Ok::<(), honker::Error>(())
/// ```
pub fn next_after(expression: &str, from_unix: i64) -> Result<i64> {
    Ok(honker_core::schedule::Expression::parse(expression)?.next_after(from_unix)?)
}
