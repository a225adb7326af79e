package dev.honker;

import java.time.Duration;

/** How a listener waits. Immutable. */
public final class ListenOptions extends Options<ListenOptions.Builder> {
  private ListenOptions(Builder is) {
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
   * How often to look without having been woken; default 15 s.
   *
   * @return the value
   */
  public Duration fallback() {
    return is.fallback;
  }

  /** Makes {@link ListenOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Duration fallback = Duration.ofSeconds(15);

    private Builder() {}

    /**
     * Sets how often to look without having been woken; default 15 s.
     *
     * @param fallback the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder fallback(Duration fallback) {
      this.fallback = Checks.positiveMillis("fallback", fallback);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public ListenOptions build() {
      return new ListenOptions(this);
    }
  }
}
