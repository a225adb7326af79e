package dev.honker;

/** An argument cannot be used; the message names it. */
public class HonkerInvalidOptionException extends HonkerException {
  private static final long serialVersionUID = 1;

  HonkerInvalidOptionException(String message) {
    super(message, Status.INVALID);
  }

  HonkerInvalidOptionException(String message, int status, String name) {
    super(message, status, name, 0, 0);
  }
}
