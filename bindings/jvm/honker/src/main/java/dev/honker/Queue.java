package dev.honker;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * A queue of jobs. Any thread may use it. Jobs are delivered at least once; ids of jobs and results
 * are those of the whole file.
 */
public final class Queue {
  final Database database;
  private final HonkerLibrary library;
  private final String name;
  private final byte[] utf8;
  private final QueueOptions options;

  Queue(Database database, String name, QueueOptions options) {
    this.database = database;
    this.library = database.library;
    this.name = name;
    this.utf8 = Checks.utf8("name", name);
    this.options = Checks.notNull("options", options);
    database.checkOpen();
  }

  /**
   * The name.
   *
   * @return as it was given
   */
  public String name() {
    return name;
  }

  /**
   * What holds of its jobs.
   *
   * @return as it was given
   */
  public QueueOptions options() {
    return options;
  }

  /**
   * Adds a job that is due now.
   *
   * @param json the payload: text, JSON by convention, stored as it is
   * @return the job's id
   */
  public long enqueue(String json) {
    return enqueue(null, json, null);
  }

  /**
   * Adds a job.
   *
   * @param json the payload: text, JSON by convention, stored as it is
   * @param options when it is due, and the like; null for the defaults
   * @return the job's id
   */
  public long enqueue(String json, EnqueueOptions options) {
    return enqueue(null, json, options);
  }

  /**
   * Adds a job as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param json the payload: text, JSON by convention, stored as it is
   * @return the job's id
   */
  public long enqueue(Transaction tx, String json) {
    return enqueue(tx, json, null);
  }

  /**
   * Adds a job as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param json the payload: text, JSON by convention, stored as it is
   * @param options when it is due, and the like; null for the defaults
   * @return the job's id
   */
  public long enqueue(Transaction tx, String json, EnqueueOptions options) {
    return enqueueWith(tx, json, options).id();
  }

  /**
   * Adds a job, and tells whether it was added: another one may have its unique key.
   *
   * @param json the payload: text, JSON by convention, stored as it is
   * @param options its keys, and the like; null for the defaults
   * @return what has become of it
   */
  public EnqueueResult enqueueWith(String json, EnqueueOptions options) {
    return enqueueWith(null, json, options);
  }

  /**
   * As {@link #enqueueWith(String, EnqueueOptions)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param json the payload: text, JSON by convention, stored as it is
   * @param options its keys, and the like; null for the defaults
   * @return what has become of it
   */
  public EnqueueResult enqueueWith(Transaction tx, String json, EnqueueOptions options) {
    return database.enqueue(tx, spec(json, options));
  }

  /** A job of this queue, with the queue's budget if it names none. */
  JobSpec spec(String json, EnqueueOptions options) {
    return new JobSpec(name, json, budgeted(options));
  }

  /**
   * Adds jobs, all or none.
   *
   * @param jsons their payloads
   * @return their ids, in their order
   */
  public List<Long> enqueueMany(List<String> jsons) {
    return enqueueMany(null, jsons, null);
  }

  /**
   * Adds jobs, all or none.
   *
   * @param tx the transaction that this is to be a part of; null for none
   * @param jsons their payloads
   * @param options when they are due, and the like; null for the defaults
   * @return their ids, in their order; {@link Database#enqueueMany(Transaction, List)} tells what
   *     has become of each
   */
  public List<Long> enqueueMany(Transaction tx, List<String> jsons, EnqueueOptions options) {
    EnqueueOptions all = budgeted(options);
    List<JobSpec> jobs = jsons.stream().map(json -> new JobSpec(name, json, all)).toList();
    return database.enqueueMany(tx, jobs).stream().map(EnqueueResult::id).toList();
  }

  /** With the queue's budget, if they name none. */
  private EnqueueOptions budgeted(EnqueueOptions given) {
    boolean isGiven = given != null && given.maxAttempts() != null;
    if (isGiven || options.maxAttempts() == null) return given;
    EnqueueOptions.Builder builder = given == null ? EnqueueOptions.builder() : given.toBuilder();
    return builder.maxAttempts(options.maxAttempts()).build();
  }

  /**
   * Claims the next job, if there is one.
   *
   * @param workerId who claims; a name that no other worker uses at the same time
   * @return the job; empty if none can be claimed now
   */
  public Optional<Job> claimOne(String workerId) {
    return claimBatch(workerId, 1).stream().findFirst();
  }

