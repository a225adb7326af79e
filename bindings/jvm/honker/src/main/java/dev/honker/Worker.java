package dev.honker;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * Claims jobs, and waits for them. See {@link Consumer} for threads and interrupts. Whoever takes
 * the jobs settles them, and extends claims that take longer.
 */
public final class Worker extends Consumer {
  private static final int LOST_AT_ONCE = 16;

  private final Function<String, Queue> homes;
  private final String workerId;

  /** For the caller's own loop. */
  Worker(Queue queue, String workerId, WorkerOptions options) {
    this(
        queue.database,
        List.of(WorkerQueue.of(queue.name(), 1)),
        name -> queue,
        workerId,
        options.toBuilder().heartbeat(false).maxRun(null).build());
  }

  /**
   * On several queues; `homes` knows them by name. What the options do not say of the claims' time,
   * the first queue does.
   */
  Worker(
      Database database,
      List<WorkerQueue> queues,
      Function<String, Queue> homes,
      String workerId,
      WorkerOptions options) {
    super(
        database,
        "the worker " + workerId,
        (library, waiter, token, out, err) -> {
          byte[] worker = Checks.utf8("workerId", workerId);
          byte[] opts = opts(library, database, homes.apply(queues.get(0).name()), options);
          try (Struct array = new Struct(library, Abi.WORKER_QUEUE_SIZE * queues.size())) {
            for (WorkerQueue it : queues) {
              array
                  .u32(Abi.WORKER_QUEUE_SIZE)
                  .u32(0)
                  .bytes(Checks.utf8("name", it.name()))
                  .i64(it.weight())
                  .i64(it.maxInHand());
            }
            return library.honker_worker_new(
                database.handle(),
                waiter,
                token,
                array.array(),
                queues.size(),
                worker,
                worker.length,
                opts,
                out,
                err);
          }
        },
        database.library::honker_worker_free);
    this.homes = homes;
    this.workerId = workerId;
  }

  private static byte[] opts(
      HonkerLibrary library, Database database, Queue first, WorkerOptions options) {
    Duration visible = options.visibilityTimeout();
    if (visible == null) visible = first.options().visibilityTimeout();
    return Struct.sized(library, Abi.WORKER_OPTS_SIZE)
        .i64(visible.getSeconds())
        .i64(database.fallbackMillis(options.idle()))
        .i64(options.maxRun() == null ? Checks.NO_TIME : options.maxRun().getSeconds())
        .i64(options.retryBase().getSeconds())
        .i64(options.retryMax().getSeconds())
        .f64(2)
        .f64(options.retryJitter())
        .u32(options.heartbeat() ? 1 : 0)
        .u32(options.heartbeat() ? 1 : 0) // rescue: as long as it is ours, and no longer
        .array();
  }

  /**
   * The next job; waits for it without end.
   *
   * @return the job, always
   * @throws InterruptedException if the thread is interrupted; nothing is claimed then
   */
  public Optional<Job> next() throws InterruptedException {
    return next(null);
  }

  /**
   * The next job; waits for it.
   *
   * @param timeout how long to wait; 0 or less is not at all, null is without end
   * @return the job; empty if none came in time
   * @throws InterruptedException if the thread is interrupted; nothing is claimed then
   */
  public Optional<Job> next(Duration timeout) throws InterruptedException {
    return nextBatch(1, timeout).stream().findFirst();
  }

  /**
   * The next jobs; waits for at least one.
   *
   * @param n how many at most; with 0 or less it is none, at once
   * @param timeout how long to wait; 0 or less is not at all, null is without end
   * @return the jobs; none if none came in time
   * @throws InterruptedException if the thread is interrupted; nothing is claimed then
   */
  public List<Job> nextBatch(long n, Duration timeout) throws InterruptedException {
    if (n <= 0) return List.of();
    return await(timeout, () -> take(n)).orElse(List.of());
  }

  private List<Job> take(long n) {
    while (true) {
      Batch batch = settleNext(new ArrayList<>(), n, new Outcomes());
      if (batch == null || !batch.jobs.isEmpty()) return batch == null ? null : batch.jobs;
    }
  }

  /** The outcome of a job in hand. */
  record Given(Job job, Settlement settlement) {}

  /** A job that was in hand, and is no more. */
  record Lost(long serial, CancelReason reason) {}

