package dev.honker;

import java.time.Duration;

/** How a lock is taken. Immutable. */
public final class LockOptions extends Options<LockOptions.Builder> {
  private LockOptions(Builder is) {
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
   * For what time the lock is the owner's; whole seconds; default 60 s.
   *
   * @return the value
   */
  public Duration ttl() {
    return is.ttl;
  }

  /**
   * Who has the lock; default: a name that nobody else has.
   *
   * @return the value, null if not given
   */
  public String owner() {
    return is.owner;
  }

  /** Makes {@link LockOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Duration ttl = Duration.ofSeconds(60);
    private String owner;

    private Builder() {}

    /**
     * Sets for what time the lock is the owner's; whole seconds; default 60 s.
     *
     * @param ttl the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder ttl(Duration ttl) {
      this.ttl = Checks.seconds("ttl", ttl);
      return this;
    }

    /**
     * Sets who has the lock; default: a name that nobody else has.
     *
     * @param owner the value, null for not given
     * @return this
     */
    public Builder owner(String owner) {
      this.owner = owner;
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public LockOptions build() {
      return new LockOptions(this);
    }
  }
}
