//! Taking jobs from a queue.
//!
//! A claim must cost the same whatever else the queue holds: a million due jobs, a million delayed ones of a higher
//! priority, a hundred thousand in flight. So every question is asked of a partial index that holds only the rows it is
//! about (`conditions.rs`), and jobs that cannot be taken are moved out of the way (`clear.rs`) before the others are
//! walked in their order (`walk.rs`). docs/decisions/0002-claims.md has the plans and the figures.
//!
//! All in one unit, under the write lock from the start, and bounded: a claim that meets too many rows that it cannot
//! take ends with what it has, and says that there is more to do.

use std::cell::Cell;
use std::sync::Arc;

use super::blocked::{self, Keys};
use super::clear;
use super::conditions::{delayed, exception, exception_at, exceptional, immediate, in_flight, last_attempt};
use super::dead_letter::dead_letter_claimable;
use super::limits;
use super::options::OfClaimed;
use super::refusal::{Care, past_refusals};
use super::walk::{Candidate, Queue};
use crate::bound::Allowance;
use crate::statement::{ID_LIST_MAX, Sql, Value, id_list};
use crate::{Error, Result, Store, moving, time};

/// A job as its new holder gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The job's id.
    pub id: i64,
    /// The queue it came from.
    pub queue: Arc<str>,
    /// As it was enqueued.
    pub payload: String,
    /// Who holds it now.
    pub worker_id: Arc<str>,
    /// How often it has been claimed, this time included.
    pub attempts: i64,
    /// The last second in which this claim is valid.
    pub claim_expires_at: i64,
    /// How often it may be claimed.
    pub max_attempts: i64,
    /// When it became due.
    pub run_at: i64,
    /// A JSON object of texts, if it was enqueued with one.
    pub metadata: Option<String>,
    /// For how many seconds it may run, if that is its own affair and not the worker's.
    pub max_run_s: Option<i64>,
}

/// What one claim did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The jobs, in claim order.
    pub jobs: Vec<ClaimedJob>,
    /// There was too much in the way for one transaction: a further claim goes on where this one stopped.
    pub more: bool,
    /// Why a row was passed over that could be neither taken nor moved out of the way.
    pub refused: Option<Error>,
}

#[cfg(feature = "runtime")]
impl crate::bound::Step for Claimed {
    type Answer = Vec<ClaimedJob>;
    // Most find a job at once.
    const IS_BULK: bool = false;

    fn goes_on(&self) -> bool {
        self.jobs.is_empty() && self.more
    }

    fn then(self, next: Self) -> Self {
        next
    }

    fn answer(self) -> Vec<ClaimedJob> {
        self.jobs
    }
}

