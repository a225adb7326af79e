//! What a worker asks of its queue: several operations as one unit, so that each costs one read or one commit.

use super::{Claim, ClaimedJob, ack, claim, fail, may_claim, next_claim_at, retry};
use crate::{Result, Store};

/// What a claim on a queue would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimOutlook {
    /// Whether a claim would do something now. See [`may_claim`].
    pub may_claim: bool,
    /// The second at which a claim could find more without a further commit. See [`next_claim_at`].
    pub next_at: Option<i64>,
}

/// What becomes of a job that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It is done.
    Ack {
        /// The job.
        id: i64,
    },
    /// It could not be done now.
    Retry {
        /// The job.
        id: i64,
        /// In how many seconds it becomes due again.
        delay_s: i64,
        /// Why, should this have been its last attempt.
        error: String,
    },
    /// It can never be done.
    Fail {
        /// The job.
        id: i64,
        /// Why.
        error: String,
    },
}

/// What [`settle_and_claim`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// For each settlement, whether the worker still held the job.
    pub held: Vec<bool>,
    /// The jobs that were claimed.
    pub claimed: Vec<ClaimedJob>,
}

/// Whether there may be something to claim, and when there will be. Both of the same second: a job that becomes due
/// between two looks at the clock would be in neither answer.
pub fn claim_outlook(store: &Store, now: i64, queue: &str) -> Result<ClaimOutlook> {
    Ok(ClaimOutlook { may_claim: may_claim(store, now, queue)?, next_at: next_claim_at(store, now, queue)? })
}

/// Settles one job; `false` if `worker_id` did not hold it any more.
pub fn settle(store: &Store, now: i64, worker_id: &str, settlement: &Settlement) -> Result<bool> {
    match settlement {
        Settlement::Ack { id } => ack(store, now, *id, worker_id),
        Settlement::Retry { id, delay_s, error } => retry(store, now, *id, worker_id, *delay_s, error),
        Settlement::Fail { id, error } => fail(store, now, *id, worker_id, error),
    }
}

/// Settles jobs that the worker of `next` holds, and then claims, as one unit. With an `n` of 0 or less it claims none.
pub fn settle_and_claim(
    store: &Store,
    now: i64,
    settlements: &[Settlement],
    next: &Claim<'_>,
) -> Result<Settled> {
    store.atomic(|| {
        let settled = settlements.iter().map(|settlement| settle(store, now, next.worker_id, settlement));
        let held = settled.collect::<Result<_>>()?;
        let claimed = if next.n > 0 {
            claim(store, now, next.queue, next.worker_id, next.n, next.timeout_s)?
        } else {
            // To `claim` a negative number means all of them.
            Vec::new()
        };
        Ok(Settled { held, claimed })
    })
}
