package dev.honker;

import dev.honker.Outcomes.Outcome;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Function;

/**
 * A job that a worker has claimed. It is the worker's until {@link #claimExpiresAt}; then it is
 * anybody's, which is how a crash gives it back. Immutable, but for {@link #cancelled} and what its
 * handler has made of it; one thread settles it.
 */
public final class Job {
  private static final int VIEW_SIZE = Abi.JOB_VIEW_SIZE;

  private final Queue home;
  private final long id;
  private final String payloadJson;
  private final String workerId;
  private final long attempts;
  private final long claimExpiresAt;
  private final long serial;
  private final long maxAttempts;
  private final String metadataJson;
  private volatile CancelReason cancelled;
  private volatile Outcome ownOutcome;

  private Job(Queue home, Struct view) {
    this.home = home;
    this.id = view.i64();
    view.skipBytes();
    String payload = view.text();
    this.payloadJson = payload == null ? "" : payload;
    String worker = view.text();
    this.workerId = worker == null ? "" : worker;
    this.attempts = view.i64();
    this.claimExpiresAt = view.i64();
    this.serial = view.i64();
    this.maxAttempts = view.i64();
    this.metadataJson = view.text();
  }

  /** The jobs of a handle, which is freed; none for 0. */
  static List<Job> take(Queue home, long jobs) {
    if (jobs == 0) return List.of();
    try {
      return read(home.database, name -> home, jobs);
    } finally {
      home.database.library.honker_jobs_free(jobs);
    }
  }

  /** The jobs of a handle; `homes` knows their queues by name. */
  static List<Job> read(Database database, Function<String, Queue> homes, long jobs) {
    HonkerLibrary library = database.library;
    long[] length = new long[1];
    long[] err = new long[1];
    Errors.check(library, library.honker_jobs_len(jobs, length, err), err);
    int size = Math.toIntExact(length[0]);
    if (size == 0) return List.of();
    Struct views = new Struct(library, Math.multiplyExact(size, VIEW_SIZE)).u32(VIEW_SIZE);
    int status = library.honker_jobs_views(jobs, 0, views.array(), size, length, err);
    Errors.check(library, status, err);
    List<Job> list = new ArrayList<>(size);
    for (int i = 0; i < size; i++) {
      int view = i * VIEW_SIZE + 8;
      String queue = views.at(view + 8).text();
      list.add(new Job(homes.apply(queue == null ? "" : queue), views.at(view)));
    }
    return list;
  }

  /**
   * The id.
   *
   * @return a number that no other job of the file has
   */
  public long id() {
    return id;
  }

  /**
   * The database that it came from.
   *
   * @return the one of its worker; if the worker has opened it itself, a handler that closes it
   *     ends the worker, with an error
   */
  public Database database() {
    return home.database;
  }

  /**
   * Why its handler is to end. The handler is also interrupted, or its coroutine cancelled.
   *
   * @return the first reason; empty as long as the job is its worker's
   */
  public Optional<CancelReason> cancelled() {
    return Optional.ofNullable(cancelled);
  }

  /** Whether this is the first reason. */
  boolean cancel(CancelReason reason) {
    if (cancelled != null) return false;
    cancelled = reason;
    return true;
  }

  /** What the handler itself has made of it; null if it leaves that to the worker. */
  Outcome ownOutcome() {
    return ownOutcome;
  }

  private boolean own(Outcome outcome, boolean changed) {
    if (changed) ownOutcome = outcome;
    return changed;
  }

  boolean isLastAttempt() {
    return attempts >= maxAttempts;
  }

  /**
   * The name of the queue it came from.
   *
   * @return the name
   */
  public String queue() {
    return home.name();
  }

  /**
   * The payload.
   *
   * @return the text as it was enqueued
   */
  public String payloadJson() {
    return payloadJson;
  }

  /**
   * The payload as a value.
   *
   * @param codec what decodes it
   * @param <T> the type of the value
   * @return the value
   * @throws DiscardException if it cannot be decoded; thrown by a handler, its job is among the
   *     dead at once, with the reason
   */
  public <T> T payload(JsonCodec<T> codec) {
    return Codecs.decode(codec, payloadJson);
  }

  /**
   * Who has claimed it, as the file has it.
   *
   * @return the id that was given to {@link Queue#claimOne} or {@link Queue#worker(String)}; for a
   *     worker with handlers, the id, an @, and 32 digits that name its process, by which its jobs
   *     go to others as soon as the process is dead
   */
  public String workerId() {
    return workerId;
  }

