//! Durable job queues, event streams, notifications, locks, rate limits, results, outboxes and a cron scheduler in the
//! SQLite file that your application already has.
//!
//! A commit to the file, by anyone in any process, wakes whoever waits for it: nothing polls, and idle costs nothing. Jobs
//! are enqueued in the transaction of your own data, or not at all.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(folder.path())?;
//! use honker::{Database, EnqueueOpts, QueueOpts};
//! use serde_json::json;
//!
//! let db = Database::open("app.db")?;
//! let q = db.queue("greetings", QueueOpts::default());
//! q.enqueue(&json!({"name": "world"}), EnqueueOpts::default())?;
//! if let Some(job) = q.claim_one("worker-1")? {
//!     let payload: serde_json::Value = serde_json::from_slice(&job.payload)?;
//!     println!("hello, {}!", payload["name"]);
//!     job.ack()?;
//! }
//! # Ok(()) }
//! ```
//!
//! # Where to begin
//!
//! - [`Database`] is an open file; [`Queue`] enqueues and claims; [`Transaction`] does that together with your own SQL, and
//!   [`foreign`] with a connection of your own (rusqlite, sqlx, diesel).
//! - [`Worker`] runs jobs in production: side by side, with retries, cancellation, signals and schedules.
//! - [`Stream`], [`Subscription`], [`Scheduler`], [`Outbox`], [`Lock`] do what they are called.
//! - [`testing`] is for your tests.
//!
//! # Features
//!
//! | feature | what it does |
//! | --- | --- |
//! | `bundled-sqlite` (default) | compiles SQLite in |
//! | `tokio` | waits as futures and streams ([`Async`]), workers whose handlers are futures ([`Worker::run_async`]), [`Database::run`] |
//!
//! Without `bundled-sqlite` the system's SQLite is linked, which has to be 3.38 or newer, with threads. Only one crate of a
//! build may link SQLite, so rusqlite is a range of versions (0.38 to 0.40): Cargo finds the one that goes with what you have.
//!
//! # Threads, forks and shutdown
//!
//! Handles may be shared between threads, but for what waits, which takes `&mut self`. Writes of several threads that meet
//! share a commit. A handle that a forked child inherits answers [`Error::Forked`]. A process that is killed leaves its jobs
//! to others: at once those of a [`Worker`], on Linux, and the others when their claims are over.
#![deny(missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks)]
#![cfg_attr(docsrs, feature(doc_cfg))]

/// Calls an operation of the engine's, by itself or in a transaction.
macro_rules! call {
    ($database:expr, $tx:expr, $method:ident($($argument:expr),*)) => {
        match $tx {
            None => $database.engine().$method($($argument),*).map_err($crate::Error::from),
            Some(tx) => tx.within($database, |tx| tx.$method($($argument),*)),
        }
    };
}

#[cfg(all(unix, feature = "tokio"))]
mod asynchronous;
mod batch;
mod claims;
mod database;
mod enqueue;
mod error;
pub mod foreign;
mod job;
mod jobs;
mod json;
mod lock;
mod metrics;
mod names;
mod notification;
mod outbox;
mod queue;
mod scheduler;
mod settings;
mod step;
mod stream;
pub mod testing;
mod transaction;
mod typed;
mod updates;
mod value;
mod waiting;
mod worker;

#[cfg(all(unix, feature = "tokio"))]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub use asynchronous::{Async, Waiting};
pub use batch::{Batch, BatchOpts, BatchStatus};
pub use claims::{
    ClaimOptions, ClaimWaker, Claimer, Claims, LostJob, LostReason, Settlement, Verdict, WorkerQueue,
};
pub use database::{Database, Durability, JournalMode, OpenOptions, next_after};
pub use enqueue::{
    EnqueueOpts, EnqueueStatus, Enqueued, JobSpec, Member, Metadata, OnConflict, Unique, UniqueUntil,
};
pub use error::{Cause, Error, Result};
pub use job::Job;
pub use jobs::{
    Applied, DeadGroup, DeadJob, JobFilter, JobList, JobRow, JobState, Jobs, ListedJob, QueueStats, Requeued,
};
pub use lock::Lock;
pub use metrics::{
    Bucket, Connections, Counts, Depth, Histogram, Metrics, QueueMetrics, Status, Versions, Warning,
    WatcherStatus,
};
pub use notification::{Notification, Subscription};
pub use outbox::{Outbox, OutboxOpts, OutboxWorker};
pub use queue::{Queue, QueueOpts};
pub use scheduler::{
    FireStatus, Leading, Overlap, ScheduleRow, ScheduleUpdate, ScheduledFire, ScheduledTask, Scheduler,
};
pub use settings::{Backoff, Change, QueueSettings, QueueUpdate, Rate, Settings, StreamUpdate, TrimOpts};
pub use stream::{Stream, StreamEvent, StreamSubscription, SubscribeOpts};
pub use transaction::Transaction;
pub use typed::TypedQueue;
pub use updates::UpdateEvents;
pub use value::{Column, FromValue, Row, Value};
pub use waiting::Waker;
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub use worker::AsyncNext;
pub use worker::{
    Cancelled, Failure, JobContext, Next, Outcome, QueueArgument, Stopper, Worker, WorkerBuilder,
};
