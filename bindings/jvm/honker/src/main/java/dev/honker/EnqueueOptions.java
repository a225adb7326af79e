package dev.honker;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;

/** How a job is enqueued. Immutable. */
public final class EnqueueOptions extends Options<EnqueueOptions.Builder> {
  private EnqueueOptions(Builder is) {
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

  /**
   * What comes back with the job, see {@link Job#metadata}; default nothing.
   *
   * @return the value
   */
  public Map<String, String> metadata() {
    return is.metadata;
  }

  /**
   * Begins with these.
   *
   * @return a builder
   */
  public Builder toBuilder() {
    return is.copy();
  }

  /** When the job becomes due, in Unix seconds. */
  long runAtOr(long now) {
    if (is.delay != null) return EnqueueSql.after(now, is.delay.getSeconds());
    return is.runAt == null ? now : is.runAt;
  }

  /** As the library takes it; a queue's budget may be given. */
  Struct struct(HonkerLibrary library, long maxAttempts) {
    long none = Checks.NO_TIME;
    return Struct.sized(library, Abi.ENQUEUE_OPTS_SIZE)
        .i64(is.runAt == null ? none : is.runAt)
        .i64(is.delay == null ? none : is.delay.getSeconds())
        .i64(is.expires == null ? none : is.expires.getSeconds())
        .i64(is.priority)
        .i64(is.maxAttempts == null ? maxAttempts : is.maxAttempts)
        .bytes(
            is.metadata.isEmpty() ? null : Checks.utf8("metadata", Metadata.encode(is.metadata)));
  }

  /** Makes {@link EnqueueOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Duration delay;
    private Long runAt;
    private Duration expires;
    private long priority = 0;
    private Long maxAttempts;
    private Map<String, String> metadata = Map.of();

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
      if (runAt != null) return runAtEpochSecond(Checks.instant("runAt", runAt).getEpochSecond());
      this.runAt = null;
      return this;
    }

    /**
     * Sets when the job becomes due, in Unix seconds.
     *
     * @param runAt the second
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder runAtEpochSecond(long runAt) {
      this.runAt = Checks.number("runAt", runAt);
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
     * Sets how often the job may be claimed; default: as the queue has it. With 0 or less it never
     * is, and ends among the dead.
     *
     * @param maxAttempts the value
     * @return this
     */
    public Builder maxAttempts(long maxAttempts) {
      this.maxAttempts = maxAttempts;
      return this;
    }

    /**
     * Sets what comes back with the job, see {@link Job#metadata}: texts, at most 8 kB as JSON;
     * default nothing.
     *
     * @param metadata the value
     * @return this
     */
    public Builder metadata(Map<String, String> metadata) {
      this.metadata = Map.copyOf(Checks.notNull("metadata", metadata));
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public EnqueueOptions build() {
      return new EnqueueOptions(this);
    }
  }
}
