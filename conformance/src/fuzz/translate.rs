//! Makes a case of a random program of the model: what the model answers is what the case expects.
//!
//! The model knows more than every package has: budgets and timeouts that differ from call to call, nested savepoints,
//! texts that are no JSON. [`portable`] brings a program down to what all have, and [`Translator`] leaves out what the
//! testees at hand cannot do; neither the model nor they see any of it. Which actor does what depends on the seed and on the
//! operation alone, so that a program that is shrunk keeps its actors.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use honker_model::queue::Enqueue;
use honker_model::schedule::{Changes, Registration};
use honker_model::tables::{TABLES, dump};
use honker_model::{Answer, Cell, Model, Operation, Program, Refusal};
use serde_json::{Map, Value, json};

use crate::engine::Kind;

use super::answers::{COLUMNS, done_or, gives, stored, value};
use super::requests::{enqueue, literal, registration, settings, update};

/// What the queues of the model are opened with: name, visibility timeout and budget.
const QUEUES: [(&str, i64, i64); 3] = [("mail", 2, 2), ("Mail", 4, 1), ("", 60, 3)];

/// The most jobs, or events, that are asked for at once.
const LIMIT_MAX: i64 = 50;

/// A program of operations that every package has, in a form that every package has.
///
/// On Postgres a number that was taken and not used is not given out again, which the model does not know: there is nothing in the
/// program that is undone, and no key that may be taken. The server's clock does not go back.
pub fn portable(program: &Program, engine: Kind) -> Program {
    let operations = program.operations.iter().flat_map(portable_operations);
    let operations = operations.filter_map(|operation| match (engine, operation) {
        (Kind::Postgres, Operation::EnqueueUnique { .. }) => None,
        (Kind::Postgres, Operation::RollBack) => Some(Operation::Release),
        (Kind::Postgres, Operation::Clock { by }) => Some(Operation::Clock { by: by.max(0) }),
        (_, operation) => Some(operation),
    });
    Program { start: program.start, operations: operations.collect() }
}

fn portable_operations(operation: &Operation) -> Vec<Operation> {
    use Operation::*;
    let one = match operation.clone() {
        // A set-up of tables, a malformed text, and two reports whose form is the package's own.
        Bootstrap | AckBatchMalformed { .. } | Stats { .. } | StatsAll | DeadList { .. } => {
            return Vec::new();
        }
        Enqueue(job) => Enqueue(portable_job(job)),
        EnqueueMany { jobs, times } => {
            return jobs.repeat(times).into_iter().map(|job| Enqueue(portable_job(job))).collect();
        }
        Claim { queue, worker_id, n, .. } => {
            let (_, timeout_s, _) = options(queue);
            Claim { queue, worker_id, n: limit(n), timeout_s }
        }
        DeadPurge { queue, older_than_s } => DeadPurge { queue: Some(queue.unwrap_or("mail")), older_than_s },
        ReadSince { topic, offset, limit: n } => ReadSince { topic, offset, limit: limit(n) },
        Prune { older_than_s, max_keep } => {
            Prune { older_than_s: older_than_s.map(finite), max_keep: max_keep.map(finite) }
        }
        Register(schedule) => {
            Register(Registration { expires_s: schedule.expires_s.map(finite), ..schedule })
        }
        Update { name, changes } => {
            let expires_s = changes.expires_s.map(|expires_s| expires_s.map(finite));
            Update { name, changes: Changes { expires_s, ..changes } }
        }
        Tick { until } => Tick { until: finite(until) },
        other => other,
    };
    vec![one]
}

fn portable_job(job: Enqueue) -> Enqueue {
    let (_, _, max_attempts) = options(job.queue);
    let (run_at, delay_s, expires_s) =
        (job.run_at.map(finite), job.delay_s.map(finite), job.expires_s.map(finite));
    Enqueue { max_attempts, run_at, delay_s, expires_s, ..job }
}

/// The largest number means "none" in the C ABI.
fn finite(number: i64) -> i64 {
    number.min(i64::MAX - 1)
}

fn limit(n: i64) -> i64 {
    n.saturating_abs().clamp(1, LIMIT_MAX)
}

fn options(queue: &str) -> (usize, i64, i64) {
    let index = QUEUES.iter().position(|(name, ..)| *name == queue).expect("one of the model's queues");
    let (_, timeout_s, max_attempts) = QUEUES[index];
    (index, timeout_s, max_attempts)
}

