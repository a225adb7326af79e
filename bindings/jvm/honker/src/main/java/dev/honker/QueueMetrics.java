package dev.honker;

import java.time.Duration;
import java.util.List;

/**
 * How a queue does, for monitoring. Processes count what their own calls have committed, and add it
 * to the file within 10 s, and when they close it: a killed process loses its last counts, and what
 * SQL of the application's does is not counted.
 *
 * @param queue its name
 * @param counts what has happened to its jobs since it is there
 * @param queueWait for what time claimed jobs had been due
 * @param runTime from when they were claimed to when they were settled
 * @param depth what there is now
 */
public record QueueMetrics(
    String queue, Counts counts, Histogram queueWait, Histogram runTime, Depth depth) {

  /**
   * What has happened to jobs; each number only grows.
   *
   * @param enqueued how often one was enqueued
   * @param claimed how often one was claimed
   * @param done how often one was done
   * @param retried how often one was to be tried again
   * @param released how often one was given back without having been tried
   * @param dead how often one has died
   * @param cancelled how often one was cancelled
   */
  public record Counts(
      long enqueued,
      long claimed,
      long done,
      long retried,
      long released,
      long dead,
      long cancelled) {}

  /**
   * How often something took how long.
   *
   * @param sum all of it, in seconds
   * @param buckets in ascending order; each counts what no earlier one does
   */
  public record Histogram(double sum, List<Bucket> buckets) {}

  /**
   * A part of a {@link Histogram}.
   *
   * @param upTo its upper bound, in seconds; infinite for the last one
   * @param count how often
   */
  public record Bucket(double upTo, long count) {}

  /**
   * How many jobs there are.
   *
   * @param due those that wait for a worker
   * @param delayed those that wait for their time
   * @param processing those that a worker has
   * @param blocked those that wait for another one with their concurrency key
   * @param expired those that nobody may claim any more
   * @param dead those that have failed for good
   * @param oldestDue since when the oldest due one is due; null if none is
   */
  public record Depth(
      long due,
      long delayed,
      long processing,
      long blocked,
      long expired,
      long dead,
      Duration oldestDue) {}

  static QueueMetrics of(Json.Fields fields) {
    Json.Fields counts = fields.fields("counts");
    Json.Fields depth = fields.fields("depth");
    return new QueueMetrics(
        fields.text("queue"),
        new Counts(
            counts.number("enqueued"),
            counts.number("claimed"),
            counts.number("done"),
            counts.number("retried"),
            counts.number("released"),
            counts.number("dead"),
            counts.number("cancelled")),
        histogram(fields.fields("wait")),
        histogram(fields.fields("run")),
        new Depth(
            depth.number("due"),
            depth.number("delayed"),
            depth.number("processing"),
            depth.number("blocked"),
            depth.number("expired"),
            depth.number("dead"),
            depth.seconds("oldest_due_age_s")));
  }

  private static Histogram histogram(Json.Fields fields) {
    return new Histogram(
        fields.real("sum_s"),
        fields.list(
            "buckets",
            it -> {
              Double upTo = it.real("up_to_s");
              return new Bucket(upTo == null ? Double.POSITIVE_INFINITY : upTo, it.number("count"));
            }));
  }
}
