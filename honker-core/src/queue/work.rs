//! One turn of a worker: what it has finished is settled, what runs is prolonged, and new jobs are claimed, as one unit that
//! costs one commit. And what it asks without writing: whether there is something to claim, and what it holds no more.

use super::{
    Claimed, ClaimedJob, ack, claim_some, fail, heartbeat, may_claim, next_claim_at, release, retry,
};
use crate::statement::Sql;
use crate::{Result, Store};

/// What a worker would find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkOutlook {
    /// Whether a claim would do something now. See [`may_claim`].
    pub may_claim: bool,
    /// For each claim that is held, why it is not the worker's any more.
    pub lost: Vec<Option<Lost>>,
    /// The second at which a claim could find more, or one that is held is over, without a further commit.
    pub next_at: Option<i64>,
}

/// A claim that a worker holds, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The job.
    pub id: i64,
    /// How often it had been claimed then: another number is another claim.
    pub attempts: i64,
}

/// Why a claim is not the worker's any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The job was cancelled, deleted, or settled by somebody else.
    Gone,
    /// Its time is over.
    Lapsed,
    /// It was claimed again, by another worker or by this one.
    Taken,
}

/// What becomes of a job that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Ack,
    /// It could not be done now.
    Retry {
        /// In how many seconds it becomes due again.
        delay_s: i64,
        /// Why, should this have been its last attempt.
        error: String,
    },
    /// It can never be done.
    Fail {
        /// Why.
        error: String,
    },
    /// It goes back, and this attempt does not count.
    Release {
        /// In how many seconds it becomes due again.
        delay_s: i64,
    },
}

/// A job, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The job.
    pub id: i64,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// What [`turn`] does.
#[derive(Debug, Clone)]
pub struct Turn<'a> {
    /// Who holds, and claims.
    pub worker_id: &'a str,
    /// For how many seconds a claim is valid.
    pub timeout_s: i64,
    /// What to settle.
    pub settlements: &'a [Settlement],
    /// What the worker holds beside that.
    pub held: &'a [Held],
    /// Whether that is prolonged.
    pub prolong: bool,
    /// From which queues to claim, in this order, and how many from each at most.
    pub queues: &'a [(&'a str, i64)],
    /// How many to claim in all. 0 or less: none.
    pub n: i64,
}

/// What [`turn`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    /// For each settlement, whether the worker still held the job.
    pub settled: Vec<bool>,
    /// For each claim that is held, why it is not the worker's any more.
    pub lost: Vec<Option<Lost>>,
    /// The jobs that were claimed.
    pub claimed: Vec<ClaimedJob>,
    /// A queue had too much in the way for one transaction: a further turn goes on where this one stopped.
    pub more: bool,
}

static SQL_HELD: Sql = Sql::new(
    "SELECT state = 'processing', worker_id IS ?2 AND attempts = ?3, claim_expires_at
     FROM main._honker_live WHERE id = ?1",
);

/// What a worker that holds `held`, and has room for jobs of `queues`, would find. All of the same second: a job that
/// becomes due between two looks at the clock would be in neither answer.
pub fn work_outlook(
    store: &Store,
    now: i64,
    worker_id: &str,
    held: &[Held],
    queues: &[&str],
) -> Result<WorkOutlook> {
    let mut outlook = WorkOutlook { may_claim: false, lost: Vec::new(), next_at: None };
    let mut at = |at: Option<i64>| outlook.next_at = [outlook.next_at, at].into_iter().flatten().min();
    for held in held {
        let found = look_at(store, now, worker_id, *held)?;
        outlook.lost.push(found.err());
        at(found.ok().map(|claim_expires_at| claim_expires_at.saturating_add(1)));
    }
    for queue in queues {
        outlook.may_claim |= may_claim(store, now, queue)?;
        at(next_claim_at(store, now, queue)?);
    }
    Ok(outlook)
}

/// The last second of a claim, or why it is not `worker_id`'s any more.
fn look_at(store: &Store, now: i64, worker_id: &str, held: Held) -> Result<std::result::Result<i64, Lost>> {
    let parameters = [held.id.into(), worker_id.into(), held.attempts.into()];
    let row = store.query_one(&SQL_HELD, &parameters, |row| {
        (row.integer(0) != 0, row.integer(1) != 0, row.integer(2))
    })?;
    Ok(match row {
        None | Some((false, _, _)) => Err(Lost::Gone),
        Some((true, false, _)) => Err(Lost::Taken),
        Some((true, true, claim_expires_at)) if claim_expires_at < now => Err(Lost::Lapsed),
        Some((true, true, claim_expires_at)) => Ok(claim_expires_at),
    })
}

/// Settles one job; `false` if `worker_id` did not hold it any more.
pub fn settle(store: &Store, now: i64, worker_id: &str, settlement: &Settlement) -> Result<bool> {
    let id = settlement.id;
    match &settlement.outcome {
        Outcome::Ack => ack(store, now, id, worker_id),
        Outcome::Retry { delay_s, error } => retry(store, now, id, worker_id, *delay_s, error),
        Outcome::Fail { error } => fail(store, now, id, worker_id, error),
        Outcome::Release { delay_s } => release(store, now, id, worker_id, *delay_s),
    }
}

/// Settles, prolongs and claims, in this order, as one unit.
pub fn turn(store: &Store, now: i64, turn: &Turn<'_>) -> Result<Turned> {
    let &Turn { worker_id, timeout_s, .. } = turn;
    if let ([], [], &[(queue, at_most)]) = (turn.settlements, turn.held, turn.queues) {
        // A claim is a unit by itself, and for a single job a single statement.
        let n = turn.n.min(at_most);
        let Claimed { jobs: claimed, more } =
            if n > 0 { claim_some(store, now, queue, worker_id, n, timeout_s)? } else { Claimed::default() };
        return Ok(Turned { settled: Vec::new(), lost: Vec::new(), claimed, more });
    }
    store.atomic(|| {
        let settled = turn.settlements.iter().map(|settlement| settle(store, now, worker_id, settlement));
        let settled = settled.collect::<Result<_>>()?;
        let mut lost = Vec::new();
        for held in turn.held {
            let found = look_at(store, now, worker_id, *held)?;
            if turn.prolong && found.is_ok() {
                heartbeat(store, now, held.id, worker_id, timeout_s)?;
            }
            lost.push(found.err());
        }
        let mut claimed = Vec::new();
        let mut more = false;
        let mut left = turn.n;
        for &(queue, at_most) in turn.queues {
            // To `claim` a negative number means all of them.
            let n = left.min(at_most);
            if n > 0 {
                let some = claim_some(store, now, queue, worker_id, n, timeout_s)?;
                left -= i64::try_from(some.jobs.len()).unwrap_or(n);
                claimed.extend(some.jobs);
                // What is in the way of one claim is as much as a transaction moves: a further turn goes on.
                more = some.more;
                if more {
                    break;
                }
            }
        }
        Ok(Turned { settled, lost, claimed, more })
    })
}