/// Makes the case. `lacks` says for each actor which features its testee does not have.
pub fn case(program: &Program, name: &str, seed: u64, actors: &[&str], lacks: &[BTreeSet<String>]) -> Value {
    let mut translator = Translator {
        seed,
        actors,
        lacks,
        model: Model::new(program.start),
        steps: Vec::new(),
        transaction: None,
        holders: BTreeMap::new(),
        locks: BTreeMap::new(),
    };
    for (index, (queue, timeout_s, max_attempts)) in QUEUES.iter().enumerate() {
        translator.all(json!({
            "all": "queue.open", "on": "db", "as": format!("q{index}"), "name": queue,
            "visibility_timeout_s": timeout_s, "max_attempts": max_attempts,
        }));
    }
    for operation in &program.operations {
        translator.operation(operation);
    }
    translator.end_transaction(false);
    translator.tables();
    json!({ "name": name, "actors": actors, "clock": program.start, "steps": translator.steps })
}

struct Translator<'a> {
    seed: u64,
    actors: &'a [&'a str],
    lacks: &'a [BTreeSet<String>],
    model: Model,
    steps: Vec<Value>,
    /// The actor whose transaction is open.
    transaction: Option<usize>,
    /// Which actor was given a job last, by job and worker.
    holders: BTreeMap<(i64, String), usize>,
    /// Which actor took a lock last, and its name for it, by lock and owner.
    locks: BTreeMap<(String, String), (usize, String)>,
}