// The common case in two statements: nothing is in the way, no delayed job is due, and the first of the highest priority
// among the immediate ones can be taken. Of the exceptions only the first is looked at: they are in the order malformed,
// exhausted, expiring, so if that one expires later, so do all.
//
// Not one UPDATE with RETURNING, for which SQLite makes a temporary table, and, within the transaction in which the version
// of the schema is looked at, copies of all pages that it changes.
static SQL_HEAD: Sql = Sql::new(concat!(
    "SELECT id, payload, attempts, max_attempts, run_at FROM main._honker_live
     WHERE id = (
         SELECT id FROM main._honker_live
         WHERE ",
    immediate!(),
    " AND queue = +?1
           AND priority = (SELECT priority FROM main._honker_live
                           WHERE ",
    immediate!(),
    " AND queue = +?1 ORDER BY priority DESC LIMIT 1)
           AND run_at <= +?2
         ORDER BY run_at, id LIMIT 1)
       AND length(payload) <= +?3
       AND NOT EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    delayed!(),
    " AND queue = +?1 AND run_at <= +?2)
       AND NOT EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    in_flight!(),
    " AND queue = +?1 AND claim_expires_at < +?2)
       AND NOT EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    last_attempt!(),
    " AND queue = +?1 AND claim_expires_at < +?2)
       AND (SELECT ",
    exception!(),
    " < 2 OR ",
    exception_at!(),
    " <= +?2 FROM main._honker_live WHERE ",
    exceptional!(),
    " AND queue = +?1 ORDER BY ",
    exception!(),
    ", ",
    exception_at!(),
    " LIMIT 1) IS NOT 1"
));

// Of a column that is in no index, of which none is opened then.
static SQL_LOCK: Sql = Sql::new("UPDATE main._honker_live SET worker_id = worker_id WHERE 0");

static SQL_TAKE_HEAD: Sql = Sql::new(
    "UPDATE main._honker_live
     SET state = 'processing', worker_id = ?2, claim_expires_at = ?3, attempts = attempts + 1
     WHERE id = ?1",
);

static SQL_TAKE: Sql = Sql::new(
    "UPDATE main._honker_live
     SET state = 'processing', worker_id = ?2, claim_expires_at = ?3, attempts = attempts + 1
     WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?4)
     RETURNING payload, attempts, max_attempts, run_at",
);

// The first so many of one priority.
static SQL_FIRST: Sql = Sql::new(concat!(
    "SELECT id, payload, attempts, max_attempts, run_at FROM main._honker_live WHERE ",
    immediate!(),
    " AND queue = +?1 AND priority = +?2 AND run_at <= +?3 ORDER BY run_at, id LIMIT +?4"
));

static SQL_TAKE_MANY: Sql = Sql::new(concat!(
    "UPDATE main._honker_live
     SET state = 'processing', worker_id = ?1, claim_expires_at = ?2, attempts = attempts + 1
     WHERE id IN (",
    id_list!(),
    ")"
));

static SQL_IS_TAKEN: Sql =
    Sql::new("SELECT 1 FROM main._honker_live WHERE id = +?1 AND state = 'processing'");

/// So many jobs are looked at together at most, beside the limit, once many have been set aside.
const AT_ONCE: usize = 100;
/// And so many times as many as before.
const AT_ONCE_GROWTH: usize = 4;

/// The name that was given to a worker, and its instance, of the id by which it claims. `None` of one that cannot be rescued.
pub fn name_and_instance(worker_id: &str) -> Option<(&str, &str)> {
    let is_id = |text: &str| text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    worker_id.rsplit_once('@').filter(|(_, instance)| is_id(instance))
}

/// Claims up to `n` jobs of `queue` for `worker_id` until the second `now + timeout_s`, in claim order.
///
/// A negative `n` means no limit. Jobs that are due but have used up their attempts are moved to the dead first, also
/// when `n` is 0. If too much is in the way for one call, the answer may be empty although there are jobs further on
/// ([`claim_some`] says so). An empty answer with nothing moved changes nothing in the file.
pub fn claim(
    store: &Store,
    now: i64,
    queue: &str,
    worker_id: &str,
    n: i64,
    timeout_s: i64,
) -> Result<Vec<ClaimedJob>> {
    claim_some(store, now, queue, worker_id, n, timeout_s).map(|claimed| claimed.jobs)
}

/// As [`claim`], and whether a further call would find more in the way.
pub fn claim_some(
    store: &Store,
    now: i64,
    queue: &str,
    worker_id: &str,
    n: i64,
    timeout_s: i64,
) -> Result<Claimed> {
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

/// As [`claim_some`], with the answer made of the jobs before the claim is final: if it cannot be made, nothing is claimed.
/// It has to succeed for a single job whose payload has at most `payload_length_max` characters.
///
/// A job that is too long for the answer of any connection, which only other SQL can have stored, is in the way of all behind
/// it: it is moved to the dead.
pub(crate) fn claim_into<T>(
    store: &Store,
    now: i64,
    claim: &Claim<'_>,
    payload_length_max: i64,
    answer: impl Fn(Claimed) -> Result<T>,
) -> Result<T> {
    loop {
        let mut unanswerable = Vec::new();
        let mut answer = |claimed: Claimed| {
            if claimed.jobs.is_empty() && claim.n != 0 {
                moving::check(store)?;
            }
            let long = claimed.jobs.iter().filter(|job| job.payload.len() as i64 > payload_length_max);
            let too_long = long.filter(|job| answer_length(job) > store.length_max_of_any());
            unanswerable.extend(too_long.map(|job| job.id));
            if unanswerable.is_empty() {
                return answer(claimed);
            }
            Err(Error::TooBig("a job is too long for the JSON of a claim".into()))
        };
        let claimed =
            past_refusals(store, |care| claim_once(store, now, claim, payload_length_max, care, &mut answer));
        if claimed.is_ok() || unanswerable.is_empty() {
            return claimed;
        }
        store.atomic(|| unanswerable.iter().try_for_each(|id| dead_letter_claimable(store, now, *id)))?;
    }
}

/// How many bytes the answer takes that has only this job.
fn answer_length(job: &ClaimedJob) -> i64 {
    super::enqueue::answer_length(&job.queue, &job.payload, job.metadata.as_deref())
}

fn claim_once<T>(
    store: &Store,
    now: i64,
    claim: &Claim<'_>,
    payload_length_max: i64,
    care: &mut Care<'_>,
    answer: &mut impl FnMut(Claimed) -> Result<T>,
) -> Result<T> {
    let &Claim { queue, worker_id, n, timeout_s } = claim;
    let claim_expires_at = time::after(now, "timeout_s", timeout_s)?;
    // The same text in all jobs of a batch.
    let (queue_name, worker_name): (Arc<str>, Arc<str>) = (queue.into(), worker_id.into());
    let job = |id, payload, attempts, max_attempts, run_at| ClaimedJob {
        id,
        queue: queue_name.clone(),
        payload,
        worker_id: worker_name.clone(),
        attempts,
        claim_expires_at,
        max_attempts,
        run_at,
        metadata: None,
        max_run_s: None,
    };

    if n == 1 && !care.is_careful() {
        // Taken, or none to be had (paused, at a limit); or else the longer way has to be gone.
        let is_closed = Cell::new(false);
        let take_head = || {
            let limits = limits::known(store, queue)?;
            if let Some(limits) = &limits {
                is_closed.set(limits.room(store, now, queue)? <= 0);
            }
            let per_key = limits.as_ref().and_then(limits::Limits::per_key);
            if is_closed.get() || any_to_bring_back(store, queue, per_key)? {
                return Ok(Vec::new());
            }
            let parameters = [queue.into(), now.into(), payload_length_max.into()];
            let head = store.query_one(&SQL_HEAD, &parameters, |row| {
                job(row.integer(0), row.text(1), row.integer(2) + 1, row.integer(3), row.integer(4))
            })?;
            let mut key = None;
            let mut keys = per_key.map(|per_key| Keys::new(store, now, queue, per_key));
            let mut jobs = Vec::new();
            if let Some(mut head) = head {
                key = OfClaimed::read(store, head.id)?.complete(&mut head);
                if let (Some(keys), Some(key)) = (&mut keys, &key)
                    && keys.is_saturated(key)?
                {
                    return Ok(Vec::new());
                }
                let parameters = [head.id.into(), worker_id.into(), claim_expires_at.into()];
                // A trigger may have kept it from being taken.
                if store.execute(&SQL_TAKE_HEAD, &parameters)? > 0 {
                    jobs.push(head);
                }
            }
            if let Some(limits) = &limits {
                limits.took(store, now, queue, jobs.len())?;
            }
            care.check()?;
            if let (Some(key), [job]) = (&key, &jobs[..]) {
                blocked::take_slot(store, job.id, queue, key)?;
                if let Some(keys) = &mut keys {
                    keys.took(key, &mut Allowance::new(store))?;
                }
            }
            count(store, now, &jobs);
            Ok(jobs)
        };
        let jobs = store.write_once(&SQL_LOCK, take_head, |store| store.features().any())?;
        if !jobs.is_empty() || is_closed.get() {
            care.finish();
            return answer(Claimed { jobs, more: false, refused: None });
        }
    }

    store.atomic(|| {
        let limits = limits::known(store, queue)?;
        let mut limit = usize::try_from(n).unwrap_or(usize::MAX);
        if let Some(limits) = &limits {
            let room = limits.room(store, now, queue)?;
            if room <= 0 {
                care.finish();
                return answer(Claimed::default());
            }
            limit = limit.min(usize::try_from(room).unwrap_or(usize::MAX));
        }
        let per_key = limits.as_ref().and_then(limits::Limits::per_key);
        let mut cleared = clear::clear(store, now, queue, care)?;
        if any_to_bring_back(store, queue, per_key)? {
            blocked::bring_back_all(store, queue, &mut cleared.allowance)?;
            cleared.more |= cleared.allowance.refused();
        }
        let mut jobs = Vec::new();
        let mut is_passed_over = false;
        let mut walk = Queue { store, now, name: queue, stepped_over: cleared.stepped_over };
        let take = |candidate: &Candidate| {
            let id = candidate.id;
            let parameters = [id.into(), worker_id.into(), claim_expires_at.into(), now.into()];
            store.query_one(&SQL_TAKE, &parameters, |row| {
                job(id, row.text(0), row.integer(1), row.integer(2), row.integer(3))
            })
        };
        if !cleared.readable {
        } else if let Some(per_key) = per_key {
            let keys = Keys::new(store, now, queue, per_key);
            let mut by_key = TakeByKey { walk, keys, limit, care, allowance: &mut cleared.allowance };
            is_passed_over = by_key.take(cleared.lapsed, take, &mut jobs)?;
            walk = by_key.walk;
            cleared.more |= cleared.allowance.refused();
        } else if care.is_careful() {
            take_one_by_one(&mut walk, limit, cleared.lapsed, care, take, &mut jobs)?;
        } else if !cleared.more && cleared.lapsed.is_empty() && walk.only_immediate()? {
            // With something left in the way, some of the first may have expired.
            walk.each_priority(limit, |priority, wanted| {
                let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
                let parameters = [queue.into(), priority.into(), now.into(), wanted.into()];
                let mut taken = store.query(&SQL_FIRST, &parameters, |row| {
                    job(row.integer(0), row.text(1), row.integer(2) + 1, row.integer(3), row.integer(4))
                })?;
                take_many(store, worker_id, claim_expires_at, &mut taken)?;
                let count = taken.len();
                jobs.append(&mut taken);
                Ok(count)
            })?;
        } else {
            for candidate in walk.first(limit, cleared.lapsed)? {
                // No row if it has expired: there are more of those than could be moved away.
                jobs.extend(take(&candidate)?);
            }
        }
        if !care.is_careful() {
            care.check()?;
            let is_ignored = jobs.is_empty()
                && limit > 0
                && !cleared.more
                && cleared.readable
                && (is_passed_over || walk.any_due()?);
            if is_ignored && care.may_become_careful()? {
                return Err(Error::ignored("claimed", "_honker_live"));
            }
        }
        let more = cleared.more && (!care.is_careful() || care.has_changed_any());
        let refused = care.error().cloned();
        match &refused {
            Some(error) if jobs.is_empty() && !care.has_changed_any() => return Err(error.clone()),
            _ => {}
        }
        if per_key.is_none() {
            complete(store, queue, &mut jobs)?;
        }
        count(store, now, &jobs);
        if let Some(limits) = &limits {
            limits.took(store, now, queue, jobs.len())?;
        }
        care.finish();
        answer(Claimed { jobs, more, refused })
    })
}

/// Takes pending jobs. Those that a trigger ignores are not among them any more.
fn take_many(
    store: &Store,
    worker_id: &str,
    claim_expires_at: i64,
    jobs: &mut Vec<ClaimedJob>,
) -> Result<()> {
    let mut taken = 0;
    for jobs in jobs.chunks(ID_LIST_MAX) {
        let mut parameters = vec![worker_id.into(), claim_expires_at.into()];
        parameters.extend(jobs.iter().map(|job| Value::from(job.id)));
        taken += store.execute(&SQL_TAKE_MANY, &parameters)?;
    }
    if usize::try_from(taken) == Ok(jobs.len()) {
        return Ok(());
    }
    let mut all = Vec::new();
    for job in jobs.drain(..) {
        if store.query_one(&SQL_IS_TAKEN, &[job.id.into()], |_| ())?.is_some() {
            all.push(job);
        }
    }
    *jobs = all;
    Ok(())
}

/// Takes jobs of a queue with a limit for each key: those whose key is at its limit are set aside, and come back when it is
/// not.
struct TakeByKey<'a, 'b, 'c> {
    walk: Queue<'a>,
    keys: Keys<'a>,
    limit: usize,
    care: &'b mut Care<'c>,
    allowance: &'b mut Allowance<'a>,
}

impl TakeByKey<'_, '_, '_> {
    /// Whether a job was passed over that could not be taken.
    fn take(
        &mut self,
        mut lapsed: Vec<Candidate>,
        take: impl Fn(&Candidate) -> Result<Option<ClaimedJob>>,
        jobs: &mut Vec<ClaimedJob>,
    ) -> Result<bool> {
        if self.care.is_careful() {
            self.care.next_stage();
        }
        let mut is_passed_over = false;
        let mut at_once = self.limit;
        let Queue { store, name: queue, .. } = self.walk;
        while jobs.len() < self.limit && self.care.goes_on() {
            self.walk.stepped_over.extend(self.care.refused());
            lapsed.retain(|candidate| !self.walk.stepped_over.contains(&candidate.id));
            let candidates = self.walk.first(at_once, lapsed.clone())?;
            if candidates.is_empty() {
                // Nothing else is to be had: slots may be free of which nobody has said so.
                if jobs.is_empty() && self.keys.bring_back_waiting(self.allowance)? {
                    continue;
                }
                break;
            }
            let (mut set_aside, mut is_full) = (Vec::new(), false);
            'candidates: for candidates in candidates.chunks(ID_LIST_MAX) {
                let mut options = OfClaimed::read_many(store, candidates.iter().map(|c| c.id))?;
                for candidate in candidates {
                    if jobs.len() == self.limit {
                        break 'candidates;
                    }
                    let id = candidate.id;
                    let options = options.remove(&id).unwrap_or_default();
                    let saturated = match &options.key {
                        Some(key) => self.keys.is_saturated(key)?,
                        None => false,
                    };
                    if let (Some(key), true) = (&options.key, saturated) {
                        is_full = !self.allowance.admit(0);
                        if is_full {
                            break 'candidates;
                        }
                        if !self.care.is_careful() && lapsed.iter().all(|lapsed| lapsed.id != id) {
                            set_aside.push((key.clone(), id));
                        } else if self.care.row(id, || self.keys.set_aside(id, key))?.is_none() {
                            self.walk.stepped_over.insert(id);
                        }
                    } else {
                        match self.care.row(id, || take(candidate))? {
                            Some(Some(mut job)) => {
                                if let Some(key) = &options.complete(&mut job) {
                                    blocked::take_slot(store, id, queue, key)?;
                                    self.keys.took(key, self.allowance)?;
                                }
                                jobs.push(job);
                            }
                            // It has expired, or a trigger has ignored it.
                            Some(None) => {
                                is_passed_over = true;
                                if self.care.is_careful() {
                                    self.care.pass_over(id);
                                }
                                self.walk.stepped_over.insert(id);
                            }
                            None => {}
                        }
                    }
                    lapsed.retain(|other| other.id != id);
                }
            }
            self.keys.set_aside_all(set_aside)?;
            if is_full {
                return Ok(is_passed_over);
            }
            // Many may be of the same key.
            at_once = at_once.max(AT_ONCE.min(at_once.saturating_mul(AT_ONCE_GROWTH)));
        }
        Ok(is_passed_over)
    }
}

