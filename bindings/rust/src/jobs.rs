//! Jobs looked at and dealt with many at a time.

use honker_core::queue as engine;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::{Database, Metadata, Result, Transaction};

/// What an action on many jobs has done.
///
/// ```
/// # use honker::JobFilter;
/// # let db = honker::testing::TestDatabase::new()?;
/// let applied = db.jobs(JobFilter { queue: Some("emails".to_owned()), ..Default::default() }).cancel()?;
/// assert_eq!((applied.changed, applied.conflicts), (0, 0));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Applied;
/// Dead jobs that died of the same: errors that differ in numbers and ids are one.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("emails", QueueOpts::default());
/// for n in 0..2 {
///     q.enqueue(&n, EnqueueOpts::default())?;
///     q.claim_one("worker-1")?.unwrap().fail(&format!("no route to host {n}"))?;
/// }
/// let groups = db.dead_groups()?;
/// assert_eq!((groups.len(), groups[0].count), (1, 2));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::DeadGroup;
/// A dead job.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("emails", QueueOpts::default());
/// q.enqueue(&"hello", EnqueueOpts::default())?;
/// q.claim_one("worker-1")?.unwrap().fail("no such address")?;
/// assert_eq!(q.dead(10)?[0].last_error.as_deref(), Some("no such address"));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::DeadJob;
/// What is known of a live job.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("emails", QueueOpts::default());
/// let id = q.enqueue(&"hello", EnqueueOpts::default())?;
/// assert_eq!(q.get_job(id)?.unwrap().state, "pending");
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Job as JobRow;
/// A page of a list, and where the next one begins.
///
/// ```
/// # use honker::JobFilter;
/// # let db = honker::testing::TestDatabase::new()?;
/// let page = db.jobs(JobFilter::default()).page(None)?;
/// assert!(page.jobs.is_empty() && page.cursor.is_none());
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::JobList;
/// A job, wherever it is: live, dead or done.
///
/// ```
/// # use honker::{EnqueueOpts, JobFilter, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// db.queue("emails", QueueOpts::default()).enqueue(&"hello", EnqueueOpts::default())?;
/// let job = db.jobs(JobFilter::default()).page(None)?.jobs.remove(0);
/// assert_eq!((job.state.as_str(), job.payload.as_str()), ("due", "\"hello\""));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::ListedJob;
/// How many jobs of a queue are in which condition.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("emails", QueueOpts::default());
/// q.enqueue(&"hello", EnqueueOpts::default())?;
/// assert_eq!(q.stats()?.pending, 1);
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::QueueStats;
/// What has become of a dead job that was to live again.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts, Requeued};
/// # let db = honker::testing::TestDatabase::new()?;
/// assert_eq!(db.queue("emails", QueueOpts::default()).requeue_dead(7)?, Requeued::NotFound);
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Requeued;

/// In which condition a job is.
///
/// ```
/// use honker::{JobFilter, JobState};
/// let troubled = JobFilter { states: vec![JobState::Dead, JobState::Blocked], ..Default::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Pending, and due.
    Due,
    /// Pending, and not due yet.
    Delayed,
    /// Claimed.
    Processing,
    /// Set aside until a slot of its concurrency key is free.
    Blocked,
    /// Dead.
    Dead,
    /// Done, and kept.
    Done,
}

impl JobState {
    fn name(self) -> &'static str {
        match self {
            JobState::Due => "due",
            JobState::Delayed => "delayed",
            JobState::Processing => "processing",
            JobState::Blocked => "blocked",
            JobState::Dead => "dead",
            JobState::Done => "done",
        }
    }
}

/// Which jobs are meant. What is not said does not matter; the default is all of them.
///
/// ```
/// # use honker::{JobFilter, JobState};
/// # let db = honker::testing::TestDatabase::new()?;
/// let unroutable = JobFilter {
///     queue: Some("emails".to_owned()),
///     states: vec![JobState::Dead],
///     error: Some("no route".to_owned()),
///     ..Default::default()
/// };
/// db.jobs(unroutable).retry()?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// The queue's name.
    pub queue: Option<String>,
    /// The conditions; empty: any.
    pub states: Vec<JobState>,
    /// The smallest id.
    pub min_id: Option<i64>,
    /// The largest id.
    pub max_id: Option<i64>,
    /// Who holds it.
    pub worker_id: Option<String>,
    /// Its unique key.
    pub unique_key: Option<String>,
    /// Its batch.
    pub batch_id: Option<i64>,
    /// It has at least these.
    pub metadata: Metadata,
    /// A part of the text that a dead job died of.
    pub error: Option<String>,
    /// The first second in which it was enqueued.
    pub created_from: Option<i64>,
    /// The last second in which it was enqueued.
    pub created_to: Option<i64>,
    /// The first second in which it died or was done.
    pub ended_from: Option<i64>,
    /// The last second in which it died or was done.
    pub ended_to: Option<i64>,
    /// By id, which is otherwise the newest first.
    pub oldest_first: bool,
    /// How many jobs are taken at a time, 1 to 1000. Default 100.
    pub page_size: Option<i64>,
}

