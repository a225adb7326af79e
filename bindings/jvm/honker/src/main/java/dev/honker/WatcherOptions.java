package dev.honker;

import java.time.Duration;

/** How commits are noticed. Immutable. */
public final class WatcherOptions extends Options<WatcherOptions.Builder> {
  private WatcherOptions(Builder is) {
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
   * The mechanism; default AUTO.
   *
   * @return the value
   */
  public String backend() {
    return is.backend;
  }

  /**
   * How often the mechanisms that poll look; default 1 ms.
   *
   * @return the value
   */
  public Duration pollInterval() {
    return is.pollInterval;
  }

  /**
   * Accepted and not looked at: libhonker looks every 100 ms whether the file is still the same.
   *
   * @return the value
   */
  public Duration identityCheckInterval() {
    return is.identityCheckInterval;
  }

  /**
   * Accepted and not looked at: wakes are merged and need no buffer.
   *
   * @return the value
   */
  public int subscriberBufferSize() {
    return is.subscriberBufferSize;
  }

  /**
   * A mechanism. One that is asked for by name is never replaced by another: opening fails if it
   * does not work.
   */
  public enum Backend {
    /** The best one that works. */
    AUTO("auto"),
    /** Looks at SQLite's change counter, again and again. */
    PRAGMA_DATA_VERSION("polling"),
    /** Looks at SQLite's shared memory, again and again. */
    MMAP_SHM("shm"),
    /** Is told by the operating system. */
    KERNEL_EVENTS("kernel");

    final String nativeName;

    Backend(String nativeName) {
      this.nativeName = nativeName;
    }
  }

  /** Makes {@link WatcherOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private String backend = Backend.AUTO.nativeName;
    private Duration pollInterval = Duration.ofMillis(1);
    private Duration identityCheckInterval = Duration.ofMillis(100);
    private int subscriberBufferSize = 1024;

    private Builder() {}

    /**
     * Sets the mechanism; default AUTO.
     *
     * @param backend the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder backend(Backend backend) {
      return backend(Checks.notNull("backend", backend).nativeName);
    }

    /**
     * Sets the mechanism by its name, from a configuration for instance.
     *
     * @param name auto, polling, kernel or shm; any other is refused when a database is opened
     * @return this
     */
    public Builder backend(String name) {
      this.backend = Checks.notNull("backend", name);
      return this;
    }

    /**
     * Sets how often the mechanisms that poll look; default 1 ms.
     *
     * @param pollInterval the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder pollInterval(Duration pollInterval) {
      this.pollInterval = Checks.positiveMillis("pollInterval", pollInterval);
      return this;
    }

    /**
     * Sets accepted and not looked at: libhonker looks every 100 ms whether the file is still the
     * same.
     *
     * @param identityCheckInterval the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder identityCheckInterval(Duration identityCheckInterval) {
      this.identityCheckInterval =
          Checks.positiveMillis("identityCheckInterval", identityCheckInterval);
      return this;
    }

    /**
     * Sets accepted and not looked at: wakes are merged and need no buffer.
     *
     * @param subscriberBufferSize the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder subscriberBufferSize(int subscriberBufferSize) {
      this.subscriberBufferSize = Checks.positive("subscriberBufferSize", subscriberBufferSize);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public WatcherOptions build() {
      return new WatcherOptions(this);
    }
  }
}
