package dev.honker;

import java.util.List;
import java.util.Optional;

/**
 * Jobs that are waited for together: when the last of them has ended, what {@link BatchOptions}
 * name is enqueued, exactly once. See {@link Database#batch(BatchOptions, Work)}. Any thread may
 * use it, unless it belongs to a transaction.
 */
public final class Batch {
  private final Database database;
  private final long id;
  private final Transaction tx;
  private final Job member;

  /** In a transaction, if there is one, and on behalf of one of its jobs, if there is one. */
  Batch(Database database, long id, Transaction tx, Job member) {
    this.database = database;
    this.id = id;
    this.tx = tx;
    this.member = member;
  }

  /**
   * What puts jobs into a batch.
   *
   * @param <E> what it throws
   */
  @FunctionalInterface
  public interface Work<E extends Exception> {
    /**
     * Does it.
     *
     * @param batch the batch, open
     * @throws E anything: the batch is not sealed
     */
    void run(Batch batch) throws E;
  }

  static Batch create(Database database, Transaction tx, BatchOptions options) {
    byte[] json = Checks.utf8("options", Checks.notNull("options", options).json());
    long id =
        database.writeNumber(
            tx,
            (db, txn, out, err) ->
                database.library.honker_batch_create(db, txn, json, json.length, out, err));
    return new Batch(database, id, tx, null);
  }

  static <E extends Exception> Batch make(
      Database database, Transaction tx, BatchOptions options, Work<E> work) throws E {
    Checks.notNull("work", work);
    Batch batch = create(database, tx, options);
    work.run(batch);
    batch.seal();
    return new Batch(database, batch.id, null, null);
  }

  /**
   * The id.
   *
   * @return a number that no other batch of the file has
   */
  public long id() {
    return id;
  }

  /**
   * Enqueues a job of this batch.
   *
   * @param queue the name of the queue
   * @param json the payload: text, JSON by convention
   * @return what has become of it; it joins the batch only if it was enqueued
   */
  public EnqueueResult enqueue(String queue, String json) {
    return enqueue(new JobSpec(queue, json, null));
  }

  /**
   * Enqueues a job of this batch.
   *
   * @param job the job
   * @return what has become of it; it joins the batch only if it was enqueued
   * @throws HonkerInvalidOptionException if the batch is sealed
   */
  public EnqueueResult enqueue(JobSpec job) {
    return database.enqueue(tx, joining(job));
  }

  /**
   * Enqueues jobs of this batch, all or none.
   *
   * @param jobs the jobs
   * @return what has become of each, in their order
   * @throws HonkerInvalidOptionException if the batch is sealed
   */
  public List<EnqueueResult> enqueueMany(List<JobSpec> jobs) {
    return database.enqueueMany(tx, jobs.stream().map(this::joining).toList());
  }

  private JobSpec joining(JobSpec job) {
    EnqueueOptions.Builder options = job.options().toBuilder();
    if (member == null) options.batch(id);
    else options.batch(id, member);
    return new JobSpec(job.queue(), job.json(), options.build());
  }

  /**
   * Seals it: from now on only its running jobs may add to it, see {@link Job#batch}, and with the
   * last of its jobs it has finished; at once if none is pending.
   *
   * @return false if it was sealed before
   * @throws HonkerInvalidOptionException if there is no such batch
   */
  public boolean seal() {
    return database.write(
            tx, (db, txn, err) -> database.library.honker_batch_seal(db, txn, id, err))
        == Abi.OK;
  }

  /**
   * How its jobs do.
   *
   * @return what is known; empty if there is no such batch, or it finished so long ago that it is
   *     kept no longer
   */
  public Optional<BatchStatus> get() {
    return database
        .text(tx, (db, txn, out, err) -> database.library.honker_batch_get(db, txn, id, out, err))
        .map(BatchStatus::of);
  }

  @Override
  public String toString() {
    return "Batch[" + id + "]";
  }
}
