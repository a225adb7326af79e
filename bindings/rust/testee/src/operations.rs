//! The operations: what is called for each.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use honker::{
    BatchStatus, ClaimOptions, Claims, Database, EnqueueStatus, Error, FireStatus, JournalMode, LostReason,
    OpenOptions, Outbox, OutboxOpts, Overlap, Queue, QueueOpts, Requeued, ScheduleUpdate, ScheduledTask,
    Settlement, SubscribeOpts, Transaction, Verdict, WorkerQueue,
};
use serde_json::{Value, json};

use crate::handles::{self, Handle, Kind, unpoisoned};
use crate::values::{self, Arguments, stored};
use crate::workers;

const FEATURES: &str = "queue tx wait wake updates stream notify sched cron result result_tx settle_tx by_id lock rate \
    rate_sweep outbox dead stats next_at enqueue_many text journal watcher interrupt fork foreign prune_keep tick_at nesting \
    release settle metadata settings batch step bulk unique schedule_options unknown_keys claims_by_id metrics counters \
    handlers";

/// How a request ends.
enum Answer {
    Ok(Value),
    Outcome(&'static str),
    Crashed(String),
}

type Answered = Result<Answer, Error>;

fn ok(value: Value) -> Answered {
    Ok(Answer::Ok(value))
}

fn done() -> Answered {
    ok(json!({}))
}

fn held(held: bool) -> Answered {
    if held { done() } else { Ok(Answer::Outcome("LOST")) }
}

/// Does a request; the answer.
pub fn perform(request: &Value) -> Value {
    let mut answer = json!({ "seq": request["seq"] });
    let performed = std::panic::catch_unwind(|| answered(request));
    match performed {
        Ok(Ok(Answer::Ok(value))) => answer["ok"] = value,
        Ok(Ok(Answer::Outcome(outcome))) => answer["outcome"] = outcome.into(),
        Ok(Ok(Answer::Crashed(message))) => answer["crashed"] = json!({ "message": message }),
        Ok(Err(error)) => {
            answer["error"] =
                json!({ "name": name(&error), "type": "honker::Error", "message": error.to_string() });
        }
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned());
            answer["crashed"] = json!({ "message": message });
        }
    }
    answer
}

fn name(error: &Error) -> &'static str {
    match error {
        Error::Busy(_) => "BUSY",
        Error::Interrupted(_) => "INTERRUPTED",
        Error::Constraint(_) => "CONSTRAINT",
        Error::ReadOnly(_) => "READONLY",
        Error::Full(_) => "FULL",
        Error::Io(_) => "IO",
        Error::Corrupt(_) => "CORRUPT",
        Error::CannotOpen(_) => "CANNOT_OPEN",
        Error::TooBig(_) => "TOO_BIG",
        Error::Schema(_) => "SCHEMA",
        Error::Aborted(_) => "ABORTED",
        Error::System(_) => "SYSTEM",
        Error::Unsupported(_) => "UNSUPPORTED",
        Error::Engine { .. } => "SQL",
        Error::Invalid(_) | Error::Json { .. } => "INVALID",
        Error::Misuse(_) => "MISUSE",
        Error::Closed => "CLOSED_HANDLE",
        Error::Forked => "FORKED",
        Error::WatcherDied(_) => "WATCHER",
        Error::TooOld(_) => "TOO_OLD",
        Error::Connection(_) => "CONNECTION",
        Error::Moved(_) => "MOVED",
        _ => "INTERNAL",
    }
}

