//! Batches: jobs that are waited for together.

use honker_core::batch as engine;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::{Database, JobSpec, Result, Transaction, json};

/// How far a batch is. See [`Batch`] for an example.
///
/// ```
/// # use honker::BatchOpts;
/// # let db = honker::testing::TestDatabase::new()?;
/// let batch = db.create_batch(BatchOpts::default())?;
/// let status = batch.status()?.unwrap();
/// assert_eq!((status.total, status.sealed, status.finished_at), (0, false, None));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Batch as BatchStatus;

/// What is enqueued when a batch has finished. The default is nothing.
///
/// ```
/// # use honker::{BatchOpts, EnqueueOpts, JobSpec};
/// # let db = honker::testing::TestDatabase::new()?;
/// let opts = BatchOpts {
///     on_success: Some(JobSpec::new("emails", &"all pages are there", EnqueueOpts::default())?),
///     ..Default::default()
/// };
/// db.batch(opts, |_| Ok(()))?; // sealed empty: it has finished
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchOpts {
    /// Is enqueued with the end of the last job, however the jobs ended.
    pub on_finished: Option<JobSpec>,
    /// Is enqueued too, if all of them are done.
    pub on_success: Option<JobSpec>,
    /// For how many seconds the batch can be looked at after it has finished. Default: a day.
    pub keep_s: Option<i64>,
}

impl BatchOpts {
    fn to_json(&self) -> Json {
        let callback = |spec: &JobSpec| serde_json::json!({ "queue": spec.queue, "payload": spec.payload, "options": spec.options.to_json() });
        let mut object = Map::new();
        object.extend(self.on_finished.as_ref().map(|spec| ("on_finished".to_owned(), callback(spec))));
        object.extend(self.on_success.as_ref().map(|spec| ("on_success".to_owned(), callback(spec))));
        object.extend(self.keep_s.map(|keep_s| ("keep_s".to_owned(), keep_s.into())));
        object.into()
    }
}

impl Serialize for BatchOpts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// Jobs that are waited for together: those that were enqueued with its id. Once it is sealed it finishes with the last of
/// them, and what that enqueues is there exactly once, whoever dies when.
///
/// ```
/// # use honker::{BatchOpts, EnqueueOpts, JobSpec, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let pages = db.queue("pages", QueueOpts::default());
/// let done = JobSpec::new("emails", &"all pages are there", EnqueueOpts::default())?;
/// let id = db.batch(BatchOpts { on_finished: Some(done), ..Default::default() }, |batch| {
///     for page in 1..=3 {
///         pages.enqueue(&page, EnqueueOpts { batch_id: Some(batch.id()), ..Default::default() })?;
///     }
///     Ok(batch.id())
/// })?; // sealed
/// for job in pages.claim_batch("worker-1", -1)? {
///     job.ack()?;
/// }
/// assert_eq!(db.batch_by_id(id).status()?.unwrap().done, 3);
/// assert!(db.queue("emails", QueueOpts::default()).claim_one("worker-1")?.is_some());
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batch {
    database: Database,
    id: i64,
}

impl Batch {
    pub(crate) fn new(database: &Database, id: i64) -> Self {
        Batch { database: database.clone(), id }
    }

    pub(crate) fn create<T: Serialize + ?Sized>(
        database: &Database,
        tx: Option<&Transaction>,
        opts: &T,
    ) -> Result<Self> {
        let opts = json::encode("the options of the batch", opts)?;
        let id: Result<i64> = call!(database, tx, batch_create(&opts));
        Ok(Batch::new(database, id?))
    }

    /// Its id, for [`EnqueueOpts::batch_id`](crate::EnqueueOpts::batch_id).
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Closes it to all but its running members ([`EnqueueOpts::member`](crate::EnqueueOpts::member)); `false` if it was
    /// sealed before.
    pub fn seal(&self) -> Result<bool> {
        Ok(self.database.engine().batch_seal(self.id)?)
    }

    /// As [`Batch::seal`], in a transaction.
    pub fn seal_tx(&self, tx: &Transaction) -> Result<bool> {
        call!(&self.database, Some(tx), batch_seal(self.id))
    }

    /// How far it is; `None` if there is none of this id, or not any more.
    pub fn status(&self) -> Result<Option<BatchStatus>> {
        Ok(self.database.engine().batch_get(self.id)?)
    }
}
