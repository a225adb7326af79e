//! A worker: claims jobs of its queues, and keeps the ones it has in hand until they are settled.
//!
//! Each call of [`Worker::settle_and_next`] is a turn: one commit settles what is finished, prolongs what runs, retries what
//! ran for too long and claims what there is room for. If there is nothing to say after that, it waits: for jobs, for
//! claims that are lost, for the next heartbeat and the next maximum run time.
//!
//! Invariants:
//! - On an error nothing was settled and nothing claimed; the same settlements can be given again.
//! - A job is settled only by who has its present serial (see `database/hand.rs`).
//! - A loss is reported once. What the worker's user settles itself, through the same database, is no loss.
//! - A wake that is not for this worker costs a read, not a write.
//!
//! Threads: one uses it at a time. Dropping it leaves the jobs in hand to the end of their claims, as a crash does.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::registration::{Look, Next, Registration};
use super::waiter::{Rest, Waiter};
use crate::database::{Database, Hand, InHand};
use crate::outlook::Interest;
use crate::queue::{self, ClaimedJob, Held, Outcome, Turn, Turned};
use crate::{Error, Result};

/// After so many claims in a row that should have done something and did nothing, a look is over. Others may be faster, but
/// not always; a trigger of the user's (`RAISE(IGNORE)`) may keep a worker from its jobs for ever.
const IN_VAIN_MAX: u32 = 2;

/// When it looks again after that.
const KEPT: Duration = Duration::from_millis(500);

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
    pub in_hand_max: Option<u64>,
}

impl WorkerQueue {
    /// A queue with weight 1 and no limit.
    pub fn new(name: impl Into<String>) -> Self {
        WorkerQueue { name: name.into(), weight: 1, in_hand_max: None }
    }
}

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
        /// In how many seconds it becomes due again; `None`: as [`WorkerOptions::backoff`] says.
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
    /// It ran longer than it may, and was retried.
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
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.lost.is_empty()
    }
}

/// What [`Worker::settle_and_next`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// For each settlement, whether the job was still the worker's. All that is `true` is committed.
    pub held: Vec<bool>,
    /// What there is next. An error is one of the waiting: what was settled is settled.
    pub next: Result<Next<Batch>>,
}

/// See the module documentation.
pub struct Worker {
    registration: Registration,
    desk: Desk,
}

/// All of a worker but its waiting.
struct Desk {
    database: Database,
    queues: Vec<WorkerQueue>,
    worker_id: String,
    options: WorkerOptions,
    hand: Arc<Hand>,
    /// When the claims in hand were last prolonged, or the first of them made.
    prolonged_at: Instant,
    /// The last claim found something, so the next one is made without looking first.
    busy: bool,
    /// The last claim left something in the way of a further one.
    more: bool,
    /// What has to be reported, and could not be yet.
    lost: Vec<LostJob>,
}

impl Worker {
    /// A worker on one queue that claims as `worker_id`, with a waiter of its own.
    pub fn new(
        database: &Database,
        queue: impl Into<String>,
        worker_id: impl Into<String>,
        options: WorkerOptions,
    ) -> Result<Self> {
        Worker::on(&Waiter::new(database)?, 0, vec![WorkerQueue::new(queue)], worker_id, options)
    }

    /// A worker on these queues, at a waiter that others wait at as well, which names it by `token`.
    ///
    /// [`Error::Invalid`] if there is no queue, one of them twice, or an option that makes no sense.
    pub fn on(
        waiter: &Waiter,
        token: u64,
        queues: Vec<WorkerQueue>,
        worker_id: impl Into<String>,
        options: WorkerOptions,
    ) -> Result<Self> {
        check(&queues, &options)?;
        let registration = Registration::new(waiter, token);
        let worker_id = worker_id.into();
        let database = registration.database().clone();
        let prolonged_at = Instant::now();
        let hand = database.hands().add(&worker_id);
        let desk = Desk {
            database,
            queues,
            worker_id,
            options,
            hand,
            prolonged_at,
            busy: false,
            more: false,
            lost: Vec::new(),
        };
        Ok(Worker { registration, desk })
    }