/// Takes the first jobs, and for each that cannot be taken one that comes later.
fn take_one_by_one(
    walk: &mut Queue<'_>,
    limit: usize,
    mut lapsed: Vec<Candidate>,
    care: &mut Care<'_>,
    take: impl Fn(&Candidate) -> Result<Option<ClaimedJob>>,
    jobs: &mut Vec<ClaimedJob>,
) -> Result<()> {
    care.next_stage();
    loop {
        walk.stepped_over.extend(care.refused());
        lapsed.retain(|candidate| !walk.stepped_over.contains(&candidate.id));
        let candidates = walk.first(limit - jobs.len(), lapsed.clone())?;
        let wanted = candidates.len();
        let before = jobs.len();
        for candidate in candidates {
            match care.row(candidate.id, || take(&candidate))? {
                Some(Some(job)) => jobs.push(job),
                // It has expired, or a trigger has ignored it.
                Some(None) => care.pass_over(candidate.id),
                None => {}
            }
        }
        let taken = &jobs[before..];
        if taken.len() == wanted || !care.goes_on() {
            return Ok(());
        }
        lapsed.retain(|candidate| taken.iter().all(|job| job.id != candidate.id));
    }
}

/// Whether jobs wait for a slot although there is no limit for a key any more.
fn any_to_bring_back(store: &Store, queue: &str, per_key: Option<i64>) -> Result<bool> {
    Ok(per_key.is_none() && store.features().blocked && blocked::any_of(store, queue)?)
}

/// Adds to jobs what their holder has to know. Those that have a key have a slot, whether or not there is a limit now.
fn complete(store: &Store, queue: &str, jobs: &mut [ClaimedJob]) -> Result<()> {
    if store.features().options {
        for job in jobs {
            if let Some(key) = OfClaimed::read(store, job.id)?.complete(job) {
                blocked::take_slot(store, job.id, queue, &key)?;
            }
        }
    }
    Ok(())
}

fn count(store: &Store, now: i64, jobs: &[ClaimedJob]) {
    if let Some(tally) = store.tally() {
        jobs.iter().for_each(|job| tally.claimed(job.id, &job.queue, now.saturating_sub(job.run_at)));
    }
}
