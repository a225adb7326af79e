package dev.honker;

import java.time.Duration;
import java.time.Instant;

/** How a job is enqueued. Immutable. */
public final class EnqueueOptions {
  private final Builder is;

  private EnqueueOptions(Builder is) {
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
   * In what time the job becomes due; whole seconds, may be negative; default: now.
   *
   * @return the value, null if not given
   */
  public Duration delay() {
    return is.delay;
  }

  /**
   * When the job becomes due, whole seconds; not looked at if there is a delay; default: now.
   *
   * @return the value, null if not given
   */
  public Instant runAt() {
    return is.runAt == null ? null : Checks.instant(is.runAt);
  }

  Long runAtOrNull() {
    return is.runAt;
  }

  /**
   * After what time the job may not be claimed any more; whole seconds; default: never.
   *
   * @return the value, null if not given
   */
  public Duration expires() {
    return is.expires;
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
   * How often the job may be claimed; default: as the queue has it.
   *
   * @return the value, null if not given
   */
  public Long maxAttempts() {
    return is.maxAttempts;
  }

  @Override
  public String toString() {
    return "EnqueueOptions["
        + "delay="
        + is.delay
        + ", runAt="
        + is.runAt
        + ", expires="
        + is.expires
        + ", priority="
        + is.priority
        + ", maxAttempts="
        + is.maxAttempts
        + "]";
  }

  /** Makes {@link EnqueueOptions}. */
  public static final class Builder implements Cloneable {
    private Duration delay;
    private Long runAt;
    private Duration expires;
    private long priority = 0;
    private Long maxAttempts;

    private Builder() {}

    /**
     * Sets in what time the job becomes due; whole seconds, may be negative; default: now.
     *
     * @param delay the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder delay(Duration delay) {
      this.delay = Checks.secondsOrNull("delay", delay);
      return this;
    }

    /**
     * Sets when the job becomes due, whole seconds; not looked at if there is a delay; default:
     * now.
     *
     * @param runAt the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder runAt(Instant runAt) {
      return runAtEpochSecond(
          runAt == null ? null : Long.valueOf(Checks.instant("runAt", runAt).getEpochSecond()));
    }

    /**
     * Sets when the job becomes due, in Unix seconds.
     *
     * @param runAt the second, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder runAtEpochSecond(Long runAt) {
      this.runAt = Checks.numberOrNull("runAt", runAt);
      return this;
    }

    /**
     * Sets after what time the job may not be claimed any more; whole seconds; default: never.
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
     * Sets how often the job may be claimed; default: as the queue has it.
     *
     * @param maxAttempts the value, null for not given
     * @return this
     */
    public Builder maxAttempts(Long maxAttempts) {
      this.maxAttempts = maxAttempts;
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public EnqueueOptions build() {
      try {
        return new EnqueueOptions((Builder) clone());
      } catch (CloneNotSupportedException e) {
        throw new AssertionError(e);
      }
    }
  }
}
