//! Taking jobs from a queue.
//!
//! A claim must cost the same whatever else the queue holds: a million due jobs, a million delayed ones of a higher
//! priority, a hundred thousand in flight. So every question is asked of a partial index that holds only the rows it is
//! about, and delayed jobs are never stepped over: the walk goes from one distinct priority to the next, and looks at
//! due rows only. docs/decisions/0002-claims.md has the plans and the figures.
//!
//! Order of a claim: exhausted jobs are buried; then lapsed claims and due pending jobs are taken together by priority,
//! run time and id. All in one unit, under the write lock from the start.

use std::cmp::Reverse;

use serde::Serialize;

use super::sweep::{self, Cause};
use crate::statement::{Row, Sql};
use crate::{Result, Store, time};

/// A job as its new holder gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimedJob {
    /// The job's id.
    pub id: i64,
    /// The queue it came from.
    pub queue: String,
    /// As it was enqueued.
    pub payload: String,
    /// Who holds it now.
    pub worker_id: String,
    /// How often it has been claimed, this time included.
    pub attempts: i64,
    /// The last second in which this claim is valid.
    pub claim_expires_at: i64,
}

/// With this many lapsed claims or fewer, they are weighed against the pending jobs one by one. With more, those that
/// this claim would leave behind go back to pending, so that the next claim finds them through the index instead of
/// weighing them all again.
const LAPSED_IN_PLACE_MAX: i64 = 32;

/// Expired pending jobs are stepped over while they are few, and swept away once there are more than this, so that a
/// queue nobody sweeps does not become slow.
pub(super) const EXPIRED_IN_PLACE_MAX: i64 = 100;

// The common case in one statement, its own transaction: nothing lapsed, exhausted or expired, and the first job of the
// highest priority is due.
static SQL_TAKE_HEAD: Sql = Sql::new(
    "UPDATE main._honker_live
     SET state = 'processing', worker_id = ?2, claim_expires_at = ?3, attempts = attempts + 1
     WHERE id = (
         SELECT id FROM main._honker_live
         WHERE state = 'pending' AND queue = +?1
           AND priority = (SELECT priority FROM main._honker_live
                           WHERE state = 'pending' AND queue = +?1 ORDER BY priority DESC LIMIT 1)
           AND run_at <= +?4
         ORDER BY run_at, id LIMIT 1)
       AND length(payload) <= +?5
       AND NOT EXISTS (SELECT 1 FROM main._honker_live
                       WHERE state = 'processing' AND queue = +?1 AND claim_expires_at < +?4)
       AND NOT EXISTS (SELECT 1 FROM main._honker_live
                       WHERE state = 'pending' AND attempts >= max_attempts AND queue = +?1 AND run_at <= +?4)
       AND NOT EXISTS (SELECT 1 FROM main._honker_live
                       WHERE state = 'pending' AND expires_at IS NOT NULL AND queue = +?1 AND expires_at <= +?4)
     RETURNING id, payload, attempts",
);

// What stands in the way of a plain walk over the pending jobs. Index only, and bounded.
static SQL_OBSTACLES: Sql = Sql::new(
    "SELECT
       (SELECT count(*) FROM (SELECT 1 FROM main._honker_live
        WHERE state = 'processing' AND queue = +?1 AND claim_expires_at < +?2 LIMIT +?3)),
       EXISTS (SELECT 1 FROM main._honker_live
        WHERE state = 'pending' AND attempts >= max_attempts AND queue = +?1 AND run_at <= +?2),
       (SELECT count(*) FROM (SELECT 1 FROM main._honker_live
        WHERE state = 'pending' AND expires_at IS NOT NULL AND queue = +?1 AND expires_at <= +?2 LIMIT +?4))",
);

static SQL_LAPSED: Sql = Sql::new(
    "SELECT id, payload, attempts, priority, run_at FROM main._honker_live
     WHERE state = 'processing' AND queue = +?1 AND claim_expires_at < +?2",
);

static SQL_RELEASE_LAPSED: Sql = Sql::new(
    "UPDATE main._honker_live SET state = 'pending', worker_id = NULL, claim_expires_at = NULL
     WHERE state = 'processing' AND queue = +?1 AND claim_expires_at < +?2",
);

static SQL_PRIORITY: Sql = Sql::new(
    "SELECT priority FROM main._honker_live
     WHERE state = 'pending' AND queue = +?1 AND priority <= +?2 ORDER BY priority DESC LIMIT 1",
);

static SQL_DUE: Sql = Sql::new(
    "SELECT id, payload, attempts, priority, run_at FROM main._honker_live
     WHERE state = 'pending' AND queue = +?1 AND priority = +?2 AND run_at <= +?3
       AND attempts < max_attempts AND (expires_at IS NULL OR expires_at > +?3)
     ORDER BY run_at, id LIMIT +?4",
);

static SQL_TAKE: Sql = Sql::new(
    "UPDATE main._honker_live
     SET state = 'processing', worker_id = ?2, claim_expires_at = ?3, attempts = attempts + 1
     WHERE id = ?1",
);

/// Claims up to `n` jobs of `queue` for `worker_id` until the second `now + timeout_s`, in claim order.
///
/// A negative `n` means no limit. Jobs that are due but have used up their attempts are buried first, also when `n` is
/// 0. An empty answer changes nothing in the file.
pub fn claim(
    store: &Store,
    now: i64,
    queue: &str,
    worker_id: &str,
    n: i64,
    timeout_s: i64,
) -> Result<Vec<ClaimedJob>> {
    claim_into(store, now, &Claim { queue, worker_id, n, timeout_s }, i64::MAX, Ok)
}