  /**
   * Claims jobs, highest priority first, then oldest.
   *
   * @param workerId who claims; a name that no other worker uses at the same time
   * @param n how many at most; a negative number means no limit
   * @return the jobs; none if none can be claimed now
   */
  public List<Job> claimBatch(String workerId, long n) {
    byte[] worker = Checks.utf8("workerId", workerId);
    long jobs =
        database.writeNumber(
            null,
            (db, txn, out, err) ->
                library.honker_claim(
                    db,
                    txn,
                    utf8,
                    utf8.length,
                    worker,
                    worker.length,
                    n,
                    options.visibilityTimeout().getSeconds(),
                    out,
                    err));
    return Job.take(this, jobs);
  }

  /**
   * A worker that claims jobs and waits for them, for your own loop.
   *
   * @param workerId who claims; a name that no other worker uses at the same time
   * @return the worker, to be closed
   */
  public Worker worker(String workerId) {
    return worker(workerId, WorkerOptions.builder().build());
  }

  /**
   * A worker that claims jobs and waits for them, for your own loop.
   *
   * @param workerId who claims; a name that no other worker uses at the same time
   * @param options how it waits; the rest is for those that have threads
   * @return the worker, to be closed
   */
  public Worker worker(String workerId, WorkerOptions options) {
    return new Worker(this, workerId, Checks.notNull("options", options));
  }

  /**
   * Has a thread of its own handle jobs: see {@link #worker(String, Handler, WorkerOptions)}.
   *
   * @param workerId the worker's name
   * @param handler what is called with each job
   * @return what runs, to be closed
   */
  public Runner worker(String workerId, Handler<Job> handler) {
    return worker(workerId, handler, WorkerOptions.builder().build());
  }

  /**
   * Has threads of their own handle jobs, {@link WorkerOptions#concurrency} at a time. A job whose
   * handler returns is done. One whose handler throws is tried again: after the delay of a {@link
   * RetryableException}, or as the options say. A handler may settle its job itself, with {@link
   * Job#fail} for one that can never be done, or {@link Job#snooze}.
   *
   * <p>Claims are extended for as long as a handler runs. A handler whose job was cancelled, was
   * lost, or took longer than it may is interrupted. A transaction that a handler leaves open is
   * rolled back, and the job has failed. A file that others keep locked, or a full disk, is logged
   * and waited for; an error that does not pass by itself ends the worker, see {@link
   * Runner#failed}, and its jobs go to the next when their time is over.
   *
   * @param workerId who claims; a name that no other worker uses at the same time
   * @param handler what is called with each job, by several threads if there are several
   * @param options how many jobs at a time, and when failed ones are tried again
   * @return what runs, to be closed
   */
  public Runner worker(String workerId, Handler<Job> handler, WorkerOptions options) {
    return builder(workerId, options).handle(name, handler).start();
  }

  /**
   * Has a launcher run the handlers, for those that are no calls on a thread: coroutines, for
   * instance. Otherwise as {@link #worker(String, Handler, WorkerOptions)}.
   *
   * @param workerId who claims; a name that no other worker uses at the same time
   * @param launcher what starts and cancels the handlers
   * @param options how many jobs at a time, and when failed ones are tried again
   * @return what runs, to be closed
   */
  public Runner launchWorker(String workerId, JobLauncher launcher, WorkerOptions options) {
    return builder(workerId, options).launch(List.of(WorkerQueue.of(name, 1)), launcher);
  }

  /** A worker whose jobs come from this. */
  WorkerBuilder builder(String workerId, WorkerOptions options) {
    return database.worker(options).id(workerId).homes((db, queue) -> on(db));
  }

  private Queue on(Database db) {
    return db == database ? this : new Queue(db, name, options);
  }

  /**
   * When a claim could next succeed without a further commit: a delayed job becoming due, or a
   * claim lapsing.
   *
   * @return the second; empty if there is nothing to wait for. Jobs that can be claimed now do not
   *     count
   */
  public Optional<Instant> nextClaimAt() {
    return nextClaimAtEpochSecond().map(Checks::instant);
  }

