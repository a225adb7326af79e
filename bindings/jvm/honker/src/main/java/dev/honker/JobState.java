package dev.honker;

import java.util.Locale;

/** Where a job is in its life. */
public enum JobState {
  /** It waits for a worker. */
  DUE,
  /** It waits for its time. */
  DELAYED,
  /** A worker has it. */
  PROCESSING,
  /** It waits for another job with its concurrency key. */
  BLOCKED,
  /** It has failed for good. */
  DEAD,
  /** It is done, and kept for a time: {@link QueueSettings#keepDone}. */
  DONE;

  String text() {
    return name().toLowerCase(Locale.ROOT);
  }

  static JobState of(String text) {
    return valueOf(text.toUpperCase(Locale.ROOT));
  }
}
