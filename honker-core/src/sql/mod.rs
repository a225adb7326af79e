//! The operations as SQL functions.
//!
//! [`register`] puts them on a connection; from then on any client of that connection can use them, also inside its own
//! transactions and triggers. Arguments are strict: an INTEGER argument takes only INTEGER values, a TEXT argument only
//! TEXT. This is the one place where typed answers become JSON.

mod claimed;
mod enqueue_with;
mod function;
mod status;
mod watching;

use std::sync::Arc;

use rusqlite::Connection;
use serde::Serialize;

use self::function::{Answer, Arguments, Function};
use crate::schedule::{Expression, Overlap, Registration, ScheduleOptions, Update};
use crate::{
    Error, Result, Store, batch, counters, guard, lock, notify, queue, rate_limit, result, schedule, schema,
    step, stream,
};

/// Registers all SQL functions on `connection`, for as long as it lives, and creates the notifications table if the
/// file does not have it (docs/sql.md). On a connection that has the functions already this does nothing.
///
/// The connection's settings stay as they are. The connection can be closed at any time, also while statements are kept
/// prepared for it.
pub fn register(connection: &Connection) -> Result<()> {
    register_all(connection, &store_of(connection), &[FUNCTIONS])
}

/// The same, with the functions that watch files (`honker_update_watcher_…`).
pub fn register_with_watchers(connection: &Connection) -> Result<()> {
    register_all(connection, &store_of(connection), &[FUNCTIONS, WATCHERS])
}

/// As [`register`], for a connection of our own: the functions use its store, so that what they settle is known to who
/// listens there. From now on the store may be kept for longer than the connection is open, and not be used.
#[cfg(feature = "runtime")]
pub(crate) fn register_on(connection: &Connection, store: &Arc<Store>) -> Result<()> {
    register_all(connection, store, &[FUNCTIONS])
}

fn store_of(connection: &Connection) -> Arc<Store> {
    // SAFETY: the connection is open, and the guard that `register_all` installs clears the store when it is closed.
    Arc::new(unsafe { Store::from_handle(connection.handle()) })
}