  /**
   * As {@link #nextClaimAt}, in Unix seconds.
   *
   * @return the second; empty if there is nothing to wait for
   */
  public Optional<Long> nextClaimAtEpochSecond() {
    return database.numberIfAny(
        (db, out, err) -> library.honker_queue_next_claim_at(db, 0, utf8, utf8.length, out, err));
  }

  /**
   * Jobs are done: removes those that the worker still holds, in one commit.
   *
   * @param ids the jobs
   * @param workerId who holds them
   * @return how many were removed
   */
  public long ackBatch(List<Long> ids, String workerId) {
    byte[] worker = Checks.utf8("workerId", workerId);
    long[] array = ids.stream().mapToLong(Long::longValue).toArray();
    return database.writeNumber(
        null,
        (db, txn, out, err) ->
            library.honker_ack_batch(
                db,
                txn,
                array.length == 0 ? new long[1] : array,
                array.length,
                worker,
                worker.length,
                out,
                err));
  }

  /**
   * As {@link Job#ack()}.
   *
   * @param id the job
   * @param workerId who holds it
   * @return false, and nothing changed, if the worker does not hold it any more
   */
  public boolean ack(long id, String workerId) {
    return ack(null, id, workerId);
  }

  /**
   * As {@link #ack(long, String)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param id the job
   * @param workerId who holds it
   * @return false, and nothing changed, if the worker does not hold it any more
   */
  public boolean ack(Transaction tx, long id, String workerId) {
    byte[] worker = Checks.utf8("workerId", workerId);
    return isHeld(
        tx, (db, txn, err) -> library.honker_ack(db, txn, id, worker, worker.length, err));
  }

  /**
   * As {@link Job#retry(Duration, String)}.
   *
   * @param id the job
   * @param workerId who holds it
   * @param delay in what time it becomes due again; whole seconds, may be negative
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the worker does not hold it any more
   */
  public boolean retry(long id, String workerId, Duration delay, String error) {
    return retry(null, id, workerId, delay, error);
  }

  /**
   * As {@link #retry(long, String, Duration, String)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param id the job
   * @param workerId who holds it
   * @param delay in what time it becomes due again; whole seconds, may be negative
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the worker does not hold it any more
   */
  public boolean retry(Transaction tx, long id, String workerId, Duration delay, String error) {
    byte[] worker = Checks.utf8("workerId", workerId);
    byte[] text = Checks.utf8Lossy(error);
    long seconds = Checks.seconds("delay", delay).getSeconds();
    return isHeld(
        tx,
        (db, txn, err) ->
            library.honker_retry(
                db, txn, id, worker, worker.length, seconds, text, text.length, err));
  }

  /**
   * As {@link Job#fail(String)}.
   *
   * @param id the job
   * @param workerId who holds it
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the worker does not hold it any more
   */
  public boolean fail(long id, String workerId, String error) {
    return fail(null, id, workerId, error);
  }

  /**
   * As {@link #fail(long, String, String)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param id the job
   * @param workerId who holds it
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the worker does not hold it any more
   */
  public boolean fail(Transaction tx, long id, String workerId, String error) {
    byte[] worker = Checks.utf8("workerId", workerId);
    byte[] text = Checks.utf8Lossy(error);
    return isHeld(
        tx,
        (db, txn, err) ->
            library.honker_fail(db, txn, id, worker, worker.length, text, text.length, err));
  }

  /**
   * As {@link Job#heartbeat()}.
   *
   * @param id the job
   * @param workerId who holds it
   * @return false, and nothing changed, if the worker does not hold it any more
   */
  public boolean heartbeat(long id, String workerId) {
    return heartbeat(id, workerId, options.visibilityTimeout());
  }

  /**
   * As {@link Job#heartbeat(Duration)}.
   *
   * @param id the job
   * @param workerId who holds it
   * @param extend for how long from now; whole seconds
   * @return false, and nothing changed, if the worker does not hold it any more
   */
  public boolean heartbeat(long id, String workerId, Duration extend) {
    byte[] worker = Checks.utf8("workerId", workerId);
    long seconds = Checks.seconds("extend", extend).getSeconds();
    return isHeld(
        null,
        (db, txn, err) ->
            library.honker_heartbeat(db, txn, id, worker, worker.length, seconds, err));
  }

