//! Steps of a job: what a handler has finished of it, so that another attempt need not do it again.
//!
//! Invariant: whatever of a value keeps it from being saved is found out before [`Error::StepNotSaved`] is returned, and noted
//! in the job, whose worker discards it then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Database, Error, Failure, Job, Result, Transaction, json};

impl Job {
    /// Runs `f` once, whatever is retried: what it returned is saved, and is what later attempts of the job get. An error of
    /// `f` saves nothing. Should the process die between the end of `f` and the commit that saves it, `f` is run again;
    /// [`Job::step_tx`] has no such gap.
    ///
    /// [`Error::Lost`] if the job is not its worker's any more: then nothing is saved.
    ///
    /// [`Error::StepNotSaved`] if what `f` returned cannot be encoded as JSON, or not be decoded again, or is larger than
    /// SQLite stores (a gigabyte). `f` has run then, and would be run again by another attempt. So a [`Worker`](crate::Worker) discards the job unless its handler returns
    /// `Ok`, whatever else that makes of the error; without one, that is for you to do ([`Job::fail`]).
    ///
    /// ```
    /// # use honker::{EnqueueOpts, QueueOpts};
    /// # let db = honker::testing::TestDatabase::new()?;
    /// # let q = db.queue("orders", QueueOpts::default());
    /// # q.enqueue(&1, EnqueueOpts::default())?;
    /// # let job = q.claim_one("w")?.unwrap();
    /// let charge = || -> honker::Result<String> { Ok("receipt 7".to_owned()) };
    /// let receipt = job.step("charge", charge)?;
    /// let again = job.step("charge", || -> honker::Result<String> { panic!("not run again") })?;
    /// assert_eq!(receipt, again);
    /// # Ok::<(), honker::Error>(())
    /// ```
    pub fn step<T, E>(&self, name: &str, f: impl FnOnce() -> Result<T, E>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        let step = Step::new(self, name);
        if let Some(value) = step.saved(None)? {
            return Ok(value);
        }
        Ok(step.save(None, f()?)?)
    }

    /// Runs `f` once, in a transaction in which what it returned is saved: what it writes there is done exactly once.
    /// On an error all of it is rolled back, also on [`Error::StepNotSaved`].
    pub fn step_tx<T, E>(&self, name: &str, f: impl FnOnce(&Transaction) -> Result<T, E>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        let step = Step::new(self, name);
        if let Some(value) = step.saved(None)? {
            return Ok(value);
        }
        let tx = self.database.transaction()?;
        if let Some(value) = step.saved(Some(&tx))? {
            return Ok(value);
        }
        let value = step.save(Some(&tx), f(&tx)?)?;
        tx.commit()?;
        Ok(value)
    }

    /// As [`Job::step`], for an `f` that is a future, in a `tokio` runtime: the file is read and written on a thread of it that
    /// may block. If the future is dropped before `f` has ended nothing is saved. [`Job::step_tx`] belongs into
    /// [`Database::run`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> honker::Result<()> {
    /// # use honker::{EnqueueOpts, QueueOpts};
    /// # let db = honker::testing::TestDatabase::new()?;
    /// # let q = db.queue("orders", QueueOpts::default());
    /// # q.enqueue(&1, EnqueueOpts::default())?;
    /// # let job = q.claim_one("w")?.unwrap();
    /// async fn charge() -> honker::Result<String> {
    ///     Ok("receipt 7".to_owned())
    /// }
    /// let receipt = job.step_async("charge", charge).await?;
    /// # assert_eq!(receipt, job.step("charge", || -> honker::Result<String> { panic!("not run again") })?);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn step_async<T, E, F>(&self, name: &str, f: impl FnOnce() -> F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        let step = Arc::new(Step::new(self, name));
        let saved = Arc::clone(&step);
        if let Some(value) = crate::database::blocking(move || saved.saved(None)).await? {
            return Ok(value);
        }
        let value = f().await?;
        Ok(crate::database::blocking(move || step.save(None, value)).await?)
    }
}

/// Without the job's payload, which may be long.
struct Step {
    database: Database,
    job_id: i64,
    worker_id: String,
    name: String,
    not_saved: Arc<OnceLock<Error>>,
}

impl Step {
    fn new(job: &Job, name: &str) -> Self {
        Step {
            database: job.database.clone(),
            job_id: job.id,
            worker_id: job.worker_id.clone(),
            name: name.to_owned(),
            not_saved: Arc::clone(&job.not_saved),
        }
    }

    fn saved<T: DeserializeOwned>(&self, tx: Option<&Transaction>) -> Result<Option<T>> {
        let saved: Result<Option<String>> = call!(&self.database, tx, step_get(self.job_id, &self.name));
        saved?.map(|text| self.decode(&text)).transpose()
    }

    /// What is stored, which is what somebody else has saved meanwhile.
    fn save<T: Serialize + DeserializeOwned>(&self, tx: Option<&Transaction>, value: T) -> Result<T> {
        // Decoded as well before it is saved: serde_json makes null of what is no number.
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            let text = json::encode("its value", &value)?;
            let value = json::decode("its value", text.as_bytes())?;
            Ok((text, value))
        }));
        let encoded = encoded.unwrap_or_else(|panic| Err(Error::Invalid(Failure::panic(&*panic).text())));
        let (text, value) = encoded.map_err(|error| self.not_saved(error))?;
        let stored: Result<Option<String>> =
            call!(&self.database, tx, step_save(self.job_id, &self.worker_id, &self.name, &text));
        let stored = stored.map_err(|error| match error {
            Error::TooBig(_) => self.not_saved(error),
            other => other,
        });
        let lost = || {
            Error::Lost(format!(
                "job {} is not its worker's any more: the step '{}' is not saved",
                self.job_id, self.name
            ))
        };
        let stored = stored?.ok_or_else(lost)?;
        if stored == text { Ok(value) } else { self.decode(&stored) }
    }

    fn not_saved(&self, why: Error) -> Error {
        let error = Error::StepNotSaved { name: self.name.clone(), source: Arc::new(why) };
        self.not_saved.get_or_init(|| error.clone());
        error
    }

    fn decode<T: DeserializeOwned>(&self, text: &str) -> Result<T> {
        json::decode(&format!("what is saved of the step '{}'", self.name), text.as_bytes())
    }
}