/// The arguments of [`claim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The queue's name.
    pub queue: &'a str,
    /// Who is to hold the jobs.
    pub worker_id: &'a str,
    /// How many jobs at most; negative: no limit.
    pub n: i64,
    /// For how many seconds the jobs are the worker's: the visibility timeout.
    pub timeout_s: i64,
}

/// As [`claim`], with the answer made of the jobs before the claim is final: if it cannot be made, nothing is claimed.
/// It has to succeed for a single job whose payload has at most `payload_length_max` characters.
pub(crate) fn claim_into<T>(
    store: &Store,
    now: i64,
    claim: &Claim<'_>,
    payload_length_max: i64,
    answer: impl Fn(Vec<ClaimedJob>) -> Result<T>,
) -> Result<T> {
    let &Claim { queue, worker_id, n, timeout_s } = claim;
    let claim_expires_at = time::after(now, "timeout_s", timeout_s)?;
    let job = |id, payload, attempts| ClaimedJob {
        id,
        queue: queue.to_owned(),
        payload,
        worker_id: worker_id.to_owned(),
        attempts,
        claim_expires_at,
    };

    if n == 1 {
        let parameters =
            [queue.into(), worker_id.into(), claim_expires_at.into(), now.into(), payload_length_max.into()];
        let head = store
            .query_one(&SQL_TAKE_HEAD, &parameters, |row| job(row.integer(0), row.text(1), row.integer(2)))?;
        if let Some(head) = head {
            return answer(vec![head]);
        }
    }

    store.atomic(|| {
        let lapsed = clear_obstacles(store, now, queue)?;
        let mut jobs = Vec::new();
        for candidate in choose(store, now, queue, n, lapsed)? {
            let parameters = [candidate.id.into(), worker_id.into(), claim_expires_at.into()];
            store.execute(&SQL_TAKE, &parameters)?;
            jobs.push(job(candidate.id, candidate.payload, candidate.attempts + 1));
        }
        answer(jobs)
    })
}

/// A row that may be claimed.
struct Candidate {
    id: i64,
    payload: String,
    attempts: i64,
    priority: i64,
    run_at: i64,
}

impl Candidate {
    fn read(row: &Row<'_>) -> Self {
        Candidate {
            id: row.integer(0),
            payload: row.text(1),
            attempts: row.integer(2),
            priority: row.integer(3),
            run_at: row.integer(4),
        }
    }

    fn claim_order(&self) -> (Reverse<i64>, i64, i64) {
        (Reverse(self.priority), self.run_at, self.id)
    }
}

/// Moves away what can never be claimed. What remains are claimable jobs, and a few expired ones. The answer is the
/// lapsed claims that are left to be weighed in place.
fn clear_obstacles(store: &Store, now: i64, queue: &str) -> Result<Vec<Candidate>> {
    let limits = [(LAPSED_IN_PLACE_MAX + 1).into(), (EXPIRED_IN_PLACE_MAX + 1).into()];
    let obstacles =
        store.query_one(&SQL_OBSTACLES, &[queue.into(), now.into(), limits[0], limits[1]], |row| {
            (row.integer(0), row.integer(1) != 0, row.integer(2))
        })?;
    let (lapsed, exhausted, expired) = obstacles.unwrap_or_default();

    if expired > EXPIRED_IN_PLACE_MAX {
        sweep::bury(store, now, queue, Cause::PendingExpired)?;
    }
    if exhausted {
        sweep::bury(store, now, queue, Cause::PendingExhausted)?;
    }
    if lapsed == 0 {
        return Ok(Vec::new());
    }
    sweep::bury(store, now, queue, Cause::LapsedExpired)?;
    sweep::bury(store, now, queue, Cause::LapsedExhausted)?;
    if lapsed > LAPSED_IN_PLACE_MAX {
        store.execute(&SQL_RELEASE_LAPSED, &[queue.into(), now.into()])?;
        return Ok(Vec::new());
    }
    store.query(&SQL_LAPSED, &[queue.into(), now.into()], Candidate::read)
}

/// The first `n` of `lapsed` and of the due pending jobs, in claim order.
fn choose(store: &Store, now: i64, queue: &str, n: i64, lapsed: Vec<Candidate>) -> Result<Vec<Candidate>> {
    let limit = usize::try_from(n).unwrap_or(usize::MAX);
    let mut chosen = due(store, now, queue, limit)?;
    if !lapsed.is_empty() {
        chosen.extend(lapsed);
        chosen.sort_by_key(Candidate::claim_order);
        chosen.truncate(limit);
    }
    Ok(chosen)
}

/// The first `limit` due pending jobs in claim order: one seek for each distinct priority.
fn due(store: &Store, now: i64, queue: &str, limit: usize) -> Result<Vec<Candidate>> {
    let mut jobs = Vec::new();
    let mut at_most = i64::MAX;
    while jobs.len() < limit {
        let Some(priority) = highest_priority(store, queue, at_most)? else { break };
        let wanted = i64::try_from(limit - jobs.len()).unwrap_or(i64::MAX);
        let parameters = [queue.into(), priority.into(), now.into(), wanted.into()];
        jobs.extend(store.query(&SQL_DUE, &parameters, Candidate::read)?);
        match priority.checked_sub(1) {
            Some(below) => at_most = below,
            None => break,
        }
    }
    Ok(jobs)
}

/// The highest priority among the pending jobs of `queue` that is no higher than `at_most`.
pub(super) fn highest_priority(store: &Store, queue: &str, at_most: i64) -> Result<Option<i64>> {
    store.query_one(&SQL_PRIORITY, &[queue.into(), at_most.into()], |row| row.integer(0))
}
