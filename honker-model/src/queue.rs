//! The job queue: live jobs, dead jobs, and every way from one to the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::schedule::Schedule;
use crate::tables::{Row, row};
use crate::unique::Holder;
use crate::{Outcome, ROWS_MAX, Refusal, after, limited, older};

/// Beyond this many lapsed claims in a queue, a claim puts those it could take back to pending before it chooses.
pub const LAPSED_IN_PLACE_MAX: usize = 32;

/// Beyond this many expired pending jobs in a queue, a claim moves them to the dead.
pub const EXPIRED_IN_PLACE_MAX: usize = 100;

pub(crate) const MAX_ATTEMPTS_EXCEEDED: &str = "max attempts exceeded";
pub(crate) const EXPIRED: &str = "expired";

/// All jobs, by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue {
    /// Pending and processing jobs.
    pub live: BTreeMap<i64, Job>,
    /// Jobs that ended without an ack.
    pub dead: BTreeMap<i64, DeadJob>,
    /// The last id given; ids are never given twice.
    pub last_id: i64,
    /// Who has which key of which queue.
    pub keys: BTreeMap<(String, String), Holder>,
    /// The keys of the jobs that are live or dead, and whether each is only for waiting.
    pub options: BTreeMap<i64, (String, bool)>,
    /// What is set for queues, by name.
    pub settings: BTreeMap<String, Settings>,
    /// What was saved for steps of jobs, by job and name. Of jobs that are nowhere it counts for nothing.
    pub steps: BTreeMap<(i64, String), String>,
}

/// What is set for a queue, and how much of its rate is used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    paused: bool,
    concurrency: Option<i64>,
    /// At most so many claims in so many seconds.
    rate: Option<(i64, i64)>,
    /// The second in which the window began in which claims were counted last, and how many those were.
    window: (i64, i64),
}

/// One setting of a queue; `None`: the default.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the names are the keys of honker_queue_configure")]
pub enum Setting {
    Paused(Option<bool>),
    Concurrency(Option<i64>),
    Rate(Option<(i64, i64)>),
}

impl Settings {
    fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Paused(paused) => self.paused = paused.unwrap_or(false),
            Setting::Concurrency(concurrency) => self.concurrency = concurrency,
            Setting::Rate(rate) => {
                if rate.map(|(_, per_s)| per_s) != self.rate.map(|(_, per_s)| per_s) {
                    self.window = (0, 0);
                }
                self.rate = rate;
            }
        }
    }

    /// How many claims are left in the window, and when the next one begins.
    fn left_in_window(&self, now: i64) -> Option<(i64, i64)> {
        let (limit, per_s) = self.rate?;
        let start = window_start(now, per_s);
        let used = if self.window.0 == start { self.window.1 } else { 0 };
        Some((limit - used, start.saturating_add(per_s)))
    }

    fn count(&mut self, now: i64, claims: i64) {
        if let (Some((left, _)), Some((limit, per_s)), true) =
            (self.left_in_window(now), self.rate, claims > 0)
        {
            self.window = (window_start(now, per_s), limit - left + claims);
        }
    }
}

fn window_start(now: i64, per_s: i64) -> i64 {
    now.div_euclid(per_s).saturating_mul(per_s)
}

/// A live job. It is processing if it has a claim and pending if it has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The queue's name.
    pub queue: String,
    /// As enqueued.
    pub payload: String,
    /// Larger is sooner.
    pub priority: i64,
    /// When it becomes due.
    pub run_at: i64,
    /// Who took it last, and until when.
    pub claim: Option<Claim>,
    /// How often it was claimed.
    pub attempts: i64,
    /// How often it may be.
    pub max_attempts: i64,
    /// When it was enqueued.
    pub created_at: i64,
    /// From this second on it may not be claimed.
    pub expires_at: Option<i64>,
}

/// A claim on a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Whose.
    pub worker_id: String,
    /// The last second in which it is valid.
    pub expires_at: i64,
}

/// A dead job: what it was, and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadJob {
    /// The job as it was at the end. Its claim and expiry are not kept by the table.
    pub job: Job,
    /// Why it died.
    pub last_error: String,
    /// When it died.
    pub died_at: i64,
}

