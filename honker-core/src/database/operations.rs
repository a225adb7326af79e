//! The operations of a database: the one table of them, and the methods made from it.
//!
//! Each row says how an operation runs by itself (`read`: on a connection that reads, beside the writer; `write`: by the
//! writer, in a commit that it may share with calls of other threads; `repeat`: as `write`, in as many commits as it takes
//! until nothing is left to do), its method, and the function below that does it. In a transaction all run on the
//! transaction's connection, once, and a read sees what the transaction has done so far.
//!
//! From the table are made the methods of the engine for files (here), those of [`Database`](super::Database) and
//! [`Transaction`](super::Transaction), which choose the engine (`engine.rs`), the trait that a server's engine implements
//! (`server.rs`), and the methods of the C ABI's pair of handles (`honker-ffi/src/target.rs`). A new operation is a function, a
//! row here, a function of honker-postgres that calls its SQL function, and what a surface makes of it.
//!
//! All methods may be called from any thread. An error means that nothing was done, except by earlier commits of a
//! `repeat`. What a method returned, when it has
//! returned, is committed; a process that dies before that leaves all of it or nothing.

use super::{FileDatabase, FileTransaction};
use crate::queue::{self, Applied};
use crate::{Result, notify};

/// Calls `$callback!` with the table. A row: `read|write|repeat name(argument: Type, …) -> Answer = expression;`, where the
/// expression may use the two names at the table's head, a `&Store` and the current second.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_operation {
    ($callback:ident) => {
        $callback! { (store, now)

            // The queue.

            /// Adds a pending job.
            write enqueue(job: &$crate::queue::Enqueue<'_>) -> $crate::queue::Enqueued
                = $crate::queue::enqueue(store, now, job);
            /// Does all of them or none, in the order given.
            write enqueue_many(jobs: &[$crate::queue::Enqueue<'_>]) -> Vec<$crate::queue::Enqueued>
                = $crate::queue::enqueue_many(store, now, jobs);
            /// Claims jobs, highest priority first, then oldest. See [`queue::claim`](crate::queue::claim). Outside of a
            /// transaction it goes on until it has a job or nothing is left in the way of one.
            repeat claim(claim: &$crate::queue::Claim<'_>) -> Vec<$crate::queue::ClaimedJob>
                = $crate::queue::claim_some(store, now, claim.queue, claim.worker_id, claim.n, claim.timeout_s);
            /// The job is done: removes it. `false` if `worker_id` did not hold it any more.
            write ack(id: i64, worker_id: &str) -> bool
                = $crate::queue::ack(store, now, id, worker_id);
            /// Acks every job of `ids` that `worker_id` still holds, as one unit; how many those were.
            write ack_batch(ids: &[i64], worker_id: &str) -> i64
                = $crate::queue::ack_batch(store, now, ids, worker_id);
            /// The job could not be done now: it becomes due again in `delay_s` seconds or, if its attempts are exhausted, dead
            /// with this error. `false` if `worker_id` did not hold it any more.
            write retry(id: i64, worker_id: &str, delay_s: i64, error: &str) -> bool
                = $crate::queue::retry(store, now, id, worker_id, delay_s, error);
            /// The job can never be done: it is dead with this error. `false` if `worker_id` did not hold it any more.
            write fail(id: i64, worker_id: &str, error: &str) -> bool
                = $crate::queue::fail(store, now, id, worker_id, error);
            /// The job goes back, due in `delay_s` seconds, and this attempt does not count. `false` if `worker_id` did not
            /// hold it any more.
            write release(id: i64, worker_id: &str, delay_s: i64) -> bool
                = $crate::queue::release(store, now, id, worker_id, delay_s);
            /// The job takes longer: its claim is valid for `extend_s` seconds from now. `false` if `worker_id` did not hold it
            /// any more.
            write heartbeat(id: i64, worker_id: &str, extend_s: i64) -> bool
                = $crate::queue::heartbeat(store, now, id, worker_id, extend_s);
            /// Removes a live job whatever its state. `false` if there is none of this id.
            write cancel(id: i64) -> bool
                = $crate::queue::cancel(store, now, id);
            /// Dead-letters the jobs of `queue` that have expired, in a transaction at most 1,000; how many those were.
            /// Those that the file refuses to move do not keep the others from it: the refusal is the error once only such
            /// are left.
            repeat sweep_expired(queue: &str) -> i64
                = $crate::queue::sweep_expired(store, now, queue);
            /// A live job.
            read get_job(id: i64) -> Option<$crate::queue::Job>
                = $crate::queue::get_job(store, id);
            /// The earliest future second at which a claim on `queue` could start to succeed without a further commit.
            read queue_next_claim_at(queue: &str) -> Option<i64>
                = $crate::queue::next_claim_at(store, now, queue);
            /// The counts of one queue; all zero if there is nothing in it. It reads all of the queue's rows.
            read queue_stats(queue: &str) -> $crate::queue::QueueStats
                = $crate::queue::stats(store, now, queue);
            /// The counts of every queue that has a live or dead job, by name. It reads all rows.
            read queue_stats_all() -> Vec<$crate::queue::QueueStats>
                = $crate::queue::stats_all(store, now);
            /// Sets what a JSON object gives for a queue, for every process; a key that is null goes back to its default.
            write queue_configure(queue: &str, settings_json: &str) -> ()
                = $crate::queue::configure(store, queue, settings_json);
            /// What holds for a queue, whether or not there is one of that name.
            read queue_settings(queue: &str) -> $crate::queue::Settings
                = $crate::queue::settings(store, queue);
            /// Every queue that has settings or jobs, by name.
            read queues() -> Vec<$crate::queue::QueueSettings>
                = $crate::queue::queues(store);
            /// What was counted of each queue, and how many jobs it has now.
            read metrics() -> $crate::counters::Metrics
                = $crate::counters::metrics(store, now);
            /// Up to `limit` dead jobs, of one queue or of all. A negative `limit` means all of them.
            read dead_list(queue: Option<&str>, limit: i64) -> Vec<$crate::queue::DeadJob>
                = $crate::queue::dead_list(store, queue, limit);
            /// Makes a dead job pending again, due now.
            write dead_requeue(id: i64) -> $crate::queue::Requeued
                = $crate::queue::dead_requeue(store, now, id);
            /// Removes jobs, of one queue or of all, that died more than `older_than_s` seconds ago, in a transaction at most
            /// 1,000; how many those were.
            repeat dead_purge(queue: Option<&str>, older_than_s: i64) -> i64
                = $crate::queue::dead_purge(store, now, queue, older_than_s);

            /// The dead of one queue, or of all, by what they died of. It reads all of them.
            read dead_groups(queue: Option<&str>) -> Vec<$crate::queue::DeadGroup>
                = $crate::queue::dead_groups(store, queue);
            /// Live, dead and done jobs that a filter finds, a page of them.
            read jobs_list(filter_json: &str) -> $crate::queue::JobList
                = $crate::queue::jobs_list(store, now, filter_json);

            // A worker.

            /// What a worker that holds `held`, and has room for jobs of `queues`, would find.
            read work_outlook(
                worker_id: &str, held: &[$crate::queue::Held], queues: &[&str]
            ) -> $crate::queue::WorkOutlook
                = $crate::queue::work_outlook(store, now, worker_id, held, queues);
            /// What each of several consumers would find, or why that cannot be said.
            read outlooks(
                interests: &[&$crate::outlook::Interest]
            ) -> Vec<$crate::Result<$crate::outlook::Outlook>>
                = Ok($crate::outlook::outlooks(store, now, interests));
            /// Settles one job; `false` if `worker_id` did not hold it any more.
            write settle(worker_id: &str, settlement: &$crate::queue::Settlement) -> bool
                = $crate::queue::settle(store, now, worker_id, settlement);
            /// One turn of a worker: settles, prolongs and claims, as one unit.
            write turn(turn: &$crate::queue::Turn<'_>) -> $crate::queue::Turned
                = $crate::queue::turn(store, now, turn);

            // Instances.

            /// All instances that have said that they are there.
            read instances() -> Vec<$crate::queue::Instance>
                = $crate::queue::instances(store);
            /// Says that an instance is there, or that its lock is elsewhere now.
            write instance_register(
                instance: &$crate::queue::Instance, registrant: $crate::queue::Registrant<'_>
            ) -> ()
                = $crate::queue::instance_register(store, now, instance, registrant);
            /// Jobs that an instance has claimed, at most 1,000.
            read instance_claims(instance: &str) -> Vec<i64>
                = $crate::queue::instance_claims(store, instance);
            /// Gives back jobs of an instance that is dead; how many it still had. With `is_all` it is forgotten.
            write rescue(dead: &$crate::queue::Instance, ids: &[i64], is_all: bool) -> i64
                = $crate::queue::rescue(store, now, dead, ids, is_all);

            // Maintenance.

            /// Whether a run of maintenance should begin now.
            read maintenance_is_due() -> bool
                = $crate::maintenance::is_due(store, now);
            /// Begins a run of maintenance, unless somebody has in this minute.
            write maintenance_begin() -> Option<$crate::maintenance::Run>
                = $crate::maintenance::begin(store, now);
            /// Looks what there is to do at this place of a run.
            read maintenance_look(run: $crate::maintenance::Run) -> $crate::maintenance::Found
                = $crate::maintenance::look(store, now, run);
            /// Does it, in one transaction; where the run goes on.
            write maintenance_step(
                run: $crate::maintenance::Run, found: &$crate::maintenance::Found
            ) -> $crate::maintenance::Run
                = $crate::maintenance::step(store, now, run, found);

            // Notifications.

            /// Sends a notification; its id.
            write notify(channel: &str, payload: &str) -> i64
                = $crate::notify::notify(store, now, channel, payload);
            /// The id of the latest notification of any channel; 0 if there is none.
            read notifications_latest() -> i64
                = $crate::notify::latest(store);
            /// Up to `limit` notifications of `channel` with larger ids than `id`, oldest first. A negative `limit` means all
            /// of them.
            read notifications_read_since(
                channel: &str, id: i64, limit: i64
            ) -> Vec<$crate::notify::Notification>
                = $crate::notify::read_since(store, channel, id, limit);

            /// Sets for how many seconds notifications are kept: a JSON object with the key keep_s.
            write notifications_configure(options_json: &str) -> ()
                = $crate::notify::configure(store, options_json);

            // Streams.

            /// Appends an event; its offset.
            write stream_publish(topic: &str, key: Option<&str>, payload: &str) -> i64
                = $crate::stream::publish(store, now, topic, key, payload);
            /// Up to `limit` events of `topic` after `offset`, oldest first. A negative `limit` means all of them.
            read stream_read_since(topic: &str, offset: i64, limit: i64) -> Vec<$crate::stream::Event>
                = $crate::stream::read_since(store, topic, offset, limit);
            /// Records that `consumer` has finished everything up to `offset`. `false` if it was that far already.
            write stream_save_offset(consumer: &str, topic: &str, offset: i64) -> bool
                = $crate::stream::save_offset(store, consumer, topic, offset);
            /// The offset `consumer` last saved; 0 if it never did.
            read stream_get_offset(consumer: &str, topic: &str) -> i64
                = $crate::stream::get_offset(store, consumer, topic);

            // Batches.

            /// Creates a batch that is empty and open; its id. See [`batch::create`](crate::batch::create).
            write batch_create(options_json: &str) -> i64
                = $crate::batch::create(store, now, options_json);
            /// Closes a batch to all but its running members; `false` if it was sealed before. An error if there is none of
            /// this id.
            write batch_seal(id: i64) -> bool
                = $crate::batch::seal(store, now, id);
            /// What is known of a batch.
            read batch_get(id: i64) -> Option<$crate::batch::Batch>
                = $crate::batch::get(store, id);

            // Steps.

            /// What was saved for a step of a job.
            read step_get(job_id: i64, name: &str) -> Option<String>
                = $crate::step::get(store, job_id, name);
            /// Saves what a step of a job has come to, once; the text that is stored. `None` if `worker_id` has no valid claim
            /// on the job.
            write step_save(job_id: i64, worker_id: &str, name: &str, value: &str) -> Option<String>
                = $crate::step::save(store, now, job_id, worker_id, name, value);

            /// Sets what is kept of a topic: a JSON object with the keys keep_s and keep_n, of which null removes one.
            write stream_configure(topic: &str, options_json: &str) -> ()
                = $crate::stream::configure(store, topic, options_json);
            /// Removes the events of a topic that are not kept any more, in a transaction at most 1,000; how many those were.
            repeat stream_trim(topic: &str, trim: &$crate::stream::Trim) -> i64
                = $crate::stream::trim(store, now, topic, trim);

            // Results.

            /// Saves the result of a job, for `ttl_s` seconds; 0 or less: for good.
            write result_save(job_id: i64, value: &str, ttl_s: i64) -> ()
                = $crate::result::save(store, now, job_id, value, ttl_s);
            /// The result of a job, if there is one that has not expired.
            read result_get(job_id: i64) -> Option<String>
                = $crate::result::get(store, now, job_id);
            /// Removes the results that have expired, in a transaction at most 1,000; how many those were.
            repeat result_sweep() -> i64
                = $crate::result::sweep(store, now);

            // Locks and rate limits.

            /// Takes a lock for `ttl_s` seconds if it is free or stale. `true` if `owner` has it afterwards.
            write lock_acquire(name: &str, owner: &str, ttl_s: i64) -> bool
                = $crate::lock::acquire(store, now, name, owner, ttl_s);
            /// Sets a lock's time to live to `ttl_s` seconds from now. `false` if `owner` does not have it any more.
            write lock_renew(name: &str, owner: &str, ttl_s: i64) -> bool
                = $crate::lock::renew(store, now, name, owner, ttl_s);
            /// Gives a lock up. `false` if `owner` does not have it.
            write lock_release(name: &str, owner: &str) -> bool
                = $crate::lock::release(store, name, owner);
            /// Who has a lock; its time may be over.
            read lock_holder(name: &str) -> Option<$crate::lock::Holder>
                = $crate::lock::holder(store, name);
            /// Counts one use in the current window of `per_s` seconds. `false`, and nothing counted, if there were `limit`
            /// already.
            write rate_limit_try(name: &str, limit: i64, per_s: i64) -> bool
                = $crate::rate_limit::try_acquire(store, now, name, limit, per_s);
            /// Removes the windows that began more than `older_than_s` seconds ago, in a transaction at most 1,000; how many
            /// those were.
            repeat rate_limit_sweep(older_than_s: i64) -> i64
                = $crate::rate_limit::sweep(store, now, older_than_s);

            // The scheduler.

            /// Adds a schedule or replaces the one of that name.
            write scheduler_register(schedule: &$crate::schedule::Registration<'_>) -> ()
                = $crate::schedule::register(store, now, schedule);
            /// Removes a schedule; how many rows that were. Jobs it has enqueued stay.
            write scheduler_unregister(name: &str) -> i64
                = $crate::schedule::unregister(store, name);
            /// Changes parts of a schedule. `false` if there is no such schedule or nothing to change.
            write scheduler_update(name: &str, changes: &$crate::schedule::Update<'_>) -> bool
                = $crate::schedule::update(store, now, name, changes);
            /// Stops a schedule from firing. `false` if it does not exist or is paused already.
            write scheduler_pause(name: &str) -> bool
                = $crate::schedule::pause(store, name);
            /// Lets a paused schedule fire again. `false` if it does not exist or is not paused.
            write scheduler_resume(name: &str) -> bool
                = $crate::schedule::resume(store, name);
            /// Fires every boundary up to `until`, or up to now, that no tick has fired. A schedule that the file refuses to fire
            /// stays due; that is the error if nothing else is fired.
            write scheduler_tick(until: Option<i64>) -> Vec<$crate::schedule::Fire>
                = $crate::schedule::tick(store, now, until.unwrap_or(now));
            /// The next boundary of any schedule that is not paused. It may lie in the past.
            read scheduler_soonest() -> Option<i64>
                = $crate::schedule::soonest(store);
            /// All schedules, by name.
            read scheduler_list() -> Vec<$crate::schedule::Schedule>
                = $crate::schedule::list(store);
            /// Who leads, and when there is something to fire. The schedules of these rows are left out.
            read leadership(left_out: &[i64]) -> $crate::schedule::Leadership
                = $crate::schedule::leadership(store, now, left_out);
            /// Proves that `owner` leads, or tries to make it lead, and fires what is due, as one unit. `None` if somebody else
            /// leads. A schedule that the file refuses to fire is passed over.
            write lead(owner: &str, instance: Option<&str>, leads: bool) -> Option<$crate::schedule::Ticked>
                = $crate::schedule::lead(store, now, owner, instance, leads);

            // Moving to another database.

            /// What is said of a move of this database.
            read move_state() -> Option<$crate::moving::Move>
                = $crate::moving::state(store);
            /// The id of the move that has filled this database.
            read move_arrived() -> Option<String>
                = $crate::moving::arrived(store);
            /// In a transaction: nobody else writes until it is over.
            write move_lock() -> ()
                = $crate::moving::lock(store);
            /// The highest ids that tables have given.
            read move_last_ids() -> Vec<$crate::moving::LastId>
                = $crate::moving::last_ids(store);
            /// The end of filling this database by a move.
            write move_arrive(id: &str, from: &str, last: &[$crate::moving::LastId]) -> ()
                = $crate::moving::arrive(store, id, from, last);
            /// Begins a move: nothing is added and claimed any more. Answers the one that has begun already, if so.
            write move_begin(id: &str, to: &str) -> $crate::moving::Move
                = $crate::moving::begin(store, now, id, to);
            /// Claims that are valid.
            read move_claims() -> $crate::moving::Claims
                = $crate::moving::claims(store, now);
            /// Gives back jobs that are claimed, in a transaction at most 1,000; how many those were.
            repeat move_give_back() -> i64
                = $crate::moving::give_back(store, now);
            /// Lets nobody change anything any more, if no claim is valid; whether that is so.
            write move_close() -> bool
                = $crate::moving::close(store, now);
            /// All of it is where it was to go.
            write move_end() -> ()
                = $crate::moving::end(store);
            /// The database stays.
            write move_cancel() -> ()
                = $crate::moving::cancel(store);
        }
    };
}

macro_rules! methods {
    (($store:ident, $now:ident) $(
        $(#[$doc:meta])*
        $kind:ident $name:ident($($argument:ident: $type:ty),*) -> $answer:ty = $body:expr;
    )*) => {
        impl FileDatabase {
            $(
                $(#[$doc])*
                #[allow(unused_variables, reason = "not every operation needs the time")]
                pub fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                    self.$kind(move |$store, $now| $body)
                }
            )*
        }

        impl FileTransaction {
            $(
                $(#[$doc])*
                #[allow(unused_variables, reason = "not every operation needs the time")]
                pub fn $name(&mut self, $($argument: $type),*) -> Result<$answer> {
                    self.$kind(move |$store, $now| $body)
                }
            )*
        }
    };
}

for_each_operation!(methods);

impl FileDatabase {
    /// Does an action to the jobs that a filter finds, a page of them. They are chosen beside the writer, and looked at again
    /// under the lock. docs/sql.md says what a filter and an action are.
    pub fn jobs_apply(&self, filter_json: &str, action: &str) -> Result<Applied> {
        let chosen = self.read(|store, now| queue::choose(store, now, filter_json, action))?;
        if chosen.is_empty() {
            return Ok(chosen.nothing());
        }
        self.write(|store, now| queue::apply_to(store, now, &chosen))
    }

    /// Removes the notifications that are older than `older_than_s` seconds, and those that are not among the `max_keep`
    /// newest, each where given; how many those were. The newest are counted beside the writer, once; at most 1,000 are
    /// removed in a commit. See [`notify::prune`].
    pub fn notifications_prune(&self, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64> {
        let rank =
            max_keep.map(|max_keep| self.read(|store, _| notify::Rank::read(store, max_keep))).transpose()?;
        if rank.is_none() && older_than_s.is_none() {
            return Ok(0);
        }
        self.in_turns(|| self.write(move |store, now| notify::prune_step(store, now, older_than_s, rank)))
    }
}

impl FileTransaction {
    /// Does an action to the jobs that a filter finds, a page of them.
    pub fn jobs_apply(&mut self, filter_json: &str, action: &str) -> Result<Applied> {
        self.write(|store, now| queue::jobs_apply(store, now, filter_json, action))
    }

    /// Removes the notifications that are older than `older_than_s` seconds, and those that are not among the `max_keep`
    /// newest, each where given, at most 1,000; how many those were.
    pub fn notifications_prune(&mut self, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64> {
        self.write(|store, now| notify::prune(store, now, older_than_s, max_keep))
    }
}
