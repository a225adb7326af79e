//! What a worker does when it does not wait: it looks whether there is something for it, and takes its turns.
//!
//! Invariants: see `worker.rs`. A look copies what is in hand once; handlers that settle their jobs meanwhile are found out
//! by the serials.
//!
//! Threads: that of its worker.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::maintenance::Maintenance;
use super::registration::{AFTER_ERROR, Look};
use super::rest::Rest;
use super::settlement::{Batch, Claimed, LostJob, Reason, Settlement, Verdict};
use super::worker_options::{WorkerOptions, WorkerQueue};
use crate::database::{Database, Hand, InHand};
use crate::outlook::Interest;
use crate::queue::{self, Delay, Held, Outcome, Turn, Turned};
use crate::{Error, Result};

/// After so many claims in a row that should have done something and did nothing, a look is over. Others may be faster, but
/// not always; a trigger of the user's (`RAISE(IGNORE)`) may keep a worker from its jobs for ever. It looks again as after an
/// error.
const IN_VAIN_MAX: u32 = 2;

/// All of a worker but its waiting.
pub(super) struct Turns {
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
    /// The last turn passed over something that the file refuses.
    refused: bool,
    /// The last turn claimed as many as it was asked for, and left nothing else to be told, now or later.
    full: bool,
    /// No claim in hand lapses before this second. It may be an earlier one than need be, and costs a look then.
    lapses_at: Option<i64>,
    /// What has to be reported, and could not be yet.
    lost: Vec<LostJob>,
    maintenance: Maintenance,
}

/// The jobs in hand at one moment, by id.
type Jobs = Vec<(i64, InHand)>;

impl Turns {
    pub(super) fn new(
        database: Database,
        queues: Vec<WorkerQueue>,
        worker_id: String,
        options: WorkerOptions,
    ) -> Self {
        let hand = database.hands().add(&worker_id);
        Turns {
            database,
            queues,
            worker_id,
            options,
            hand,
            prolonged_at: Instant::now(),
            busy: false,
            more: false,
            refused: false,
            full: false,
            lapses_at: None,
            lost: Vec::new(),
            maintenance: Maintenance::new(),
        }
    }

    pub(super) fn in_hand(&self) -> usize {
        self.hand.len()
    }

    pub(super) fn put_down(&self, id: i64, serial: i64) -> bool {
        self.hand.put_down(id, serial)
    }

    pub(super) fn settle(&mut self, settlements: &[Settlement]) -> Result<Vec<Result<bool>>> {
        let (held, batch) = self.turn(settlements, 0)?;
        // To be told by the next call that tells. What was refused beside the settlements will be again.
        self.lost = batch.unwrap_or_default().lost;
        Ok(held)
    }

    pub(super) fn settle_by_id(&self, id: i64, attempts: i64, verdict: &Verdict) -> Result<bool> {
        let outcome = self.outcome(verdict, attempts);
        let held = self.database.settle(&self.worker_id, &queue::Settlement { id, outcome })?;
        self.hand.drop_job(id);
        Ok(held)
    }

    /// Claims and reports what there is, or says what it waits for. It looks before it writes: most wakes are not for us.
    pub(super) fn look(&mut self, n: i64) -> Result<Look<Batch>> {
        let interrupts = self.database.interrupts();
        self.maintenance.step(&self.database);
        let mut in_vain = 0;
        // On a server to claim is no more than to look.
        let mut claims_first = self.database.is_remote();
        loop {
            interrupts.check()?;
            let now = Instant::now();
            let in_hand = self.hand.jobs();
            let (heartbeat_at, run_until) = (self.heartbeat_at(&in_hand), run_until(&in_hand));
            let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let has_to_write = is_over(heartbeat_at) || is_over(run_until);
            let is_eager = std::mem::take(&mut claims_first);
            let has_to_claim = (self.busy || is_eager) && n > 0;
            if !(has_to_claim || has_to_write) {
                let held = claims(&in_hand);
                let room = self.queues_with_room(&in_hand, n);
                let names: Vec<&str> = room.iter().map(|(queue, _)| self.name(*queue)).collect();
                let outlook = self.database.work_outlook(&self.worker_id, &held, &names)?;
                let all_told = self.lose_all(&in_hand, &outlook.lost);
                if !self.lost.is_empty() {
                    return Ok(Look::Found(Batch { jobs: Vec::new(), lost: std::mem::take(&mut self.lost) }));
                }
                let is_kept_from_it = outlook.may_claim && in_vain >= IN_VAIN_MAX;
                if !outlook.may_claim || is_kept_from_it {
                    let queues = room.iter().map(|(queue, _)| self.name(*queue).to_owned()).collect();
                    if room.is_empty() {
                        self.lapses_at = outlook.next_at;
                    }
                    // What it is kept from is due at once.
                    let next_at = outlook.next_at.filter(|_| !is_kept_from_it);
                    // Should the settlement that a loss was taken for be undone, nothing announces it.
                    let again = (is_kept_from_it || !all_told).then(|| now + AFTER_ERROR);
                    return Ok(Look::Nothing(self.rest(queues, &in_hand, next_at).after(again)));
                }
            }
            let (_, batch) = self.turn_with(&[], n, in_hand)?;
            let batch = batch?;
            if !batch.is_empty() {
                return Ok(match self.rest_if_full() {
                    Some(rest) => Look::All(batch, rest),
                    None => Look::Found(batch),
                });
            }
            // A claim moves a bounded number of rows that nobody can have, and may have ended with that.
            in_vain = match self.more || is_eager {
                true => 0,
                false if self.refused => IN_VAIN_MAX,
                false => in_vain + 1,
            };
        }
    }

