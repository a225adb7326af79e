package dev.honker;

import java.time.Duration;

/**
 * Delivers what was enqueued, with your own data or without: whatever fails is tried again, with a
 * growing distance, until its attempts are used up and it is among the dead. Any thread may use it.
 */
public final class Outbox {
  /** The longest distance between tries. */
  private static final Duration LONGEST = Duration.ofDays(366_000);

  private final Queue queue;
  private final String name;
  private final Delivery delivery;
  private final OutboxOptions options;

  /** What delivers. */
  @FunctionalInterface
  public interface Delivery {
    /**
     * Delivers one.
     *
     * @param payloadJson the text as it was enqueued
     * @throws Exception if it could not: it is tried again later
     */
    void deliver(String payloadJson) throws Exception;
  }

  Outbox(Database database, String name, Delivery delivery, OutboxOptions options) {
    this.name = Checks.notNull("name", name);
    this.delivery = Checks.notNull("delivery", delivery);
    this.options = Checks.notNull("options", options);
    this.queue =
        database.queue(
            "_outbox:" + name,
            QueueOptions.builder()
                .visibilityTimeout(options.visibilityTimeout())
                .maxAttempts(options.maxAttempts())
                .build());
  }

  /**
   * The queue, called "_outbox:" and the name.
   *
   * @return the queue
   */
  public Queue queue() {
    return queue;
  }

  /**
   * Adds something to deliver.
   *
   * @param json the payload: text, JSON by convention
   * @return the job's id
   */
  public long enqueue(String json) {
    return queue.enqueue(json);
  }

  /**
   * Adds something to deliver.
   *
   * @param json the payload: text, JSON by convention
   * @param options when it is due, and the like; null for the defaults
   * @return the job's id
   */
  public long enqueue(String json, EnqueueOptions options) {
    return queue.enqueue(json, options);
  }

  /**
   * Adds something to deliver as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param json the payload: text, JSON by convention
   * @return the job's id
   */
  public long enqueue(Transaction tx, String json) {
    return queue.enqueue(tx, json);
  }

  /**
   * Adds something to deliver as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param json the payload: text, JSON by convention
   * @param options when it is due, and the like; null for the defaults
   * @return the job's id
   */
  public long enqueue(Transaction tx, String json, EnqueueOptions options) {
    return queue.enqueue(tx, json, options);
  }

  /**
   * Delivers one thing, if there is one.
   *
   * @param workerId who delivers; a name that no other worker uses at the same time
   * @return whether there was one, delivered or not
   */
  public boolean deliverOne(String workerId) {
    try (Deliverer deliverer = new Deliverer(workerId, Duration.ofSeconds(5))) {
      Job job = deliverer.take();
      if (job == null) return false;
      deliverer.deliver(job);
      return true;
    }
  }

  /**
   * Delivers on a thread of its own.
   *
   * @param workerId who delivers; a name that no other worker uses at the same time
   * @return what runs, to be closed
   */
  public Runner runWorker(String workerId) {
    return runWorker(workerId, WorkerOptions.builder().build());
  }

  /**
   * Delivers on threads of their own. A delivery that takes longer than its time is interrupted.
   *
   * @param workerId who delivers; a name that no other worker uses at the same time
   * @param options how many at a time, and how long closing waits; when something is tried again is
   *     for {@link OutboxOptions} to say
   * @return what runs, to be closed
   */
  public Runner runWorker(String workerId, WorkerOptions options) {
    long base = Math.max(0, this.options.baseBackoff().getSeconds());
    WorkerOptions doubling =
        Checks.notNull("options", options).toBuilder()
            .retryDelay(null)
            .retryBase(Duration.ofSeconds(base))
            .retryMax(LONGEST)
            .retryJitter(0)
            .heartbeat(false) // the visibility timeout says how long a delivery may take
            .build();
    return queue
        .builder(workerId, doubling)
        .name("honker-outbox-" + name)
        .failed(e -> Settlement.retry(Checks.NO_TIME, Failures.textAndStack(e)))
        .handle(queue.name(), job -> delivery.deliver(job.payloadJson()))
        .start();
  }

  private final class Deliverer extends Consumer {
    private final String workerId;

    Deliverer(String workerId, Duration idle) {
      super(
          queue.database,
          "the outbox worker " + workerId,
          (library, waiter, token, out, err) -> {
            byte[] n = Checks.utf8("name", name);
            byte[] w = Checks.utf8("workerId", workerId);
            byte[] opts =
                Struct.sized(library, Abi.OUTBOX_OPTS_SIZE)
                    .i64(options.visibilityTimeout().getSeconds())
                    .i64(options.baseBackoff().getSeconds())
                    .i64(queue.database.fallbackMillis(idle))
                    .array();
            return library.honker_outbox_new(
                queue.database.handle(), waiter, token, n, n.length, w, w.length, opts, out, err);
          },
          queue.database.library::honker_outbox_free);
      this.workerId = workerId;
    }

    Job take() {
      long[] out = new long[1];
      int status =
          database.write(
              null, (db, txn, err) -> database.library.honker_outbox_next(handle(), 0, out, err));
      return status == OK ? Job.take(queue, out[0]).get(0) : none(status);
    }

    /** On the calling thread, whose interrupt status does not disturb the settlement. */
    void deliver(Job job) {
      Throwable failure = null;
      try {
        delivery.deliver(job.payloadJson());
      } catch (Throwable e) {
        failure = e;
      }
      boolean wasInterrupted = Thread.interrupted();
      try {
        database.gate.rollBackOwn();
        settle(job, failure);
      } finally {
        if (wasInterrupted) Thread.currentThread().interrupt();
      }
    }

    private void settle(Job job, Throwable failure) {
      HonkerLibrary library = database.library;
      byte[] error = Checks.utf8Lossy(failure == null ? "" : Failures.textAndStack(failure));
      Backoff.insist(
          toString(),
          Backoff.after(options.visibilityTimeout()), // then it is anybody's
          () ->
              database.write(
                  null,
                  (db, txn, err) ->
                      failure == null
                          ? library.honker_outbox_delivered(handle(), job.id(), err)
                          : library.honker_outbox_failed(
                              handle(), job.id(), job.attempts(), error, error.length, err)));
    }

    @Override
    public String toString() {
      return "Outbox[" + name + "]";
    }
  }
}
