package dev.honker;

/**
 * Thrown by the handler of a job that can never be done: the job is among the dead at once,
 * whatever attempts it has left.
 */
public class DiscardException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /**
   * Makes one.
   *
   * @param message why, for people
   */
  public DiscardException(String message) {
    super(message);
  }

  /**
   * Makes one.
   *
   * @param message why, for people
   * @param cause what has happened
   */
  public DiscardException(String message, Throwable cause) {
    super(message, cause);
  }
}
