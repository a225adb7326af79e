package dev.honker;

import java.time.Duration;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * The distance between tries of something that somebody or something prevents for now: another
 * process that keeps the file locked, a full disk. 0.1 s, twice as long each time, 10 s at most; a
 * try of a locked file takes as long as the busy timeout as well. That it is prevented is logged
 * once, and that it goes on again.
 */
final class Backoff {
  private static final long FIRST_MS = 100;
  private static final long LAST_MS = 10_000;

  /** How long a pause does not see that it is over. */
  private static final long SLICE_MS = 50;

  private final String who;
  private long nextMillis = FIRST_MS;
  private int lastStatus;

  /** `who` is for the log. */
  Backoff(String who) {
    this.who = who;
  }

  /**
   * Pauses. An interrupt ends the pause and nothing else, so that its status cannot make a spin.
   */
  void pause(HonkerException why, BooleanSupplier isOver) {
    if (why.status() != lastStatus && why.status() != HonkerException.Status.INTERRUPTED.number) {
      lastStatus = why.status();
      Log.warn(who + " waits and tries again: " + why.getMessage());
    }
    try {
      for (long left = nextMillis; left > 0 && !isOver.getAsBoolean(); left -= SLICE_MS) {
        Thread.sleep(Math.min(left, SLICE_MS));
      }
    } catch (InterruptedException e) {
      // whoever retries goes on
    }
    nextMillis = Math.min(LAST_MS, nextMillis * 2);
  }

  /** It was not prevented. */
  void reset() {
    if (lastStatus != 0) Log.info(who + " goes on");
    lastStatus = 0;
    nextMillis = FIRST_MS;
  }

  /** When this time, from now on, is over. */
  static BooleanSupplier after(Duration limit) {
    long begin = System.nanoTime();
    return () -> System.nanoTime() - begin >= Checks.toNanos(limit);
  }

  /**
   * Calls, and calls again while what prevents it may pass by itself, until `isOver`: then it is
   * thrown.
   */
  static <T> T insist(String who, BooleanSupplier isOver, Supplier<T> call) {
    Backoff backoff = new Backoff(who);
    while (true) {
      try {
        T result = call.get();
        backoff.reset();
        return result;
      } catch (HonkerException e) {
        if (!e.isTransient() || isOver.getAsBoolean()) throw e;
        backoff.pause(e, isOver);
      }
    }
  }
}
