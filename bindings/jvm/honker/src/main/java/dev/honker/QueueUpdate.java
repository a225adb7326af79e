package dev.honker;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What to change of the settings of a queue, see {@link QueueSettings}. Begins with nothing, and is
 * changed by its methods. What cannot be is refused by {@link Queue#configure}.
 */
public final class QueueUpdate {
  private final Map<String, Object> settings = new LinkedHashMap<>();

  /** Changes nothing, so far. */
  public QueueUpdate() {}

  /**
   * Changes whether no job is claimed.
   *
   * @param paused whether
   * @return this
   */
  public QueueUpdate paused(boolean paused) {
    return set("paused", paused);
  }

  /**
   * Changes how many jobs may run at once, in all processes together. None that runs is ended.
   *
   * @param concurrency 1 or more; null for any number
   * @return this
   */
  public QueueUpdate concurrency(Integer concurrency) {
    return set("concurrency", concurrency);
  }

  /**
   * Changes how many jobs with the same {@link EnqueueOptions.Builder#concurrencyKey} may run at
   * once. Those with other keys pass them by.
   *
   * @param concurrencyPerKey 1 or more; null for any number
   * @return this
   */
  public QueueUpdate concurrencyPerKey(Integer concurrencyPerKey) {
    return set("concurrency_per_key", concurrencyPerKey);
  }

  /**
   * Changes how many claims there may be in a time.
   *
   * @param limit how many, 1 or more
   * @param per in what time; whole seconds, 1 or more
   * @return this
   * @throws HonkerInvalidOptionException if the time is no number of seconds
   */
  public QueueUpdate rate(long limit, Duration per) {
    return rate(new QueueSettings.Rate(limit, per));
  }

  /**
   * Changes how many claims there may be in a time.
   *
   * @param rate how many; null for any number
   * @return this
   */
  public QueueUpdate rate(QueueSettings.Rate rate) {
    return set(
        "rate",
        rate == null ? null : Map.of("limit", rate.limit(), "per_s", rate.per().getSeconds()));
  }

  /**
   * Changes how often a job may be claimed whose enqueue does not say.
   *
   * @param maxAttempts 1 or more; null for the default, 3
   * @return this
   */
  public QueueUpdate maxAttempts(Integer maxAttempts) {
    return set("max_attempts", maxAttempts);
  }

  /**
   * Changes when a job that has failed is tried again whose settlement does not say.
   *
   * @param retry when; null for when its worker says
   * @return this
   */
  public QueueUpdate retry(QueueSettings.Retry retry) {
    if (retry == null) return set("retry", null);
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("base_s", retry.base().getSeconds());
    all.put("factor", retry.factor());
    all.put("max_s", retry.max().getSeconds());
    all.put("jitter", retry.jitter());
    return set("retry", all);
  }

  /**
   * Changes for what time done jobs can be looked at, see {@link Database#jobs}.
   *
   * @param keepDone whole seconds; null for the default: they cannot
   * @return this
   * @throws HonkerInvalidOptionException if it is no number of seconds
   */
  public QueueUpdate keepDone(Duration keepDone) {
    return set("keep_done_s", seconds("keepDone", keepDone));
  }

  /**
   * Changes for what time dead jobs are kept.
   *
   * @param keepDead whole seconds; null for ever
   * @return this
   * @throws HonkerInvalidOptionException if it is no number of seconds
   */
  public QueueUpdate keepDead(Duration keepDead) {
    return set("keep_dead_s", seconds("keepDead", keepDead));
  }

  private static Long seconds(String name, Duration value) {
    return value == null ? null : (Long) Checks.seconds(name, value).getSeconds();
  }

  private QueueUpdate set(String key, Object value) {
    settings.put(key, value);
    return this;
  }

  String json() {
    return Json.write(settings);
  }
}
