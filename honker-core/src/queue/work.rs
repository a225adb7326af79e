//! One turn of a worker: what it has finished is settled, what runs is prolonged, and new jobs are claimed, as one unit that
//! costs one commit. And what it asks without writing: whether there is something to claim, and what it holds no more.
//!
//! What the file refuses (a trigger that raises, a constraint) does not keep the rest from being committed. All of a turn is
//! tried at once; only if something was refused is the turn repeated, with a savepoint for each part. Should a refusal roll
//! the transaction back, each part is done in a transaction of its own, so that none is done again for the sake of another.

use super::refusal::{check_keys, is_refusal};
use super::settings;
use super::{
    Claimed, ClaimedJob, ack, claim_some, fail, heartbeat, may_claim, next_claim_at, release, retry,
};
use crate::moving::Move;
use crate::statement::Sql;
use crate::{Error, Result, Store, moving};

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
        /// When it becomes due again.
        delay: Delay,
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

/// When a job that is retried becomes due again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// In so many seconds.
    Given(i64),
    /// As is set for its queue, or else in so many seconds.
    UnlessSet(i64),
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
    /// Whether a claim was prolonged.
    prolonged: bool,
    /// The error that ended the turn early, otherwise the first refusal beside the settlements: the rest was prolonged and
    /// claimed all the same.
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
    work_outlook_of(store, now, worker_id, held, queues, moving::current(store)?.as_ref())
}

/// As [`work_outlook`], by what is known of a move.
pub(crate) fn work_outlook_of(
    store: &Store,
    now: i64,
    worker_id: &str,
    held: &[Held],
    queues: &[&str],
    moving: Option<&Move>,
) -> Result<WorkOutlook> {
    let mut outlook = WorkOutlook { may_claim: false, lost: Vec::new(), next_at: None };
    let mut at = |at: Option<i64>| outlook.next_at = [outlook.next_at, at].into_iter().flatten().min();
    for held in held {
        let found = look_at(store, now, worker_id, *held)?;
        outlook.lost.push(found.err());
        at(found.ok().map(|claim_expires_at| claim_expires_at.saturating_add(1)));
    }
    match moving {
        Some(found) if held.is_empty() && !queues.is_empty() => return Err(found.error()),
        // There will be nothing to claim; what it holds it may settle.
        Some(_) => return Ok(outlook),
        None => {}
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
        Outcome::Retry { delay: Delay::Given(delay_s), error } => {
            retry(store, now, id, worker_id, *delay_s, error)
        }
        Outcome::Retry { delay: Delay::UnlessSet(delay_s), error } => store.atomic(|| {
            let delay_s = settings::retry_delay(store, id)?.unwrap_or(*delay_s);
            retry(store, now, id, worker_id, delay_s, error)
        }),
        Outcome::Fail { error } => fail(store, now, id, worker_id, error),
        Outcome::Release { delay_s } => release(store, now, id, worker_id, *delay_s),
    }
}

/// Whether `worker_id` still has this claim, also if its time is over.
#[cfg(feature = "runtime")]
pub(crate) fn is_held(store: &Store, now: i64, worker_id: &str, held: Held) -> Result<bool> {
    Ok(matches!(look_at(store, now, worker_id, held)?, Ok(_) | Err(Lost::Lapsed)))
}

/// Settles, prolongs and claims, in this order, as one unit.
///
/// What is refused (see the module documentation) is in the answer. An error is one of the whole: nothing has happened.
pub fn turn(store: &Store, now: i64, turn: &Turn<'_>) -> Result<Turned> {
    let is_alone = !store.in_transaction();
    if let ([], [], &[(queue, at_most)]) = (turn.settlements, turn.held, turn.queues) {
        // A claim is a unit by itself, with a shorter way for a single job.
        let n = turn.n.min(at_most);
        let claimed = if n > 0 {
            claim_some(store, now, queue, turn.worker_id, n, turn.timeout_s)
        } else {
            Ok(Claimed::default())
        };
        let mut kept = Kept::default();
        match unless_refused(store, !is_alone, claimed)? {
            Ok(claimed) => kept.add(claimed),
            Err(error) => kept.refused = Some(error),
        }
        return Ok(kept.after(Vec::new()));
    }
    let parts = Parts { store, now, turn, keys: !store.violates_deferred_keys() };
    let budget = store.budget();
    let refused = match store.atomic(|| parts.at_once()) {
        Err(error) if is_refusal(&error) => error,
        done => return done,
    };
    let mut in_vain = None;
    let done = if is_alone || store.in_transaction() {
        // What was counted is undone.
        store.set_budget(budget);
        store.atomic(|| {
            let turned = parts.one_by_one(false)?;
            if turned.changes_anything() {
                return Ok(turned);
            }
            // Undone, or pages that are as they were would be committed, and wake everybody.
            in_vain = Some(turned);
            Err(refused.clone())
        })
    } else {
        Err(refused.clone())
    };
    match (in_vain, done) {
        (Some(turned), Err(_)) => Ok(turned),
        // By RAISE(ROLLBACK), which leaves nothing to go on in.
        (_, Err(error)) if is_refusal(&error) && is_alone => {
            store.set_budget(budget);
            parts.one_by_one(true)
        }
        (_, Err(error)) if is_refusal(&error) && !store.in_transaction() => {
            Err(Error::Aborted("not done: a part of it was refused by a rollback of all".into()))
        }
        (_, done) => done,
    }
}

/// A turn, and how it is done.
struct Parts<'a> {
    store: &'a Store,
    now: i64,
    turn: &'a Turn<'a>,
    /// No deferred key was broken before.
    keys: bool,
}