  /**
   * How often it has been claimed, this time included.
   *
   * @return 1 or more
   */
  public long attempts() {
    return attempts;
  }

  /**
   * How often it may be claimed.
   *
   * @return as it was enqueued
   */
  public long maxAttempts() {
    return maxAttempts;
  }

  /**
   * What it was enqueued with, see {@link EnqueueOptions.Builder#metadata}.
   *
   * @return texts by their keys; empty if there are none
   */
  public Map<String, String> metadata() {
    return Metadata.decode(metadataJson);
  }

  /**
   * The last second in which this claim is valid, unless a heartbeat extends it.
   *
   * @return the second
   */
  public Instant claimExpiresAt() {
    return Checks.instant(claimExpiresAt);
  }

  /**
   * The job is done: removes it.
   *
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean ack() {
    return ack(null);
  }

  /**
   * The job is done: removes it when the transaction is committed.
   *
   * @param tx the transaction; null for none
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean ack(Transaction tx) {
    return own(Outcome.DONE, home.ack(tx, id, workerId));
  }

  /**
   * The job could not be done now: it becomes due again or, if its attempts are used up, ends among
   * the dead.
   *
   * @param delay in what time; whole seconds, may be negative
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean retry(Duration delay, String error) {
    return retry(null, delay, error);
  }

  /**
   * As {@link #retry(Duration, String)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param delay in what time; whole seconds, may be negative
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean retry(Transaction tx, Duration delay, String error) {
    return own(
        isLastAttempt() ? Outcome.DEAD : Outcome.RETRIED,
        home.retry(tx, id, workerId, delay, error));
  }

  /**
   * The job can never be done: it ends among the dead, whatever attempts it has left.
   *
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean fail(String error) {
    return fail(null, error);
  }

  /**
   * As {@link #fail(String)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean fail(Transaction tx, String error) {
    return own(Outcome.DEAD, home.fail(tx, id, workerId, error));
  }

  /**
   * The job goes back: it is due again at once, and this attempt does not count.
   *
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean release() {
    return release(null);
  }

  /**
   * As {@link #release()}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean release(Transaction tx) {
    return own(Outcome.RELEASED, home.release(tx, id, workerId, Duration.ZERO));
  }

  /**
   * The job is to be done later: it becomes due again, and this attempt does not count.
   *
   * @param delay in what time; whole seconds
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean snooze(Duration delay) {
    return snooze(null, delay);
  }

  /**
   * As {@link #snooze(Duration)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param delay in what time; whole seconds
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean snooze(Transaction tx, Duration delay) {
    return own(Outcome.SNOOZED, home.release(tx, id, workerId, delay));
  }

  /**
   * The job takes longer: the claim is valid for the queue's visibility timeout from now.
   *
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean heartbeat() {
    return home.heartbeat(id, workerId);
  }

  /**
   * The job takes longer: the claim is valid for this long from now.
   *
   * @param extend for how long; whole seconds
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean heartbeat(Duration extend) {
    return home.heartbeat(id, workerId, extend);
  }

  /**
   * Does a part of the job once, however often the job is tried: what it has come to is saved, and
   * answered from then on. Should the process die between the two it is done again; {@link
   * #step(Transaction, String, Callable)} is for what must not be.
   *
   * @param name names it among the steps of this job
   * @param work does it, and answers text, JSON by convention; null is JSON's null
   * @return what was saved, now or by an earlier attempt
   * @throws ClaimLostException if the claim was lost meanwhile: nothing was saved
   * @throws Exception what the work throws: nothing was saved
   */
  public String step(String name, Callable<String> work) throws Exception {
    return step(null, name, work);
  }

  /**
   * Does a part of the job exactly once, if it writes with the same transaction: what it has
   * written, and that it is done, are committed together.
   *
   * @param tx the transaction; null for none
   * @param name names it among the steps of this job
   * @param work does it, and answers text, JSON by convention; null is JSON's null
   * @return what was saved, now or by an earlier attempt
   * @throws ClaimLostException if the claim was lost meanwhile: the transaction is to be rolled
   *     back, as it is by {@link Database#transaction}
   * @throws Exception what the work throws: nothing was saved
   */
  public String step(Transaction tx, String name, Callable<String> work) throws Exception {
    Checks.notNull("work", work);
    Optional<String> saved = getStep(tx, name);
    if (saved.isPresent()) return saved.get();
    String json = work.call();
    return saveStep(tx, name, json == null ? "null" : json);
  }