    /// What the worker waits for after the last turn, if that claimed as many as it was asked for: what a look without room
    /// would say, and nothing has to be asked for it.
    pub(super) fn rest_if_full(&mut self) -> Option<Rest> {
        if !self.full {
            return None;
        }
        // A worker that is always busy makes no look, which would do it.
        self.maintenance.step(&self.database);
        let in_hand = self.hand.jobs();
        Some(self.rest(Vec::new(), &in_hand, self.lapses_at))
    }

    /// Waits for jobs of these queues, for what becomes of those in hand, and for this second of the database's.
    fn rest(&self, queues: Vec<String>, in_hand: &[(i64, InHand)], next_at: Option<i64>) -> Rest {
        let interest = Interest::Jobs { queues, worker_id: self.worker_id.clone(), held: claims(in_hand) };
        let (at, after) = self.database.due(next_at);
        let rest = Rest::new(interest, self.options.fallback).at(at).after(after);
        let rest = rest.after(self.heartbeat_at(in_hand)).after(run_until(in_hand));
        rest.after(self.maintenance.next_at())
    }

    /// One commit. For each settlement, whether the job was held, or why it was refused; and what there is to report, or why
    /// the rest was refused.
    pub(super) fn turn(
        &mut self,
        settlements: &[Settlement],
        n: i64,
    ) -> Result<(Vec<Result<bool>>, Result<Batch>)> {
        self.turn_with(settlements, n, self.hand.jobs())
    }

