package dev.honker;

import java.time.Duration;

/** Where a subscription begins, and when it saves how far it has come. Immutable. */
public final class SubscribeOptions extends Options<SubscribeOptions.Builder> {
  private SubscribeOptions(Builder is) {
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
   * Whose offset is read and saved; default: nobody's, and nothing is saved.
   *
   * @return the value, null if not given
   */
  public String consumer() {
    return is.consumer;
  }

  /**
   * Where to begin: after this offset; default: after the consumer's saved offset, or from the
   * beginning.
   *
   * @return the value, null if not given
   */
  public Long fromOffset() {
    return is.fromOffset;
  }

  /**
   * After how many finished events the offset is saved, 0 for never because of a number; default
   * 1000.
   *
   * @return the value
   */
  public long saveEveryEvents() {
    return is.saveEveryEvents;
  }

  /**
   * After what time the offset is saved if there is something to save, 0 for never because of the
   * time; default 1 s.
   *
   * @return the value
   */
  public Duration saveEvery() {
    return is.saveEvery;
  }

  /** Makes {@link SubscribeOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private String consumer;
    private Long fromOffset;
    private long saveEveryEvents = 1000;
    private Duration saveEvery = Duration.ofSeconds(1);

    private Builder() {}

    /**
     * Sets whose offset is read and saved; default: nobody's, and nothing is saved.
     *
     * @param consumer the value, null for not given
     * @return this
     */
    public Builder consumer(String consumer) {
      this.consumer = consumer;
      return this;
    }

    /**
     * Sets where to begin: after this offset; default: after the consumer's saved offset, or from
     * the beginning.
     *
     * @param fromOffset the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder fromOffset(long fromOffset) {
      this.fromOffset = Checks.number("fromOffset", fromOffset);
      return this;
    }

    /**
     * Sets after how many finished events the offset is saved, 0 for never because of a number;
     * default 1000.
     *
     * @param saveEveryEvents the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder saveEveryEvents(long saveEveryEvents) {
      this.saveEveryEvents = saveEveryEvents;
      return this;
    }

    /**
     * Sets after what time the offset is saved if there is something to save, 0 for never because
     * of the time; default 1 s.
     *
     * @param saveEvery the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder saveEvery(Duration saveEvery) {
      this.saveEvery = Checks.notNull("saveEvery", saveEvery);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public SubscribeOptions build() {
      return new SubscribeOptions(this);
    }
  }
}