fn answered(request: &Value) -> Answered {
    let op = request["op"].as_str().unwrap_or_default();
    if let Some(old) = request["as"].as_str().and_then(handles::remove) {
        let _ = old.close();
    }
    match op {
        "hello" => return hello(),
        "open" => return open(request),
        "fork" => return fork(request),
        "foreign.exec" => return foreign_exec(&Arguments(request)),
        _ => {}
    }
    let Some(on) = request["on"].as_str().and_then(handles::find) else {
        return Ok(Answer::Crashed(format!("{op}: there is no such handle")));
    };
    if op == "close" {
        return on.close().and_then(|()| done());
    }
    if op == "wake" {
        if let Some(waker) = &on.waker {
            waker.wake();
        }
        return done();
    }
    let joined = request["tx"].as_str().map(handles::find);
    if matches!(joined, Some(None)) {
        return Ok(Answer::Crashed(format!("{op}: there is no such transaction")));
    }
    let joined = joined.flatten();
    let joined = joined.as_ref().map(|handle| handle.is.read().unwrap_or_else(PoisonError::into_inner));
    let tx = match joined.as_deref() {
        Some(Some(Kind::Tx(tx))) => Some(tx),
        Some(_) => return Err(Error::Misuse("the transaction is over".to_owned())),
        None => None,
    };
    if let "tx.commit" | "tx.rollback" = op {
        let kind = on.is.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Kind::Tx(tx)) = kind else {
            return Err(Error::Misuse("the transaction is over".to_owned()));
        };
        if op == "tx.commit" {
            tx.commit()?
        } else {
            tx.rollback()?
        }
        return done();
    }
    let is = on.is.read().unwrap_or_else(PoisonError::into_inner);
    let arguments = Arguments(request);
    match is.as_ref() {
        Some(Kind::Db) => on_db(op, &on, tx, &arguments),
        Some(Kind::Tx(within)) => on_tx(op, within, &arguments),
        Some(Kind::Queue(queue)) => on_queue(op, &on, queue, tx, &arguments),
        Some(Kind::Stream(stream)) => on_stream(op, &on, stream, tx, &arguments),
        Some(Kind::Outbox(outbox)) => on_outbox(op, &on, outbox, tx, &arguments),
        Some(Kind::Lock(lock)) if op == "lock.renew" => held(lock.heartbeat(arguments.integer("ttl_s"))?),
        Some(Kind::Lock(_)) if op == "lock.release" => {
            drop(is);
            let mut is = on.is.write().unwrap_or_else(PoisonError::into_inner);
            let Some(Kind::Lock(lock)) = is.as_mut() else { return Err(Error::Closed) };
            held(lock.try_release()?)
        }
        Some(_) => wait(op, is.as_ref(), &arguments),
        None => Err(Error::Misuse("the handle is closed".to_owned())),
    }
}

fn hello() -> Answered {
    let features: Vec<&str> = FEATURES.split_whitespace().collect();
    ok(json!({
        "testee": "rust", "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(), "features": features,
    }))
}

fn make(request: &Value, db: &Database, kind: Kind) -> Answered {
    let waker = match &kind {
        Kind::Worker(worker) => Some(unpoisoned(worker).waker()),
        Kind::Listener(listener) => Some(unpoisoned(listener).waker()),
        Kind::Subscription(subscription) => Some(unpoisoned(subscription).waker()),
        Kind::Updates(updates) => Some(unpoisoned(updates).waker()),
        _ => None,
    };
    keep(request, db, kind, waker);
    done()
}

fn keep(request: &Value, db: &Database, kind: Kind, waker: Option<honker::Waker>) -> Arc<Handle> {
    let handle = Handle {
        about: request.clone(),
        db: db.clone(),
        is: Some(kind).into(),
        waker,
        calls: Mutex::default(),
        runner: Mutex::default(),
    };
    handles::keep(request["as"].as_str().unwrap_or_default(), handle)
}

fn open(request: &Value) -> Answered {
    let arguments = Arguments(request);
    let mut options = OpenOptions::new().watcher_backend(arguments.text("watcher"))?;
    if let Some(timeout) = arguments.ms("busy_timeout_ms") {
        options = options.busy_timeout(timeout);
    }
    if let Some(interval) = arguments.ms("poll_ms") {
        options = options.watcher_poll_interval(interval)?;
    }
    options = options.journal_mode(match arguments.text("journal") {
        "DELETE" => JournalMode::Delete,
        "TRUNCATE" => JournalMode::Truncate,
        "PERSIST" => JournalMode::Persist,
        _ => JournalMode::Wal,
    });
    let db = Database::open_with_options(arguments.text("path"), options)?;
    make(request, &db, Kind::Db)
}

fn on_tx(op: &str, tx: &Transaction, arguments: &Arguments<'_>) -> Answered {
    match op {
        "sql.exec" => ok(json!({ "changes": tx.execute(arguments.text("sql"), arguments.parameters())? })),
        "sql.query" => {
            ok(json!({ "rows": values::rows(&tx.query(arguments.text("sql"), arguments.parameters())?) }))
        }
        _ => Ok(Answer::Crashed(format!("{op}: there is no such operation of a transaction"))),
    }
}