impl JobFilter {
    fn to_json(&self) -> Json {
        let mut object = Map::new();
        let numbers = [
            ("min_id", self.min_id),
            ("max_id", self.max_id),
            ("batch_id", self.batch_id),
            ("created_from", self.created_from),
            ("created_to", self.created_to),
            ("ended_from", self.ended_from),
            ("ended_to", self.ended_to),
            ("limit", self.page_size),
        ];
        let texts = [
            ("queue", &self.queue),
            ("worker_id", &self.worker_id),
            ("unique_key", &self.unique_key),
            ("error", &self.error),
        ];
        let mut set = |key: &str, value: Json| object.insert(key.to_owned(), value);
        for (key, number) in numbers {
            number.map(|number| set(key, number.into()));
        }
        for (key, text) in texts {
            text.as_ref().map(|text| set(key, text.as_str().into()));
        }
        if !self.states.is_empty() {
            set("state", self.states.iter().map(|state| state.name()).collect::<Vec<_>>().into());
        }
        if !self.metadata.is_empty() {
            set("metadata", serde_json::json!(self.metadata));
        }
        if self.oldest_first {
            set("order", "oldest".into());
        }
        Json::Object(object)
    }
}

impl Serialize for JobFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// The jobs that a filter finds. Each call looks at the file anew.
///
/// ```
/// # use honker::{EnqueueOpts, JobFilter, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// # db.queue("emails", QueueOpts::default()).enqueue(&"hello", EnqueueOpts::default())?;
/// let emails = db.jobs(JobFilter { queue: Some("emails".to_owned()), ..Default::default() });
/// for job in emails.iter() {
///     println!("{}", job?.id);
/// }
/// assert_eq!(emails.set_priority(10)?.changed, 1);
/// assert_eq!(emails.cancel()?.changed, 1);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Jobs {
    database: Database,
    filter: Json,
}

impl Jobs {
    pub(crate) fn new<T: Serialize>(database: &Database, filter: &T) -> Self {
        // What is no object is refused by the calls.
        let filter = serde_json::to_value(filter).unwrap_or(Json::Null);
        Jobs { database: database.clone(), filter }
    }

    fn filter(&self, cursor: Option<i64>) -> String {
        let mut filter = self.filter.clone();
        if let (Some(cursor), Json::Object(object)) = (cursor, &mut filter) {
            object.insert("cursor".to_owned(), cursor.into());
        }
        filter.to_string()
    }

    /// A page: the first one, or the one where another has said that it goes on.
    pub fn page(&self, cursor: Option<i64>) -> Result<JobList> {
        Ok(self.database.engine().jobs_list(&self.filter(cursor))?)
    }

    /// All of them, page by page.
    pub fn iter(&self) -> impl Iterator<Item = Result<ListedJob>> + use<> {
        let (jobs, mut cursor, mut more) = (self.clone(), None, true);
        std::iter::from_fn(move || {
            if !std::mem::take(&mut more) {
                return None;
            }
            Some(match jobs.page(cursor) {
                Ok(page) => {
                    (cursor, more) = (page.cursor, page.cursor.is_some());
                    page.jobs.into_iter().map(Ok).collect::<Vec<_>>()
                }
                Err(error) => vec![Err(error)],
            })
        })
        .flatten()
    }

    /// Makes dead jobs pending again, due now, with their attempts unused.
    pub fn retry(&self) -> Result<Applied> {
        self.apply_all("retry")
    }

    /// Makes delayed jobs due now.
    pub fn run_now(&self) -> Result<Applied> {
        self.apply_all("run_now")
    }

    /// Removes live jobs.
    pub fn cancel(&self) -> Result<Applied> {
        self.apply_all("cancel")
    }

    /// Removes dead and done jobs.
    pub fn delete(&self) -> Result<Applied> {
        self.apply_all("delete")
    }

    /// Moves jobs that wait, or are dead, to another queue.
    pub fn move_to(&self, queue: &str) -> Result<Applied> {
        self.apply_all(&serde_json::json!({ "move": queue }).to_string())
    }

    /// Gives live jobs another priority.
    pub fn set_priority(&self, priority: i64) -> Result<Applied> {
        self.apply_all(&serde_json::json!({ "priority": priority }).to_string())
    }

    /// One page of an action, by its name in SQL (`retry`, `{"move": "other"}`), in a transaction or by itself.
    pub fn apply_page(&self, tx: Option<&Transaction>, cursor: Option<i64>, action: &str) -> Result<Applied> {
        call!(&self.database, tx, jobs_apply(&self.filter(cursor), action))
    }

    /// A page after the other, each in a commit of its own, so that others write in between.
    fn apply_all(&self, action: &str) -> Result<Applied> {
        let mut all = self.apply_page(None, None, action)?;
        while let Some(cursor) = all.cursor {
            let next = self.apply_page(None, Some(cursor), action)?;
            all = Applied {
                changed: all.changed + next.changed,
                conflicts: all.conflicts + next.conflicts,
                left: next.left,
                cursor: next.cursor,
            };
        }
        Ok(all)
    }
}
