package dev.honker;

import java.util.List;

/**
 * Called around everything that a {@link Database} enqueues, on the thread that enqueues: for
 * tracing, metrics, metadata for all jobs. Jobs of schedules, what follows a {@link Batch}, and
 * jobs of {@link EnqueueSql} pass it by. See {@link OpenOptions.Builder#enqueueInterceptor}.
 */
@FunctionalInterface
public interface EnqueueInterceptor {
  /**
   * Has jobs enqueued, by calling `next` once.
   *
   * @param jobs the jobs, one at least
   * @param next the next interceptor, or the database
   * @return what has become of each
   */
  List<EnqueueResult> around(List<JobSpec> jobs, Next next);

  /** What is around. */
  @FunctionalInterface
  interface Next {
    /**
     * Goes on.
     *
     * @param jobs the jobs, perhaps with more metadata
     * @return what has become of each
     */
    List<EnqueueResult> enqueue(List<JobSpec> jobs);
  }
}
