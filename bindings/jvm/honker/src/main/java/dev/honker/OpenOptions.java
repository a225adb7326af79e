package dev.honker;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executor;

/** How a database is opened. Immutable. */
public final class OpenOptions extends Options<OpenOptions.Builder> {
  private OpenOptions(Builder is) {
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
   * The file of libhonker; if it is not given, the library is searched for as the README says. A
   * process uses one library: the first that was loaded.
   *
   * @return the value, null if not given
   */
  public Path libraryPath() {
    return is.libraryPath;
  }

  /**
   * How many reads may run at the same time, 1 to 1000; default 8.
   *
   * @return the value
   */
  public int maxReaders() {
    return is.maxReaders;
  }

  /**
   * How long a call waits for a lock that another process, or a transaction of this one, holds;
   * milliseconds count; default 5 s.
   *
   * @return the value
   */
  public Duration busyTimeout() {
    return is.busyTimeout;
  }

  /**
   * WAL, DELETE, TRUNCATE or PERSIST; default WAL.
   *
   * @return the value
   */
  public String journalMode() {
    return is.journalMode;
  }

  /**
   * What a commit survives; default NORMAL.
   *
   * @return the value
   */
  public Durability durability() {
    return is.durability;
  }

  /**
   * After how many pages the write-ahead log is written back, 0 for never; default 10000.
   *
   * @return the value
   */
  public int walAutocheckpoint() {
    return is.walAutocheckpoint;
  }

  /**
   * How often at least workers, outboxes and listeners look without having been woken; if it is not
   * given, as each of them says.
   *
   * @return the value, null if not given
   */
  public Duration fallbackPollInterval() {
    return is.fallbackPollInterval;
  }

  /**
   * How commits are noticed.
   *
   * @return the value
   */
  public WatcherOptions watcherOptions() {
    return is.watcherOptions;
  }

  /**
   * Where futures are completed; default the common pool of ForkJoinPool.
   *
   * @return the value, null if not given
   */
  public Executor executor() {
    return is.executor;
  }

  List<EnqueueInterceptor> enqueueInterceptors() {
    return is.enqueueInterceptors;
  }

  /** What a commit survives. */
  public enum Durability {
    /** A crash of the process; a power cut may take the last commits back. */
    NORMAL,
    /** A power cut as well. */
    FULL
  }

  /** Makes {@link OpenOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Path libraryPath;
    private int maxReaders = 8;
    private Duration busyTimeout = Duration.ofSeconds(5);
    private String journalMode = "WAL";
    private Durability durability = Durability.NORMAL;
    private int walAutocheckpoint = 10000;
    private Duration fallbackPollInterval;
    private WatcherOptions watcherOptions = WatcherOptions.builder().build();
    private Executor executor;

    private List<EnqueueInterceptor> enqueueInterceptors = List.of();

    private Builder() {}

    /**
     * Sets the file of libhonker; if it is not given, the library is searched for as the README
     * says. A process uses one library: the first that was loaded.
     *
     * @param libraryPath the value, null for not given
     * @return this
     */
    public Builder libraryPath(Path libraryPath) {
      this.libraryPath = libraryPath;
      return this;
    }

    /**
     * Sets how many reads may run at the same time, 1 to 1000; default 8.
     *
     * @param maxReaders the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder maxReaders(int maxReaders) {
      this.maxReaders = Checks.positive("maxReaders", maxReaders);
      return this;
    }

    /**
     * Sets how long a call waits for a lock that another process, or a transaction of this one,
     * holds; milliseconds count; default 5 s.
     *
     * @param busyTimeout the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder busyTimeout(Duration busyTimeout) {
      this.busyTimeout = Checks.millis("busyTimeout", busyTimeout);
      return this;
    }

    /**
     * Sets WAL, DELETE, TRUNCATE or PERSIST; default WAL.
     *
     * @param journalMode the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder journalMode(String journalMode) {
      this.journalMode = Checks.notNull("journalMode", journalMode);
      return this;
    }

    /**
     * Sets what a commit survives; default NORMAL.
     *
     * @param durability the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder durability(Durability durability) {
      this.durability = Checks.notNull("durability", durability);
      return this;
    }

    /**
     * Sets after how many pages the write-ahead log is written back, 0 for never; default 10000.
     *
     * @param walAutocheckpoint the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder walAutocheckpoint(int walAutocheckpoint) {
      this.walAutocheckpoint = Checks.notNegative("walAutocheckpoint", walAutocheckpoint);
      return this;
    }

    /**
     * Sets how often at least workers, outboxes and listeners look without having been woken; if it
     * is not given, as each of them says.
     *
     * @param fallbackPollInterval the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder fallbackPollInterval(Duration fallbackPollInterval) {
      this.fallbackPollInterval =
          Checks.positiveMillisOrNull("fallbackPollInterval", fallbackPollInterval);
      return this;
    }

    /**
     * Sets how commits are noticed.
     *
     * @param watcherOptions the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder watcherOptions(WatcherOptions watcherOptions) {
      this.watcherOptions = Checks.notNull("watcherOptions", watcherOptions);
      return this;
    }

    /**
     * Sets where futures are completed; default the common pool of ForkJoinPool.
     *
     * @param executor the value, null for not given
     * @return this
     */
    public Builder executor(Executor executor) {
      this.executor = executor;
      return this;
    }

    /**
     * Adds what is called around everything that is enqueued; the first one added is the outermost.
     *
     * @param interceptor what is called, by any thread
     * @return this
     */
    public Builder enqueueInterceptor(EnqueueInterceptor interceptor) {
      Checks.notNull("interceptor", interceptor);
      this.enqueueInterceptors = WorkerOptions.with(enqueueInterceptors, interceptor);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public OpenOptions build() {
      return new OpenOptions(this);
    }
  }
}
