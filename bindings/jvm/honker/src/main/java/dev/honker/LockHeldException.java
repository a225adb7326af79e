package dev.honker;

/** Somebody else has the lock. */
public class LockHeldException extends HonkerException {
  private static final long serialVersionUID = 1;

  LockHeldException(String message) {
    super(message, 5, "HONKER_HELD", 0, 0);
  }
}
