package dev.honker;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A job to be enqueued.
 *
 * @param queue the name of the queue
 * @param json the payload: text, JSON by convention, stored as it is
 * @param options when it is due, and the like; null for the defaults
 */
public record JobSpec(String queue, String json, EnqueueOptions options) {
  /**
   * Makes one.
   *
   * @param queue the name of the queue
   * @param json the payload
   * @param options when it is due, and the like; null for the defaults
   * @throws HonkerInvalidOptionException if a text is null
   */
  public JobSpec {
    Checks.notNull("queue", queue);
    Checks.notNull("json", json);
    if (options == null) options = EnqueueOptions.builder().build();
  }

  /**
   * The same with more metadata.
   *
   * @param metadata what is added to it, or replaces what it has of the same keys
   * @return a job
   */
  public JobSpec withMetadata(Map<String, String> metadata) {
    Map<String, String> all = new LinkedHashMap<>(options.metadata());
    all.putAll(metadata);
    return new JobSpec(queue, json, options.toBuilder().metadata(all).build());
  }
}
