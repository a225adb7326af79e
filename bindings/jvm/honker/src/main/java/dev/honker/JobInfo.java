package dev.honker;

import java.time.Instant;
import java.util.Map;

/**
 * A job as it was when somebody looked, wherever it is. What it does not have is null.
 *
 * @param id its id
 * @param queue the name of its queue
 * @param payloadJson its payload
 * @param state where it is in its life
 * @param priority larger is sooner
 * @param runAt when it is, or was, due
 * @param workerId who has it, see {@link Job#workerId}
 * @param claimExpiresAt the last second in which that is so
 * @param attempts how often it has been claimed
 * @param maxAttempts how often it may be
 * @param createdAt when it was enqueued
 * @param expiresAt from when on it may not be claimed any more
 * @param lastError why it died
 * @param diedAt when it died
 * @param finishedAt when it was done
 * @param resultJson its result
 * @param metadata its metadata; empty if it has none
 * @param uniqueKey its unique key
 * @param concurrencyKey its concurrency key
 * @param batchId the batch that it belongs to
 */
public record JobInfo(
    long id,
    String queue,
    String payloadJson,
    JobState state,
    long priority,
    Instant runAt,
    String workerId,
    Instant claimExpiresAt,
    long attempts,
    long maxAttempts,
    Instant createdAt,
    Instant expiresAt,
    String lastError,
    Instant diedAt,
    Instant finishedAt,
    String resultJson,
    Map<String, String> metadata,
    String uniqueKey,
    String concurrencyKey,
    Long batchId) {

  /** Of a list of jobs, or of the dead. */
  static JobInfo of(Json.Fields fields) {
    String state = fields.text("state");
    return new JobInfo(
        fields.number("id"),
        fields.text("queue"),
        fields.text("payload"),
        state == null ? JobState.DEAD : JobState.of(state),
        fields.number("priority"),
        fields.instant("run_at"),
        fields.text("worker_id"),
        fields.instant("claim_expires_at"),
        fields.number("attempts"),
        fields.number("max_attempts"),
        fields.instant("created_at"),
        fields.instant("expires_at"),
        fields.text("last_error"),
        fields.instant("died_at"),
        fields.instant("finished_at"),
        fields.text("result"),
        Metadata.of(fields.map().get("metadata")),
        fields.text("unique_key"),
        fields.text("concurrency_key"),
        fields.number("batch_id"));
  }
}
