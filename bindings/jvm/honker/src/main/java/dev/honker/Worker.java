package dev.honker;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * Claims the jobs of one queue, and waits for them. See {@link Consumer} for threads and
 * interrupts.
 */
public final class Worker extends Consumer {
  private final Queue queue;
  private final String workerId;
  private final WorkerOptions options;

  Worker(Queue queue, String workerId, WorkerOptions options) {
    super(
        queue.database,
        "the worker " + workerId,
        (library, waiter, out, err) -> {
          byte[] name = Checks.utf8("name", queue.name());
          byte[] worker = Checks.utf8("workerId", workerId);
          byte[] opts =
              Struct.sized(library, Abi.WORKER_OPTS_SIZE)
                  .i64(queue.options().visibilityTimeout().getSeconds())
                  .i64(-1) // this class knows when to look again
                  .array();
          return library.honker_worker_new(
              queue.database.handle(),
              waiter,
              name,
              name.length,
              worker,
              worker.length,
              opts,
              out,
              err);
        },
        queue.database.library::honker_worker_free);
    this.queue = queue;
    this.workerId = workerId;
    this.options = options;
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
    long[] out = new long[1];
    int status =
        database.write(
            null, (db, txn, err) -> database.library.honker_worker_next(handle(), n, 0, out, err));
    return status == OK ? Job.take(queue, workerId, out[0]) : none(status);
  }

  @Override
  long parkMillis() {
    return parkMillis(queue.nextClaimAtEpochSecond(), Checks.toMillis(options.idle()));
  }

  @Override
  public String toString() {
    return "Worker[" + workerId + " of " + queue.name() + "]";
  }
}
