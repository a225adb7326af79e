package dev.honker;

import java.time.Duration;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * The distance between tries of something that somebody or something prevents for now: another
 * process that keeps the file locked, a full disk. 0.1 s, twice as long each time, 10 s at most; a
 * try of a locked file takes as long as the busy timeout as well. That it is prevented is logged
 * once, and that it goes on again. Workers, subscriptions and flows do this by themselves; it is
 * public for loops of one's own around {@link HonkerException#isTransient}. One thread at a time.
 */
public final class Backoff {
  private static final long FIRST_MS = 100;
  private static final long LAST_MS = 10_000;

  /** How long a pause does not see that it is over. */
  private static final long SLICE_MS = 50;

  private final String who;
  private long nextMillis = FIRST_MS;
  private int lastStatus;

  /**
   * Makes one.
   *
   * @param who tries, for the log
   */
  public Backoff(String who) {
    this.who = who;
  }

  /**
   * It was prevented.
   *
   * @param why what was thrown
   * @return how long to wait before the next try, in milliseconds
   */
  public long nextMillis(HonkerException why) {
    if (why.status() != lastStatus && why.status() != HonkerException.Status.INTERRUPTED.number) {
      lastStatus = why.status();
      Log.warn(who + " waits and tries again: " + why.getMessage());
    }
    long millis = nextMillis;
    nextMillis = Math.min(LAST_MS, nextMillis * 2);
    return millis;
  }

  /** It was not prevented. */
  public void reset() {
    if (lastStatus != 0) Log.info(who + " goes on");
    lastStatus = 0;
    nextMillis = FIRST_MS;
  }

  /**
   * Pauses. An interrupt ends the pause and nothing else, so that its status cannot make a spin.
   */
  void pause(HonkerException why, BooleanSupplier isOver) {
    long millis = nextMillis(why);
    try {
      for (long left = millis; left > 0 && !isOver.getAsBoolean(); left -= SLICE_MS) {
        Thread.sleep(Math.min(left, SLICE_MS));
      }
    } catch (InterruptedException e) {
      // whoever retries goes on
    }
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
