//! Waiting for the result of a job.

use std::sync::Arc;
use std::time::Duration;

use super::wait::{Next, Patience};
use crate::Result;
use crate::database::Database;
use crate::watch::{Subscription, Waker};

/// How often it looks without having been woken.
const FALLBACK: Duration = Duration::from_secs(15);

/// See the module documentation of [`crate::consume`].
pub struct ResultWait {
    database: Database,
    subscription: Arc<Subscription>,
    job_id: i64,
}

impl ResultWait {
    /// For the result of this job.
    pub fn new(database: &Database, job_id: i64) -> Result<Self> {
        Ok(ResultWait::on(database, Arc::new(database.subscribe()?), job_id))
    }

    /// As [`ResultWait::new`], waiting with a subscription that others wait with as well, in turns.
    pub fn on(database: &Database, subscription: Arc<Subscription>, job_id: i64) -> Self {
        ResultWait { subscription, database: database.clone(), job_id }
    }

    /// The result; waits for it for at most `timeout` (`None`: without end). A job that ends without one never has one.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<String>> {
        let mut patience = Patience::new(&self.database, timeout);
        loop {
            if let Some(value) = self.database.result_get(self.job_id)? {
                return Ok(Next::Item(value));
            }
            if let Some(next) = patience.wait(&self.subscription, None, Some(FALLBACK))? {
                return Ok(next);
            }
        }
    }

    /// Ends [`ResultWait::next`] from another thread.
    pub fn waker(&self) -> Waker {
        self.subscription.waker()
    }

    /// What this waits with, for event loops.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}
