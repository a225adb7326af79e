//! What a job is enqueued with.

use std::collections::BTreeMap;
use std::sync::Arc;

use honker_core::queue as engine;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::{Database, Job, Result, Transaction, json};

/// Texts that travel with a job, at most 8 kB of JSON. The keys `traceparent` and `tracestate` are OpenTelemetry's.
///
/// ```
/// let metadata = honker::Metadata::from([("tenant".to_owned(), "acme".to_owned())]);
/// # assert_eq!(metadata["tenant"], "acme");
/// ```
pub type Metadata = BTreeMap<String, String>;

pub(crate) type EnqueueHook = Arc<
    dyn Fn(&mut [JobSpec], &mut dyn FnMut(&mut [JobSpec]) -> Result<Vec<Enqueued>>) -> Result<Vec<Enqueued>>
        + Send
        + Sync,
>;

/// Whether a job was enqueued, or what became of it because another one has its unique key.
///
/// ```
/// # use honker::{EnqueueOpts, EnqueueStatus, QueueOpts, Unique};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("reminders", QueueOpts::default());
/// let once = || EnqueueOpts { unique: Some(Unique::new("alice")), ..Default::default() };
/// let first = q.enqueue_with(&1, once())?;
/// let second = q.enqueue_with(&2, once())?;
/// assert_eq!((second.id, second.status), (first.id, EnqueueStatus::Exists));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::EnqueueStatus;
/// What an enqueue has done. See [`EnqueueStatus`] for an example.
///
/// ```
/// # use honker::{EnqueueOpts, EnqueueStatus, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let enqueued = db.queue("emails", QueueOpts::default()).enqueue_with(&"hello", EnqueueOpts::default())?;
/// assert_eq!(enqueued.status, EnqueueStatus::Enqueued);
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Enqueued;
/// What becomes of a job whose unique key is taken: by default it is not enqueued.
///
/// ```
/// # use honker::{EnqueueOpts, EnqueueStatus, OnConflict, QueueOpts, Unique};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("saves", QueueOpts::default());
/// // Debounce: the last one counts, a minute after the first.
/// let opts = || EnqueueOpts {
///     delay: Some(60),
///     unique: Some(Unique { on_conflict: OnConflict::Replace, ..Unique::new("document-7") }),
///     ..Default::default()
/// };
/// q.enqueue(&"draft", opts())?;
/// assert_eq!(q.enqueue_with(&"final", opts())?.status, EnqueueStatus::Replaced);
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::OnConflict;
/// Until when a job has its unique key: by default until it is settled for good.
///
/// ```
/// # use honker::{EnqueueOpts, EnqueueStatus, QueueOpts, Unique, UniqueUntil};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("rebuild", QueueOpts::default());
/// // Once more while one runs, and only once.
/// let opts = || EnqueueOpts {
///     unique: Some(Unique { until: UniqueUntil::Claimed, ..Unique::new("index") }),
///     ..Default::default()
/// };
/// q.enqueue(&(), opts())?;
/// let running = q.claim_one("worker-1")?;
/// assert_eq!(q.enqueue_with(&(), opts())?.status, EnqueueStatus::Enqueued);
/// assert_eq!(q.enqueue_with(&(), opts())?.status, EnqueueStatus::Exists);
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::UniqueUntil;

/// Of what there is to be only one job in a queue.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts, Unique};
/// # let db = honker::testing::TestDatabase::new()?;
/// // Throttle: one in ten minutes.
/// let unique = Unique { for_s: Some(600), ..Unique::new("digest-7") };
/// db.queue("emails", QueueOpts::default())
///     .enqueue(&7, EnqueueOpts { unique: Some(unique), ..Default::default() })?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// What no two jobs of a queue share.
    pub key: String,
    /// Until when the job has it. Default: until it is done, dead or cancelled.
    pub until: UniqueUntil,
    /// And for so many seconds at least, whatever becomes of the job. At least 1. Default: no longer.
    pub for_s: Option<i64>,
    /// What becomes of a job whose key is taken. Default: it is not enqueued.
    pub on_conflict: OnConflict,
}

impl Unique {
    /// A key with the defaults.
    pub fn new(key: impl Into<String>) -> Self {
        let (until, on_conflict) = (UniqueUntil::default(), OnConflict::default());
        Unique { key: key.into(), until, for_s: None, on_conflict }
    }
}

