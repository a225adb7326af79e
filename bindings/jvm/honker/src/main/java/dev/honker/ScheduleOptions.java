package dev.honker;

import java.time.Duration;

/** How the jobs of a schedule are enqueued. Immutable. */
public final class ScheduleOptions extends Options<ScheduleOptions.Builder> {
  private ScheduleOptions(Builder is) {
    super(is);
  }

  /**
   * Begins with the defaults.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * Larger is sooner; default 0.
   *
   * @return the value
   */
  public long priority() {
    return is.priority;
  }

  /**
   * After what time from its boundary a job may not be claimed any more; whole seconds; default:
   * never.
   *
   * @return the value, null if not given
   */
  public Duration expires() {
    return is.expires;
  }

  /**
   * How often a job may be claimed; default: what is set for its queue, or else 3.
   *
   * @return the value, null for the default
   */
  public Long maxAttempts() {
    return is.maxAttempts;
  }

  /**
   * What else there is to be said of the jobs; default: nothing.
   *
   * @return the value, null if not given
   */
  public EnqueueOptions job() {
    return is.job;
  }

  /**
   * What becomes of a boundary while the last job of the schedule is live; default {@link
   * Overlap#ALLOW}.
   *
   * @return the value
   */
  public Overlap overlap() {
    return is.overlap;
  }

  /** What becomes of a boundary while the last job of its schedule is live. */
  public enum Overlap {
    /** A job is enqueued nevertheless. */
    ALLOW,
    /** None is, unless no claim may take the last one any more. */
    SKIP
  }

  /** Makes {@link ScheduleOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private long priority = 0;
    private Duration expires;
    private Long maxAttempts;
    private EnqueueOptions job;
    private Overlap overlap = Overlap.ALLOW;

    private Builder() {}

    /**
     * Sets larger is sooner; default 0.
     *
     * @param priority the value
     * @return this
     */
    public Builder priority(long priority) {
      this.priority = priority;
      return this;
    }

    /**
     * Sets after what time from its boundary a job may not be claimed any more; whole seconds;
     * default: never.
     *
     * @param expires the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder expires(Duration expires) {
      this.expires = Checks.secondsOrNull("expires", expires);
      return this;
    }

    /**
     * Sets how often a job may be claimed; default: what is set for its queue, or else 3.
     *
     * @param maxAttempts the value
     * @return this
     */
    public Builder maxAttempts(long maxAttempts) {
      this.maxAttempts = maxAttempts;
      return this;
    }

    /**
     * Sets what else there is to be said of the jobs: metadata, keys, a batch, a time to run, a
     * delay from when each is enqueued; default: nothing.
     *
     * @param job the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if it has what the schedule says itself, or what is said
     *     of one job alone
     */
    public Builder job(EnqueueOptions job) {
      if (job != null) {
        boolean isScheduled =
            job.priority() != 0 || job.expires() != null || job.maxAttempts() != null;
        if (isScheduled) {
          throw Checks.invalid(
              "job", "has priority, expires or maxAttempts, which are options here");
        }
        if (job.ofOneJob() != null) throw Checks.invalid("job", "must not have " + job.ofOneJob());
      }
      this.job = job;
      return this;
    }

    /**
     * Sets what becomes of a boundary while the last job of the schedule is live; default {@link
     * Overlap#ALLOW}.
     *
     * @param overlap the value
     * @return this
     */
    public Builder overlap(Overlap overlap) {
      this.overlap = Checks.notNull("overlap", overlap);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public ScheduleOptions build() {
      return new ScheduleOptions(this);
    }
  }
}
