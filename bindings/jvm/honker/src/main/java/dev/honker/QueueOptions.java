package dev.honker;

import java.time.Duration;

/** What holds of the jobs of one {@link Queue}. Immutable. */
public final class QueueOptions extends Options<QueueOptions.Builder> {
  private QueueOptions(Builder is) {
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
   * For how long a claimed job is its worker's; whole seconds; default 300 s.
   *
   * @return the value
   */
  public Duration visibilityTimeout() {
    return is.visibilityTimeout;
  }

  /**
   * How often a job may be claimed that is enqueued through this, unless {@link EnqueueOptions} say
   * otherwise; default: as {@link QueueSettings} have it for everybody, which is 3 if nobody has
   * set it.
   *
   * @return the value, null if not given
   */
  public Long maxAttempts() {
    return is.maxAttempts;
  }

  /** Makes {@link QueueOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Duration visibilityTimeout = Duration.ofSeconds(300);
    private Long maxAttempts;

    private Builder() {}

    /**
     * Sets for how long a claimed job is its worker's; whole seconds; default 300 s.
     *
     * @param visibilityTimeout the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder visibilityTimeout(Duration visibilityTimeout) {
      this.visibilityTimeout = Checks.seconds("visibilityTimeout", visibilityTimeout);
      return this;
    }

    /**
     * Sets how often a job may be claimed that is enqueued through this, unless {@link
     * EnqueueOptions} say otherwise; default: as {@link QueueSettings} have it for everybody, which
     * is 3 if nobody has set it.
     *
     * @param maxAttempts the value
     * @return this
     * @throws HonkerInvalidOptionException if it is less than 1: no job would ever be claimed
     */
    public Builder maxAttempts(long maxAttempts) {
      this.maxAttempts = Checks.attempts("maxAttempts", maxAttempts);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public QueueOptions build() {
      return new QueueOptions(this);
    }
  }
}