    /// Up to `n` jobs, and jobs that were lost; waits for one of either for at most `timeout` (`None`: without end). With
    /// an `n` of 0 or less it claims none, and waits for jobs that are lost.
    pub fn next(&mut self, n: i64, timeout: Option<Duration>) -> Result<Next<Batch>> {
        self.settle_and_next(&[], n, timeout)?.next
    }

    /// Settles jobs, prolongs those that run and claims the next ones in one commit, then waits as [`Worker::next`] does if
    /// there is nothing to report.
    ///
    /// On an error nothing was settled, and nothing claimed. Otherwise the settlements are committed, whatever has become
    /// of the waiting ([`Settled::next`]).
    pub fn settle_and_next(
        &mut self,
        settlements: &[Settlement],
        n: i64,
        timeout: Option<Duration>,
    ) -> Result<Settled> {
        let Worker { registration, desk } = self;
        let mut held = Vec::new();
        if !settlements.is_empty() {
            let batch;
            (held, batch) = desk.turn(settlements, n).inspect_err(|_| registration.fail())?;
            if !batch.is_empty() {
                return Ok(Settled { held, next: Ok(Next::Item(batch)) });
            }
        }
        Ok(Settled { held, next: registration.next(timeout, || desk.look(n)) })
    }

    /// Settles jobs and claims none; for each, whether it was still the worker's. On an error nothing was settled.
    pub fn settle(&mut self, settlements: &[Settlement]) -> Result<Vec<bool>> {
        let (held, batch) = self.desk.turn(settlements, 0)?;
        // To be told by the next call that tells.
        self.desk.lost = batch.lost;
        Ok(held)
    }

    /// Settles one job that this worker claimed, by itself; whether it was still its own. `attempts` is what the job says.
    pub(super) fn settle_by_id(&self, id: i64, attempts: i64, verdict: &Verdict) -> Result<bool> {
        let outcome = self.desk.outcome(verdict, attempts);
        let held = self.desk.database.settle(&self.desk.worker_id, &queue::Settlement { id, outcome })?;
        self.desk.hand.drop_job(id);
        Ok(held)
    }

    /// The user has settled a job in hand otherwise than through this database: it is in hand no more. `false` if it was
    /// not with this serial.
    pub fn settled(&self, id: i64, serial: i64) -> bool {
        self.desk.hand.put_down(id, serial)
    }

    /// What this waits with.
    pub fn waiter(&self) -> Waiter {
        self.registration.waiter()
    }

    /// How many jobs are in hand.
    pub fn in_hand(&self) -> usize {
        self.desk.hand.jobs().len()
    }
}

fn check(queues: &[WorkerQueue], options: &WorkerOptions) -> Result<()> {
    let mut names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    names.sort_unstable();
    if names.is_empty() {
        return Err(Error::invalid("queues: a worker needs at least one"));
    }
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid(format!("queues: '{}' is named twice", twice[0])));
    }
    if options.max_run_s.is_some_and(|max_run_s| max_run_s < 1) {
        return Err(Error::invalid("max_run_s must be at least 1"));
    }
    let Backoff { factor, jitter, .. } = options.backoff;
    if !(factor >= 1.0 && factor.is_finite()) {
        return Err(Error::invalid("retry_factor must be at least 1"));
    }
    if !(0.0..=1.0).contains(&jitter) {
        return Err(Error::invalid("retry_jitter must be from 0 to 1"));
    }
    Ok(())
}