  /**
   * A job goes back: it becomes due again, and this attempt does not count.
   *
   * @param id the job
   * @param workerId who has it
   * @param delay in what time; whole seconds, 0 for at once
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean release(long id, String workerId, Duration delay) {
    return release(null, id, workerId, delay);
  }

  /**
   * A job goes back, as a part of a transaction: it becomes due again, and this attempt does not
   * count.
   *
   * @param tx the transaction; null for none
   * @param id the job
   * @param workerId who has it
   * @param delay in what time; whole seconds, 0 for at once
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean release(Transaction tx, long id, String workerId, Duration delay) {
    byte[] worker = Checks.utf8("workerId", workerId);
    long seconds = Checks.seconds("delay", delay).getSeconds();
    return isHeld(
        tx,
        (db, txn, err) -> library.honker_release(db, txn, id, worker, worker.length, seconds, err));
  }

  private boolean isHeld(Transaction tx, Database.Write call) {
    return database.write(tx, call) == 0;
  }

  /**
   * Removes a job, pending or claimed; who holds it finds its claim lost.
   *
   * @param id the job, of any queue
   * @return whether there was such a job
   */
  public boolean cancel(long id) {
    return database.write(null, (db, txn, err) -> library.honker_cancel(db, txn, id, err)) == 0;
  }

  /**
   * One job, pending or claimed.
   *
   * @param id the job, of any queue
   * @return a JSON object with the keys id, queue, payload (a string), state ("pending" or
   *     "processing"), priority, run_at, worker_id, claim_expires_at, attempts, max_attempts,
   *     created_at and expires_at; empty if there is no such job (any more)
   */
  public Optional<String> getJobJson(long id) {
    return database.text((db, out, err) -> library.honker_get_job(db, 0, id, out, err));
  }

  /**
   * How many jobs there are. It reads them all: for people, not for loops.
   *
   * @return a JSON object with the keys queue, pending (due), delayed, claimed, expired and dead
   */
  public String statsJson() {
    return database
        .text((db, out, err) -> library.honker_queue_stats(db, 0, utf8, utf8.length, out, err))
        .orElseThrow();
  }

  /**
   * The dead of this queue, newest job first.
   *
   * @param limit how many at most; a negative number means no limit
   * @return a JSON array of objects with the keys id, queue, payload (a string), priority, run_at,
   *     attempts, max_attempts, last_error, created_at and died_at
   */
  public String deadJson(long limit) {
    return database
        .text((db, out, err) -> library.honker_dead_list(db, 0, utf8, utf8.length, limit, out, err))
        .orElseThrow();
  }

  /**
   * Makes a dead job live again: due now, with no attempts used and no expiry.
   *
   * @param id the job, of any queue
   * @return false if there is no such dead job, or it stays dead because another job has its unique
   *     key
   */
  public boolean requeueDead(long id) {
    return database.write(null, (db, txn, err) -> library.honker_dead_requeue(db, txn, id, err))
        == 0;
  }

  /**
   * The dead of this queue by what they died of. It reads them all: for people, not for loops.
   *
   * @return the groups, the largest first, at most 1,000
   */
  public List<DeadGroup> deadGroups() {
    return DeadGroup.of(database, utf8);
  }

  /**
   * Changes what is set for this queue, for every process, from the commit on. It wakes the
   * workers.
   *
   * @param update what to change
   * @throws HonkerInvalidOptionException if a value cannot be: nothing is changed then
   */
  public void configure(QueueUpdate update) {
    configure(null, update);
  }

  /**
   * As {@link #configure(QueueUpdate)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param update what to change
   * @throws HonkerInvalidOptionException if a value cannot be: nothing is changed then
   */
  public void configure(Transaction tx, QueueUpdate update) {
    byte[] settings = Checks.utf8("update", Checks.notNull("update", update).json());
    database.write(
        tx,
        (db, txn, err) ->
            library.honker_queue_configure(
                db, txn, utf8, utf8.length, settings, settings.length, err));
  }

  /**
   * What is set for this queue, by whichever process.
   *
   * @return the settings; the defaults if there are none
   */
  public QueueSettings settings() {
    return QueueSettings.of(
        Json.Fields.of(
            database
                .text(
                    (db, out, err) ->
                        library.honker_queue_settings(db, 0, utf8, utf8.length, out, err))
                .orElseThrow()));
  }

