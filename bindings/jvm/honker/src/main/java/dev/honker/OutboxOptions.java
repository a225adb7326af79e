package dev.honker;

import java.time.Duration;

/** How an outbox delivers. Immutable. */
public final class OutboxOptions extends Options<OutboxOptions.Builder> {
  private OutboxOptions(Builder is) {
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
   * How long a delivery may take before it goes to another worker; whole seconds; default 60 s.
   *
   * @return the value
   */
  public Duration visibilityTimeout() {
    return is.visibilityTimeout;
  }

  /**
   * How often a delivery is tried; default 5.
   *
   * @return the value
   */
  public long maxAttempts() {
    return is.maxAttempts;
  }

  /**
   * How long the first retry waits; each further one waits twice as long as the one before; whole
   * seconds; 0 for no wait; default 5 s.
   *
   * @return the value
   */
  public Duration baseBackoff() {
    return is.baseBackoff;
  }

  /** Makes {@link OutboxOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Duration visibilityTimeout = Duration.ofSeconds(60);
    private long maxAttempts = 5;
    private Duration baseBackoff = Duration.ofSeconds(5);

    private Builder() {}

    /**
     * Sets how long a delivery may take before it goes to another worker; whole seconds; default 60
     * s.
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
     * Sets how often a delivery is tried; default 5.
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
     * Sets how long the first retry waits; each further one waits twice as long as the one before;
     * whole seconds; 0 for no wait; default 5 s.
     *
     * @param baseBackoff the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder baseBackoff(Duration baseBackoff) {
      this.baseBackoff = Checks.seconds("baseBackoff", baseBackoff);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public OutboxOptions build() {
      return new OutboxOptions(this);
    }
  }
}