fn on_db(op: &str, on: &Handle, tx: Option<&Transaction>, arguments: &Arguments<'_>) -> Answered {
    let (db, request) = (&on.db, arguments.0);
    let scheduler = db.scheduler();
    let (name, id) = (arguments.text("name"), arguments.integer("id"));
    match op {
        "interrupt" => db.interrupt().and_then(|()| done()),
        "tx.begin" => make(request, db, Kind::Tx(db.transaction()?)),
        "sql.query" => {
            ok(json!({ "rows": values::rows(&db.query(arguments.text("sql"), arguments.parameters())?) }))
        }
        "queue.open" => {
            let default = QueueOpts::default();
            let visibility_timeout_s =
                arguments.optional("visibility_timeout_s").unwrap_or(default.visibility_timeout_s);
            make(request, db, Kind::Queue(db.queue(name, QueueOpts { visibility_timeout_s, ..default })))
        }
        "queues" => ok(json!({ "queues": encoded(db.queues()?) })),
        "metrics" => ok(encoded(db.metrics()?)),
        "jobs.list" => ok(json!({ "page": values::table(encoded(db.jobs(&request["filter"]).page(None)?)) })),
        "jobs.apply" => {
            let applied = db.jobs(&request["filter"]).apply_page(tx, None, arguments.text("action"))?;
            ok(json!({ "applied": encoded(applied) }))
        }
        "batch.create" => {
            let mut options = request["options"].clone();
            for callback in ["on_finished", "on_success"] {
                // A payload is text.
                if let Some(payload) =
                    options.get_mut(callback).and_then(|callback| callback.get_mut("payload"))
                    && !payload.is_string()
                {
                    *payload = values::payload(payload).into();
                }
            }
            let batch = match tx {
                Some(tx) => db.create_batch_tx(tx, options)?,
                None => db.create_batch(options)?,
            };
            ok(json!({ "id": batch.id() }))
        }
        "batch.seal" => {
            let batch = db.batch_by_id(id);
            let sealed = tx.map_or_else(|| batch.seal(), |tx| batch.seal_tx(tx))?;
            ok(json!({ "sealed": sealed }))
        }
        "batch.get" => match db.batch_by_id(id).status()? {
            Some(status) => ok(json!({ "batch": encoded::<BatchStatus>(status) })),
            None => Ok(Answer::Outcome("EMPTY")),
        },
        "listen.open" => {
            make(request, db, Kind::Listener(Box::new(db.listen(arguments.text("channel"))?.into())))
        }
        "updates.open" => make(request, db, Kind::Updates(Box::new(db.update_events()?.into()))),
        "stream.open" => make(request, db, Kind::Stream(db.stream(arguments.text("topic")))),
        "notify.send" => {
            let id = db.notify_text(tx, arguments.text("channel"), &arguments.payload("payload"))?;
            ok(json!({ "id": id }))
        }
        "notify.configure" => {
            db.keep_notifications(request["settings"]["keep_s"].as_i64()).and_then(|()| done())
        }
        "notify.prune" => {
            let n = db
                .prune_notifications_by(arguments.optional("older_than_s"), arguments.optional("max_keep"))?;
            ok(json!({ "n": n }))
        }
        "sched.add" => {
            let task = ScheduledTask {
                payload: arguments.payload("payload"),
                priority: arguments.integer("priority"),
                expires_s: arguments.optional("expires_s"),
                max_attempts: arguments.optional("max_attempts"),
                overlap: if arguments.text("overlap") == "skip" { Overlap::Skip } else { Overlap::Allow },
                options: arguments.enqueue_opts(None),
                ..ScheduledTask::new(name, arguments.text("queue"), arguments.text("schedule"), &())?
            };
            match tx {
                Some(tx) => scheduler.add_tx(tx, task)?,
                None => scheduler.add(task)?,
            }
            done()
        }
        "sched.remove" => changed(scheduler.remove(name)?),
        "sched.pause" => changed(scheduler.pause(name)?),
        "sched.resume" => changed(scheduler.resume(name)?),
        "sched.update" => {
            let change = |key| match arguments.0.get(key) {
                None => honker::Change::Keep,
                Some(value) => value.as_i64().map_or(honker::Change::Reset, honker::Change::To),
            };
            let update = ScheduleUpdate {
                schedule: arguments.optional_text("schedule").map(str::to_owned),
                payload: arguments.has("payload").then(|| arguments.payload("payload")),
                priority: arguments.optional("priority"),
                expires_s: change("expires_s"),
                max_attempts: change("max_attempts"),
            };
            changed(scheduler.update(name, &update)?)
        }
        "sched.list" => ok(json!({ "schedules": values::table(encoded(scheduler.list()?)) })),
        "sched.tick" => {
            let fires = match arguments.optional("now") {
                Some(now) => scheduler.tick_at(now)?,
                None => scheduler.tick()?,
            };
            let fire = |fire: &honker::ScheduledFire| {
                let mut value = json!({
                    "name": fire.name, "queue": fire.queue, "fire_at": fire.fire_at, "job_id": fire.job_id,
                });
                if fire.status != FireStatus::Enqueued {
                    value["status"] = encoded(fire.status);
                }
                value
            };
            ok(json!({ "fires": fires.iter().map(fire).collect::<Vec<_>>() }))
        }
        "sched.soonest" => ok(json!({ "at": scheduler.soonest()?.unwrap_or(0) })),
        "sched.run" => {
            let mut leading = scheduler.lead(arguments.text("owner"))?;
            let handle = keep(request, db, Kind::Runner, Some(leading.waker()));
            run(&handle, move || leading.next(None).map(drop));
            done()
        }
        "cron.next_after" => {
            let at = honker::next_after(arguments.text("schedule"), arguments.integer("from"))?;
            ok(json!({ "at": at }))
        }
        "result.save" => {
            let (value, ttl_s) = (arguments.payload("value"), arguments.integer("ttl_s"));
            match tx {
                Some(tx) => db.save_result_tx(tx, id, &value, ttl_s)?,
                None => db.save_result(id, &value, ttl_s)?,
            }
            done()
        }
        "result.get" => match db.get_result(id)? {
            Some(value) => ok(json!({ "value": stored(&value) })),
            None => Ok(Answer::Outcome("EMPTY")),
        },
        "result.wait" => match db.wait_result(id, arguments.timeout()) {
            Ok(value) => ok(json!({ "value": stored(&value) })),
            Err(Error::Timeout(_)) => Ok(Answer::Outcome("TIMEOUT")),
            Err(error) => Err(error),
        },
        "result.sweep" => ok(json!({ "n": db.sweep_results()? })),
        "lock.acquire" => {
            let ttl_s = arguments.integer("ttl_s");
            let lock = match arguments.optional_text("owner") {
                Some(owner) => db.try_lock(name, owner, ttl_s)?,
                None => db.try_lock_any(name, ttl_s)?,
            };
            match lock {
                Some(lock) => make(request, db, Kind::Lock(lock)),
                None => Ok(Answer::Outcome("HELD")),
            }
        }
        "rate.try" => {
            match db.try_rate_limit(name, arguments.integer("limit"), arguments.integer("per_s"))? {
                true => done(),
                false => Ok(Answer::Outcome("LIMITED")),
            }
        }
        "rate.sweep" => ok(json!({ "n": db.sweep_rate_limits(arguments.integer("older_than_s"))? })),
        "outbox.open" => {
            let default = OutboxOpts::default();
            let opts = OutboxOpts {
                visibility_timeout_s: arguments
                    .optional("visibility_timeout_s")
                    .unwrap_or(default.visibility_timeout_s),
                max_attempts: arguments.optional("max_attempts").unwrap_or(default.max_attempts),
                base_backoff_s: arguments.optional("base_backoff_s").unwrap_or(default.base_backoff_s),
            };
            make(request, db, Kind::Outbox(db.outbox(name, opts)))
        }
        _ => Ok(Answer::Crashed(format!("{op}: there is no such operation of a database"))),
    }
}

