package dev.honker;

/**
 * The distance between tries while somebody else keeps the file locked: 20 ms, twice as long each
 * time, a second at most. It matters where the busy timeout is short; a try takes that long as
 * well.
 */
final class Backoff {
  private static final long FIRST_MS = 20;
  private static final long LAST_MS = 1000;

  private long nextMillis = FIRST_MS;

  /**
   * Pauses. An interrupt ends the pause and nothing else, so that its status cannot make a spin.
   */
  void pause() {
    try {
      Thread.sleep(nextMillis);
    } catch (InterruptedException e) {
      // whoever retries goes on
    }
    nextMillis = Math.min(LAST_MS, nextMillis * 2);
  }

  /** It was not locked. */
  void reset() {
    nextMillis = FIRST_MS;
  }
}
