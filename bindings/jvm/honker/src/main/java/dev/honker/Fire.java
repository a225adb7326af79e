package dev.honker;

import java.time.Instant;

/**
 * A boundary of a schedule that has come.
 *
 * @param name the schedule
 * @param queue where its job went
 * @param fireAtEpochSecond the boundary, in Unix seconds
 * @param jobId the job, or the one that has its unique key; 0 if there is none
 * @param outcome whether it was enqueued
 */
public record Fire(String name, String queue, long fireAtEpochSecond, long jobId, Outcome outcome) {
  static final int VIEW_SIZE = Abi.FIRE_VIEW_SIZE;

  /** What a boundary has led to. */
  public enum Outcome {
    /** A job was enqueued. */
    ENQUEUED,
    /** Another job has its unique key, and stays as it is: nothing was enqueued. */
    EXISTS,
    /** Another job has its unique key, and has become this one. */
    REPLACED,
    /** The last job of the schedule is still live: {@link ScheduleOptions.Overlap#SKIP}. */
    SKIPPED
  }

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
    long job = view.i64();
    Outcome outcome =
        switch (view.u32()) {
          case Abi.EXISTS -> Outcome.EXISTS;
          case Abi.REPLACED -> Outcome.REPLACED;
          case Abi.EMPTY -> Outcome.SKIPPED;
          default -> Outcome.ENQUEUED;
        };
    return new Fire(name == null ? "" : name, queue == null ? "" : queue, at, job, outcome);
  }
}