fn encoded<T: serde::Serialize>(value: T) -> Value {
    serde_json::to_value(value).expect("JSON")
}

fn changed(changed: bool) -> Answered {
    ok(json!({ "changed": changed }))
}

fn on_queue(
    op: &str,
    on: &Handle,
    queue: &Queue,
    tx: Option<&Transaction>,
    arguments: &Arguments<'_>,
) -> Answered {
    let request = arguments.0;
    let (id, worker, error) = (arguments.integer("id"), arguments.text("worker"), arguments.text("error"));
    let (delay_s, name) = (arguments.integer("delay_s"), arguments.text("name"));
    let opts = || arguments.enqueue_opts(on.about["max_attempts"].as_i64());
    if !arguments.has("unique_key") && (arguments.has("on_conflict") || arguments.has("unique_until")) {
        // They are fields of what has the key.
        return Err(Error::Invalid("there is no Unique without a unique_key".to_owned()));
    }
    match op {
        "queue.enqueue" => {
            let enqueued = queue.enqueue_text(tx, arguments.payload("payload"), opts())?;
            let status = match enqueued.status {
                EnqueueStatus::Enqueued => "enqueued",
                EnqueueStatus::Exists => "exists",
                EnqueueStatus::Replaced => "replaced",
            };
            ok(json!({ "id": enqueued.id, "status": status }))
        }
        "queue.enqueue_many" => {
            let payloads = request["payloads"].as_array().cloned().unwrap_or_default();
            let spec = |payload: &Value| honker::JobSpec {
                queue: queue.name().to_owned(),
                payload: values::payload(payload),
                options: opts(),
            };
            let specs: Vec<_> = payloads.iter().map(spec).collect();
            let enqueued = match tx {
                Some(tx) => on.db.enqueue_many_tx(tx, &specs)?,
                None => on.db.enqueue_many(&specs)?,
            };
            ok(json!({ "ids": enqueued.iter().map(|enqueued| enqueued.id).collect::<Vec<_>>() }))
        }
        "queue.claim" => {
            let n = arguments.integer("n");
            let jobs = match tx {
                Some(tx) => queue.claim_batch_tx(tx, worker, n)?,
                None => queue.claim_batch(worker, n)?,
            };
            ok(json!({ "jobs": values::jobs(&jobs) }))
        }
        "queue.ack" => held(match tx {
            Some(tx) => queue.ack_tx(tx, id, worker)?,
            None => queue.ack(id, worker)?,
        }),
        "queue.retry" => held(queue.retry(tx, id, worker, delay_s, error)?),
        "queue.fail" => held(queue.fail(tx, id, worker, error)?),
        "queue.release" => held(queue.release(tx, id, worker, delay_s)?),
        "queue.heartbeat" => held(queue.heartbeat(id, worker, arguments.integer("extend_s"))?),
        "queue.ack_many" => ok(json!({ "acked": queue.ack_batch(&arguments.ids(), worker)? })),
        "queue.cancel" => {
            let cancelled = tx.map_or_else(|| queue.cancel(id), |tx| queue.cancel_tx(tx, id))?;
            ok(json!({ "cancelled": cancelled }))
        }
        "queue.get" => match queue.get_job(id)? {
            Some(job) => ok(json!({ "job": values::table(encoded(job)) })),
            None => Ok(Answer::Outcome("EMPTY")),
        },
        "queue.next_at" => ok(json!({ "at": queue.next_claim_at()?.unwrap_or(0) })),
        "queue.sweep" => ok(json!({ "n": queue.sweep_expired()? })),
        "queue.stats" => ok(json!({ "stats": encoded(queue.stats()?) })),
        "queue.configure" => queue.configure(&request["settings"]).and_then(|()| done()),
        "queue.settings" => ok(json!({ "settings": encoded(queue.settings()?) })),
        "dead.groups" => ok(json!({ "groups": values::table(encoded(queue.dead_groups()?)) })),
        "dead.list" => {
            let dead = queue.dead(arguments.optional("limit").unwrap_or(-1))?;
            ok(json!({ "jobs": values::table(encoded(dead)) }))
        }
        "dead.requeue" => ok(json!({ "requeued": queue.requeue_dead(id)? == Requeued::Requeued })),
        "dead.purge" => ok(json!({ "n": queue.purge_dead(arguments.integer("older_than_s"))? })),
        "step.get" => match queue.saved_step(tx, id, name)? {
            Some(value) => ok(json!({ "value": stored(&value) })),
            None => Ok(Answer::Outcome("EMPTY")),
        },
        "step.save" => match queue.save_step(tx, id, worker, name, &arguments.payload("value"))? {
            Some(value) => ok(json!({ "value": stored(&value) })),
            None => Ok(Answer::Outcome("LOST")),
        },
        "worker.open" => {
            let default = ClaimOptions::default();
            let visibility_timeout_s =
                on.about["visibility_timeout_s"].as_i64().unwrap_or(default.visibility_timeout_s);
            // The suite settles by the id that it gave.
            let options = ClaimOptions { visibility_timeout_s, rescue: false, ..default };
            let claimer = on.db.claimer(vec![WorkerQueue::new(queue.name())], worker, options)?;
            make(request, &on.db, Kind::Worker(Box::new(claimer.into())))
        }
        "worker.run" => {
            let script = serde_json::from_value(request["handle"].clone())
                .map_err(|error| Error::Invalid(format!("handle: {error}")))?;
            let visibility_timeout = on.about["visibility_timeout_s"].as_u64().map(Duration::from_secs);
            let (worker, handlers) = workers::scripted(queue, worker, script, visibility_timeout)?;
            let handle = keep(request, &on.db, Kind::Handlers(Box::new(handlers)), None);
            let runner = std::thread::spawn(move || {
                if let Err(error) = worker.run() {
                    eprintln!("worker: {error}");
                }
            });
            *unpoisoned(&handle.runner) = Some(runner);
            done()
        }
        _ => Ok(Answer::Crashed(format!("{op}: there is no such operation of a queue"))),
    }
}

