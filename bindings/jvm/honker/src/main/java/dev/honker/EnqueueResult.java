package dev.honker;

/**
 * What has become of a job that was to be enqueued.
 *
 * @param id the job's id, or that of the job that has its unique key
 * @param outcome whether it was enqueued
 */
public record EnqueueResult(long id, Outcome outcome) {
  /** What the library answers. */
  public enum Outcome {
    /** The job was enqueued. */
    ENQUEUED,
    /** Another job has its unique key, and stays as it is: nothing was enqueued. */
    EXISTS,
    /** Another job has its unique key, and has become this one. */
    REPLACED
  }

  static EnqueueResult of(long id, int status) {
    return new EnqueueResult(
        id,
        switch (status) {
          case Abi.OK -> Outcome.ENQUEUED;
          case Abi.EXISTS -> Outcome.EXISTS;
          case Abi.REPLACED -> Outcome.REPLACED;
          default -> throw new IllegalStateException("status " + status);
        });
  }
}
