package dev.honker;

import java.time.Duration;

/** How long to wait for something. Immutable. */
public final class WaitOptions extends Options<WaitOptions.Builder> {
  private WaitOptions(Builder is) {
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
   * Waits for at most this long.
   *
   * @param timeout how long to wait
   * @return the options
   */
  public static WaitOptions timeout(Duration timeout) {
    return builder().timeout(timeout).build();
  }

  Duration timeoutOrNull() {
    return is.timeout;
  }

  /** Makes {@link WaitOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Duration timeout;

    private Builder() {}

    /**
     * Sets how long to wait; default: without end.
     *
     * @param timeout the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder timeout(Duration timeout) {
      this.timeout = Checks.millisOrNull("timeout", timeout);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public WaitOptions build() {
      return new WaitOptions(this);
    }
  }
}
