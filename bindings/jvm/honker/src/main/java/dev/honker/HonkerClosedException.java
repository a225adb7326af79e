package dev.honker;

/** The database, or what was called, is closed; or it was closed while the call was running. */
public class HonkerClosedException extends HonkerException {
  private static final long serialVersionUID = 1;

  HonkerClosedException(String message) {
    super(message, Status.CLOSED_HANDLE);
  }
}