/// What to enqueue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Enqueue {
    /// The queue's name.
    pub queue: &'static str,
    /// Stored as it is.
    pub payload: &'static str,
    /// When due, unless `delay_s` says otherwise.
    pub run_at: Option<i64>,
    /// Seconds from now until due.
    pub delay_s: Option<i64>,
    /// Larger is sooner.
    pub priority: i64,
    /// How often it may be claimed.
    pub max_attempts: i64,
    /// Seconds from now until it may not be claimed any more.
    pub expires_s: Option<i64>,
}

impl Job {
    fn new(now: i64, queue: &str, payload: &str) -> Self {
        Job {
            queue: queue.to_owned(),
            payload: payload.to_owned(),
            priority: 0,
            run_at: now,
            claim: None,
            attempts: 0,
            max_attempts: 3,
            created_at: now,
            expires_at: None,
        }
    }

    pub(crate) fn expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    pub(crate) fn exhausted(&self) -> bool {
        self.attempts >= self.max_attempts
    }

    /// The holder's time is over.
    pub fn lapsed(&self, now: i64) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.expires_at < now)
    }

    fn pending_expired(&self, now: i64) -> bool {
        self.claim.is_none() && self.expired(now)
    }

    fn held_by(&self, now: i64, worker_id: &str) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.worker_id == worker_id && claim.expires_at >= now)
    }

    /// As a row of `_honker_live`, which is also how it is looked at.
    pub fn row(&self, id: i64) -> Row {
        let state = if self.claim.is_none() { "pending" } else { "processing" };
        let worker_id = self.claim.as_ref().map(|claim| claim.worker_id.as_str());
        let claim_expires_at = self.claim.as_ref().map(|claim| claim.expires_at);
        row![
            id,
            &self.queue,
            &self.payload,
            state,
            self.priority,
            self.run_at,
            worker_id,
            claim_expires_at,
            self.attempts,
            self.max_attempts,
            self.created_at,
            self.expires_at,
        ]
    }
}

impl DeadJob {
    /// As a row of `_honker_dead`, which is also how it is listed.
    pub fn row(&self, id: i64) -> Row {
        let DeadJob { job, last_error, died_at } = self;
        row![
            id,
            &job.queue,
            &job.payload,
            job.priority,
            job.run_at,
            job.attempts,
            job.max_attempts,
            last_error,
            job.created_at,
            *died_at,
        ]
    }
}

impl Queue {
    fn insert(&mut self, job: Job) -> i64 {
        self.last_id += 1;
        self.live.insert(self.last_id, job);
        self.last_id
    }

    /// Adds a pending job; its id.
    pub fn enqueue(&mut self, now: i64, job: &Enqueue) -> Outcome<i64> {
        let run_at = match job.delay_s {
            Some(delay_s) => after(now, "delay", delay_s)?,
            None => job.run_at.unwrap_or(now),
        };
        let expires_at = job.expires_s.map(|expires_s| after(now, "expires", expires_s)).transpose()?;
        let Enqueue { priority, max_attempts, .. } = *job;
        let new = Job::new(now, job.queue, job.payload);
        Ok(self.insert(Job { priority, run_at, max_attempts, expires_at, ..new }))
    }

    /// Adds all jobs, `times` times over, or none.
    pub fn enqueue_many(&mut self, now: i64, jobs: &[Enqueue], times: usize) -> Outcome<Vec<i64>> {
        let mut all = self.clone();
        let ids: Outcome<_> = jobs.repeat(times).iter().map(|job| all.enqueue(now, job)).collect();
        if ids.is_ok() {
            *self = all;
        }
        ids
    }

    /// Adds the job of a schedule that fires.
    pub(crate) fn insert_fired(&mut self, now: i64, schedule: &Schedule, expires_at: Option<i64>) -> i64 {
        let Schedule { priority, max_attempts, .. } = *schedule;
        let new = Job::new(now, &schedule.queue, &schedule.payload);
        self.insert(Job { priority, max_attempts, expires_at, ..new })
    }

