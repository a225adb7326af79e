package dev.honker;

import java.time.Duration;

/** How long a result is kept. Immutable. */
public final class ResultOptions {
  final long ttlSeconds;

  private ResultOptions(long ttlSeconds) {
    this.ttlSeconds = ttlSeconds;
  }

  /**
   * Keeps the result for ever, which is the default.
   *
   * @return the options
   */
  public static ResultOptions neverExpires() {
    return new ResultOptions(0);
  }

  /**
   * Keeps the result for a time.
   *
   * @param ttl for how long, in whole seconds; 0 or less is for ever
   * @return the options
   * @throws HonkerInvalidOptionException if it is no number of whole seconds
   */
  public static ResultOptions ttl(Duration ttl) {
    return new ResultOptions(Checks.seconds("ttl", ttl).getSeconds());
  }
}
