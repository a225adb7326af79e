//! One turn of a worker: what it has finished is settled, what runs is prolonged, and new jobs are claimed, as one unit that
//! costs one commit. And what it asks without writing: whether there is something to claim, and what it holds no more.
//!
//! A settlement that the file refuses (a trigger that raises, a constraint) does not keep the others from being committed.
//! All of a turn is tried at once; only if something was refused is the turn repeated, with a savepoint for each part.

use super::{
    Claimed, ClaimedJob, ack, claim_some, fail, heartbeat, may_claim, next_claim_at, release, retry,
};
use crate::statement::Sql;
use crate::{Error, Result, Store};

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
    /// From which queues to claim, in this order, and how many from each at most if every settlement is made.
    pub queues: &'a [(&'a str, i64)],
    /// For each settlement, the place in `queues` of the one from which one less is claimed if it is refused.
    pub frees: &'a [Option<usize>],
    /// How many to claim in all. 0 or less: none.
    pub n: i64,
}

/// What [`turn`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    /// For each settlement, whether the worker still held the job. An error is that of a settlement that was refused: the
    /// job is as it was, the rest of the turn is done.
    pub settled: Vec<Result<bool>>,
    /// For each claim that is held, why it is not the worker's any more.
    pub lost: Vec<Option<Lost>>,
    /// The jobs that were claimed.
    pub claimed: Vec<ClaimedJob>,
    /// A queue had too much in the way for one transaction: a further turn goes on where this one stopped.
    pub more: bool,
    /// Why nothing was prolonged or claimed although the settlements were made: that was refused. `lost` is empty then.
    pub refused: Option<Error>,
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

/// Whether `worker_id` still has this claim, also if its time is over.
#[cfg(feature = "bundled")]
pub(crate) fn is_held(store: &Store, now: i64, worker_id: &str, held: Held) -> Result<bool> {
    Ok(matches!(look_at(store, now, worker_id, held)?, Ok(_) | Err(Lost::Lapsed)))
}

/// Settles, prolongs and claims, in this order, as one unit.
///
/// What is refused (see the module documentation) is in the answer. An error is one of the whole: nothing has happened.
pub fn turn(store: &Store, now: i64, turn: &Turn<'_>) -> Result<Turned> {
    if let ([], [], &[(queue, at_most)]) = (turn.settlements, turn.held, turn.queues) {
        // A claim is a unit by itself, and for a single job a single statement.
        let n = turn.n.min(at_most);
        let claimed = if n > 0 {
            claim_some(store, now, queue, turn.worker_id, n, turn.timeout_s)?
        } else {
            Claimed::default()
        };
        return Ok(Kept { lost: Vec::new(), claimed }.after(Vec::new()));
    }
    let is_alone = !store.in_transaction();
    // Keys that the caller's transaction has broken already say nothing of a settlement.
    let keys = !store.violates_deferred_keys();
    let at_once = store.atomic(|| {
        let settled =
            turn.settlements.iter().map(|settlement| settle(store, now, turn.worker_id, settlement));
        let settled = settled.collect::<Result<Vec<_>>>()?;
        check_keys(store, keys)?;
        let settled: Vec<Result<bool>> = settled.into_iter().map(Ok).collect();
        Ok(keep(store, now, turn, &settled)?.after(settled))
    });
    match at_once {
        Err(error) if is_refusal(&error) && !turn.settlements.is_empty() => {}
        done => return done,
    }
    // Refused by RAISE(ROLLBACK), which leaves nothing to go on in.
    let mut refused = vec![None; turn.settlements.len()];
    loop {
        if !is_alone && !store.in_transaction() {
            return Err(Error::Aborted("not done: a settlement was refused by a rollback of all".into()));
        }
        let known = refused.iter().flatten().count();
        let done = store.atomic(|| part_by_part(store, now, turn, keys, &mut refused));
        if done.is_ok() || refused.iter().flatten().count() == known {
            return done;
        }
    }
}

/// As [`turn`], with a savepoint for each settlement, and one for the rest. Those in `refused` are passed over; one that
/// ends the transaction is added to them, and is the error.
fn part_by_part(
    store: &Store,
    now: i64,
    turn: &Turn<'_>,
    keys: bool,
    refused: &mut [Option<Error>],
) -> Result<Turned> {
    let mut settled = Vec::with_capacity(refused.len());
    for (settlement, refused) in turn.settlements.iter().zip(refused) {
        let outcome = match &*refused {
            Some(error) => Err(error.clone()),
            None => store.atomic(|| {
                let held = settle(store, now, turn.worker_id, settlement)?;
                check_keys(store, keys).map(|()| held)
            }),
        };
        match &outcome {
            Err(error) if !store.in_transaction() => {
                *refused = is_refusal(error).then(|| error.clone());
                return Err(error.clone());
            }
            Err(error) if !is_refusal(error) => return Err(error.clone()),
            _ => settled.push(outcome),
        }
    }
    match store.atomic(|| keep(store, now, turn, &settled)) {
        Ok(kept) => Ok(kept.after(settled)),
        Err(error) if is_refusal(&error) && store.in_transaction() => {
            Ok(Turned { refused: Some(error), ..Kept::default().after(settled) })
        }
        Err(error) => Err(error),
    }
}

/// What a turn does beside settling.
#[derive(Default)]
struct Kept {
    lost: Vec<Option<Lost>>,
    claimed: Claimed,
}

impl Kept {
    fn after(self, settled: Vec<Result<bool>>) -> Turned {
        let Kept { lost, claimed: Claimed { jobs: claimed, more } } = self;
        Turned { settled, lost, claimed, more, refused: None }
    }
}

/// Prolongs and claims, once this was settled.
fn keep(store: &Store, now: i64, turn: &Turn<'_>, settled: &[Result<bool>]) -> Result<Kept> {
    let &Turn { worker_id, timeout_s, .. } = turn;
    let mut kept = Kept::default();
    for held in turn.held {
        let found = look_at(store, now, worker_id, *held)?;
        if turn.prolong && found.is_ok() {
            heartbeat(store, now, held.id, worker_id, timeout_s)?;
        }
        kept.lost.push(found.err());
    }
    let mut left = turn.n;
    for (place, &(queue, at_most)) in turn.queues.iter().enumerate() {
        let refused =
            turn.frees.iter().zip(settled).filter(|(frees, made)| **frees == Some(place) && made.is_err());
        // To `claim` a negative number means all of them.
        let n = left.min(at_most.saturating_sub(refused.count() as i64));
        if n > 0 {
            let some = claim_some(store, now, queue, worker_id, n, timeout_s)?;
            left -= i64::try_from(some.jobs.len()).unwrap_or(n);
            kept.claimed.jobs.extend(some.jobs);
            // What is in the way of one claim is as much as a transaction moves: a further turn goes on.
            kept.claimed.more = some.more;
            if some.more {
                break;
            }
        }
    }
    Ok(kept)
}

/// Whether an error is about one change, and not about the transaction or the file: another change may be possible.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Constraint(_) | Error::Sql(_) | Error::TooBig(_) | Error::Invalid(_))
}

/// An error if a settlement has left a deferred foreign key behind that would make COMMIT fail.
fn check_keys(store: &Store, keys: bool) -> Result<()> {
    if keys && store.violates_deferred_keys() {
        return Err(Error::Constraint(
            "FOREIGN KEY constraint failed: a deferred one would have failed the commit".into(),
        ));
    }
    Ok(())
}
