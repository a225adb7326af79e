package dev.honker.testing;

import dev.honker.Row;
import java.time.Instant;

/**
 * A job that is in the file, claimed or not.
 *
 * @param id its id
 * @param queue the name of its queue
 * @param payloadJson its payload
 * @param priority larger is sooner
 * @param runAt when it is due
 * @param attempts how often it has been claimed
 * @param maxAttempts how often it may be
 */
public record EnqueuedJob(
    long id,
    String queue,
    String payloadJson,
    long priority,
    Instant runAt,
    long attempts,
    long maxAttempts) {
  static final String COLUMNS = "id, queue, payload, priority, run_at, attempts, max_attempts";

  static EnqueuedJob of(Row row) {
    return new EnqueuedJob(
        row.getLong("id"),
        row.getString("queue"),
        row.getString("payload"),
        row.getLong("priority"),
        Instant.ofEpochSecond(row.getLong("run_at")),
        row.getLong("attempts"),
        row.getLong("max_attempts"));
  }
}