fn register_all(
    connection: &Connection,
    store: &Arc<Store>,
    functions: &[&'static [Function]],
) -> Result<()> {
    #[cfg(feature = "faults")]
    crate::faults::install_clock();
    schema::ensure_notifications(store)?;
    // SQLite refuses to replace functions while a statement runs, such as the SELECT load_extension() that got us here.
    if store.query_once("SELECT honker_version()", |_| ()).is_ok() {
        return Ok(());
    }
    #[cfg(feature = "faults")]
    crate::faults::watch(connection);
    guard::install(connection, store)?;
    functions.iter().copied().flatten().try_for_each(|function| function::register(store, function))
}

macro_rules! functions {
    ($($name:literal $arity:literal => $call:expr;)*) => {
        &[$(Function { name: $name, arity: $arity, call: $call }),*]
    };
}

static FUNCTIONS: &[Function] = functions! {
    c"honker_version" 0 => |_, _| Ok(Answer::Text(env!("CARGO_PKG_VERSION").to_owned()));
    c"honker_bootstrap" 0 => |store, _| schema::bootstrap(store).map(|()| Answer::Integer(1));

    c"honker_enqueue" 2 => enqueue;
    c"honker_enqueue" 3 => enqueue;
    c"honker_enqueue" 4 => enqueue;
    c"honker_enqueue" 5 => enqueue;
    c"honker_enqueue" 6 => enqueue;
    c"honker_enqueue" 7 => enqueue;
    c"honker_enqueue_with" 3 => enqueue_with::enqueue_with;
    c"honker_claim_batch" 4 => |store, arguments| {
        let (queue, worker_id) = (arguments.text(0, "queue")?, arguments.text(1, "worker_id")?);
        let (n, timeout_s) = (arguments.integer(2, "n")?, arguments.integer(3, "timeout_s")?);
        let claim = queue::Claim { queue, worker_id, n, timeout_s };
        queue::claim_into(store, store.now()?, &claim, payload_length_max(store, &claim), |claimed| fits(store, claimed::json(&claimed.jobs)))
    };
    c"honker_ack" 2 => |store, arguments| {
        let (id, worker_id) = claimed(arguments)?;
        queue::ack(store, store.now()?, id, worker_id).map(Answer::from)
    };
    c"honker_ack_batch" 2 => |store, arguments| {
        let (ids, worker_id) = (arguments.text(0, "ids_json")?, arguments.text(1, "worker_id")?);
        queue::ack_batch(store, store.now()?, &queue::parse_ids(ids)?, worker_id).map(Answer::Integer)
    };
    c"honker_retry" 4 => |store, arguments| {
        let (id, worker_id) = claimed(arguments)?;
        let (delay_s, error) = (arguments.integer(2, "delay_s")?, arguments.text(3, "error")?);
        queue::retry(store, store.now()?, id, worker_id, delay_s, error).map(Answer::from)
    };
    c"honker_release" 3 => |store, arguments| {
        let (id, worker_id) = claimed(arguments)?;
        queue::release(store, store.now()?, id, worker_id, arguments.integer(2, "delay_s")?).map(Answer::from)
    };
    c"honker_fail" 3 => |store, arguments| {
        let (id, worker_id) = claimed(arguments)?;
        queue::fail(store, store.now()?, id, worker_id, arguments.text(2, "error")?).map(Answer::from)
    };
    c"honker_heartbeat" 3 => |store, arguments| {
        let (id, worker_id) = claimed(arguments)?;
        queue::heartbeat(store, store.now()?, id, worker_id, arguments.integer(2, "extend_s")?).map(Answer::from)
    };
    c"honker_cancel" 1 => |store, arguments| {
        queue::cancel(store, store.now()?, arguments.integer(0, "job_id")?).map(Answer::from)
    };
    c"honker_get_job" 1 => |store, arguments| {
        // The empty text, not NULL: what clients of this function have been promised.
        match queue::get_job(store, arguments.integer(0, "job_id")?)? {
            Some(job) => json(&job),
            None => Ok(Answer::Text(String::new())),
        }
    };
    c"honker_sweep_expired" 1 => |store, arguments| {
        queue::sweep_expired(store, store.now()?, arguments.text(0, "queue")?).map(Answer::Integer)
    };
    c"honker_queue_next_claim_at" 1 => |store, arguments| {
        let next = queue::next_claim_at(store, store.now()?, arguments.text(0, "queue")?)?;
        Ok(Answer::Integer(next.unwrap_or(0)))
    };
    c"honker_queue_configure" 2 => |store, arguments| {
        queue::configure(store, arguments.text(0, "queue")?, arguments.text(1, "settings_json")?)?;
        Ok(Answer::Integer(1))
    };
    c"honker_queue_settings" 1 => |store, arguments| json(&queue::settings(store, arguments.text(0, "queue")?)?);
    c"honker_metrics" 0 => |store, _| json(&counters::metrics(store, store.now()?)?);
    c"honker_status" 0 => |store, _| status::status(store);
    c"honker_queues" 0 => |store, _| json(&queue::queues(store)?);
    c"honker_stats" 1 => |store, arguments| match arguments.optional_text(0, "queue")? {
        Some(queue) => json(&queue::stats(store, store.now()?, queue)?),
        None => json(&queue::stats_all(store, store.now()?)?),
    };
    c"honker_dead_list" 2 => |store, arguments| {
        json(&queue::dead_list(store, arguments.optional_text(0, "queue")?, arguments.integer(1, "limit")?)?)
    };
    c"honker_dead_requeue" 1 => |store, arguments| {
        let requeued = queue::dead_requeue(store, store.now()?, arguments.integer(0, "job_id")?)?;
        Ok(Answer::from(requeued == queue::Requeued::Requeued))
    };
    c"honker_dead_purge" 2 => |store, arguments| {
        let (queue, older_than_s) = (arguments.optional_text(0, "queue")?, arguments.integer(1, "older_than_s")?);
        queue::dead_purge(store, store.now()?, queue, older_than_s).map(Answer::Integer)
    };

    c"honker_dead_groups" 1 => |store, arguments| {
        json(&queue::dead_groups(store, arguments.optional_text(0, "queue")?)?)
    };
    c"honker_jobs_list" 1 => |store, arguments| {
        json(&queue::jobs_list(store, store.now()?, arguments.text(0, "filter_json")?)?)
    };
    c"honker_jobs_apply" 2 => |store, arguments| {
        let (filter, action) = (arguments.text(0, "filter_json")?, arguments.text(1, "action")?);
        json(&queue::jobs_apply(store, store.now()?, filter, action)?)
    };

    c"honker_batch_create" 1 => |store, arguments| {
        batch::create(store, store.now()?, arguments.text(0, "options_json")?).map(Answer::Integer)
    };
    c"honker_batch_seal" 1 => |store, arguments| {
        batch::seal(store, store.now()?, arguments.integer(0, "batch_id")?).map(Answer::from)
    };
    c"honker_batch_get" 1 => |store, arguments| match batch::get(store, arguments.integer(0, "batch_id")?)? {
        Some(batch) => json(&batch),
        None => Ok(Answer::Text(String::new())),
    };

    c"honker_step_get" 2 => |store, arguments| {
        let value = step::get(store, arguments.integer(0, "job_id")?, arguments.text(1, "name")?)?;
        Ok(value.map_or(Answer::Null, Answer::Text))
    };
    c"honker_step_save" 4 => |store, arguments| {
        let (job_id, worker_id) = claimed(arguments)?;
        let (name, value) = (arguments.text(2, "name")?, arguments.text(3, "value_json")?);
        let saved = step::save(store, store.now()?, job_id, worker_id, name, value)?;
        Ok(saved.map_or(Answer::Null, Answer::Text))
    };

    c"honker_result_save" 3 => |store, arguments| {
        let (job_id, value) = (arguments.integer(0, "job_id")?, arguments.text(1, "value")?);
        result::save(store, store.now()?, job_id, value, arguments.integer(2, "ttl_s")?)?;
        Ok(Answer::Integer(1))
    };
    c"honker_result_get" 1 => |store, arguments| {
        let value = result::get(store, store.now()?, arguments.integer(0, "job_id")?)?;
        Ok(value.map_or(Answer::Null, Answer::Text))
    };
    c"honker_result_sweep" 0 => |store, _| result::sweep(store, store.now()?).map(Answer::Integer);

    c"honker_lock_acquire" 3 => |store, arguments| {
        let (name, owner, ttl_s) = lock_with_ttl(arguments)?;
        lock::acquire(store, store.now()?, name, owner, ttl_s).map(Answer::from)
    };
    c"honker_lock_renew" 3 => |store, arguments| {
        let (name, owner, ttl_s) = lock_with_ttl(arguments)?;
        lock::renew(store, store.now()?, name, owner, ttl_s).map(Answer::from)
    };
    c"honker_lock_release" 2 => |store, arguments| {
        lock::release(store, arguments.text(0, "name")?, arguments.text(1, "owner")?).map(Answer::from)
    };

    c"honker_rate_limit_try" 3 => |store, arguments| {
        let (name, limit) = (arguments.text(0, "name")?, arguments.integer(1, "limit")?);
        rate_limit::try_acquire(store, store.now()?, name, limit, arguments.integer(2, "per")?).map(Answer::from)
    };
    c"honker_rate_limit_sweep" 1 => |store, arguments| {
        rate_limit::sweep(store, store.now()?, arguments.integer(0, "older_than_s")?).map(Answer::Integer)
    };

    c"notify" 2 => |store, arguments| {
        let (channel, payload) = (arguments.text(0, "channel")?, arguments.text(1, "payload")?);
        notify::notify(store, store.now()?, channel, payload).map(Answer::Integer)
    };
    c"honker_prune_notifications" 2 => |store, arguments| {
        let older_than_s = arguments.optional_integer(0, "older_than_s")?;
        let max_keep = arguments.optional_integer(1, "max_keep")?;
        notify::prune(store, store.now()?, older_than_s, max_keep).map(Answer::Integer)
    };

    c"honker_notifications_configure" 1 => |store, arguments| {
        notify::configure(store, arguments.text(0, "options_json")?)?;
        Ok(Answer::Integer(1))
    };

    c"honker_stream_publish" 3 => |store, arguments| {
        let (topic, key) = (arguments.text(0, "topic")?, arguments.optional_text(1, "key")?);
        stream::publish(store, store.now()?, topic, key, arguments.text(2, "payload")?).map(Answer::Integer)
    };
    c"honker_stream_read_since" 3 => |store, arguments| {
        let (offset, limit) = (arguments.integer(1, "offset")?, arguments.integer(2, "limit")?);
        json(&stream::read_since(store, arguments.text(0, "topic")?, offset, limit)?)
    };
    c"honker_stream_configure" 2 => |store, arguments| {
        stream::configure(store, arguments.text(0, "topic")?, arguments.text(1, "options_json")?)?;
        Ok(Answer::Integer(1))
    };
    c"honker_stream_trim" 2 => |store, arguments| {
        let trim = stream::Trim::parse("options", arguments.text(1, "options_json")?)?;
        stream::trim(store, store.now()?, arguments.text(0, "topic")?, &trim).map(Answer::Integer)
    };
    c"honker_stream_save_offset" 3 => |store, arguments| {
        let (consumer, topic) = consumer(arguments)?;
        stream::save_offset(store, consumer, topic, arguments.integer(2, "offset")?).map(Answer::from)
    };
    c"honker_stream_get_offset" 2 => |store, arguments| {
        let (consumer, topic) = consumer(arguments)?;
        stream::get_offset(store, consumer, topic).map(Answer::Integer)
    };

    c"honker_scheduler_register" 6 => scheduler_register;
    c"honker_scheduler_register" 7 => scheduler_register;
    c"honker_scheduler_register_with" 5 => scheduler_register_with;
    c"honker_scheduler_unregister" 1 => |store, arguments| {
        schedule::unregister(store, arguments.text(0, "name")?).map(Answer::Integer)
    };
    c"honker_scheduler_update" 6 => scheduler_update;
    c"honker_scheduler_update" 8 => scheduler_update;
    c"honker_scheduler_pause" 1 => |store, arguments| {
        schedule::pause(store, arguments.text(0, "name")?).map(Answer::from)
    };
    c"honker_scheduler_resume" 1 => |store, arguments| {
        schedule::resume(store, arguments.text(0, "name")?).map(Answer::from)
    };
    c"honker_scheduler_list" 0 => |store, _| json(&schedule::list(store)?);
    c"honker_scheduler_tick" 1 => |store, arguments| {
        let until = arguments.integer(0, "now_unix")?;
        schedule::tick_into(store, store.now()?, until, |fires| fits(store, serde_json::to_vec(&fires)))
    };
    c"honker_scheduler_soonest" 0 => |store, _| Ok(Answer::Integer(schedule::soonest(store)?.unwrap_or(0)));
    c"honker_cron_next_after" 2 => |_, arguments| {
        let expression = Expression::parse(arguments.text(0, "expr")?)?;
        expression.next_after(arguments.integer(1, "from_unix")?).map(Answer::Integer)
    };
};

static WATCHERS: &[Function] = functions! {
    c"honker_update_watcher_open" 2 => watching::open;
    c"honker_update_watcher_open" 3 => watching::open;
    c"honker_update_watcher_wait" 2 => watching::wait;
    c"honker_update_watcher_close" 1 => watching::close;
};

fn json(value: &impl Serialize) -> Result<Answer> {
    written(serde_json::to_vec(value)).map(Answer::Text)
}

fn written(json: serde_json::Result<Vec<u8>>) -> Result<String> {
    json.map_err(|error| error.to_string())
        .and_then(|json| String::from_utf8(json).map_err(|error| error.to_string()))
        .map_err(|error| Error::invalid(format!("the answer cannot be written as JSON: {error}")))
}

/// As [`json`], for a function that has to undo what it did when SQLite would not take the answer.
fn fits(store: &Store, json: serde_json::Result<Vec<u8>>) -> Result<Answer> {
    let text = written(json)?;
    if text.len() as i64 > store.length_max() {
        let length = text.len();
        let message =
            format!("the answer has {length} bytes, more than this connection's limit; ask for less");
        return Err(Error::TooBig(message.into()));
    }
    Ok(Answer::Text(text))
}

/// The number of characters up to which a job's payload is certain to fit into an answer.
fn payload_length_max(store: &Store, claim: &queue::Claim<'_>) -> i64 {
    // A character takes at most six bytes in JSON (`\u0000`), in the payload and in the names.
    let metadata = if store.features().options { queue::options::METADATA_BYTES_MAX as i64 } else { 0 };
    let names = claim.queue.len() + claim.worker_id.len();
    (store.length_max() - queue::ANSWER_BYTES as i64 - metadata) / 6 - names as i64
}

fn claimed<'a>(arguments: &Arguments<'a>) -> Result<(i64, &'a str)> {
    Ok((arguments.integer(0, "job_id")?, arguments.text(1, "worker_id")?))
}