fn on_stream(
    op: &str,
    on: &Handle,
    stream: &honker::Stream,
    tx: Option<&Transaction>,
    arguments: &Arguments<'_>,
) -> Answered {
    let request = arguments.0;
    let (consumer, limit) = (arguments.text("consumer"), arguments.optional("limit").unwrap_or(-1));
    let events = |events: Vec<honker::StreamEvent>| {
        ok(json!({ "events": events.iter().map(values::event).collect::<Vec<_>>() }))
    };
    match op {
        "stream.publish" => {
            let offset =
                stream.publish_text(tx, arguments.optional_text("key"), &arguments.payload("payload"))?;
            ok(json!({ "offset": offset }))
        }
        "stream.configure" => stream.configure(&request["settings"]).and_then(|()| done()),
        "stream.trim" => ok(json!({ "n": stream.trim(&request["settings"])? })),
        "stream.read" => events(stream.read_since(arguments.integer("offset"), limit)?),
        "stream.read_consumer" => events(stream.read_from_consumer(consumer, limit)?),
        "stream.save" => {
            let offset = arguments.integer("offset");
            let saved = match tx {
                Some(tx) => stream.save_offset_tx(tx, consumer, offset)?,
                None => stream.save_offset(consumer, offset)?,
            };
            ok(json!({ "saved": saved }))
        }
        "stream.offset" => ok(json!({ "offset": stream.get_offset(consumer)? })),
        "stream.subscribe" => {
            let default = SubscribeOpts::default();
            let opts = SubscribeOpts {
                consumer: arguments.optional_text("consumer").map(str::to_owned),
                from_offset: arguments.optional("from_offset"),
                save_every_n: arguments.unsigned("save_every_n")?.unwrap_or(default.save_every_n),
                save_every: arguments
                    .unsigned("save_every_ms")?
                    .map_or(default.save_every, Duration::from_millis),
            };
            make(request, &on.db, Kind::Subscription(Box::new(stream.subscribe_with(opts)?.into())))
        }
        _ => Ok(Answer::Crashed(format!("{op}: there is no such operation of a stream"))),
    }
}

