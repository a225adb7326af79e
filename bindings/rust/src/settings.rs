//! What is set for queues and topics, in the file, for every process at once.

use honker_core::queue as engine;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

/// When a job that has failed is tried again: `base_s * factor^(attempts - 1)` seconds later, at most `max_s`, and `jitter`
/// of that at random. The default is 15 s, 2, an hour, 0.1.
///
/// ```
/// # use honker::{Backoff, QueueOpts, QueueUpdate};
/// # let db = honker::testing::TestDatabase::new()?;
/// let backoff = Backoff { base_s: 5, ..Backoff::default() };
/// let update = QueueUpdate { retry: backoff.into(), ..Default::default() };
/// db.queue("emails", QueueOpts::default()).configure(&update)?;
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Backoff;
/// A queue, and what is set for it.
///
/// ```
/// # use honker::QueueOpts;
/// # let db = honker::testing::TestDatabase::new()?;
/// db.queue("emails", QueueOpts::default()).pause()?;
/// let paused: Vec<_> = db.queues()?.into_iter().filter(|queue| queue.settings.paused).collect();
/// assert_eq!(paused[0].queue, "emails");
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::QueueSettings;
/// At most `limit` claims in each window of `per_s` seconds.
///
/// ```
/// # use honker::{QueueOpts, QueueUpdate, Rate};
/// # let db = honker::testing::TestDatabase::new()?;
/// let update = QueueUpdate { rate: Rate { limit: 100, per_s: 60 }.into(), ..Default::default() };
/// db.queue("emails", QueueOpts::default()).configure(&update)?;
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Rate;
/// What is set for a queue. See [`QueueUpdate`], which sets it.
///
/// ```
/// # use honker::QueueOpts;
/// # let db = honker::testing::TestDatabase::new()?;
/// let settings = db.queue("emails", QueueOpts::default()).settings()?;
/// assert!(!settings.paused && settings.max_attempts == 3);
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use engine::Settings;

/// What becomes of a setting. A value is made into [`Change::To`] by `into()`.
///
/// ```
/// use honker::Change;
/// assert_eq!(Change::from(20), Change::To(20));
/// assert_eq!(Change::<i64>::default(), Change::Keep);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes what holds where nothing is set.
    Reset,
    /// It becomes this.
    To(T),
}

impl<T> From<T> for Change<T> {
    fn from(value: T) -> Self {
        Change::To(value)
    }
}

impl<T> Change<T> {
    /// `Some(None)` is NULL.
    pub(crate) fn map<U>(&self, value: impl FnOnce(&T) -> U) -> Option<Option<U>> {
        match self {
            Change::Keep => None,
            Change::Reset => Some(None),
            Change::To(to) => Some(Some(value(to))),
        }
    }

    fn put(&self, object: &mut Map<String, Json>, key: &str, value: impl FnOnce(&T) -> Json) {
        object.extend(self.map(value).map(|value| (key.to_owned(), value.unwrap_or(Json::Null))));
    }
}

/// What to set for a queue. What is not said stays.
///
/// ```
/// # use honker::{Change, QueueOpts, QueueUpdate};
/// # let db = honker::testing::TestDatabase::new()?;
/// let q = db.queue("emails", QueueOpts::default());
/// q.configure(&QueueUpdate { concurrency: 20.into(), keep_done_s: 3600.into(), ..Default::default() })?;
/// q.configure(&QueueUpdate { concurrency: Change::Reset, ..Default::default() })?;
/// assert_eq!((q.settings()?.concurrency, q.settings()?.keep_done_s), (None, 3600));
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueUpdate {
    /// Claims answer empty. What runs goes on.
    pub paused: Change<bool>,
    /// So many claims may be valid at once, of all processes.
    pub concurrency: Change<i64>,
    /// So many of jobs with the same [`EnqueueOpts::concurrency_key`](crate::EnqueueOpts::concurrency_key).
    pub concurrency_per_key: Change<i64>,
    /// How many claims there may be in a time.
    pub rate: Change<Rate>,
    /// How often a job may be claimed whose enqueue does not say.
    pub max_attempts: Change<i64>,
    /// When a job that has failed is tried again, if its settlement does not say. It goes before the worker's.
    pub retry: Change<Backoff>,
    /// For how many seconds done jobs can be read.
    pub keep_done_s: Change<i64>,
    /// For how many seconds dead jobs are kept.
    pub keep_dead_s: Change<i64>,
}

impl QueueUpdate {
    fn to_json(&self) -> Json {
        let mut object = Map::new();
        let number = |number: &i64| Json::from(*number);
        self.paused.put(&mut object, "paused", |paused| (*paused).into());
        self.concurrency.put(&mut object, "concurrency", number);
        self.concurrency_per_key.put(&mut object, "concurrency_per_key", number);
        self.rate.put(
            &mut object,
            "rate",
            |rate| serde_json::json!({ "limit": rate.limit, "per_s": rate.per_s }),
        );
        self.max_attempts.put(&mut object, "max_attempts", number);
        self.retry.put(&mut object, "retry", |retry| {
            let Backoff { base_s, factor, max_s, jitter } = retry;
            serde_json::json!({ "base_s": base_s, "factor": factor, "max_s": max_s, "jitter": jitter })
        });
        self.keep_done_s.put(&mut object, "keep_done_s", number);
        self.keep_dead_s.put(&mut object, "keep_dead_s", number);
        object.into()
    }
}

/// What to set for a topic. What is not said stays.
///
/// ```
/// # use honker::StreamUpdate;
/// # let db = honker::testing::TestDatabase::new()?;
/// db.stream("orders").configure(&StreamUpdate { keep_n: 10_000.into(), ..Default::default() })?;
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamUpdate {
    /// For how many seconds an event is kept.
    pub keep_s: Change<i64>,
    /// How many events are kept, the newest ones.
    pub keep_n: Change<i64>,
}

impl StreamUpdate {
    fn to_json(&self) -> Json {
        let mut object = Map::new();
        self.keep_s.put(&mut object, "keep_s", |keep_s| (*keep_s).into());
        self.keep_n.put(&mut object, "keep_n", |keep_n| (*keep_n).into());
        object.into()
    }
}

/// What of a topic to keep now. What is not said is as set for the topic.
///
/// ```
/// # use honker::TrimOpts;
/// # let db = honker::testing::TestDatabase::new()?;
/// let orders = db.stream("orders");
/// for n in 0..3 {
///     orders.publish(&n)?;
/// }
/// assert_eq!(orders.trim(&TrimOpts { keep_n: Some(1), ..Default::default() })?, 2);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TrimOpts {
    /// For how many seconds an event is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_s: Option<i64>,
    /// How many events are kept, the newest ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_n: Option<i64>,
    /// Events that a consumer has not finished may be removed as well.
    pub past_consumers: bool,
}

macro_rules! serialize {
    ($($type:ty),*) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.to_json().serialize(serializer)
            }
        })*
    };
}

serialize!(QueueUpdate, StreamUpdate);