  /**
   * As {@link #step(String, Callable)}, with a value.
   *
   * @param name names it among the steps of this job
   * @param codec makes the text that is saved, and the value of it, also the first time
   * @param work does it, and answers a value
   * @param <T> the type of the value
   * @return what was saved, now or by an earlier attempt
   * @throws ClaimLostException if the claim was lost meanwhile: nothing was saved
   * @throws DiscardException if the codec makes no text of the value: nothing was saved, and the
   *     job of a handler that throws it is among the dead, since another attempt would do the work
   *     again
   * @throws Exception what the work throws, or the codec when it decodes
   */
  public <T> T step(String name, JsonCodec<T> codec, Callable<T> work) throws Exception {
    return step(null, name, codec, work);
  }

  /**
   * As {@link #step(Transaction, String, Callable)}, with a value.
   *
   * @param tx the transaction; null for none
   * @param name names it among the steps of this job
   * @param codec makes the text that is saved, and the value of it, also the first time
   * @param work does it, and answers a value
   * @param <T> the type of the value
   * @return what was saved, now or by an earlier attempt
   * @throws ClaimLostException if the claim was lost meanwhile: the transaction is to be rolled
   *     back, as it is by {@link Database#transaction}
   * @throws DiscardException if the codec makes no text of the value: as for the others, with the
   *     transaction to be rolled back
   * @throws Exception what the work throws, or the codec when it decodes
   */
  public <T> T step(Transaction tx, String name, JsonCodec<T> codec, Callable<T> work)
      throws Exception {
    Checks.notNull("codec", codec);
    Checks.notNull("work", work);
    return codec.decode(
        step(
            tx,
            name,
            () -> {
              T value = work.call();
              return Codecs.ofStep(name, () -> Codecs.encode(codec, value));
            }));
  }

  /**
   * What a step has come to.
   *
   * @param name the step
   * @return the text that was saved; empty if none was
   */
  public Optional<String> getStep(String name) {
    return getStep(null, name);
  }

  /**
   * What a step has come to, as a transaction sees it.
   *
   * @param tx the transaction; null for none
   * @param name the step
   * @return the text that was saved; empty if none was
   */
  public Optional<String> getStep(Transaction tx, String name) {
    byte[] n = Checks.utf8("name", name);
    return home.database.text(
        tx,
        (db, txn, out, err) ->
            home.database.library.honker_step_get(db, txn, id, n, n.length, out, err));
  }

  /**
   * Saves what a step has come to, for those who do not use {@link #step(String, Callable)}.
   *
   * @param tx the transaction; null for none
   * @param name the step
   * @param json text, JSON by convention
   * @return what is saved: this, or what was saved before, which stays
   * @throws ClaimLostException if the claim was lost: nothing was saved
   * @throws DiscardException if the text is no Unicode text, or is too large for SQLite (a
   *     gigabyte)
   */
  public String saveStep(Transaction tx, String name, String json) {
    byte[] n = Checks.utf8("name", name);
    byte[] w = Checks.utf8("workerId", workerId);
    Checks.notNull("json", json);
    byte[] v = Codecs.ofStep(name, () -> Checks.utf8("json", json));
    Optional<String> saved;
    try {
      saved =
          home.database.writeText(
              tx,
              (db, txn, out, err) ->
                  home.database.library.honker_step_save(
                      db, txn, id, w, w.length, n, n.length, v, v.length, out, err));
    } catch (HonkerException e) {
      if (e.status() == HonkerException.Status.TOO_BIG.number) throw Codecs.unsavedStep(name, e);
      throw e;
    }
    return saved.orElseThrow(() -> new ClaimLostException(this + " is not ours any more: " + name));
  }

  /**
   * The batch that it belongs to. What is enqueued through it is enqueued on behalf of this job, as
   * long as that is its worker's: also if the batch is sealed. It reads the file.
   *
   * @return the batch; empty if it belongs to none
   */
  public Optional<Batch> batch() {
    return home.database
        .jobs()
        .find(id)
        .map(JobInfo::batchId)
        .map(batch -> new Batch(home.database, batch, null, this));
  }

  /** Names this claim of the job, for the worker that made it; 0 if none did. */
  long serial() {
    return serial;
  }

  @Override
  public String toString() {
    return "job %d of queue %s, attempt %d of %d".formatted(id, queue(), attempts, maxAttempts);
  }
}