/// What was waited for, or why it was not.
fn waited<T>(waited: Result<Option<T>, Error>, as_json: impl FnOnce(T) -> Value) -> Answered {
    match waited {
        Ok(Some(item)) => ok(as_json(item)),
        Ok(None) => Ok(Answer::Outcome("TIMEOUT")),
        Err(Error::Woken) => Ok(Answer::Outcome("WOKEN")),
        Err(Error::Closed) => Ok(Answer::Outcome("CLOSED")),
        Err(error) => Err(error),
    }
}

fn lost(claims: &Claims) -> Value {
    let reason = |reason| match reason {
        LostReason::Gone => "GONE",
        LostReason::Lapsed => "LAPSED",
        LostReason::Taken => "TAKEN",
        LostReason::Timeout => "TIMEOUT",
    };
    let lost = claims.lost.iter();
    lost.map(|lost| json!({ "id": lost.id, "serial": lost.serial, "reason": reason(lost.reason) })).collect()
}

fn wait(op: &str, is: Option<&Kind>, arguments: &Arguments<'_>) -> Answered {
    let timeout = arguments.timeout();
    match (op, is) {
        ("next", Some(Kind::Worker(worker))) => {
            let claims = unpoisoned(worker).next(arguments.optional("n").unwrap_or(1), timeout);
            let some =
                |claims: Claims| (!claims.jobs.is_empty() || !claims.lost.is_empty()).then_some(claims);
            waited(
                claims.map(some),
                |claims| json!({ "jobs": values::jobs(&claims.jobs), "lost": lost(&claims) }),
            )
        }
        ("worker.settle", Some(Kind::Worker(worker))) => {
            let given = arguments.0["settlements"].as_array().cloned().unwrap_or_default();
            let settlements: Vec<Settlement> = given.iter().map(settlement).collect();
            let claims = unpoisoned(worker).settle_and_next(&settlements, arguments.integer("n"), timeout)?;
            let held = claims.held.iter().map(|held| matches!(held, Ok(true))).collect::<Vec<_>>();
            ok(json!({ "held": held, "jobs": values::jobs(&claims.jobs), "lost": lost(&claims) }))
        }
        ("handler.next", Some(Kind::Handlers(handlers))) => {
            let happened = unpoisoned(&handlers.happened).recv_timeout(timeout.unwrap_or(Duration::MAX));
            waited(Ok(happened.ok()), |happened| happened)
        }
        ("next", Some(Kind::Listener(listener))) => {
            let mut listener = unpoisoned(listener);
            let next = match timeout {
                Some(timeout) => listener.recv_timeout(timeout),
                None => listener.recv().map(Some),
            };
            waited(next, |notification| {
                let payload = stored(&notification.payload);
                let notification =
                    json!({ "id": notification.id, "channel": notification.channel, "payload": payload });
                json!({ "notification": notification })
            })
        }
        ("next", Some(Kind::Subscription(subscription))) => {
            let mut subscription = unpoisoned(subscription);
            let next = match timeout {
                Some(timeout) => subscription.recv_timeout(timeout),
                None => subscription.recv().map(Some),
            };
            waited(next, |event| json!({ "event": values::event(&event) }))
        }
        ("next", Some(Kind::Updates(updates))) => {
            let mut updates = unpoisoned(updates);
            let next = match timeout {
                Some(timeout) => updates.recv_timeout(timeout),
                None => updates.recv().map(|()| true),
            };
            waited(next.map(|there_is| there_is.then_some(())), |()| json!({}))
        }
        ("subscription.ack", Some(Kind::Subscription(subscription))) => {
            unpoisoned(subscription).ack().and_then(|()| done())
        }
        ("subscription.save", Some(Kind::Subscription(subscription))) => {
            unpoisoned(subscription).save_offset().and_then(|()| done())
        }
        ("subscription.offset", Some(Kind::Subscription(subscription))) => {
            ok(json!({ "offset": unpoisoned(subscription).offset() }))
        }
        _ => Ok(Answer::Crashed(format!("{op}: there is no such operation of this handle"))),
    }
}

