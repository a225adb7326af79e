package dev.honker;

import java.time.Instant;

/**
 * A boundary of a schedule for which a job was enqueued.
 *
 * @param name the schedule
 * @param queue where its job went
 * @param fireAtEpochSecond the boundary, in Unix seconds
 * @param jobId the job
 */
public record Fire(String name, String queue, long fireAtEpochSecond, long jobId) {
  static final int VIEW_SIZE = Abi.FIRE_VIEW_SIZE;

  /**
   * The boundary.
   *
   * @return the instant
   */
  public Instant fireAt() {
    return Checks.instant(fireAtEpochSecond);
  }

  static Fire of(Struct view) {
    view.rewind();
    String name = view.text();
    String queue = view.text();
    long at = view.i64();
    return new Fire(name == null ? "" : name, queue == null ? "" : queue, at, view.i64());
  }
}
