//! How a worker claims, and from which queues.

use std::time::Duration;

use crate::queue::Backoff;
use crate::{Error, Result};

/// How a worker claims.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerOptions {
    /// For how many seconds a claim is the worker's. Default 300.
    pub visibility_timeout_s: i64,
    /// How often it looks without having been woken. Default 5 s; `None` for never.
    pub fallback: Option<Duration>,
    /// Whether claims in hand are prolonged, at a third of the visibility timeout. Default yes.
    pub heartbeat: bool,
    /// How long a job may run, in seconds, before it is retried and reported as lost. Default: without end.
    pub max_run_s: Option<i64>,
    /// Whether its jobs are given back as soon as this process is dead, and not only when the claims lapse. It claims as
    /// `<id>@<instance>` then. Default yes.
    pub rescue: bool,
    /// When a job that has failed is tried again, unless its settlement says when.
    pub backoff: Backoff,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        WorkerOptions {
            visibility_timeout_s: 300,
            fallback: Some(Duration::from_secs(5)),
            heartbeat: true,
            max_run_s: None,
            rescue: true,
            backoff: Backoff::default(),
        }
    }
}

/// A queue that a worker claims from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerQueue {
    /// Its name.
    pub name: String,
    /// How often it is asked first, compared with the others. With all weights 0 the order is that of the list; one with
    /// weight 0 beside others comes after them.
    pub weight: u32,
    /// How many of its jobs may be in hand at most; `None`: as many as the worker takes.
    pub max_in_hand: Option<u64>,
}

impl WorkerQueue {
    /// A queue with weight 1 and no limit.
    pub fn new(name: impl Into<String>) -> Self {
        WorkerQueue { name: name.into(), weight: 1, max_in_hand: None }
    }
}

impl WorkerOptions {
    /// An error if there is no queue, one of them twice, or an option that makes no sense.
    pub fn check(&self, queues: &[WorkerQueue]) -> Result<()> {
        let mut names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        names.sort_unstable();
        if names.is_empty() {
            return Err(Error::invalid("queues: a worker needs at least one"));
        }
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::invalid(format!("queues: '{}' is named twice", twice[0])));
        }
        if self.max_run_s.is_some_and(|max_run_s| max_run_s < 1) {
            return Err(Error::invalid("max_run_s must be at least 1"));
        }
        let Backoff { factor, jitter, .. } = self.backoff;
        if !(factor >= 1.0 && factor.is_finite()) {
            return Err(Error::invalid("retry_factor must be at least 1"));
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(Error::invalid("retry_jitter must be from 0 to 1"));
        }
        Ok(())
    }
}
