//! The thread that waits: one waiter, and a worker, a listener, a subscription and a leader that wait with it, as an event
//! loop has them. It asks those that the waiter names, keeps several jobs in hand, and settles them in every way there is.
//!
//! It looks at what only a consumer can tell: that a job is lost only to somebody who may take it, that notifications come
//! in order and none is missed, that events come without a gap. What happened to the jobs is for the audit.

use std::sync::Arc;

use honker_library::{
    Answer, ClaimedJob, Database, Leader, Listener, Lost, Status, Subscription, Verdict, Waiter, Worker,
    status,
};

use crate::actor::{Actor, Stage, milliseconds};
use crate::jobs::{ALL_QUEUES, name_of};
use crate::ledger::{Effect, Ledger};
use crate::schedules::STEADY;
use crate::services::{CHANNEL, TOPICS};
use crate::tally::Tally;

const WORKER: u64 = 1;
const LISTENER: u64 = 2;
const SUBSCRIPTION: u64 = 3;
const LEADER: u64 = 4;

/// How many jobs of one queue the worker may have in hand, and of all.
const IN_HAND_OF_ONE: i64 = 5;
const IN_HAND: usize = 12;

const LOST_GONE: u32 = 1;
const LOST_TIMEOUT: u32 = 4;

struct Consumers {
    waiter: Waiter,
    worker: Worker,
    listener: Listener,
    subscription: Subscription,
    leader: Leader,
}

/// A thread that waits, in the place of an actor.
pub struct Loop {
    actor: Actor,
    topic: &'static str,
    in_hand: Vec<ClaimedJob>,
    /// The first and last notification that the listener heard, and how many those were.
    heard: Option<(i64, i64, i64)>,
    /// The last event that the subscription was given, and how many those were.
    read: (i64, i64),
}

impl Loop {
    pub fn new(stage: Arc<Stage>, number: i64, seed: u64, ledger: Ledger) -> Self {
        let topic = TOPICS[number.unsigned_abs() as usize % TOPICS.len()];
        Loop {
            actor: Actor::new(stage, number, seed, ledger),
            topic,
            in_hand: Vec::new(),
            heard: None,
            read: (0, 0),
        }
    }

    /// Waits and works until the stage is over, with new consumers whenever the database is another one.
    pub fn run(mut self) -> Tally {
        while !self.actor.stage.is_over() {
            self.actor.database = self.actor.stage.current();
            self.actor.damaged = false;
            let made = self.consumers(self.actor.database);
            if let Ok(consumers) = self.actor.call("consumers_new", &[], made) {
                self.wait_and_work(&consumers);
            }
            // What it had in hand stays claimed for its time, by a worker who is no more.
            self.in_hand.clear();
            self.heard = None;
        }
        self.actor.tally
    }

    fn consumers(&mut self, database: Database) -> Answer<Consumers> {
        let name = self.actor.fresh_name();
        let queues: Vec<(&str, i64)> = ALL_QUEUES.iter().map(|queue| (*queue, IN_HAND_OF_ONE)).collect();
        let waiter = Waiter::new(database)?;
        Ok(Consumers {
            worker: waiter.worker(database, WORKER, &queues, &name, 3, 5)?,
            listener: waiter.listener(database, LISTENER, CHANNEL)?,
            // Of this thread, whatever database it has: it goes on where it has come to.
            subscription: waiter.subscription(database, SUBSCRIPTION, self.topic, &self.actor.name)?,
            leader: waiter.leader(database, LEADER, &name)?,
            waiter,
        })
    }

    /// Until the waiter is at its end.
    fn wait_and_work(&mut self, consumers: &Consumers) {
        let mut ended = false;
        while !ended && !self.actor.stage.is_over() {
            let waited = consumers.waiter.wait(20);
            ended |= ends(self.actor.call("wait", &[status::TIMEOUT, status::CLOSED], waited).err());
            let ready = consumers.waiter.ready();
            let ready = self.actor.call("waiter_ready", &[status::CLOSED], ready);
            ended |= ends(ready.as_ref().err().copied());
            for token in ready.unwrap_or_default() {
                ended |= match token {
                    WORKER => self.work(&consumers.worker),
                    LISTENER => self.listen(&consumers.listener),
                    SUBSCRIPTION => self.read(&consumers.subscription),
                    LEADER => self.lead(&consumers.leader),
                    other => {
                        self.actor.complain(format!("nobody has the token {other}"));
                        false
                    }
                };
            }
            // What is finished is settled when it is, not when there is something new.
            if !self.in_hand.is_empty() && self.actor.chance(2) {
                ended |= self.work(&consumers.worker);
            }
        }
    }

