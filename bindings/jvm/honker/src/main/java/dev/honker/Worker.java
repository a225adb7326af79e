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

  Worker(Queue queue, String workerId, WorkerOptions options) {
    super(
        queue.database,
        "the worker " + workerId,
        (library, waiter, token, out, err) -> {
          byte[] worker = Checks.utf8("workerId", workerId);
          byte[] opts =
              Struct.sized(library, Abi.WORKER_OPTS_SIZE)
                  .i64(queue.options().visibilityTimeout().getSeconds())
                  .i64(queue.database.fallbackMillis(options.idle()))
                  .i64(Checks.NO_TIME)
                  .i64(15)
                  .i64(3600)
                  .f64(2)
                  .f64(0.1)
                  .u32(0) // whoever handles a job prolongs its claim
                  .u32(0)
                  .array();
          try (Struct queues = Struct.sized(library, Abi.WORKER_QUEUE_SIZE)) {
            queues.bytes(Checks.utf8("name", queue.name())).i64(1).i64(-1);
            return library.honker_worker_new(
                queue.database.handle(),
                waiter,
                token,
                queues.array(),
                1,
                worker,
                worker.length,
                opts,
                out,
                err);
          }
        },
        queue.database.library::honker_worker_free);
    this.queue = queue;
    this.workerId = workerId;
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
    while (true) {
      int status =
          database.write(
              null,
              (db, txn, err) -> database.library.honker_worker_next(handle(), n, 0, out, err));
      if (status != OK) return none(status);
      List<Job> jobs = Job.take(queue, workerId, out[0]);
      if (!jobs.isEmpty()) return jobs; // it told of lost ones alone
    }
  }

  @Override
  public String toString() {
    return "Worker[" + workerId + " of " + queue.name() + "]";
  }
}