fn lock_with_ttl<'a>(arguments: &Arguments<'a>) -> Result<(&'a str, &'a str, i64)> {
    Ok((arguments.text(0, "name")?, arguments.text(1, "owner")?, arguments.integer(2, "ttl_s")?))
}

/// The consumer comes first, then the topic.
fn consumer<'a>(arguments: &Arguments<'a>) -> Result<(&'a str, &'a str)> {
    Ok((arguments.text(0, "consumer")?, arguments.text(1, "topic")?))
}

fn enqueue(store: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    let mut job = queue::Enqueue::new(arguments.text(0, "queue")?, arguments.text(1, "payload")?);
    let given = arguments.len();
    if given > 2 {
        job.run_at = arguments.optional_integer(2, "run_at")?;
    }
    if given > 3 {
        job.delay_s = arguments.optional_integer(3, "delay")?;
    }
    if given > 4 {
        job.priority = arguments.integer(4, "priority")?;
    }
    if given > 5 {
        job.max_attempts = Some(arguments.integer(5, "max_attempts")?);
    }
    if given > 6 {
        job.expires_s = arguments.optional_integer(6, "expires")?;
    }
    queue::enqueue(store, store.now()?, &job).map(|enqueued| Answer::Integer(enqueued.id))
}

fn scheduler_register(store: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    let job = queue::Enqueue {
        priority: arguments.integer(4, "priority")?,
        expires_s: arguments.optional_integer(5, "expires_s")?,
        max_attempts: match arguments.len() {
            6 => None,
            _ => Some(arguments.integer(6, "max_attempts")?),
        },
        ..queue::Enqueue::new(arguments.text(1, "queue")?, arguments.text(3, "payload")?)
    };
    let (name, expression) = (arguments.text(0, "name")?, arguments.text(2, "cron_expr")?);
    let schedule = Registration { name, expression, job, overlap: Overlap::Allow };
    schedule::register(store, store.now()?, &schedule)?;
    Ok(Answer::Integer(1))
}