impl Desk {
    /// Claims and reports what there is, or says what it waits for. It looks before it writes: most wakes are not for us.
    fn look(&mut self, n: i64) -> Result<Look<Batch>> {
        let interrupts = self.database.interrupts();
        let mut in_vain = 0;
        loop {
            interrupts.check()?;
            let now = Instant::now();
            let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let has_to_write = is_over(self.heartbeat_at()) || is_over(self.run_until());
            let has_to_claim = self.busy && n > 0;
            if !(has_to_claim || has_to_write) {
                let (jobs, claims) = self.in_hand();
                let queues: Vec<String> =
                    self.queues_with_room(n).into_iter().map(|(queue, _)| queue).collect();
                let outlook = self.database.work_outlook(
                    &self.worker_id,
                    &claims,
                    &queues.iter().map(String::as_str).collect::<Vec<_>>(),
                )?;
                self.lose_all(&jobs, &outlook.lost);
                if !self.lost.is_empty() {
                    return Ok(Look::Found(Batch { jobs: Vec::new(), lost: std::mem::take(&mut self.lost) }));
                }
                let is_kept_from_it = outlook.may_claim && in_vain >= IN_VAIN_MAX;
                if !outlook.may_claim || is_kept_from_it {
                    let interest = Interest::Jobs { queues, worker_id: self.worker_id.clone(), held: claims };
                    let rest = Rest::new(interest, self.options.fallback).at(outlook.next_at);
                    let again = is_kept_from_it.then(|| now + KEPT);
                    let rest = rest.after(again).after(self.heartbeat_at()).after(self.run_until());
                    return Ok(Look::Nothing(rest));
                }
            }
            let (_, batch) = self.turn(&[], n)?;
            if !batch.is_empty() {
                return Ok(Look::Found(batch));
            }
            // A claim moves a bounded number of rows that nobody can have, and may have ended with that.
            in_vain = if self.more { 0 } else { in_vain + 1 };
        }
    }

    /// One commit. For each settlement, whether the job was held; and what there is to report.
    fn turn(&mut self, settlements: &[Settlement], n: i64) -> Result<(Vec<bool>, Batch)> {
        let started = Instant::now();
        // A job that is given twice is settled once.
        let mut ids = HashSet::new();
        let known: Vec<Option<InHand>> = settlements
            .iter()
            .map(|given| self.hand.get(given.id, given.serial).filter(|_| ids.insert(given.id)))
            .collect();
        let mut outcomes: Vec<queue::Settlement> = settlements
            .iter()
            .zip(&known)
            .filter_map(|(given, job)| {
                let outcome = self.outcome(&given.verdict, (*job)?.attempts);
                Some(queue::Settlement { id: given.id, outcome })
            })
            .collect();
        let given = outcomes.len();
        let running = self.hand.jobs().into_iter().filter(|(id, _)| !ids.contains(id));
        let (overdue, running): (Vec<_>, Vec<_>) =
            running.partition(|(_, job)| job.run_until.is_some_and(|until| until <= started));
        for (id, job) in &overdue {
            let error = format!("timeout after {} s", self.options.max_run_s.unwrap_or_default());
            let outcome = self.outcome(&Verdict::Retry { delay_s: None, error }, job.attempts);
            outcomes.push(queue::Settlement { id: *id, outcome });
        }
        let prolong = self.heartbeat_at().is_some_and(|at| at <= started);
        let claims: Vec<Held> =
            running.iter().map(|(id, job)| Held { id: *id, attempts: job.attempts }).collect();
        let queues = self.queues_in_turn(n);
        let queues: Vec<(&str, i64)> = queues.iter().map(|(queue, n)| (queue.as_str(), *n)).collect();

        let turned = self.database.turn(&Turn {
            worker_id: &self.worker_id,
            timeout_s: self.options.visibility_timeout_s,
            settlements: &outcomes,
            held: &claims,
            prolong,
            queues: &queues,
            n,
        })?;
        let Turned { settled, lost, claimed, more } = turned;
        self.busy = !claimed.is_empty();
        self.more = more;

        let mut answers = settled.iter().take(given);
        let mut held = Vec::new();
        for (one, job) in settlements.iter().zip(&known) {
            held.push(job.is_some() && answers.next().copied().unwrap_or(false));
            self.hand.put_down(one.id, one.serial);
        }
        for ((id, job), was_held) in overdue.iter().zip(&settled[given..]) {
            if *was_held {
                self.hand.put_down(*id, job.serial);
                self.lost.push(LostJob { id: *id, serial: job.serial, reason: Reason::Timeout });
            } else {
                self.lose(*id, job.serial, Reason::Gone);
            }
        }
        self.lose_all(&running, &lost);
        if prolong || self.hand.is_empty() {
            self.prolonged_at = started;
        }
        let max_run = self.options.max_run_s.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
        let mut jobs = Vec::new();
        for job in claimed {
            let queue = self.queues.iter().position(|queue| *queue.name == *job.queue).unwrap_or(0);
            let (serial, before) = self.hand.take(&job, queue, max_run);
            if let Some(before) = before {
                // Its claim lapsed, and this claim was faster than the look that would have told.
                self.lost.push(LostJob { id: job.id, serial: before, reason: Reason::Taken });
            }
            jobs.push(Claimed { job, serial });
        }
        Ok((held, Batch { jobs, lost: std::mem::take(&mut self.lost) }))
    }

