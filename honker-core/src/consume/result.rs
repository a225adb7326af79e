//! Waiting for the result of a job.

use std::time::Duration;

use super::registration::{Look, Next, Registration};
use super::rest::Rest;
use super::waiter::Waiter;
use crate::Result;
use crate::database::Database;
use crate::outlook::Interest;

/// How often it looks without having been woken.
const FALLBACK: Duration = Duration::from_secs(15);

/// See the module documentation of [`crate::consume`].
pub struct ResultWait {
    registration: Registration,
    job_id: i64,
}

impl ResultWait {
    /// For the result of this job, with a waiter of its own.
    pub fn new(database: &Database, job_id: i64) -> Result<Self> {
        Ok(ResultWait::on(&Waiter::new(database)?, 0, job_id))
    }

    /// As [`ResultWait::new`], at a waiter that others wait at as well, which names it by `token`.
    pub fn on(waiter: &Waiter, token: u64, job_id: i64) -> Self {
        ResultWait { registration: Registration::new(waiter, token), job_id }
    }

    /// The result; waits for it for at most `timeout` (`None`: without end). A job that ends without one never has one.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<String>> {
        let job_id = self.job_id;
        let database = self.registration.database().clone();
        self.registration.next(timeout, || {
            Ok(match database.result_get(job_id)? {
                Some(value) => Look::Found(value),
                None => Look::Nothing(Rest::new(Interest::Result { job_id }, Some(FALLBACK))),
            })
        })
    }

    /// What this waits with.
    pub fn waiter(&self) -> Waiter {
        self.registration.waiter()
    }
}