  /** Has no job claimed any more, by any process, until {@link #resume}. What runs goes on. */
  public void pause() {
    configure(new QueueUpdate().paused(true));
  }

  /** Ends {@link #pause}, and wakes the workers. Does no harm if it is not paused. */
  public void resume() {
    configure(new QueueUpdate().paused(false));
  }

  /**
   * Deletes the dead of this queue.
   *
   * @param olderThan how long ago they died, at least; whole seconds
   * @return how many were deleted
   */
  public long purgeDead(Duration olderThan) {
    long seconds = Checks.seconds("olderThan", olderThan).getSeconds();
    return database.writeNumber(
        null,
        (db, txn, out, err) ->
            library.honker_dead_purge(db, txn, utf8, utf8.length, seconds, out, err));
  }

  /**
   * Moves the expired jobs that nobody holds to the dead. Claims pass them by without it.
   *
   * @return how many were moved
   */
  public long sweepExpired() {
    return database.writeNumber(
        null,
        (db, txn, out, err) -> library.honker_sweep_expired(db, txn, utf8, utf8.length, out, err));
  }

  /**
   * Saves the result of a job for ever, replacing an earlier one. A worker does so before it acks.
   *
   * @param id the job
   * @param json the result: text, JSON by convention
   */
  public void saveResult(long id, String json) {
    saveResult(null, id, json, ResultOptions.neverExpires());
  }

  /**
   * Saves the result of a job, replacing an earlier one.
   *
   * @param id the job
   * @param json the result: text, JSON by convention
   * @param options how long it is kept
   */
  public void saveResult(long id, String json, ResultOptions options) {
    saveResult(null, id, json, options);
  }

  /**
   * Saves the result of a job for ever as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param id the job
   * @param json the result: text, JSON by convention
   */
  public void saveResult(Transaction tx, long id, String json) {
    saveResult(tx, id, json, ResultOptions.neverExpires());
  }

  /**
   * Saves the result of a job as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param id the job
   * @param json the result: text, JSON by convention
   * @param options how long it is kept
   */
  public void saveResult(Transaction tx, long id, String json, ResultOptions options) {
    byte[] value = Checks.utf8("json", json);
    database.write(
        tx,
        (db, txn, err) ->
            library.honker_result_save(db, txn, id, value, value.length, options.ttlSeconds, err));
  }

  /**
   * The result of a job.
   *
   * @param id the job
   * @return the text as it was saved; empty if there is none (yet, or any more)
   */
  public Optional<String> getResult(long id) {
    return database.text((db, out, err) -> library.honker_result_get(db, 0, id, out, err));
  }

  /**
   * Waits for the result of a job. A job that ends without one never has one.
   *
   * @param id the job
   * @param options how long to wait
   * @return the text as it was saved
   * @throws HonkerTimeoutException if it did not come in time
   * @throws InterruptedException if the thread is interrupted
   */
  public String waitResult(long id, WaitOptions options) throws InterruptedException {
    try (ResultWait wait = new ResultWait(this, id)) {
      return wait.await(options.timeoutOrNull()).orElseThrow(() -> ResultWait.late(id));
    }
  }

  /**
   * The result of a job, when there is one. No thread waits for it.
   *
   * @param id the job
   * @param options how long to wait
   * @return a future that ends with the text as it was saved, or with {@link
   *     HonkerTimeoutException} if it did not come in time; it is completed by the executor of
   *     {@link OpenOptions}. It may be cancelled
   */
  public CompletableFuture<String> waitResultAsync(long id, WaitOptions options) {
    return new ResultWait(this, id).future(options.timeoutOrNull());
  }

  /**
   * Deletes expired results.
   *
   * @return how many were deleted
   */
  public long sweepResults() {
    return database.writeNumber(
        null, (db, txn, out, err) -> library.honker_result_sweep(db, txn, out, err));
  }

  /**
   * This queue, with values for payloads.
   *
   * @param codec what encodes and decodes them
   * @param <T> the type of the values
   * @return the queue
   */
  public <T> TypedQueue<T> typed(JsonCodec<T> codec) {
    return new TypedQueue<>(this, Checks.notNull("codec", codec));
  }

  @Override
  public String toString() {
    return "Queue[" + name + "]";
  }
}
