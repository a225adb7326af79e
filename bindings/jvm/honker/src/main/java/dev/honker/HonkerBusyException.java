package dev.honker;

/**
 * Another process, or a transaction of this one, held the write lock for longer than the busy
 * timeout. Nothing was done; try again.
 */
public class HonkerBusyException extends HonkerSqlException {
  private static final long serialVersionUID = 1;

  HonkerBusyException(String message, String name, int code, int extendedCode) {
    super(message, Status.BUSY.number, name, code, extendedCode);
  }
}