    fn turn_with(
        &mut self,
        settlements: &[Settlement],
        n: i64,
        in_hand: Jobs,
    ) -> Result<(Vec<Result<bool>>, Result<Batch>)> {
        let started = Instant::now();
        self.full = false;
        // A job that is given twice is settled once.
        let mut ids = HashSet::new();
        let find = |given: &Settlement| {
            let index = in_hand.binary_search_by_key(&given.id, |(id, _)| *id).ok()?;
            Some(in_hand[index].1).filter(|job| job.serial == given.serial)
        };
        let known: Vec<Option<InHand>> =
            settlements.iter().map(|given| find(given).filter(|_| ids.insert(given.id))).collect();
        let mut outcomes: Vec<queue::Settlement> = settlements
            .iter()
            .zip(&known)
            .filter_map(|(given, job)| {
                let outcome = self.outcome(&given.verdict, (*job)?.attempts);
                Some(queue::Settlement { id: given.id, outcome })
            })
            .collect();
        let given = outcomes.len();
        let prolong = self.heartbeat_at(&in_hand).is_some_and(|at| at <= started);
        let (overdue, running): (Jobs, Jobs) = in_hand
            .into_iter()
            .filter(|(id, _)| !ids.contains(id))
            .partition(|(_, job)| job.run_until.is_some_and(|until| until <= started));
        // What is settled makes room for the claim of the same turn; so does what ran for too long, whatever becomes of it.
        let queues = self.queues_in_turn(&running, n);
        for (id, job) in &overdue {
            let error = format!("timeout after {} s", job.max_run_s.unwrap_or_default());
            let outcome = self.outcome(&Verdict::Retry { delay_s: None, error }, job.attempts);
            outcomes.push(queue::Settlement { id: *id, outcome });
        }
        let place = |job: &InHand| queues.iter().position(|(queue, _)| *queue == job.queue);
        let frees: Vec<Option<usize>> = known.iter().flatten().map(place).collect();
        let queues: Vec<(&str, i64)> = queues.iter().map(|(queue, n)| (self.name(*queue), *n)).collect();

        if self.options.rescue && n > 0 {
            self.database.register_instance()?;
        }
        let turned = self.database.turn(&Turn {
            worker_id: &self.worker_id,
            timeout_s: self.options.visibility_timeout_s,
            settlements: &outcomes,
            held: &claims(&running),
            prolong,
            queues: &queues,
            frees: &frees,
            n,
        })?;
        let Turned { settled, lost, claimed, more, refused, .. } = turned;
        self.busy = !claimed.is_empty();
        self.more = more;
        self.refused = refused.is_some();
        let failed = refused.and_then(|error| self.pass_over(error));

        let mut settled = settled.into_iter();
        let mut answers = settled.by_ref().take(given);
        let mut held = Vec::new();
        for (one, job) in settlements.iter().zip(&known) {
            let answer = job.and_then(|_| answers.next()).unwrap_or(Ok(false));
            // One that was refused stays in hand, and one that was given twice with the first.
            if job.is_some() && answer.is_ok() {
                self.hand.put_down(one.id, one.serial);
            }
            held.push(answer);
        }
        self.lose_overdue(&overdue, settled);
        let all_told = self.lose_all(&running, &lost);
        if (prolong && failed.is_none()) || self.hand.is_empty() {
            self.prolonged_at = started;
        }
        // What was prolonged lapses with what was claimed in the same turn.
        if self.hand.is_empty() || (prolong && !self.refused && self.busy) {
            self.lapses_at = None;
        }
        let mut jobs = Vec::new();
        for job in claimed {
            let queue = self.queues.iter().position(|queue| *queue.name == *job.queue).unwrap_or(0);
            let lapses_at = job.claim_expires_at.saturating_add(1);
            self.lapses_at = Some(self.lapses_at.map_or(lapses_at, |at| at.min(lapses_at)));
            let (serial, before) = self.hand.take(&job, queue, self.options.max_run_s);
            if let Some(before) = before {
                // Its claim lapsed, and this claim was faster than the look that would have told.
                self.lost.push(LostJob { id: job.id, serial: before, reason: Reason::Taken });
            }
            jobs.push(Claimed { job, serial });
        }
        let has_all = i64::try_from(jobs.len()).is_ok_and(|count| count == n);
        self.full =
            has_all && all_told && !self.refused && self.lost.is_empty() && held.iter().all(Result::is_ok);
        let batch = match failed {
            // Told by the next turn, which it keeps from claiming as well.
            Some(error) if self.lost.is_empty() && jobs.is_empty() => Err(error),
            _ => Ok(Batch { jobs, lost: std::mem::take(&mut self.lost) }),
        };
        Ok((held, batch))
    }

    /// The error, unless it is about a row that was passed over: that is a warning.
    fn pass_over(&self, error: Error) -> Option<Error> {
        if matches!(error, Error::Moved(_)) {
            // What is in hand is to be settled first.
            return self.hand.is_empty().then_some(error);
        }
        if !queue::is_refusal_of_row(&error) {
            return Some(error);
        }
        let names: Vec<&str> = self.queues.iter().map(|queue| &*queue.name).collect();
        self.database.warnings().warn(format!(
            "a worker of '{}' has passed over jobs that cannot be claimed, prolonged or dead-lettered: {error}",
            names.join("', '")
        ));
        None
    }

    /// Jobs that ran for too long are lost, whatever became of their retries: if the file has refused one, the claim is left
    /// to its end.
    fn lose_overdue(&mut self, overdue: &[(i64, InHand)], retried: impl Iterator<Item = Result<bool>>) {
        let mut not_held = Jobs::new();
        for ((id, job), retried) in overdue.iter().zip(retried) {
            // A retry that was made has taken it out of the hand.
            let lost = match retried {
                Ok(true) => true,
                Ok(false) => {
                    not_held.push((*id, *job));
                    false
                }
                Err(_) => self.hand.put_down(*id, job.serial),
            };
            if lost {
                self.lost.push(LostJob { id: *id, serial: job.serial, reason: Reason::Timeout });
            }
        }
        if not_held.is_empty() {
            return;
        }
        // They were lost before. Should the file not say why, it is not worth failing what is committed.
        let outlook = self.database.work_outlook(&self.worker_id, &claims(&not_held), &[]);
        let lost = outlook.map(|outlook| outlook.lost).unwrap_or_default();
        for (index, (id, job)) in not_held.iter().enumerate() {
            let reason = lost.get(index).copied().flatten().map_or(Reason::Gone, Reason::from);
            self.lose(*id, job.serial, reason);
        }
    }

