package dev.honker;

/** What was waited for did not come in time. */
public class HonkerTimeoutException extends HonkerException {
  private static final long serialVersionUID = 1;

  HonkerTimeoutException(String message) {
    super(message, 2, "HONKER_TIMEOUT", 0, 0);
  }
}
