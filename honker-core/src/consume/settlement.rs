//! Jobs that a worker has claimed, settles or has lost.

use std::ops::Deref;

use super::registration::Next;
use crate::Result;
use crate::queue::{self, ClaimedJob};

/// What becomes of a job in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The job.
    pub id: i64,
    /// The serial it was claimed with.
    pub serial: i64,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// See [`Settlement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Ack,
    /// It could not be done now.
    Retry {
        /// In how many seconds it becomes due again; `None`: as is set for its queue, or else as
        /// [`WorkerOptions::backoff`](super::WorkerOptions::backoff) says.
        delay_s: Option<i64>,
        /// Why, should this have been its last attempt.
        error: String,
    },
    /// It can never be done.
    Fail {
        /// Why.
        error: String,
    },
    /// It is due again in so many seconds, and this attempt does not count.
    Snooze {
        /// In how many seconds.
        delay_s: i64,
    },
    /// It is due again at once, and this attempt does not count.
    Release,
}

/// A job that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The job.
    pub job: ClaimedJob,
    /// Names this claim of it.
    pub serial: i64,
}

impl Deref for Claimed {
    type Target = ClaimedJob;

    fn deref(&self) -> &ClaimedJob {
        &self.job
    }
}

/// Why a job in hand is the worker's no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was cancelled, deleted, or settled by somebody else.
    Gone,
    /// Its claim is over.
    Lapsed,
    /// It was claimed again, by another worker or by this one.
    Taken,
    /// It ran longer than it may, and was retried; if the file refused that, its claim is left to its end.
    Timeout,
}

/// A job that is not in hand any more. Its handler should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostJob {
    /// The job.
    pub id: i64,
    /// The claim of it that was lost.
    pub serial: i64,
    /// Why.
    pub reason: Reason,
}

/// What a worker has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The jobs that were claimed, in claim order for each queue.
    pub jobs: Vec<Claimed>,
    /// The jobs that were lost.
    pub lost: Vec<LostJob>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.lost.is_empty()
    }
}

/// What [`Worker::settle_and_next`](super::Worker::settle_and_next) returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// For each settlement, whether the job was still the worker's. All that is `Ok(true)` is committed.
    ///
    /// An error is that of a settlement that the file refused (a trigger that raises, a constraint, a time that cannot be).
    /// The job is still in hand: it may be given again, with this settlement or another one, or given up with
    /// [`Worker::settled`](super::Worker::settled).
    pub held: Vec<Result<bool>>,
    /// What there is next. An error is one of the claiming or the waiting: what was settled is settled.
    pub next: Result<Next<Batch>>,
}

impl From<queue::Lost> for Reason {
    fn from(lost: queue::Lost) -> Self {
        match lost {
            queue::Lost::Gone => Reason::Gone,
            queue::Lost::Lapsed => Reason::Lapsed,
            queue::Lost::Taken => Reason::Taken,
        }
    }
}
