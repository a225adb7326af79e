package dev.honker;

/**
 * Runs the handlers of a worker's jobs somewhere else than on threads of the worker: in coroutines,
 * on an executor of the application. See {@link Queue#launchWorker}.
 */
public interface JobLauncher {
  /**
   * Starts the handler of a job, and returns without waiting for it. If this throws, no handler
   * runs: the job goes back, the attempt does not count, and the worker waits before it claims
   * again.
   *
   * @param job the job
   * @param completion to be told when the handler has ended; the job keeps its place until then
   * @return what cancels the handler: called once at most, from another thread, perhaps when the
   *     handler has ended already
   */
  Runnable launch(Job job, JobCompletion completion);

  /**
   * Whose handler the calling thread runs, so that closing from within a handler does not wait for
   * itself.
   *
   * @return what {@link #launch} was given; null if the thread runs no handler of this launcher, or
   *     that cannot be known
   */
  default JobCompletion current() {
    return null;
  }
}
