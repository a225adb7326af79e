//! What a file and a database say of themselves.

use honker_core::{counters, database, queue, watch};

/// One part of a [`Histogram`].
///
/// ```
/// let last = honker::Bucket { up_to_s: None, count: 3 };
/// assert!(last.up_to_s.is_none());
/// ```
#[doc(inline)]
pub use counters::Bucket;
/// How often something took how long. See [`Metrics`].
///
/// ```
/// let took = honker::Histogram { sum_s: 0.5, buckets: vec![honker::Bucket { up_to_s: None, count: 1 }] };
/// assert_eq!(took.buckets[0].count, 1);
/// ```
#[doc(inline)]
pub use counters::Histogram;
/// What is known of the queues of a file.
///
/// ```
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// db.queue("emails", QueueOpts::default()).enqueue(&"hello", EnqueueOpts::default())?;
/// for queue in db.metrics()?.queues {
///     println!("{}: {} due, {} dead", queue.queue, queue.depth.due, queue.depth.dead);
/// }
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use counters::Metrics;
/// What is known of a queue. See [`Metrics`].
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let queues: Vec<honker::QueueMetrics> = db.metrics()?.queues;
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use counters::QueueMetrics;
/// How often something happened to a job of a queue. See [`Metrics`].
///
/// ```
/// assert_eq!(honker::Counts::default().enqueued, 0);
/// ```
#[doc(inline)]
pub use counters::Totals as Counts;
/// How many connections a database has. See [`Status`].
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// assert_eq!(db.status()?.connections.readers_max, 8);
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use database::Connections;
/// The state of a database, for diagnosis.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let status = db.status()?;
/// assert_eq!(status.connections.writers, 1);
/// println!("{} on SQLite {}", status.versions.honker, status.versions.sqlite);
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use database::Status;
/// Versions of what runs here. See [`Status`].
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// assert!(db.status()?.versions.sqlite.starts_with("3."));
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use database::Versions;
/// How many jobs a queue has now. See [`Metrics`].
///
/// ```
/// assert_eq!(honker::Depth::default().due, 0);
/// ```
#[doc(inline)]
pub use queue::Depth;
/// How the file is watched. See [`Status`].
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let _news = db.listen("news")?; // the first that waits
/// assert_eq!(db.status()?.watcher.unwrap().backend, "auto");
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use watch::Status as WatcherStatus;
/// Something that an operator should know. See [`Status`].
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// for warning in db.status()?.warnings {
///     println!("{} ({} times)", warning.text, warning.count);
/// }
/// # Ok::<(), honker::Error>(())
/// ```
#[doc(inline)]
pub use watch::Warning;