fn settlement(given: &Value) -> Settlement {
    let delay_s = given["delay_s"].as_i64();
    let error = given["error"].as_str().unwrap_or_default().to_owned();
    let verdict = match given["kind"].as_str().unwrap_or_default() {
        "ack" => Verdict::Ack,
        "retry" => Verdict::Retry { delay_s, error },
        "fail" => Verdict::Fail { error },
        "snooze" => Verdict::Snooze { delay_s: delay_s.unwrap_or_default() },
        _ => Verdict::Release,
    };
    let number = |key: &str| given[key].as_i64().unwrap_or_default();
    Settlement { id: number("id"), serial: number("serial"), verdict }
}

fn on_outbox(
    op: &str,
    on: &Arc<Handle>,
    outbox: &Outbox,
    tx: Option<&Transaction>,
    arguments: &Arguments<'_>,
) -> Answered {
    match op {
        "outbox.enqueue" => {
            let opts = arguments.enqueue_opts(None);
            let id = outbox.enqueue_text(tx, &arguments.payload("payload"), opts)?;
            ok(json!({ "id": id }))
        }
        "outbox.run_once" => {
            let handled = outbox.run_once(arguments.text("worker"), |payload: Value| deliver(on, payload))?;
            ok(json!({ "handled": handled }))
        }
        "outbox.run" => {
            let mut worker = outbox.deliveries(arguments.text("worker"))?;
            let handle = keep(arguments.0, &on.db, Kind::Runner, Some(worker.waker()));
            let outbox = Arc::clone(on);
            run(&handle, move || {
                let deliver = |job: &honker::Job| {
                    deliver(&outbox, stored(std::str::from_utf8(&job.payload).unwrap_or_default()))
                };
                match worker.run_next(None, deliver) {
                    Ok(_) | Err(Error::Lost(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            });
            done()
        }
        "outbox.calls" => ok(json!({ "payloads": *unpoisoned(&on.calls) })),
        _ => Ok(Answer::Crashed(format!("{op}: there is no such operation of an outbox"))),
    }
}

/// Does what the outbox was opened to do.
fn deliver(outbox: &Handle, payload: Value) -> Result<(), String> {
    let script = outbox.about["deliver"].as_array().cloned().unwrap_or_default();
    let mut calls = unpoisoned(&outbox.calls);
    let nth = calls.len().min(script.len().saturating_sub(1));
    calls.push(payload);
    match script.get(nth).and_then(Value::as_str) {
        Some("ok") | None => Ok(()),
        Some(text) => Err(text.to_owned()),
    }
}

/// A thread that does this again and again until its handle is closed. What fails is logged, and it goes on.
fn run(handle: &Arc<Handle>, mut turn: impl FnMut() -> Result<(), Error> + Send + 'static) {
    let runner = std::thread::spawn(move || {
        loop {
            match turn() {
                Ok(()) | Err(Error::Woken) => {}
                Err(Error::Closed | Error::WatcherDied(_)) => break,
                Err(error) => {
                    eprintln!("runner: {error}");
                    // And not at once again.
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    });
    *unpoisoned(&handle.runner) = Some(runner);
}

fn fork(request: &Value) -> Answered {
    let mut ends = [-1; 2];
    // SAFETY: there is room for two descriptors.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
        return Ok(Answer::Crashed("no pipe".to_owned()));
    }
    let table = handles::table();
    // SAFETY: the child does what a conformance case asks for, which the crate refuses, and ends.
    let child = unsafe { libc::fork() };
    drop(table);
    if child == 0 {
        let answers: Vec<Value> = request["steps"].as_array().into_iter().flatten().map(perform).collect();
        let text = Value::Array(answers).to_string();
        let mut written = 0;
        while written < text.len() {
            let rest = &text.as_bytes()[written..];
            // SAFETY: the descriptor is open, and the bytes are there.
            let n = unsafe { libc::write(ends[1], rest.as_ptr().cast(), rest.len()) };
            written += usize::try_from(n).unwrap_or(rest.len());
        }
        // SAFETY: nothing of the parent's is to be run here.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: nobody else has them.
    let (reader, writer) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    drop(writer);
    let text = std::io::read_to_string(std::fs::File::from(reader)).unwrap_or_default();
    // SAFETY: it is our child; how it ended does not matter.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    match serde_json::from_str::<Value>(&text) {
        Ok(answers) => ok(json!({ "answers": answers })),
        Err(_) => Ok(Answer::Crashed("the child died before it answered".to_owned())),
    }
}

/// Rust's driver. It links the SQLite that honker links, as only one crate of a build may link one.
fn foreign_exec(arguments: &Arguments<'_>) -> Answered {
    let times = arguments.optional("times").unwrap_or(1);
    let executed = || {
        let connection = rusqlite::Connection::open(arguments.text("path"))?;
        connection.busy_timeout(Duration::from_secs(5))?;
        (0..times).try_for_each(|_| connection.execute_batch(arguments.text("sql")))
    };
    match executed() {
        Ok(()) => ok(json!({ "done": times })),
        Err(error) => Ok(Answer::Crashed(format!("rusqlite: {error}"))),
    }
}