fn scheduler_register_with(store: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    let (name, queue) = (arguments.text(0, "name")?, arguments.text(1, "queue")?);
    let (expression, payload) = (arguments.text(2, "expression")?, arguments.text(3, "payload")?);
    let options = ScheduleOptions::parse("options", arguments.text(4, "options_json")?)?;
    let job = options.job.job(queue, payload);
    schedule::register(
        store,
        store.now()?,
        &Registration { name, expression, job, overlap: options.overlap },
    )?;
    Ok(Answer::Integer(1))
}

fn scheduler_update(store: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    let name = arguments.text(0, "name")?;
    let expires_s = arguments.optional_integer(4, "expires_s")?;
    let touch_expires = arguments.integer(5, "touch_expires")? != 0;
    let (max_attempts, touch_max_attempts) = match arguments.len() {
        6 => (None, false),
        _ => {
            (arguments.optional_integer(6, "max_attempts")?, arguments.integer(7, "touch_max_attempts")? != 0)
        }
    };
    let changes = Update {
        expression: arguments.optional_text(1, "cron_expr")?,
        payload: arguments.optional_text(2, "payload")?,
        priority: arguments.optional_integer(3, "priority")?,
        expires_s: touch_expires.then_some(expires_s),
        max_attempts: touch_max_attempts.then_some(max_attempts),
    };
    schedule::update(store, store.now()?, name, &changes).map(Answer::from)
}
