package dev.honker;

/** Told once how a job that was launched has ended; what comes later is ignored. Any thread. */
public interface JobCompletion {
  /** The handler has returned: the job is done, unless the handler has settled it otherwise. */
  void done();

  /**
   * The handler has failed: the job is tried again later, as the worker's options or a {@link
   * RetryableException} say. If the worker had cancelled it because it was closed, the job goes
   * back, and the attempt does not count.
   *
   * @param error what it has thrown
   */
  void failed(Throwable error);
}