impl Translator<'_> {
    fn all(&mut self, step: Value) {
        self.steps.push(step);
    }

    /// An actor that has the feature; in an open transaction only the one whose it is.
    fn actor(&self, operation: &Operation, feature: Option<&str>) -> Option<usize> {
        let able = |actor: &usize| feature.is_none_or(|feature| !self.lacks[*actor].contains(feature));
        let able: Vec<usize> = match self.transaction {
            Some(actor) => vec![actor],
            None => (0..self.actors.len()).collect(),
        }
        .into_iter()
        .filter(able)
        .collect();
        let mut hasher = DefaultHasher::new();
        (self.seed, format!("{operation:?}")).hash(&mut hasher);
        (!able.is_empty())
            .then(|| able[usize::try_from(hasher.finish() % able.len() as u64).expect("an index")])
    }

    fn step(&mut self, actor: usize, operation: &str, arguments: Value, expected: Map<String, Value>) {
        let mut step = Map::new();
        step.insert(self.actors[actor].to_owned(), operation.into());
        step.extend(arguments.as_object().cloned().unwrap_or_default());
        if self.transaction.is_some() {
            step.insert("tx".to_owned(), "tx".into());
        }
        step.extend(expected);
        self.steps.push(Value::Object(step));
    }

    /// Lets the model do it, and an actor; `gives` makes of the model's answer what the actor's must be.
    fn act(
        &mut self,
        actor: Option<usize>,
        operation: &Operation,
        (name, arguments): (&str, Value),
        gives: impl FnOnce(&Answer) -> Value,
    ) -> Option<Answer> {
        let actor = actor?;
        let answer = self.model.apply(operation);
        let expected = match &answer {
            Answer::Refused(Refusal::Invalid(_)) => ("fails", "INVALID".into()),
            Answer::Refused(Refusal::Constraint) => ("fails", "CONSTRAINT".into()),
            answer => ("gives", gives(answer)),
        };
        let expected = Map::from_iter([(expected.0.to_owned(), expected.1)]);
        self.step(actor, name, arguments, expected);
        Some(answer)
    }

    fn end_transaction(&mut self, commit: bool) {
        let Some(actor) = self.transaction.take() else { return };
        self.model.apply(if commit { &Operation::Release } else { &Operation::RollBack });
        let name = if commit { "tx.commit" } else { "tx.rollback" };
        self.step(actor, name, json!({ "on": "tx" }), Map::new());
    }

    fn operation(&mut self, operation: &Operation) {
        use Operation::*;
        match operation {
            Clock { .. } => {
                self.model.apply(operation);
                self.steps.push(json!({ "clock": self.model.now }));
            }
            Savepoint if self.transaction.is_none() => {
                let Some(actor) = self.actor(operation, None) else { return };
                self.model.apply(operation);
                self.step(actor, "tx.begin", json!({ "on": "db", "as": "tx" }), Map::new());
                self.transaction = Some(actor);
            }
            Savepoint => {}
            RollBack => self.end_transaction(false),
            Release => self.end_transaction(true),
            _ if self.transaction.is_some() && !may_be_in_transaction(operation) => {}
            RawInsert { .. } | RawBudget { .. } | RawRevive { .. } | RawExpression { .. } => {
                self.by_hand(operation)
            }
            Ack { .. } | Retry { .. } | Fail { .. } | Heartbeat { .. } => self.settlement(operation),
            LockAcquire { .. } | LockRenew { .. } | LockRelease { .. } => self.lock(operation),
            _ => self.plain(operation),
        }
    }

    /// What somebody does to the tables with SQL.
    fn by_hand(&mut self, operation: &Operation) {
        use Operation::*;
        let now = self.model.now;
        let sql = match operation {
            RawInsert { queue, payload } => format!(
                "INSERT INTO _honker_live (queue, payload, run_at, created_at) VALUES ({}, {}, {now}, {now})",
                literal(queue),
                literal(&value(payload).to_string())
            ),
            RawBudget { id, max_attempts } => {
                format!("UPDATE _honker_live SET max_attempts = {max_attempts} WHERE id = {id}")
            }
            RawRevive { id } => format!(
                "INSERT INTO _honker_live (id, queue, payload, run_at, created_at) SELECT id, queue, payload, {now}, \
                 {now} FROM _honker_dead WHERE id = {id} AND id NOT IN (SELECT id FROM _honker_live)"
            ),
            RawExpression { name, expression } => format!(
                "UPDATE _honker_scheduler_tasks SET cron_expr = {} WHERE name = {}",
                literal(expression),
                literal(name)
            ),
            _ => return,
        };
        self.model.apply(operation);
        self.steps.push(json!({ "exec": sql }));
    }

    /// Packages settle what they were given; some settle any job by its id.
    fn settlement(&mut self, operation: &Operation) {
        use Operation::*;
        let (Ack { id, worker_id }
        | Retry { id, worker_id, .. }
        | Fail { id, worker_id, .. }
        | Heartbeat { id, worker_id, .. }) = operation
        else {
            return;
        };
        let holder = self.holders.get(&(*id, (*worker_id).to_owned())).copied();
        let actor = match (holder, self.transaction) {
            (Some(holder), None) => Some(holder),
            (Some(holder), Some(transaction)) if holder == transaction => {
                self.actor(operation, Some("settle_tx"))
            }
            (Some(_), Some(_)) => None,
            (None, Some(actor)) if self.lacks[actor].contains("settle_tx") => None,
            (None, _) => self.actor(operation, Some("by_id")),
        };
        let on = json!("q0");
        let request = match operation {
            Ack { .. } => ("queue.ack", json!({ "on": on, "id": id, "worker": worker_id })),
            Retry { delay_s, error, .. } => (
                "queue.retry",
                json!({ "on": on, "id": id, "worker": worker_id, "delay_s": delay_s, "error": error }),
            ),
            Fail { error, .. } => {
                ("queue.fail", json!({ "on": on, "id": id, "worker": worker_id, "error": error }))
            }
            Heartbeat { extend_s, .. } => {
                ("queue.heartbeat", json!({ "on": on, "id": id, "worker": worker_id, "extend_s": extend_s }))
            }
            _ => return,
        };
        self.act(actor, operation, request, done_or("LOST"));
    }

    fn lock(&mut self, operation: &Operation) {
        use Operation::*;
        match operation {
            LockAcquire { name, owner, ttl_s } => {
                // A name of its own: a handle that another takes the place of would be released.
                let handle = format!("lock{}", self.steps.len());
                let actor = self.actor(operation, None);
                let request = (
                    "lock.acquire",
                    json!({ "on": "db", "as": handle, "name": name, "owner": owner, "ttl_s": ttl_s }),
                );
                let answer = self.act(actor, operation, request, done_or("HELD"));
                if let (Some(actor), Some(Answer::Flag(true))) = (actor, answer) {
                    self.locks.insert(((*name).to_owned(), (*owner).to_owned()), (actor, handle));
                }
            }
            LockRenew { name, owner, ttl_s } => {
                let Some((actor, handle)) = self.taken(name, owner) else { return };
                let request = ("lock.renew", json!({ "on": handle, "ttl_s": ttl_s }));
                self.act(Some(actor), operation, request, done_or("LOST"));
            }
            LockRelease { name, owner } => {
                let Some((actor, handle)) = self.taken(name, owner) else { return };
                self.act(Some(actor), operation, ("lock.release", json!({ "on": handle })), done_or("LOST"));
                // What a lock that has been released still does is the package's own affair.
                self.locks.remove(&((*name).to_owned(), (*owner).to_owned()));
            }
            _ => {}
        }
    }

    fn taken(&self, name: &str, owner: &str) -> Option<(usize, String)> {
        self.locks.get(&(name.to_owned(), owner.to_owned())).cloned()
    }

    /// An operation that any actor that has it may do.
    fn plain(&mut self, operation: &Operation) {
        use Operation::*;
        let any = |translator: &Self, feature| translator.actor(operation, feature);
        let on = |queue: &str| format!("q{}", options(queue).0);
        let (actor, request): (_, (&str, Value)) = match operation {
            Enqueue(job) => (any(self, None), ("queue.enqueue", enqueue(&on(job.queue), job))),
            Claim { queue, worker_id, n, .. } => {
                (any(self, None), ("queue.claim", json!({ "on": on(queue), "worker": worker_id, "n": n })))
            }
            Configure { queue, setting } => (
                any(self, Some("settings")),
                ("queue.configure", json!({ "on": on(queue), "settings": settings(*setting) })),
            ),
            AckBatch { ids, worker_id } => {
                (any(self, None), ("queue.ack_many", json!({ "on": "q0", "ids": ids, "worker": worker_id })))
            }
            Cancel { id } => (any(self, None), ("queue.cancel", json!({ "on": "q0", "id": id }))),
            GetJob { id } => (any(self, None), ("queue.get", json!({ "on": "q0", "id": id }))),
            SweepExpired { queue } => (any(self, None), ("queue.sweep", json!({ "on": on(queue) }))),
            NextClaimAt { queue } => {
                (any(self, Some("next_at")), ("queue.next_at", json!({ "on": on(queue) })))
            }
            DeadRequeue { id } => {
                (any(self, Some("dead")), ("dead.requeue", json!({ "on": "q0", "id": id })))
            }
            DeadPurge { queue: Some(queue), older_than_s } => (
                any(self, Some("dead")),
                ("dead.purge", json!({ "on": on(queue), "older_than_s": older_than_s })),
            ),
            Publish { topic, key, payload } => {
                let mut arguments = json!({ "payload": value(payload) });
                if let Some(key) = key {
                    arguments["key"] = (*key).into();
                }
                (self.on_topic(operation, topic), ("stream.publish", arguments))
            }
            ReadSince { topic, offset, limit } => (
                self.on_topic(operation, topic),
                ("stream.read", json!({ "offset": offset, "limit": limit })),
            ),
            SaveOffset { consumer, topic, offset } => (
                self.on_topic(operation, topic),
                ("stream.save", json!({ "consumer": consumer, "offset": offset })),
            ),
            GetOffset { consumer, topic } => {
                (self.on_topic(operation, topic), ("stream.offset", json!({ "consumer": consumer })))
            }
            Notify { channel, payload } => (
                any(self, None),
                ("notify.send", json!({ "on": "db", "channel": channel, "payload": value(payload) })),
            ),
            Prune { older_than_s, max_keep } => {
                let mut arguments = json!({ "on": "db" });
                if let Some(older_than_s) = older_than_s {
                    arguments["older_than_s"] = (*older_than_s).into();
                }
                if let Some(max_keep) = max_keep {
                    arguments["max_keep"] = (*max_keep).into();
                }
                (any(self, max_keep.map(|_| "prune_keep")), ("notify.prune", arguments))
            }
            StepSave { id, worker_id, name, value: text } => {
                let arguments =
                    json!({ "on": "q0", "id": id, "worker": worker_id, "name": name, "value": value(text) });
                (any(self, Some("claims_by_id")), ("step.save", arguments))
            }
            StepGet { id, name } => {
                let arguments = json!({ "on": "q0", "id": id, "worker": "w", "name": name });
                (any(self, Some("claims_by_id")), ("step.get", arguments))
            }
            ResultSave { job_id, value: text, ttl_s } => {
                let feature = self.transaction.map(|_| "result_tx");
                let arguments = json!({ "on": "db", "id": job_id, "value": value(text), "ttl_s": ttl_s });
                (any(self, feature), ("result.save", arguments))
            }
            ResultGet { job_id } => (any(self, None), ("result.get", json!({ "on": "db", "id": job_id }))),
            ResultSweep => (any(self, None), ("result.sweep", json!({ "on": "db" }))),
            RateLimitTry { name, limit, per_s } => (
                any(self, None),
                ("rate.try", json!({ "on": "db", "name": name, "limit": limit, "per_s": per_s })),
            ),
            RateLimitSweep { older_than_s } => (
                any(self, Some("rate_sweep")),
                ("rate.sweep", json!({ "on": "db", "older_than_s": older_than_s })),
            ),
            Register(schedule) => (any(self, Some("sched")), ("sched.add", registration(schedule))),
            Unregister { name } => {
                (any(self, Some("sched")), ("sched.remove", json!({ "on": "db", "name": name })))
            }
            Pause { name } => {
                (any(self, Some("sched")), ("sched.pause", json!({ "on": "db", "name": name })))
            }
            Resume { name } => {
                (any(self, Some("sched")), ("sched.resume", json!({ "on": "db", "name": name })))
            }
            Update { name, changes } => (any(self, Some("sched")), ("sched.update", update(name, changes))),
            ListSchedules => (any(self, Some("sched")), ("sched.list", json!({ "on": "db" }))),
            Tick { until } => {
                (any(self, Some("tick_at")), ("sched.tick", json!({ "on": "db", "now": until })))
            }
            Soonest => (any(self, Some("sched")), ("sched.soonest", json!({ "on": "db" }))),
            NextAfter { expression, from } => (
                any(self, Some("cron")),
                ("cron.next_after", json!({ "on": "db", "schedule": expression, "from": from })),
            ),
            _ => return,
        };
        let request = match operation {
            Publish { .. } | ReadSince { .. } | SaveOffset { .. } | GetOffset { .. } => {
                let mut arguments = request.1;
                arguments["on"] = "topic".into();
                (request.0, arguments)
            }
            _ => request,
        };
        let answer = self.act(actor, operation, request, |answer| gives(operation, answer));
        if let (Claim { worker_id, .. }, Some(actor), Some(Answer::Rows(rows))) = (operation, actor, answer) {
            for row in rows {
                if let Cell::Integer(id) = row[0] {
                    self.holders.insert((id, (*worker_id).to_owned()), actor);
                }
            }
        }
    }

    /// Opens the topic on the actor that will use it.
    fn on_topic(&mut self, operation: &Operation, topic: &str) -> Option<usize> {
        let actor = self.actor(operation, None)?;
        let mut step = Map::new();
        step.insert(self.actors[actor].to_owned(), "stream.open".into());
        step.extend([
            ("on".into(), "db".into()),
            ("as".into(), "topic".into()),
            ("topic".into(), topic.into()),
        ]);
        self.steps.push(Value::Object(step));
        Some(actor)
    }

    /// In the end the tables hold what the model holds.
    fn tables(&mut self) {
        let rows = dump(&self.model.state);
        for (((table, key), columns), rows) in TABLES.iter().zip(COLUMNS).zip(&rows) {
            let names: Vec<&str> = columns.split(", ").collect();
            let rows: Vec<Vec<Value>> = rows
                .iter()
                .map(|row| names.iter().zip(row).map(|(name, cell)| stored(name, cell)).collect())
                .collect();
            // One of the names is a word of SQL's.
            let quoted = |names: &str| names.replace("offset", "\"offset\"");
            let sql = format!("SELECT {} FROM {table} ORDER BY {}", quoted(columns), quoted(key));
            self.steps.push(json!({ "sql": sql, "gives": rows }));
        }
    }
}

fn may_be_in_transaction(operation: &Operation) -> bool {
    use Operation::*;
    matches!(
        operation,
        Enqueue(_)
            | Ack { .. }
            | Retry { .. }
            | Fail { .. }
            | Publish { .. }
            | SaveOffset { .. }
            | Notify { .. }
            | ResultSave { .. }
    )
}
