package dev.honker;

import java.time.Duration;

/** How a worker works. Immutable. */
public final class WorkerOptions {
  private final Builder is;

  private WorkerOptions(Builder is) {
    this.is = is;
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
   * How many threads handle jobs; default 1.
   *
   * @return the value
   */
  public int concurrency() {
    return is.concurrency;
  }

  /**
   * How often a worker looks without having been woken; default 5 s.
   *
   * @return the value
   */
  public Duration idle() {
    return is.idle;
  }

  /**
   * In what time a job whose handler failed is tried again; whole seconds; default 60 s.
   *
   * @return the value
   */
  public Duration retryDelay() {
    return is.retryDelay;
  }

  @Override
  public String toString() {
    return "WorkerOptions["
        + "concurrency="
        + is.concurrency
        + ", idle="
        + is.idle
        + ", retryDelay="
        + is.retryDelay
        + "]";
  }

  /** Makes {@link WorkerOptions}. */
  public static final class Builder implements Cloneable {
    private int concurrency = 1;
    private Duration idle = Duration.ofSeconds(5);
    private Duration retryDelay = Duration.ofSeconds(60);

    private Builder() {}

    /**
     * Sets how many threads handle jobs; default 1.
     *
     * @param concurrency the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder concurrency(int concurrency) {
      this.concurrency = Checks.positive("concurrency", concurrency);
      return this;
    }

    /**
     * Sets how often a worker looks without having been woken; default 5 s.
     *
     * @param idle the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder idle(Duration idle) {
      this.idle = Checks.positiveMillis("idle", idle);
      return this;
    }

    /**
     * Sets in what time a job whose handler failed is tried again; whole seconds; default 60 s.
     *
     * @param retryDelay the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder retryDelay(Duration retryDelay) {
      this.retryDelay = Checks.seconds("retryDelay", retryDelay);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public WorkerOptions build() {
      try {
        return new WorkerOptions((Builder) clone());
      } catch (CloneNotSupportedException e) {
        throw new AssertionError(e);
      }
    }
  }
}
