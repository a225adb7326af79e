//! Everything that can be done to a file, as data, and what the model answers.

use crate::queue::{Enqueue, Setting};
use crate::schedule::{Changes, Registration, Rule};
use crate::tables::{Cell, Row};
use crate::unique::Unique;
use crate::{Model, Outcome, Refusal};

type Name = &'static str;

/// One step of a program. Ids, offsets and moments are the plain numbers they are in a file that starts empty.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are those of honker-core's functions and their arguments")]
#[rustfmt::skip] // A line each.
pub enum Operation {
    /// Moves the clock, which nothing else does.
    Clock { by: i64 },
    Savepoint,
    /// Back to the last savepoint, which is closed; nothing if there is none.
    RollBack,
    /// Closes the last savepoint and keeps what was done; nothing if there is none.
    Release,
    /// Bootstraps a bootstrapped file, which changes nothing. Also the moment to forget prepared statements.
    Bootstrap,

    RawInsert { queue: Name, payload: Name },
    RawBudget { id: i64, max_attempts: i64 },
    RawRevive { id: i64 },
    RawExpression { name: Name, expression: Name },

    Enqueue(Enqueue),
    EnqueueUnique { job: Enqueue, unique: Unique },
    /// All of `jobs`, `times` times over.
    EnqueueMany { jobs: Vec<Enqueue>, times: usize },
    Configure { queue: Name, setting: Setting },
    Claim { queue: Name, worker_id: Name, n: i64, timeout_s: i64 },
    Ack { id: i64, worker_id: Name },
    AckBatch { ids: Vec<i64>, worker_id: Name },
    /// With a text that is no JSON array of integers.
    AckBatchMalformed { ids_json: Name, worker_id: Name },
    Retry { id: i64, worker_id: Name, delay_s: i64, error: Name },
    Fail { id: i64, worker_id: Name, error: Name },
    Heartbeat { id: i64, worker_id: Name, extend_s: i64 },
    Cancel { id: i64 },
    GetJob { id: i64 },
    SweepExpired { queue: Name },
    NextClaimAt { queue: Name },
    Stats { queue: Name },
    StatsAll,
    DeadList { queue: Option<Name>, limit: i64 },
    DeadRequeue { id: i64 },
    DeadPurge { queue: Option<Name>, older_than_s: i64 },

    Publish { topic: Name, key: Option<Name>, payload: Name },
    ReadSince { topic: Name, offset: i64, limit: i64 },
    SaveOffset { consumer: Name, topic: Name, offset: i64 },
    GetOffset { consumer: Name, topic: Name },

    Notify { channel: Name, payload: Name },
    Prune { older_than_s: Option<i64>, max_keep: Option<i64> },

    StepSave { id: i64, worker_id: Name, name: Name, value: Name },
    StepGet { id: i64, name: Name },

    ResultSave { job_id: i64, value: Name, ttl_s: i64 },
    ResultGet { job_id: i64 },
    ResultSweep,

    LockAcquire { name: Name, owner: Name, ttl_s: i64 },
    LockRenew { name: Name, owner: Name, ttl_s: i64 },
    LockRelease { name: Name, owner: Name },

    RateLimitTry { name: Name, limit: i64, per_s: i64 },
    RateLimitSweep { older_than_s: i64 },

    Register(Registration),
    Unregister { name: Name },
    Update { name: Name, changes: Changes },
    Pause { name: Name },
    Resume { name: Name },
    ListSchedules,
    Tick { until: i64 },
    Soonest,
    NextAfter { expression: Name, from: i64 },
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Nothing to tell.
    Done,
    /// Whether it changed anything, or whether the caller now has what it asked for.
    Flag(bool),
    /// An id, an offset, a count or a moment; a text; or NULL.
    Value(Cell),
    /// Several of them.
    Rows(Vec<Row>),
    /// An error.
    Refused(Refusal),
}

impl From<()> for Answer {
    fn from((): ()) -> Self {
        Answer::Done
    }
}

impl From<bool> for Answer {
    fn from(value: bool) -> Self {
        Answer::Flag(value)
    }
}

