//! Helps to test what enqueues jobs and what does them: a database of the test's own, jobs that run in the test's thread,
//! and a clock that the test moves.
//!
//! ```
//! use std::time::Duration;
//! use honker::testing::TestDatabase;
//! use honker::{Database, EnqueueOpts, QueueOpts};
//! use serde_json::json;
//!
//! fn sign_up(db: &Database, name: &str) -> honker::Result<i64> {
//!     let tomorrow = EnqueueOpts { delay: Some(86_400), ..Default::default() };
//!     db.queue("reminders", QueueOpts::default()).enqueue(&json!({"to": name}), tomorrow)
//! }
//!
//! let db = TestDatabase::new()?;
//! sign_up(&db, "alice")?;
//! db.assert_enqueued("reminders", &json!({"to": "alice"}));
//! db.advance(Duration::from_secs(86_400))?;
//! assert_eq!(db.run_due("reminders", |_job| Ok(()))?, 1);
//! # Ok::<(), honker::Error>(())
//! ```

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use crate::{Database, Error, JobContext, JobFilter, ListedJob, OpenOptions, Outcome, Result, Worker};

/// A database in a folder of its own, which is closed and removed when it is dropped. See [the module](self).
///
/// ```
/// let db = honker::testing::TestDatabase::new()?;
/// db.notify("news", &"hello")?; // it is a `Database`
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug)]
pub struct TestDatabase {
    database: Database,
    folder: PathBuf,
}

impl TestDatabase {
    /// A new one.
    pub fn new() -> Result<Self> {
        TestDatabase::with_options(OpenOptions::default())
    }

    /// A new one, opened with options.
    pub fn with_options(options: OpenOptions) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("honker-test-{}", crate::names::random()));
        std::fs::create_dir(&folder).map_err(|error| {
            Error::CannotOpen(format!("{} cannot be made: {error}", folder.display()).into())
        })?;
        match Database::open_with_options(folder.join("test.db"), options) {
            Ok(database) => Ok(TestDatabase { database, folder }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// Runs the jobs of a queue that are due, one after the other, in this thread, until there is none; how many that were.
    /// What a handler returns is no failure of the test: the job is settled as a worker does.
    pub fn run_due(
        &self,
        queue: &str,
        handler: impl Fn(&JobContext) -> Outcome + Send + Sync + 'static,
    ) -> Result<usize> {
        Worker::builder().queue(queue, handler).build(&self.database)?.run_due()
    }

    /// As [`TestDatabase::run_due`], with a handler that is a future.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> honker::Result<()> {
    /// # use honker::{EnqueueOpts, QueueOpts};
    /// let db = honker::testing::TestDatabase::new()?;
    /// db.queue("emails", QueueOpts::default()).enqueue(&"alice", EnqueueOpts::default())?;
    /// let ran = db.run_due_async("emails", |job| async move {
    ///     assert_eq!(job.payload_as::<String>()?, "alice");
    ///     Ok(())
    /// });
    /// assert_eq!(ran.await?, 1);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn run_due_async<F>(
        &self,
        queue: &str,
        handler: impl Fn(JobContext) -> F + Send + Sync + 'static,
    ) -> Result<usize>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Worker::builder().queue_async(queue, handler).build(&self.database)?.run_due_async().await
    }

    /// The jobs of a queue, pending or claimed, in the order in which they were enqueued.
    pub fn enqueued(&self, queue: &str) -> Result<Vec<ListedJob>> {
        let filter = JobFilter { queue: Some(queue.to_owned()), oldest_first: true, ..Default::default() };
        let jobs = self.database.jobs(filter);
        jobs.iter()
            .filter(|job| job.as_ref().map_or(true, |job| job.state != "dead" && job.state != "done"))
            .collect()
    }

    /// The first job of the queue whose payload has what `payload` has: the same JSON, or if that is an object, at least its
    /// keys with values that have what its values have. Panics, and says what there is, if there is none.
    #[track_caller]
    pub fn assert_enqueued<T: Serialize + ?Sized>(&self, queue: &str, payload: &T) -> ListedJob {
        let wanted = wanted(payload);
        let jobs = self
            .enqueued(queue)
            .unwrap_or_else(|error| panic!("the jobs of '{queue}' cannot be read: {error}"));
        let payloads: Vec<String> = jobs.iter().map(|job| job.payload.clone()).collect();
        jobs.into_iter().find(|job| is_like(&job.payload, &wanted)).unwrap_or_else(|| {
            panic!(
                "there is no job in '{queue}' with {wanted}; there are {}: {}",
                payloads.len(),
                payloads.join(", ")
            )
        })
    }

    /// Panics if there is a job that [`TestDatabase::assert_enqueued`] would find.
    #[track_caller]
    pub fn assert_not_enqueued<T: Serialize + ?Sized>(&self, queue: &str, payload: &T) {
        let wanted = wanted(payload);
        let jobs = self
            .enqueued(queue)
            .unwrap_or_else(|error| panic!("the jobs of '{queue}' cannot be read: {error}"));
        if let Some(job) = jobs.iter().find(|job| is_like(&job.payload, &wanted)) {
            panic!("job {} in '{queue}' has {wanted}", job.id);
        }
    }

    /// Moves the clock: everything in the file becomes older by that, in whole seconds, as if time had passed. What was to be
    /// due by then is due; claims, locks, results and unique keys expire; schedules have fired too rarely. Jobs enqueued
    /// afterwards have the real time.
    pub fn advance(&self, by: Duration) -> Result<()> {
        let by =
            i64::try_from(by.as_secs()).map_err(|_| Error::invalid("the clock cannot be moved that far"))?;
        let tx = self.database.transaction()?;
        let columns = tx.query(
            "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name GLOB '_honker_*'
               AND (c.name GLOB '*_at' OR c.name IN ('window_start', 'until'))
             ORDER BY t.name",
            [],
        )?;
        let mut tables: Vec<(String, Vec<String>)> = Vec::new();
        for row in columns {
            let (table, column): (String, String) = (row.get(0)?, row.get(1)?);
            let set = format!("{column} = {column} - ?1");
            match tables.last_mut() {
                Some((last, sets)) if *last == table => sets.push(set),
                _ => tables.push((table, vec![set])),
            }
        }
        for (table, sets) in tables {
            tx.execute(&format!("UPDATE {table} SET {}", sets.join(", ")), crate::params![by])?;
        }
        tx.commit()
    }
}

#[track_caller]
fn wanted<T: Serialize + ?Sized>(payload: &T) -> Json {
    serde_json::to_value(payload)
        .unwrap_or_else(|error| panic!("the payload to look for cannot be encoded: {error}"))
}

fn is_like(payload: &str, wanted: &Json) -> bool {
    serde_json::from_str(payload).is_ok_and(|payload| has(&payload, wanted))
}

fn has(value: &Json, wanted: &Json) -> bool {
    match (value, wanted) {
        (Json::Object(value), Json::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| value.get(key).is_some_and(|value| has(value, wanted)))
        }
        (value, wanted) => value == wanted,
    }
}

impl Deref for TestDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let _ = self.database.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
