package dev.honker;

/**
 * Called around the handler of each job, on its thread: for logging contexts, metrics, transactions
 * of the application. What it throws is what the handler has thrown.
 */
@FunctionalInterface
public interface JobInterceptor {
  /**
   * Has the job handled, by calling `next` once.
   *
   * @param job the job
   * @param next the next interceptor, or the handler
   * @throws Exception anything: the job has failed
   */
  void around(Job job, Next next) throws Exception;

  /** What is around. */
  @FunctionalInterface
  interface Next {
    /**
     * Goes on.
     *
     * @throws Exception what the handler has thrown
     */
    void run() throws Exception;
  }
}
