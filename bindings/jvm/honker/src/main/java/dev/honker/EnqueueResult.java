package dev.honker;

/**
 * What has become of a {@link JobSpec}.
 *
 * @param id the job's id
 * @param outcome whether it was enqueued
 */
public record EnqueueResult(long id, Outcome outcome) {
  /** What the library answers. */
  public enum Outcome {
    /** The job was enqueued. */
    ENQUEUED,
    /** There is such a job already, whose id this is. */
    EXISTS,
    /** It has replaced such a job, whose id it has. */
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