impl From<i64> for Answer {
    fn from(value: i64) -> Self {
        Answer::Value(value.into())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Answer {
    fn from(value: Option<T>) -> Self {
        Answer::Value(value.into())
    }
}

impl From<Vec<i64>> for Answer {
    fn from(values: Vec<i64>) -> Self {
        Answer::Rows(vec![values.into_iter().map(Cell::from).collect()])
    }
}

impl From<Vec<Row>> for Answer {
    fn from(rows: Vec<Row>) -> Self {
        Answer::Rows(rows)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Answer::Refused(refusal)
    }
}

impl<T: Into<Answer>> From<Outcome<T>> for Answer {
    fn from(outcome: Outcome<T>) -> Self {
        outcome.map_or_else(Answer::Refused, Into::into)
    }
}

impl Model {
    /// Does it and answers.
    pub fn apply(&mut self, operation: &Operation) -> Answer {
        use Operation::*;
        let now = self.now;
        let queues = &mut self.state.queue;
        let stream = &mut self.state.stream;
        let notifications = &mut self.state.notify;
        let results = &mut self.state.result;
        let locks = &mut self.state.lock;
        let limits = &mut self.state.rate_limit;
        let schedules = &mut self.state.schedule;
        match operation {
            Clock { by } => self.now = now.saturating_add(*by),
            Savepoint => self.savepoints.push(self.state.clone()),
            RollBack => self.state = self.savepoints.pop().unwrap_or_else(|| self.state.clone()),
            Release => drop(self.savepoints.pop()),
            Bootstrap => {}

            RawInsert { queue, payload } => return queues.raw_insert(now, queue, payload).into(),
            RawBudget { id, max_attempts } => return queues.raw_budget(*id, *max_attempts).into(),
            RawRevive { id } => return queues.raw_revive(now, *id).into(),
            RawExpression { name, expression } => return schedules.raw_expression(name, expression).into(),

            Enqueue(job) => return queues.enqueue(now, job).into(),
            EnqueueUnique { job, unique } => {
                return queues.enqueue_unique(now, job, unique).map(|done| vec![done]).into();
            }
            EnqueueMany { jobs, times } => return queues.enqueue_many(now, jobs, *times).into(),
            Configure { queue, setting } => queues.configure(queue, *setting),
            Claim { queue, worker_id, n, timeout_s } => {
                return queues.claim(now, queue, worker_id, *n, *timeout_s).into();
            }
            Ack { id, worker_id } => return queues.ack(now, *id, worker_id).into(),
            AckBatch { ids, worker_id } => return queues.ack_batch(now, ids, worker_id).into(),
            AckBatchMalformed { .. } => return Refusal::Invalid("ids_json").into(),
            Retry { id, worker_id, delay_s, error } => {
                return queues.retry(now, *id, worker_id, *delay_s, error).into();
            }
            Fail { id, worker_id, error } => return queues.fail(now, *id, worker_id, error).into(),
            Heartbeat { id, worker_id, extend_s } => {
                return queues.heartbeat(now, *id, worker_id, *extend_s).into();
            }
            Cancel { id } => return queues.cancel(now, *id).into(),
            GetJob { id } => {
                return queues.live.get(id).map(|job| job.row(*id)).into_iter().collect::<Vec<_>>().into();
            }
            SweepExpired { queue } => return queues.sweep_expired(now, queue).into(),
            NextClaimAt { queue } => return queues.next_claim_at(now, queue).into(),
            Stats { queue } => return vec![queues.stats(now, queue)].into(),
            StatsAll => return queues.stats_all(now).into(),
            DeadList { queue, limit } => return queues.dead_list(*queue, *limit).into(),
            DeadRequeue { id } => return queues.dead_requeue(now, *id).into(),
            DeadPurge { queue, older_than_s } => return queues.dead_purge(now, *queue, *older_than_s).into(),

            Publish { topic, key, payload } => return stream.publish(now, topic, *key, payload).into(),
            ReadSince { topic, offset, limit } => return stream.read_since(topic, *offset, *limit).into(),
            SaveOffset { consumer, topic, offset } => {
                return stream.save_offset(consumer, topic, *offset).into();
            }
            GetOffset { consumer, topic } => return stream.get_offset(consumer, topic).into(),

            Notify { channel, payload } => return notifications.notify(now, channel, payload).into(),
            Prune { older_than_s, max_keep } => {
                return notifications.prune(now, *older_than_s, *max_keep).into();
            }

            StepSave { id, worker_id, name, value } => {
                return queues.step_save(now, *id, worker_id, name, value).into();
            }
            StepGet { id, name } => return queues.step_get(*id, name).into(),

            ResultSave { job_id, value, ttl_s } => return results.save(now, *job_id, value, *ttl_s).into(),
            ResultGet { job_id } => return results.get(now, *job_id).into(),
            ResultSweep => return results.sweep(now).into(),

            LockAcquire { name, owner, ttl_s } => return locks.acquire(now, name, owner, *ttl_s).into(),
            LockRenew { name, owner, ttl_s } => return locks.renew(now, name, owner, *ttl_s).into(),
            LockRelease { name, owner } => return locks.release(name, owner).into(),

            RateLimitTry { name, limit, per_s } => {
                return limits.try_acquire(now, name, *limit, *per_s).into();
            }
            RateLimitSweep { older_than_s } => return limits.sweep(now, *older_than_s).into(),

            Register(schedule) => return schedules.register(now, schedule).into(),
            Unregister { name } => return schedules.unregister(name).into(),
            Update { name, changes } => return schedules.update(now, name, changes).into(),
            Pause { name } => return schedules.enable(name, false).into(),
            Resume { name } => return schedules.enable(name, true).into(),
            ListSchedules => return schedules.list().into(),
            Tick { until } => return schedules.tick(now, *until, queues).into(),
            Soonest => return schedules.soonest().into(),
            NextAfter { expression, from } => {
                return Rule::parse(expression).and_then(|rule| rule.next_after(*from)).into();
            }
        }
        Answer::Done
    }
}

impl Operation {
    /// The job ids it names.
    pub(crate) fn ids(&mut self) -> Vec<&mut i64> {
        use Operation::*;
        match self {
            AckBatch { ids, .. } => ids.iter_mut().collect(),
            RawBudget { id, .. } | RawRevive { id } | Ack { id, .. } | Retry { id, .. } | Fail { id, .. } => {
                vec![id]
            }
            Heartbeat { id, .. } | Cancel { id } | GetJob { id } | DeadRequeue { id } => vec![id],
            _ => Vec::new(),
        }
    }
}