/// A running job of a batch, on whose behalf another one joins the batch although that is sealed. See
/// [`Job::member`](crate::Job::member).
///
/// ```
/// # use honker::{BatchOpts, EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("pages", QueueOpts::default());
/// let batch = db.create_batch(BatchOpts::default())?;
/// q.enqueue(&1, EnqueueOpts { batch_id: Some(batch.id()), ..Default::default() })?;
/// batch.seal()?;
/// let job = q.claim_one("worker-1")?.unwrap();
/// let opts = EnqueueOpts { batch_id: Some(batch.id()), member: Some(job.member()), ..Default::default() };
/// q.enqueue(&2, opts)?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The job.
    pub job_id: i64,
    /// Who has claimed it.
    pub worker_id: String,
}

/// Options of a job. The default: due now, priority 0, no expiry, as many attempts as its queue says.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// let opts = EnqueueOpts { delay: Some(60), priority: 10, max_attempts: Some(10), ..Default::default() };
/// db.queue("emails", QueueOpts::default()).enqueue(&"hello", opts)?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnqueueOpts {
    /// Seconds from now until the job becomes due; may be negative.
    pub delay: Option<i64>,
    /// When the job becomes due, in seconds since the Unix epoch. Ignored when `delay` is given.
    pub run_at: Option<i64>,
    /// Larger is sooner.
    pub priority: i64,
    /// Seconds from now after which the job may not be claimed any more; 0 or less means it is born expired.
    pub expires: Option<i64>,
    /// How often the job may be claimed. `None`: as [`QueueOpts::max_attempts`](crate::QueueOpts) says.
    pub max_attempts: Option<i64>,
    /// Comes back with the job.
    pub metadata: Metadata,
    /// Of what there is to be only one job in the queue.
    pub unique: Option<Unique>,
    /// What the job shares with the jobs of its queue that are not to run at the same time as it, if the queue's
    /// `concurrency_per_key` is set.
    pub concurrency_key: Option<String>,
    /// The batch that it belongs to.
    pub batch_id: Option<i64>,
    /// On whose behalf it joins a batch that is sealed.
    pub member: Option<Member>,
    /// For how many seconds it may run, at least 1. `None`: as long as its worker says.
    pub max_run_s: Option<i64>,
}

impl EnqueueOpts {
    /// The metadata as the engine takes it.
    fn metadata_json(&self) -> Option<String> {
        // Texts always can be encoded.
        (!self.metadata.is_empty()).then(|| serde_json::to_string(&self.metadata).unwrap_or_default())
    }

    fn job<'a>(&'a self, queue: &'a str, payload: &'a str, metadata: Option<&'a str>) -> engine::Enqueue<'a> {
        engine::Enqueue {
            queue,
            payload,
            run_at: self.run_at,
            delay_s: self.delay,
            priority: self.priority,
            max_attempts: self.max_attempts,
            expires_s: self.expires,
            metadata,
            concurrency_key: self.concurrency_key.as_deref(),
            batch_id: self.batch_id,
            member: self
                .member
                .as_ref()
                .map(|member| engine::Member { job_id: member.job_id, worker_id: &member.worker_id }),
            unique: self.unique.as_ref().map(|unique| engine::Unique {
                key: &unique.key,
                until: unique.until,
                for_s: unique.for_s,
                on_conflict: unique.on_conflict,
            }),
            max_run_s: self.max_run_s,
        }
    }

    /// Refuses texts that none may have.
    fn check(&self, queue: &str, payload: &str) -> Result<()> {
        let unique_key = self.unique.as_ref().map(|unique| &*unique.key).unwrap_or_default();
        let concurrency_key = self.concurrency_key.as_deref().unwrap_or_default();
        let worker_id = self.member.as_ref().map(|member| &*member.worker_id).unwrap_or_default();
        crate::names::check([
            ("queue", queue),
            ("payload", payload),
            ("unique_key", unique_key),
            ("concurrency_key", concurrency_key),
            ("worker_id", worker_id),
        ])
    }

