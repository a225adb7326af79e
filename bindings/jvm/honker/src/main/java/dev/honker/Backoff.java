package dev.honker;

import java.util.function.Supplier;

/**
 * The distance between tries of something that somebody or something prevents for now: another
 * process that keeps the file locked, a full disk. 20 ms, twice as long each time, a second at
 * most; a try of a locked file takes as long as the busy timeout as well. That it is prevented is
 * logged once, and that it goes on again.
 */
final class Backoff {
  private static final System.Logger LOG = System.getLogger("dev.honker");
  private static final long FIRST_MS = 20;
  private static final long LAST_MS = 1000;

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
  void pause(HonkerException why) {
    if (why.status() != lastStatus && why.status() != HonkerException.Status.INTERRUPTED.number) {
      lastStatus = why.status();
      LOG.log(System.Logger.Level.WARNING, who + " waits and tries again: " + why.getMessage());
    }
    try {
      Thread.sleep(nextMillis);
    } catch (InterruptedException e) {
      // whoever retries goes on
    }
    nextMillis = Math.min(LAST_MS, nextMillis * 2);
  }

  /** It was not prevented. */
  void reset() {
    if (lastStatus != 0) LOG.log(System.Logger.Level.INFO, who + " goes on");
    lastStatus = 0;
    nextMillis = FIRST_MS;
  }

  /** Calls, and calls again for as long as what prevents it may pass by itself. */
  static <T> T insist(String who, Supplier<T> call) {
    Backoff backoff = new Backoff(who);
    while (true) {
      try {
        T result = call.get();
        backoff.reset();
        return result;
      } catch (HonkerException e) {
        if (!e.isPassing()) throw e;
        backoff.pause(e);
      }
    }
  }
}