    /// A plain INSERT of queue and payload: the defaults of the other columns make it a job like any other.
    pub fn raw_insert(&mut self, now: i64, queue: &str, payload: &str) -> i64 {
        self.insert(Job::new(now, queue, payload))
    }

    /// Somebody changes a budget by hand.
    pub fn raw_budget(&mut self, id: i64, max_attempts: i64) -> bool {
        self.live.get_mut(&id).map(|job| job.max_attempts = max_attempts).is_some()
    }

    /// Somebody copies a dead job back into the live table by hand and leaves the dead row where it is.
    pub fn raw_revive(&mut self, now: i64, id: i64) -> bool {
        match self.dead.get(&id) {
            Some(DeadJob { job, .. }) if !self.live.contains_key(&id) => {
                self.live.insert(id, Job::new(now, &job.queue, &job.payload));
                true
            }
            _ => false,
        }
    }

    pub(crate) fn dead_letter(&mut self, now: i64, id: i64, error: &str) {
        if let Some(job) = self.live.remove(&id) {
            self.left(now, id);
            self.dead.insert(id, DeadJob { job, last_error: error.to_owned(), died_at: now });
        }
    }

    fn ids(&self, queue: &str, condition: impl Fn(&Job) -> bool) -> Vec<i64> {
        let jobs = self.live.iter().filter(|(_, job)| job.queue == queue && condition(job));
        jobs.map(|(id, _)| *id).collect()
    }

    /// As [`Queue::ids`], the first ones by `order` and id, as many as `left` allows; it allows so many fewer after that.
    fn some(
        &self,
        left: &mut usize,
        queue: &str,
        condition: impl Fn(&Job) -> bool,
        order: impl Fn(&Job) -> Option<i64>,
    ) -> Vec<i64> {
        let mut ids = self.ids(queue, condition);
        ids.sort_by_key(|id| (order(&self.live[id]), *id));
        ids.truncate(*left);
        *left -= ids.len();
        ids
    }

    /// Moves expired pending jobs to the dead, as many as `left` allows.
    fn expire_pending(&mut self, now: i64, queue: &str, left: &mut usize) -> i64 {
        let ids = self.some(left, queue, |job| job.pending_expired(now), |job| job.expires_at);
        ids.iter().for_each(|id| self.dead_letter(now, *id, EXPIRED));
        ids.len() as i64
    }

    /// The claims that lapsed first, on their last attempt or not, as many as `left` allows.
    fn some_lapsed(&self, now: i64, queue: &str, last_attempt: bool, left: &mut usize) -> Vec<i64> {
        let lapsed = |job: &Job| job.lapsed(now) && job.exhausted() == last_attempt;
        self.some(left, queue, lapsed, |job| job.claim.as_ref().map(|claim| claim.expires_at))
    }

    /// Moves what is in the way of a claim, as far as one call may; the lapsed claims that stay to be weighed.
    fn clear(&mut self, now: i64, queue: &str) -> Vec<i64> {
        let lapsed = self.ids(queue, |job| job.lapsed(now) && !job.exhausted()).len();
        let expired = self.ids(queue, |job| job.pending_expired(now)).len();
        let mut left = ROWS_MAX;

        let exhausted = |job: &Job| job.claim.is_none() && job.exhausted() && job.run_at <= now;
        let mut out_of_attempts = self.some(&mut left, queue, exhausted, |job| Some(job.run_at));
        out_of_attempts.extend(self.some_lapsed(now, queue, true, &mut left));
        for id in out_of_attempts {
            let error = if self.live[&id].expired(now) { EXPIRED } else { MAX_ATTEMPTS_EXCEEDED };
            self.dead_letter(now, id, error);
        }
        if expired > EXPIRED_IN_PLACE_MAX {
            self.expire_pending(now, queue, &mut left);
        }
        let mut in_place = Vec::new();
        for id in self.some_lapsed(now, queue, false, &mut left) {
            // One that is set back before may have found that this one can be claimed no more.
            let Some(job) = self.live.get_mut(&id) else { continue };
            if job.expired(now) {
                self.dead_letter(now, id, EXPIRED);
            } else if lapsed > LAPSED_IN_PLACE_MAX {
                job.claim = None;
                self.take_again(now, id, queue);
            } else {
                in_place.push(id);
            }
        }
        in_place
    }