    /// Calls `body` with the job that has these options.
    pub(crate) fn with_job<T>(
        &self,
        queue: &str,
        payload: &str,
        body: impl FnOnce(engine::Enqueue<'_>) -> T,
    ) -> T {
        let metadata = self.metadata_json();
        body(self.job(queue, payload, metadata.as_deref()))
    }

    /// The options as an object, for a job that the file enqueues later.
    pub(crate) fn to_json(&self) -> Map<String, Json> {
        let mut object = Map::new();
        let mut set =
            |key: &str, value: Option<Json>| object.extend(value.map(|value| (key.to_owned(), value)));
        set("delay_s", self.delay.map(Json::from));
        set("run_at", self.run_at.map(Json::from));
        set("priority", (self.priority != 0).then(|| self.priority.into()));
        set("expires_s", self.expires.map(Json::from));
        set("max_attempts", self.max_attempts.map(Json::from));
        set("metadata", (!self.metadata.is_empty()).then(|| serde_json::json!(self.metadata)));
        set("concurrency_key", self.concurrency_key.as_deref().map(Json::from));
        set("batch_id", self.batch_id.map(Json::from));
        set("max_run_s", self.max_run_s.map(Json::from));
        if let Some(member) = &self.member {
            set(
                "member",
                Some(serde_json::json!({ "job_id": member.job_id, "worker_id": member.worker_id })),
            );
        }
        if let Some(unique) = &self.unique {
            set("unique_key", Some(unique.key.as_str().into()));
            set("unique_for_s", unique.for_s.map(Json::from));
            let until = match unique.until {
                UniqueUntil::Settled => "settled",
                UniqueUntil::Claimed => "claimed",
            };
            let on_conflict = match unique.on_conflict {
                OnConflict::Keep => "keep",
                OnConflict::Replace => "replace",
            };
            set("unique_until", Some(until.into()));
            set("on_conflict", Some(on_conflict.into()));
        }
        object
    }
}

/// A job to enqueue: for [`Database::enqueue_many`], and for what is enqueued when a batch has finished.
///
/// ```
/// # use honker::{EnqueueOpts, JobSpec};
/// # let db = honker::testing::TestDatabase::new()?;
/// let urgent = EnqueueOpts { priority: 10, ..Default::default() };
/// db.enqueue_many(&[
///     JobSpec::new("emails", &"alice", EnqueueOpts::default())?,
///     JobSpec::new("reports", &"2026-01", urgent)?,
/// ])?; // both, or neither
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// The queue's name.
    pub queue: String,
    /// The payload as it is stored: JSON, unless somebody wants another text.
    pub payload: String,
    /// Its options.
    pub options: EnqueueOpts,
}

impl JobSpec {
    /// A job whose payload is encoded as JSON. [`Error::Json`](crate::Error::Json) if that cannot be.
    pub fn new<T: Serialize + ?Sized>(
        queue: impl Into<String>,
        payload: &T,
        options: EnqueueOpts,
    ) -> Result<Self> {
        Ok(JobSpec { queue: queue.into(), payload: json::encode("the payload", payload)?, options })
    }
}

/// Enqueues one job, through the hooks.
pub(crate) fn enqueue_one(
    db: &Database,
    tx: Option<&Transaction>,
    queue: &str,
    payload: String,
    options: EnqueueOpts,
) -> Result<Enqueued> {
    if db.options().hooks.is_empty() {
        options.check(queue, &payload)?;
        return options.with_job(queue, &payload, |job| call!(db, tx, enqueue(&job)));
    }
    let mut jobs = [JobSpec { queue: queue.to_owned(), payload, options }];
    let enqueued = through_hooks(db, tx, &db.options().hooks, &mut jobs)?;
    let first = enqueued.first().copied();
    first.ok_or_else(|| crate::Error::invalid("a hook of around_enqueue has not said what became of the job"))
}

/// Enqueues jobs, through the hooks.
pub(crate) fn enqueue_all(
    db: &Database,
    tx: Option<&Transaction>,
    jobs: &[JobSpec],
) -> Result<Vec<Enqueued>> {
    if db.options().hooks.is_empty() {
        return direct(db, tx, jobs);
    }
    through_hooks(db, tx, &db.options().hooks, &mut jobs.to_vec())
}

fn through_hooks(
    db: &Database,
    tx: Option<&Transaction>,
    hooks: &[EnqueueHook],
    jobs: &mut [JobSpec],
) -> Result<Vec<Enqueued>> {
    match hooks.split_first() {
        None => direct(db, tx, jobs),
        Some((first, further)) => first(jobs, &mut |jobs| through_hooks(db, tx, further, jobs)),
    }
}

fn direct(db: &Database, tx: Option<&Transaction>, jobs: &[JobSpec]) -> Result<Vec<Enqueued>> {
    jobs.iter().try_for_each(|job| job.options.check(&job.queue, &job.payload))?;
    let metadata: Vec<Option<String>> = jobs.iter().map(|job| job.options.metadata_json()).collect();
    let jobs: Vec<engine::Enqueue<'_>> = jobs
        .iter()
        .zip(&metadata)
        .map(|(job, metadata)| job.options.job(&job.queue, &job.payload, metadata.as_deref()))
        .collect();
    match &jobs[..] {
        [job] => Ok(vec![call!(db, tx, enqueue(job))?]),
        jobs => call!(db, tx, enqueue_many(jobs)),
    }
}

impl From<&Job> for Member {
    fn from(job: &Job) -> Self {
        Member { job_id: job.id, worker_id: job.worker_id.clone() }
    }
}
