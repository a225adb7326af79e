package dev.honker;

/**
 * libhonker was not found, or is not one that this package can use. The message lists what was
 * tried.
 */
public class HonkerLoadException extends HonkerException {
  private static final long serialVersionUID = 1;

  HonkerLoadException(String message) {
    super(message, Status.UNSUPPORTED);
  }
}