    /// Sets something for a queue.
    pub fn configure(&mut self, queue: &str, setting: Setting) {
        let settings = self.settings.entry(queue.to_owned()).or_default();
        settings.set(setting);
        // Without any there is no row.
        let Settings { paused, concurrency, rate, .. } = *settings;
        if !paused && concurrency.is_none() && rate.is_none() {
            self.settings.remove(queue);
        }
    }

    /// The last seconds of the valid claims of a queue.
    fn valid(&self, now: i64, queue: &str) -> Vec<i64> {
        let claims = self.live.values().filter(|job| job.queue == queue).filter_map(|job| job.claim.as_ref());
        let mut valid: Vec<i64> =
            claims.map(|claim| claim.expires_at).filter(|expires_at| *expires_at >= now).collect();
        valid.sort_unstable();
        valid
    }

    /// How many jobs of a queue may be claimed.
    fn room(&self, now: i64, queue: &str) -> i64 {
        let Some(settings) = self.settings.get(queue) else { return i64::MAX };
        if settings.paused {
            return 0;
        }
        let rate = settings.left_in_window(now).map_or(i64::MAX, |(left, _)| left);
        let concurrency =
            settings.concurrency.map_or(i64::MAX, |limit| limit - self.valid(now, queue).len() as i64);
        rate.min(concurrency).max(0)
    }

    /// Clears away what cannot be claimed any more, then takes up to `n` jobs in claim order. A queue that is paused or at a
    /// limit is left alone.
    pub fn claim(
        &mut self,
        now: i64,
        queue: &str,
        worker_id: &str,
        n: i64,
        timeout_s: i64,
    ) -> Outcome<Vec<Row>> {
        let expires_at = after(now, "timeout_s", timeout_s)?;
        let room = self.room(now, queue);
        if room == 0 {
            return Ok(Vec::new());
        }
        let n = if n < 0 { room } else { n.min(room) };
        let expired = self.ids(queue, |job| job.pending_expired(now)).len();
        let mut claimable = self.clear(now, queue);
        // If there were too many expired ones to move them all, some take places in the order.
        let passes = |job: &Job| expired > EXPIRED_IN_PLACE_MAX || !job.expired(now);
        let pending = |job: &Job| job.claim.is_none() && job.run_at <= now && !job.exhausted();
        claimable.extend(self.ids(queue, |job| pending(job) && passes(job)));
        claimable.sort_by_key(|id| {
            let job = &self.live[id];
            (Reverse(job.priority), job.run_at, *id)
        });
        let mut taken = limited(claimable.into_iter(), n);
        taken.retain(|id| !self.live[id].expired(now));
        if let Some(settings) = self.settings.get_mut(queue) {
            settings.count(now, taken.len() as i64);
        }
        let take = |id: i64| {
            let job = self.live.get_mut(&id).expect("it was just found");
            job.attempts += 1;
            job.claim = Some(Claim { worker_id: worker_id.to_owned(), expires_at });
            row![id, queue, &job.payload, worker_id, job.attempts, expires_at]
        };
        Ok(taken.into_iter().map(take).collect())
    }

    fn held(&self, now: i64, id: i64, worker_id: &str) -> bool {
        self.live.get(&id).is_some_and(|job| job.held_by(now, worker_id))
    }

    /// Done: the job is gone without a trace.
    pub fn ack(&mut self, now: i64, id: i64, worker_id: &str) -> bool {
        self.held(now, id, worker_id) && self.remove(now, id)
    }

    fn remove(&mut self, now: i64, id: i64) -> bool {
        let removed = self.live.remove(&id).is_some();
        if removed {
            self.left(now, id);
            self.forget(id);
        }
        removed
    }

    /// Acks each id once; how many that were.
    pub fn ack_batch(&mut self, now: i64, ids: &[i64], worker_id: &str) -> i64 {
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        ids.into_iter().filter(|id| self.ack(now, *id, worker_id)).count() as i64
    }

