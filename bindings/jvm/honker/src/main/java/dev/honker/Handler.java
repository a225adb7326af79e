package dev.honker;

/**
 * A function that is called with each thing that comes.
 *
 * @param <T> what comes
 */
@FunctionalInterface
public interface Handler<T> {
  /**
   * Handles one.
   *
   * @param item the thing
   * @throws Exception anything; what becomes of it says who takes the handler
   */
  void handle(T item) throws Exception;
}
