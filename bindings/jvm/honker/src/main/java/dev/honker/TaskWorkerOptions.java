package dev.honker;

import java.time.Duration;

/** How tasks are worked on. Immutable. */
public final class TaskWorkerOptions {
  private final Builder is;

  private TaskWorkerOptions(Builder is) {
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
   * How many threads work on each queue; default 1.
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

  @Override
  public String toString() {
    return "TaskWorkerOptions[" + "concurrency=" + is.concurrency + ", idle=" + is.idle + "]";
  }

  /** Makes {@link TaskWorkerOptions}. */
  public static final class Builder implements Cloneable {
    private int concurrency = 1;
    private Duration idle = Duration.ofSeconds(5);

    private Builder() {}

    /**
     * Sets how many threads work on each queue; default 1.
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
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public TaskWorkerOptions build() {
      try {
        return new TaskWorkerOptions((Builder) clone());
      } catch (CloneNotSupportedException e) {
        throw new AssertionError(e);
      }
    }
  }
}
