package dev.honker;

import java.time.Duration;

/** How a task is run. Immutable. */
public final class TaskOptions extends Options<TaskOptions.Builder> {
  private TaskOptions(Builder is) {
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
   * How often the task may be tried; default 3.
   *
   * @return the value
   */
  public long retries() {
    return is.retries;
  }

  /**
   * In what time a task that failed is tried again; whole seconds; default 60 s.
   *
   * @return the value
   */
  public Duration retryDelay() {
    return is.retryDelay;
  }

  /**
   * Whether what the handler returns is saved; default true.
   *
   * @return the value
   */
  public boolean storeResult() {
    return is.storeResult;
  }

  /**
   * For what time a result is kept, 0 for ever; whole seconds; default 1 hour.
   *
   * @return the value
   */
  public Duration resultTtl() {
    return is.resultTtl;
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
   * After what time the task may not be begun any more; whole seconds; default: never.
   *
   * @return the value, null if not given
   */
  public Duration expires() {
    return is.expires;
  }

  /** Makes {@link TaskOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private long retries = 3;
    private Duration retryDelay = Duration.ofSeconds(60);
    private boolean storeResult = true;
    private Duration resultTtl = Duration.ofHours(1);
    private long priority = 0;
    private Duration expires;

    private Builder() {}

    /**
     * Sets how often the task may be tried; default 3.
     *
     * @param retries the value
     * @return this
     */
    public Builder retries(long retries) {
      this.retries = retries;
      return this;
    }

    /**
     * Sets in what time a task that failed is tried again; whole seconds; default 60 s.
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
     * Sets whether what the handler returns is saved; default true.
     *
     * @param storeResult the value
     * @return this
     */
    public Builder storeResult(boolean storeResult) {
      this.storeResult = storeResult;
      return this;
    }

    /**
     * Sets for what time a result is kept, 0 for ever; whole seconds; default 1 hour.
     *
     * @param resultTtl the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder resultTtl(Duration resultTtl) {
      this.resultTtl = Checks.seconds("resultTtl", resultTtl);
      return this;
    }

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
     * Sets after what time the task may not be begun any more; whole seconds; default: never.
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
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public TaskOptions build() {
      return new TaskOptions(this);
    }
  }
}