    /// Back to pending, or dead if that was the last attempt.
    pub fn retry(&mut self, now: i64, id: i64, worker_id: &str, delay_s: i64, error: &str) -> Outcome<bool> {
        let run_at = after(now, "delay_s", delay_s)?;
        if !self.held(now, id, worker_id) {
            return Ok(false);
        }
        let job = self.live.get_mut(&id).expect("it is held");
        if job.exhausted() {
            self.dead_letter(now, id, error);
        } else {
            job.claim = None;
            job.run_at = run_at;
            let queue = job.queue.clone();
            self.take_again(now, id, &queue);
        }
        Ok(true)
    }

    /// Dead, whatever the budget.
    pub fn fail(&mut self, now: i64, id: i64, worker_id: &str, error: &str) -> bool {
        let held = self.held(now, id, worker_id);
        if held {
            self.dead_letter(now, id, error);
        }
        held
    }

    /// The claim now ends `extend_s` seconds from now, be that later or sooner than before.
    pub fn heartbeat(&mut self, now: i64, id: i64, worker_id: &str, extend_s: i64) -> Outcome<bool> {
        let expires_at = after(now, "extend_s", extend_s)?;
        let held = self.live.get_mut(&id).filter(|job| job.held_by(now, worker_id));
        Ok(held.map(|job| job.claim = Some(Claim { worker_id: worker_id.to_owned(), expires_at })).is_some())
    }

    /// Gone, whatever its state.
    pub fn cancel(&mut self, now: i64, id: i64) -> bool {
        self.remove(now, id)
    }

    /// Saves a step of a job that this worker holds, once; what is stored.
    pub fn step_save(
        &mut self,
        now: i64,
        id: i64,
        worker_id: &str,
        name: &str,
        value: &str,
    ) -> Option<String> {
        if !self.held(now, id, worker_id) {
            return None;
        }
        // Of a job that was nowhere meanwhile nothing is left.
        let (live, dead) = (&self.live, &self.dead);
        self.steps.retain(|(id, _), _| live.contains_key(id) || dead.contains_key(id));
        let saved = self.steps.entry((id, name.to_owned())).or_insert_with(|| value.to_owned());
        Some(saved.clone())
    }

    /// What was saved for a step of a job that is live or dead.
    pub fn step_get(&self, id: i64, name: &str) -> Option<&str> {
        let is_anywhere = self.live.contains_key(&id) || self.dead.contains_key(&id);
        self.steps.get(&(id, name.to_owned())).filter(|_| is_anywhere).map(String::as_str)
    }

    /// Moves expired jobs that nobody holds to the dead, as many as one call may.
    pub fn sweep_expired(&mut self, now: i64, queue: &str) -> i64 {
        let mut left = ROWS_MAX;
        let mut swept = self.expire_pending(now, queue, &mut left);
        for last_attempt in [true, false] {
            for id in self.some_lapsed(now, queue, last_attempt, &mut left) {
                if self.live[&id].expired(now) {
                    self.dead_letter(now, id, EXPIRED);
                    swept += 1;
                }
            }
        }
        swept
    }

    /// When the next job will become claimable by itself; now, if a claim would clear something away. If a limit keeps jobs
    /// from being claimed, when that is over, but not before there is one.
    pub fn next_claim_at(&self, now: i64, queue: &str) -> Option<i64> {
        let Some(settings) = self.settings.get(queue) else { return self.next_unlimited(now, queue) };
        if settings.paused {
            return None;
        }
        if self.room(now, queue) > 0 {
            return self.next_unlimited(now, queue);
        }
        let window = settings.left_in_window(now).filter(|(left, _)| *left <= 0).map(|(_, end)| end);
        let valid = self.valid(now, queue);
        let lapse = settings.concurrency.and_then(|limit| {
            let over = valid.len().checked_sub(usize::try_from(limit).ok()?)?;
            valid[over].checked_add(1)
        });
        let free = window.max(lapse)?;
        let any_now = self.live.values().any(|job| {
            job.queue == queue && !job.exhausted() && !job.expired(now) && job.lapsed(now)
                || job.queue == queue
                    && job.claim.is_none()
                    && job.run_at <= now
                    && !job.exhausted()
                    && !job.expired(now)
        });
        let next = self.next_unlimited(now, queue);
        if any_now || next == Some(now) { Some(free) } else { next.map(|next| next.max(free)) }
    }