  /**
   * An outcome that the file does not take, a trigger of the application's for instance; and why.
   */
  record Refused(Given given, String reason) {}

  /** What one call has found: each may be empty. */
  record Batch(List<Job> jobs, List<Lost> lost, List<Refused> refused) {
    /**
     * Whether it has all of the `n` jobs that were asked for, and nothing else to tell: the library
     * rests then, as after a call that found nothing, and need not be asked again before it says
     * so.
     */
    boolean isAllOf(long n) {
      return n > 0 && jobs.size() == n && lost.isEmpty() && refused.isEmpty();
    }
  }

  /**
   * Settles, and takes out of the list what is settled, also if this throws, and counts it; extends
   * the claims in hand; claims up to `n` jobs. Null if there is nothing. Does not wait, but for the
   * file's writer.
   */
  Batch settleNext(List<Given> given, long n, Outcomes outcomes) {
    HonkerLibrary library = database.library;
    long[] out = new long[1];
    try (Struct struct = new Struct(library, Abi.SETTLEMENT_SIZE * given.size())) {
      for (Given it : given) write(struct, it);
      byte[] array = given.isEmpty() ? null : struct.array();
      int size = given.size();
      HonkerException[] warning = new HonkerException[1];
      int status;
      try {
        status =
            database.write(
                null,
                (db, txn, err) -> {
                  int answer =
                      library.honker_worker_settle_next(handle(), array, size, n, 0, out, err);
                  boolean isWarned = answer >= OK && err[0] != 0;
                  if (isWarned) warning[0] = Errors.take(library, Abi.INTERNAL, err);
                  return answer;
                });
      } catch (HonkerException e) {
        for (int i = size - 1; i >= 0; i--) {
          if (isTaken(struct, i, given.get(i), outcomes)) given.remove(i);
        }
        throw e;
      }
      List<Refused> refused = new ArrayList<>();
      for (int i = 0; i < size; i++) {
        if (isTaken(struct, i, given.get(i), outcomes)) continue;
        String reason = warning[0] == null ? "refused" : warning[0].getMessage();
        refused.add(new Refused(given.get(i), reason));
      }
      given.clear();
      return status == OK ? batch(out[0], refused) : none(status);
    }
  }

  /** Whether the settlement of this index is no error's; counts it then. */
  private static boolean isTaken(Struct settlements, int index, Given given, Outcomes outcomes) {
    int status = settlements.at(index * Abi.SETTLEMENT_SIZE + 4).u32();
    if (status >= OK) outcomes.count(given.job, given.settlement, status == OK);
    return status >= OK;
  }

  /** The job is not extended any more, and anybody's when its time is over. */
  void giveUp(Job job) {
    database.library.honker_worker_settled(handle(), job.id(), job.serial(), new long[1]);
  }

  private static void write(Struct struct, Given it) {
    struct
        .u32(it.settlement.kind())
        .u32(Abi.INTERNAL) // until the library says something else
        .i64(it.job.id())
        .i64(it.job.serial())
        .i64(it.settlement.delaySeconds())
        .bytes(Checks.utf8Lossy(it.settlement.error()));
  }

  private Batch batch(long jobs, List<Refused> refused) {
    try {
      return new Batch(Job.read(database, homes, jobs), lost(jobs), refused);
    } finally {
      database.library.honker_jobs_free(jobs);
    }
  }

  private List<Lost> lost(long jobs) {
    HonkerLibrary library = database.library;
    List<Lost> all = new ArrayList<>();
    long[] read = new long[1];
    long[] err = new long[1];
    do {
      Struct views = new Struct(library, LOST_AT_ONCE * Abi.LOST_JOB_VIEW_SIZE);
      views.u32(Abi.LOST_JOB_VIEW_SIZE);
      int status =
          library.honker_jobs_lost(jobs, all.size(), views.array(), LOST_AT_ONCE, read, err);
      Errors.check(library, status, err);
      for (int i = 0; i < read[0]; i++) {
        views.at(i * Abi.LOST_JOB_VIEW_SIZE + 16); // behind the id
        all.add(new Lost(views.i64(), CancelReason.of(views.u32())));
      }
    } while (read[0] == LOST_AT_ONCE);
    return all;
  }

  @Override
  public String toString() {
    return "Worker[" + workerId + "]";
  }
}
