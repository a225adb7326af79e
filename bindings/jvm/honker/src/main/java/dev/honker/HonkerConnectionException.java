package dev.honker;

/**
 * The connection to the Postgres server was lost, or there is none to be had. honker connects again
 * by itself, so that the same call may succeed later. Whether a call whose connection was lost has
 * happened is not known: what must not be enqueued twice has a unique key.
 */
public class HonkerConnectionException extends HonkerException {
  private static final long serialVersionUID = 1;

  HonkerConnectionException(String message, String name) {
    super(message, Abi.CONNECTION, name, 0, 0);
  }
}