    fn next_unlimited(&self, now: i64, queue: &str) -> Option<i64> {
        let mut cleared = self.clone();
        cleared.clear(now, queue);
        if cleared != *self {
            return Some(now);
        }
        let may_come =
            self.live.values().filter(|job| job.queue == queue && !job.exhausted() && !job.expired(now));
        let moments = may_come.filter_map(|job| match &job.claim {
            None => Some(job.run_at),
            Some(claim) => claim.expires_at.checked_add(1),
        });
        moments.filter(|moment| *moment > now).min()
    }

    /// Name, pending, delayed, claimed, expired and dead of one queue.
    pub fn stats(&self, now: i64, queue: &str) -> Row {
        let count = |condition: &dyn Fn(&Job) -> bool| self.ids(queue, condition).len() as i64;
        let ready = |job: &Job| job.claim.is_none() && !job.expired(now);
        row![
            queue,
            count(&|job| ready(job) && job.run_at <= now),
            count(&|job| ready(job) && job.run_at > now),
            count(&|job| job.claim.is_some()),
            count(&|job| job.pending_expired(now)),
            self.dead.values().filter(|dead| dead.job.queue == queue).count() as i64,
        ]
    }

    /// The same for every queue with a live or dead job, by name.
    pub fn stats_all(&self, now: i64) -> Vec<Row> {
        let jobs = self.live.values().chain(self.dead.values().map(|dead| &dead.job));
        let queues: BTreeSet<&str> = jobs.map(|job| job.queue.as_str()).collect();
        queues.into_iter().map(|queue| self.stats(now, queue)).collect()
    }

    /// Dead jobs of one queue or all, newest id first.
    pub fn dead_list(&self, queue: Option<&str>, limit: i64) -> Vec<Row> {
        let dead =
            self.dead.iter().rev().filter(|(_, dead)| queue.is_none_or(|queue| dead.job.queue == queue));
        limited(dead.map(|(id, dead)| dead.row(*id)), limit)
    }

    /// A dead job starts anew: due now, nothing used up, at least one attempt, no expiry.
    pub fn dead_requeue(&mut self, now: i64, id: i64) -> Outcome<bool> {
        let Some(DeadJob { job, .. }) = self.dead.get(&id).cloned() else { return Ok(false) };
        let mut all = self.clone();
        if !all.take_again(now, id, &job.queue) {
            *self = all;
            return Ok(false);
        }
        if all.live.contains_key(&id) {
            return Err(Refusal::Constraint);
        }
        *self = all;
        let max_attempts = job.max_attempts.max(1);
        let job = Job { run_at: now, claim: None, attempts: 0, max_attempts, expires_at: None, ..job };
        self.live.insert(id, job);
        self.dead.remove(&id);
        Ok(true)
    }

    /// Deletes the dead that have been dead for long, as many as one call may.
    pub fn dead_purge(&mut self, now: i64, queue: Option<&str>, older_than_s: i64) -> i64 {
        let old = |dead: &DeadJob| {
            queue.is_none_or(|queue| dead.job.queue == queue) && older(dead.died_at, now, older_than_s)
        };
        // In the order of the index, for as many as one call takes.
        let mut found: Vec<(&str, i64, i64)> = self
            .dead
            .iter()
            .filter(|(_, dead)| old(dead))
            .map(|(id, dead)| (&*dead.job.queue, dead.died_at, *id))
            .collect();
        found.sort_unstable();
        let ids: Vec<i64> = found.into_iter().map(|(_, _, id)| id).take(ROWS_MAX).collect();
        for id in &ids {
            self.dead.remove(id);
            self.forget(*id);
        }
        ids.len() as i64
    }
}