impl Parts<'_> {
    /// All of it, or the first refusal. Belongs into [`Store::atomic`].
    fn at_once(&self) -> Result<Turned> {
        let Parts { store, now, turn, keys } = *self;
        let settled =
            turn.settlements.iter().map(|settlement| settle(store, now, turn.worker_id, settlement).map(Ok));
        let settled: Vec<Result<bool>> = settled.collect::<Result<_>>()?;
        check_keys(store, keys)?;
        let mut kept = Kept::default();
        self.keep(&settled, false, &mut kept)?;
        check_keys(store, keys)?;
        Ok(kept.after(settled))
    }

    /// Each part by itself: within [`Store::atomic`] in a savepoint, or else (`apart`) in a transaction of its own. There an
    /// error is one of the parts that come after it, if any was made.
    fn one_by_one(&self, apart: bool) -> Result<Turned> {
        let Parts { store, now, turn, .. } = *self;
        let mut settled: Vec<Result<bool>> = Vec::with_capacity(turn.settlements.len());
        let mut failed = None;
        for settlement in turn.settlements {
            let outcome = match &failed {
                Some(error) => Err(Error::clone(error)),
                None => match self.part(|| settle(store, now, turn.worker_id, settlement)) {
                    Ok(outcome) => outcome,
                    Err(error) if apart && settled.iter().any(Result::is_ok) => {
                        failed = Some(error.clone());
                        Err(error)
                    }
                    Err(error) => return Err(error),
                },
            };
            settled.push(outcome);
        }
        let mut kept = Kept::default();
        if failed.is_none() {
            match self.keep(&settled, true, &mut kept) {
                Err(error) if apart && (kept.changes_anything() || settled.iter().any(Result::is_ok)) => {
                    failed = Some(error);
                }
                done => done?,
            }
        }
        kept.refused = failed.or(kept.refused);
        Ok(kept.after(settled))
    }

    /// Prolongs and claims, once this was settled.
    fn keep(&self, settled: &[Result<bool>], by_part: bool, kept: &mut Kept) -> Result<()> {
        let Parts { store, now, turn, .. } = *self;
        let &Turn { worker_id, timeout_s, .. } = turn;
        for held in turn.held {
            let found = look_at(store, now, worker_id, *held)?;
            if turn.prolong && found.is_ok() {
                let prolong = || heartbeat(store, now, held.id, worker_id, timeout_s);
                match if by_part { self.part(prolong)? } else { Ok(prolong()?) } {
                    Ok(prolonged) => kept.prolonged |= prolonged,
                    Err(error) => kept.refuse(error),
                }
            }
            kept.lost.push(found.err());
        }
        let mut left = turn.n;
        for (place, &(queue, at_most)) in turn.queues.iter().enumerate() {
            let refused = turn
                .frees
                .iter()
                .zip(settled)
                .filter(|(frees, made)| **frees == Some(place) && made.is_err());
            // To `claim` a negative number means all of them.
            let n = left.min(at_most.saturating_sub(refused.count() as i64));
            if n <= 0 {
                continue;
            }
            let within = store.in_transaction();
            let claimed = claim_some(store, now, queue, worker_id, n, timeout_s);
            match if by_part { unless_refused(store, within, claimed)? } else { Ok(claimed?) } {
                Ok(some) => {
                    left -= i64::try_from(some.jobs.len()).unwrap_or(n);
                    kept.add(some);
                    // What is in the way of one claim is as much as a transaction moves: a further turn goes on.
                    if kept.claimed.more {
                        break;
                    }
                }
                Err(error) => kept.refuse(error),
            }
        }
        Ok(())
    }

    /// One part; the inner error is its refusal.
    fn part<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<Result<T>> {
        let within = self.store.in_transaction();
        let done = self.store.atomic(|| {
            let value = change()?;
            check_keys(self.store, self.keys).map(|()| value)
        });
        unless_refused(self.store, within, done)
    }
}

/// The inner error is a refusal that leaves the transaction, if it was `within` one, as it was before.
fn unless_refused<T>(store: &Store, within: bool, done: Result<T>) -> Result<Result<T>> {
    match done {
        Err(error) if is_refusal(&error) && within == store.in_transaction() => Ok(Err(error)),
        done => done.map(Ok),
    }
}

/// What a turn does beside settling.
#[derive(Default)]
struct Kept {
    lost: Vec<Option<Lost>>,
    claimed: Claimed,
    prolonged: bool,
    refused: Option<Error>,
}

impl Kept {
    fn add(&mut self, claimed: Claimed) {
        self.claimed.jobs.extend(claimed.jobs);
        self.claimed.more = claimed.more;
        if let Some(error) = claimed.refused {
            self.refuse(error);
        }
    }

    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    fn changes_anything(&self) -> bool {
        self.prolonged || self.claimed.more || !self.claimed.jobs.is_empty()
    }

    fn after(self, settled: Vec<Result<bool>>) -> Turned {
        let Kept { lost, claimed, prolonged, refused } = self;
        Turned { settled, lost, claimed: claimed.jobs, more: claimed.more, prolonged, refused }
    }
}

impl Turned {
    /// What another engine has done.
    #[cfg(feature = "runtime")]
    pub fn new(
        settled: Vec<Result<bool>>,
        lost: Vec<Option<Lost>>,
        claimed: Vec<ClaimedJob>,
        more: bool,
        refused: Option<Error>,
    ) -> Self {
        Turned { settled, lost, claimed, more, prolonged: false, refused }
    }

    fn changes_anything(&self) -> bool {
        let settles = self.settled.iter().any(|settled| matches!(settled, Ok(true)));
        settles || self.prolonged || self.more || !self.claimed.is_empty()
    }
}
