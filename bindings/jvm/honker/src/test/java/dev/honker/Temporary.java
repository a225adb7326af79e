package dev.honker;

import java.nio.file.Path;

/**
 * A database in a directory of its own; and how to wait for something without sleeping longer than
 * needed.
 */
final class Temporary {
  /** Who waits with these is woken, or never looks. */
  static final WorkerOptions WITHOUT_FALLBACK =
      WorkerOptions.builder().idle(java.time.Duration.ofHours(1)).build();

  private Temporary() {}

  static Database open(Path directory) {
    return Honker.open(directory.resolve("app.db"));
  }

  interface Condition {
    boolean holds() throws Exception;
  }

  static void eventually(Condition condition) throws Exception {
    long end = System.nanoTime() + 60_000_000_000L;
    while (!condition.holds()) {
      if (System.nanoTime() > end) throw new AssertionError("it did not come to hold");
      Thread.sleep(5);
    }
  }

  static long threads(String prefix) {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().startsWith(prefix))
        .count();
  }

  static boolean isParked(Thread thread) {
    return thread.getState() == Thread.State.WAITING
        || thread.getState() == Thread.State.TIMED_WAITING;
  }
}