    /// What is in hand, and the same as claims.
    fn in_hand(&self) -> (Vec<(i64, InHand)>, Vec<Held>) {
        let jobs = self.hand.jobs();
        let claims = jobs.iter().map(|(id, job)| Held { id: *id, attempts: job.attempts }).collect();
        (jobs, claims)
    }

    fn lose_all(&mut self, jobs: &[(i64, InHand)], lost: &[Option<queue::Lost>]) {
        for ((id, job), lost) in jobs.iter().zip(lost) {
            if let Some(lost) = lost {
                self.lose(*id, job.serial, Reason::from(*lost));
            }
        }
    }

    /// A job is lost, unless its handler has settled it.
    fn lose(&mut self, id: i64, serial: i64, reason: Reason) {
        if !self.database.hands().is_settling(id, &self.worker_id) && self.hand.put_down(id, serial) {
            self.lost.push(LostJob { id, serial, reason });
        }
    }

    fn outcome(&self, verdict: &Verdict, attempts: i64) -> Outcome {
        match verdict {
            Verdict::Ack => Outcome::Ack,
            Verdict::Retry { delay_s, error } => Outcome::Retry {
                delay_s: delay_s.unwrap_or_else(|| self.options.backoff.delay_s(attempts)),
                error: error.clone(),
            },
            Verdict::Fail { error } => Outcome::Fail { error: error.clone() },
            Verdict::Snooze { delay_s } => Outcome::Release { delay_s: *delay_s },
            Verdict::Release => Outcome::Release { delay_s: 0 },
        }
    }

    /// The queues that a claim of `n` jobs may take from, and how many from each.
    fn queues_with_room(&self, n: i64) -> Vec<(String, i64)> {
        let in_hand = self.hand.jobs();
        let room = self.queues.iter().enumerate().map(|(index, queue)| {
            let has = in_hand.iter().filter(|(_, job)| job.queue == index).count() as u64;
            let room = queue.in_hand_max.map_or(u64::MAX, |max| max.saturating_sub(has));
            (queue.name.clone(), n.min(i64::try_from(room).unwrap_or(i64::MAX)))
        });
        room.filter(|(_, room)| *room > 0).collect()
    }

    /// The same in the order in which they are asked this time, drawn by weight.
    fn queues_in_turn(&self, n: i64) -> Vec<(String, i64)> {
        let mut queues = self.queues_with_room(n);
        if queues.len() > 1 {
            // The first of independent exponential times is each with a chance in proportion to its weight. Those of
            // weight 0 come last, and keep their order.
            let time = |name: &str| {
                let weight =
                    self.queues.iter().find(|queue| queue.name == name).map_or(0, |queue| queue.weight);
                if weight == 0 { f64::INFINITY } else { -(1.0 - fastrand::f64()).ln() / f64::from(weight) }
            };
            let mut drawn: Vec<(f64, (String, i64))> =
                queues.into_iter().map(|queue| (time(&queue.0), queue)).collect();
            drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
            queues = drawn.into_iter().map(|(_, queue)| queue).collect();
        }
        queues
    }

    /// When the claims in hand are prolonged next.
    fn heartbeat_at(&self) -> Option<Instant> {
        let timeout_s =
            u64::try_from(self.options.visibility_timeout_s).ok().filter(|timeout_s| *timeout_s > 0)?;
        if !self.options.heartbeat || self.hand.is_empty() {
            return None;
        }
        self.prolonged_at.checked_add(Duration::from_secs(timeout_s) / 3)
    }

    /// When the first job in hand has run for as long as it may.
    fn run_until(&self) -> Option<Instant> {
        self.hand.jobs().iter().filter_map(|(_, job)| job.run_until).min()
    }
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
