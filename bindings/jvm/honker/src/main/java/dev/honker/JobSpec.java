package dev.honker;

/**
 * A job to be enqueued.
 *
 * @param queue the name of the queue
 * @param payloadJson the payload: text, JSON by convention, stored as it is
 * @param options when it is due, and the like; null for the defaults
 */
public record JobSpec(String queue, String payloadJson, EnqueueOptions options) {
  /**
   * Makes one.
   *
   * @param queue the name of the queue
   * @param payloadJson the payload
   * @param options when it is due, and the like; null for the defaults
   * @throws HonkerInvalidOptionException if a text is none, or no Unicode
   */
  public JobSpec {
    Checks.utf8("queue", queue);
    Checks.utf8("payloadJson", payloadJson);
    if (options == null) options = EnqueueOptions.builder().build();
  }
}
