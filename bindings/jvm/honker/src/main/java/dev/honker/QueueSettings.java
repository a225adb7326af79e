package dev.honker;

import java.time.Duration;

/**
 * What is set for a queue, in the file: it holds for every process. See {@link Queue#configure}.
 *
 * @param paused whether no job is claimed
 * @param concurrency how many jobs may run at once; null for any number
 * @param concurrencyPerKey how many jobs with the same {@link
 *     EnqueueOptions.Builder#concurrencyKey} may run at once; null for any number
 * @param rate how many claims there may be in a time; null for any number
 * @param maxAttempts how often a job may be claimed whose enqueue does not say
 * @param retry when a job that has failed is tried again; null for when its worker says
 * @param keepDone for what time done jobs can be looked at; zero for none
 * @param keepDead for what time dead jobs are kept; null for ever
 */
public record QueueSettings(
    boolean paused,
    Long concurrency,
    Long concurrencyPerKey,
    Rate rate,
    long maxAttempts,
    Retry retry,
    Duration keepDone,
    Duration keepDead) {

  /**
   * How many claims there may be in each window of time, which begin at multiples of its length.
   *
   * @param limit how many, 1 or more
   * @param per in what time; whole seconds, 1 or more
   */
  public record Rate(long limit, Duration per) {
    /**
     * Makes one.
     *
     * @param limit how many, 1 or more
     * @param per in what time; whole seconds, 1 or more
     * @throws HonkerInvalidOptionException if the time is no number of seconds
     */
    public Rate {
      Checks.notNull("per", Checks.positiveSecondsOrNull("per", per));
    }
  }

  /**
   * When a job is tried again whose settlement does not say: after {@code base}, {@code base *
   * factor}, {@code base * factor * factor}, …
   *
   * @param base the first delay; whole seconds
   * @param factor how much longer each further one is, 1 or more
   * @param max the longest; whole seconds
   * @param jitter how much of it is random, from 0 to 1, so that jobs that failed together do not
   *     come back together
   */
  public record Retry(Duration base, double factor, Duration max, double jitter) {
    /**
     * Makes one.
     *
     * @param base the first delay; whole seconds
     * @param factor how much longer each further one is, 1 or more
     * @param max the longest; whole seconds
     * @param jitter how much of it is random, from 0 to 1
     * @throws HonkerInvalidOptionException if one of them cannot be
     */
    public Retry {
      Checks.seconds("base", base);
      Checks.seconds("max", max);
      if (!(factor >= 1 && factor <= Double.MAX_VALUE)) {
        throw Checks.invalid("factor", "must be at least 1: " + factor);
      }
      if (!(jitter >= 0 && jitter <= 1)) {
        throw Checks.invalid("jitter", "must be from 0 to 1: " + jitter);
      }
    }
  }

  static QueueSettings of(Json.Fields fields) {
    Json.Fields rate = fields.fields("rate");
    Json.Fields retry = fields.fields("retry");
    return new QueueSettings(
        fields.is("paused"),
        fields.number("concurrency"),
        fields.number("concurrency_per_key"),
        rate == null ? null : new Rate(rate.number("limit"), rate.seconds("per_s")),
        fields.number("max_attempts"),
        retry == null
            ? null
            : new Retry(
                retry.seconds("base_s"),
                retry.real("factor"),
                retry.seconds("max_s"),
                retry.real("jitter")),
        fields.seconds("keep_done_s"),
        fields.seconds("keep_dead_s"));
  }
}
