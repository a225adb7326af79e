package dev.honker;

import java.time.Duration;

/**
 * Which notifications are deleted: those that are too old, and those that are too many. Immutable.
 */
public final class NotificationPruneOptions extends Options<NotificationPruneOptions.Builder> {
  private NotificationPruneOptions(Builder is) {
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
   * Deletes what is older; whole seconds; default: age does not matter.
   *
   * @return the value, null if not given
   */
  public Duration olderThan() {
    return is.olderThan;
  }

  /**
   * Deletes what is not among that many newest; default: their number does not matter.
   *
   * @return the value, null if not given
   */
  public Long maxKeep() {
    return is.maxKeep;
  }

  /** Makes {@link NotificationPruneOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Duration olderThan;
    private Long maxKeep;

    private Builder() {}

    /**
     * Sets deletes what is older; whole seconds; default: age does not matter.
     *
     * @param olderThan the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder olderThan(Duration olderThan) {
      this.olderThan = Checks.secondsOrNull("olderThan", olderThan);
      return this;
    }

    /**
     * Deletes what is not among that many newest; default: their number does not matter.
     *
     * @param maxKeep the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder maxKeep(long maxKeep) {
      this.maxKeep = Checks.number("maxKeep", maxKeep);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public NotificationPruneOptions build() {
      return new NotificationPruneOptions(this);
    }
  }
}
