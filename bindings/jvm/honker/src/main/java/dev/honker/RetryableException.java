package dev.honker;

import java.time.Duration;

/**
 * Thrown by the handler of a job that is to be tried again after a time that the handler chooses.
 */
public class RetryableException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final Duration delay;

  /**
   * Makes one.
   *
   * @param message why, for people; null is the empty text
   * @param delay in what time the job becomes due again; whole seconds
   * @throws HonkerInvalidOptionException if the delay is no number of whole seconds
   */
  public RetryableException(String message, Duration delay) {
    super(message);
    this.delay = Checks.seconds("delay", delay);
  }

  /**
   * In what time the job becomes due again.
   *
   * @return whole seconds
   */
  public final Duration delay() {
    return delay;
  }
}