    fn work(&mut self, worker: &Worker) -> bool {
        loop {
            let finished = self.finished();
            let settlements: Vec<(i64, i64, Verdict)> =
                finished.iter().map(|(job, verdict)| (job.id, job.serial, *verdict)).collect();
            let intent: Vec<Effect> =
                finished.iter().filter_map(|(job, verdict)| done_by(job.id, *verdict)).collect();
            self.actor.ledger.intend(&intent);
            let room = IN_HAND - self.in_hand.len().min(IN_HAND);
            let (statuses, answer) = worker.settle_next(&settlements, room as i64);

            let mut done = Vec::new();
            let now = milliseconds() / 1000;
            for ((job, verdict), outcome) in finished.into_iter().zip(statuses) {
                match outcome {
                    status::OK => done.extend(done_by(job.id, verdict)),
                    // Prolonged since, or not: it was its own until then at least.
                    status::LOST if now <= job.claim_expires_at => done.push(Effect::LostEarly(job.id)),
                    status::LOST => {}
                    _ => self.in_hand.push(job),
                }
            }
            let batch = answer.as_ref().ok().cloned().unwrap_or_default();
            done.extend(
                batch.jobs.iter().map(|job| Effect::Claimed(job.id, job.attempts, name_of(&job.payload))),
            );
            done.extend(batch.lost.iter().filter_map(|lost| self.lose(*lost, now)));
            self.in_hand.extend(batch.jobs);
            if self.in_hand.len() > IN_HAND {
                self.actor.complain(format!("{} jobs in hand", self.in_hand.len()));
            }
            self.actor.ledger.done(done);
            match self.actor.call("worker_settle_next", &[status::TIMEOUT, status::CLOSED], answer) {
                Ok(_) => {}
                Err(outcome) => return ends(Some(outcome)),
            }
        }
    }

    /// Some of what is in hand, and what becomes of it.
    fn finished(&mut self) -> Vec<(ClaimedJob, Verdict)> {
        let mut finished = Vec::new();
        for index in (0..self.in_hand.len()).rev() {
            if self.actor.chance(3) {
                let verdict = match self.actor.random.u32(..20) {
                    0 => Verdict::Fail,
                    1 | 2 => Verdict::Retry,
                    3 => Verdict::Snooze,
                    4 => Verdict::Release,
                    _ => Verdict::Ack,
                };
                finished.push((self.in_hand.swap_remove(index), verdict));
            }
        }
        finished
    }

    /// A job that is told as lost: it was in hand, and may be lost for this reason now.
    fn lose(&mut self, lost: Lost, now: i64) -> Option<Effect> {
        let Some(index) = self.in_hand.iter().position(|job| (job.id, job.serial) == (lost.id, lost.serial))
        else {
            self.actor.complain(format!("{lost:?} was not in hand"));
            return None;
        };
        let job = self.in_hand.swap_remove(index);
        let early = now <= job.claim_expires_at;
        match lost.reason {
            // By somebody who cancelled it: the audit knows.
            LOST_GONE => early.then_some(Effect::LostEarly(job.id)),
            LOST_TIMEOUT => None,
            _ if early => {
                self.actor.complain(format!("{lost:?} before {}", job.claim_expires_at));
                None
            }
            _ => None,
        }
    }

    fn listen(&mut self, listener: &Listener) -> bool {
        loop {
            let expected = [status::TIMEOUT, status::CLOSED];
            let heard = match self.actor.call("listener_next", &expected, listener.next()) {
                Ok((id, _)) => id,
                Err(outcome) => return ends(Some(outcome)),
            };
            let (first, last, count) = self.heard.unwrap_or((heard, heard - 1, 0));
            if heard <= last {
                self.actor.complain(format!("notification {heard} was heard after {last}"));
            }
            self.heard = Some((first, heard, count + 1));
            self.actor.ledger.done(vec![Effect::Heard(first, heard, count + 1)]);
        }
    }

    fn read(&mut self, subscription: &Subscription) -> bool {
        loop {
            let expected = [status::TIMEOUT, status::CLOSED];
            let offset = match self.actor.call("subscription_next", &expected, subscription.next()) {
                Ok(offset) => offset,
                Err(outcome) => return ends(Some(outcome)),
            };
            // Once more after it was made again: what was not saved comes twice.
            if offset > self.read.0 {
                self.read = (offset, self.read.1 + 1);
                self.actor.ledger.done(vec![Effect::Seen(self.topic.to_owned(), offset, self.read.1)]);
            }
        }
    }

    fn lead(&mut self, leader: &Leader) -> bool {
        loop {
            self.actor.ledger.intend(&[Effect::Fired(STEADY.to_owned(), 0, 0)]);
            let fired = leader.next();
            let done = fired.iter().flatten();
            let done = done.map(|fire| Effect::Fired(fire.name.clone(), fire.fire_at, fire.job_id)).collect();
            self.actor.ledger.done(done);
            match self.actor.call("leader_next", &[status::TIMEOUT, status::CLOSED], fired) {
                Ok(_) => {}
                Err(outcome) => return ends(Some(outcome)),
            }
        }
    }
}

/// Whether there will be nothing more.
fn ends(outcome: Option<Status>) -> bool {
    matches!(outcome, Some(status::CLOSED | status::CLOSED_HANDLE))
}

/// What a settlement does that the books are about.
fn done_by(id: i64, verdict: Verdict) -> Option<Effect> {
    match verdict {
        Verdict::Ack => Some(Effect::Acked(id)),
        Verdict::Snooze | Verdict::Release => Some(Effect::Released(id)),
        Verdict::Retry | Verdict::Fail => None,
    }
}
