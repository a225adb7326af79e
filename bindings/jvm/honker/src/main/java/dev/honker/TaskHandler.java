package dev.honker;

/** What a task does. */
@FunctionalInterface
public interface TaskHandler {
  /**
   * Does it.
   *
   * @param call what it is called with
   * @return the result: JSON text; null for JSON's null
   * @throws Exception if it could not: a {@link RetryableException} says when it is tried again
   */
  String run(TaskCall call) throws Exception;
}
