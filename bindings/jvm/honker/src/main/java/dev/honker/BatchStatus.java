package dev.honker;

import java.time.Instant;

/**
 * How the jobs of a {@link Batch} do.
 *
 * @param total how many there are
 * @param pending how many have not ended
 * @param done how many are done
 * @param dead how many are dead
 * @param cancelled how many were cancelled or deleted
 * @param sealed whether only running jobs of it may add to it
 * @param finishedAt when the last one ended; null until then
 */
public record BatchStatus(
    long total,
    long pending,
    long done,
    long dead,
    long cancelled,
    boolean sealed,
    Instant finishedAt) {

  static BatchStatus of(String json) {
    Json.Fields fields = Json.Fields.of(json);
    return new BatchStatus(
        fields.number("total"),
        fields.number("pending"),
        fields.number("done"),
        fields.number("dead"),
        fields.number("cancelled"),
        fields.is("sealed"),
        fields.instant("finished_at"));
  }
}