    /// Whether all that were lost are told, now or by the next that tells.
    fn lose_all(&mut self, jobs: &[(i64, InHand)], lost: &[Option<queue::Lost>]) -> bool {
        let mut all_told = true;
        for ((id, job), lost) in jobs.iter().zip(lost) {
            if let Some(lost) = lost {
                all_told &= self.lose(*id, job.serial, Reason::from(*lost));
            }
        }
        all_told
    }

    /// A job is lost, unless its handler is settling it; `false` then.
    fn lose(&mut self, id: i64, serial: i64, reason: Reason) -> bool {
        if self.database.hands().is_settling(id, &self.worker_id) {
            return false;
        }
        if self.hand.put_down(id, serial) {
            self.lost.push(LostJob { id, serial, reason });
        }
        true
    }

    fn outcome(&self, verdict: &Verdict, attempts: i64) -> Outcome {
        match verdict {
            Verdict::Ack => Outcome::Ack,
            Verdict::Retry { delay_s, error } => Outcome::Retry {
                delay: match *delay_s {
                    Some(delay_s) => Delay::Given(delay_s),
                    None => Delay::UnlessSet(self.options.backoff.delay_s(attempts)),
                },
                error: error.clone(),
            },
            Verdict::Fail { error } => Outcome::Fail { error: error.clone() },
            Verdict::Snooze { delay_s } => Outcome::Release { delay_s: *delay_s },
            Verdict::Release => Outcome::Release { delay_s: 0 },
        }
    }

    fn name(&self, queue: usize) -> &str {
        &self.queues[queue].name
    }

    /// The queues that a claim of `n` jobs may take from beside these jobs in hand, by their place in the list, and how many
    /// from each at most.
    fn queues_with_room(&self, in_hand: &[(i64, InHand)], n: i64) -> Vec<(usize, i64)> {
        let room = self.queues.iter().enumerate().map(|(index, queue)| {
            let Some(max) = queue.max_in_hand else { return (index, i64::MAX) };
            let has = in_hand.iter().filter(|(_, job)| job.queue == index).count() as u64;
            (index, i64::try_from(max.saturating_sub(has)).unwrap_or(i64::MAX))
        });
        room.filter(|(_, room)| n > 0 && *room > 0).collect()
    }

    /// The same in the order in which they are asked this time, drawn by weight.
    fn queues_in_turn(&self, in_hand: &[(i64, InHand)], n: i64) -> Vec<(usize, i64)> {
        let mut queues = self.queues_with_room(in_hand, n);
        if queues.len() > 1 {
            // The first of independent exponential times is each with a chance in proportion to its weight. Those of
            // weight 0 come last, and keep their order.
            let time = |queue: usize| match self.queues[queue].weight {
                0 => f64::INFINITY,
                weight => -(1.0 - fastrand::f64()).ln() / f64::from(weight),
            };
            let mut drawn: Vec<(f64, (usize, i64))> =
                queues.into_iter().map(|queue| (time(queue.0), queue)).collect();
            drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
            queues = drawn.into_iter().map(|(_, queue)| queue).collect();
        }
        queues
    }

    /// When the claims in hand are prolonged next.
    fn heartbeat_at(&self, in_hand: &[(i64, InHand)]) -> Option<Instant> {
        let timeout_s =
            u64::try_from(self.options.visibility_timeout_s).ok().filter(|timeout_s| *timeout_s > 0)?;
        if !self.options.heartbeat || in_hand.is_empty() {
            return None;
        }
        self.prolonged_at.checked_add(Duration::from_secs(timeout_s) / 3)
    }
}

/// Jobs in hand as the file knows them.
fn claims(jobs: &[(i64, InHand)]) -> Vec<Held> {
    jobs.iter().map(|(id, job)| Held { id: *id, attempts: job.attempts }).collect()
}

/// When the first of these jobs has run for as long as it may.
fn run_until(jobs: &[(i64, InHand)]) -> Option<Instant> {
    jobs.iter().filter_map(|(_, job)| job.run_until).min()
}
