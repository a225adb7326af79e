package dev.honker;

/**
 * All that was in this database has been moved to another one by {@code honker move}, or is being
 * moved; the message says where. Nothing was done. Trying again does not help: open that one.
 */
public class HonkerMovedException extends HonkerException {
  private static final long serialVersionUID = 1;

  HonkerMovedException(String message, String name, int code, int extendedCode) {
    super(message, Abi.MOVED, name, code, extendedCode);
  }
}
