package dev.honker;

import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
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
   * What only one job of its queue has at a time; default: none.
   *
   * @return the value, null if not given
   */
  public String uniqueKey() {
    return is.uniqueKey;
  }

  /**
   * Until when the job has its unique key; default {@link UniqueUntil#SETTLED}.
   *
   * @return the value
   */
  public UniqueUntil uniqueUntil() {
    return is.uniqueUntil;
  }

  /**
   * For what time the job has its unique key at least, whatever becomes of it; default: none.
   *
   * @return the value, null if not given
   */
  public Duration uniqueFor() {
    return is.uniqueFor;
  }

  /**
   * What becomes of the job if another one has its unique key; default {@link OnConflict#KEEP}.
   *
   * @return the value
   */
  public OnConflict onConflict() {
    return is.onConflict;
  }

  /**
   * What it shares with the jobs that are not to run at the same time as it; default: none.
   *
   * @return the value, null if not given
   */
  public String concurrencyKey() {
    return is.concurrencyKey;
  }

  /**
   * The batch that it belongs to; default: none.
   *
   * @return the batch's id, null if not given
   */
  public Long batch() {
    return is.batch;
  }

  /**
   * For what time a worker lets the job run; default: as the worker has it.
   *
   * @return the value, null if not given
   */
  public Duration maxRun() {
    return is.maxRun;
  }

  /** Until when a job has its unique key. */
  public enum UniqueUntil {
    /** Until it is done, dead or cancelled. */
    SETTLED,
    /**
     * Until it is claimed, so that work that comes while it runs is queued once more; and again
     * while it waits for another attempt, unless another job has the key then.
     */
    CLAIMED
  }

  /** What becomes of a job whose unique key another one has. */
  public enum OnConflict {
    /** It is not enqueued: the other one stays as it is. */
    KEEP,
    /**
     * The other one becomes this one, and keeps its id, if it is still waiting; otherwise it stays
     * as it is.
     */
    REPLACE
  }

  /** What of it only the library can store; null if there is nothing. */
  String beyondColumns() {
    if (!is.metadata.isEmpty()) return "metadata";
    if (is.uniqueKey != null) return "uniqueKey";
    if (is.concurrencyKey != null) return "concurrencyKey";
    if (is.batch != null) return "batch";
    return is.maxRun == null ? null : "maxRun";
  }

  /** What is said of one job alone, and not of those that are enqueued later; null if nothing. */
  String ofOneJob() {
    if (is.memberWorkerId != null) return "a member of a batch";
    return is.runAt == null ? null : "runAt";
  }

  /** As the library takes it for jobs that are enqueued later. */
  Map<String, Object> json() {
    Map<String, Object> json = new LinkedHashMap<>();
    if (is.delay != null) json.put("delay_s", is.delay.getSeconds());
    if (is.runAt != null) json.put("run_at", is.runAt);
    if (is.expires != null) json.put("expires_s", is.expires.getSeconds());
    if (is.priority != 0) json.put("priority", is.priority);
    if (is.maxAttempts != null) json.put("max_attempts", is.maxAttempts);
    if (!is.metadata.isEmpty()) json.put("metadata", is.metadata);
    if (is.concurrencyKey != null) json.put("concurrency_key", is.concurrencyKey);
    if (is.batch != null) json.put("batch_id", is.batch);
    if (is.maxRun != null) json.put("max_run_s", is.maxRun.getSeconds());
    if (is.uniqueKey == null) return json;
    json.put("unique_key", is.uniqueKey);
    json.put("unique_until", is.uniqueUntil == UniqueUntil.SETTLED ? "settled" : "claimed");
    json.put("on_conflict", is.onConflict == OnConflict.KEEP ? "keep" : "replace");
    if (is.uniqueFor != null) json.put("unique_for_s", is.uniqueFor.getSeconds());
    return json;
  }

  /** As the library takes it for a job that is enqueued now. */
  Map<String, Object> jsonOfOne() {
    Map<String, Object> json = json();
    if (is.memberWorkerId != null) {
      json.put("member", Map.of("job_id", is.memberId, "worker_id", is.memberWorkerId));
    }
    return json;
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

  /** As the library takes it. */
  Struct struct(HonkerLibrary library) {
    long none = Checks.NO_TIME;
    return Struct.sized(library, Abi.ENQUEUE_OPTS_SIZE)
        .i64(is.runAt == null ? none : is.runAt)
        .i64(is.delay == null ? none : is.delay.getSeconds())
        .i64(is.expires == null ? none : is.expires.getSeconds())
        .i64(is.priority)
        .i64(is.maxAttempts == null ? none : is.maxAttempts)
        .text("metadata", is.metadata.isEmpty() ? null : Json.write(is.metadata))
        .text("concurrencyKey", is.concurrencyKey)
        .i64(is.batch == null ? 0 : is.batch)
        .i64(is.memberId)
        .text("workerId", is.memberWorkerId)
        .text("uniqueKey", is.uniqueKey)
        .u32(is.uniqueUntil.ordinal())
        .u32(is.onConflict.ordinal())
        .i64(is.uniqueFor == null ? 0 : is.uniqueFor.getSeconds())
        .i64(is.maxRun == null ? 0 : is.maxRun.getSeconds());
  }

  /** Makes {@link EnqueueOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private Duration delay;
    private Long runAt;
    private Duration expires;
    private long priority = 0;
    private Long maxAttempts;
    private Map<String, String> metadata = Map.of();
    private String uniqueKey;
    private UniqueUntil uniqueUntil = UniqueUntil.SETTLED;
    private Duration uniqueFor;
    private OnConflict onConflict = OnConflict.KEEP;
    private String concurrencyKey;
    private Long batch;
    private long memberId;
    private String memberWorkerId;
    private Duration maxRun;

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
     * Sets what only one job of its queue has at a time. If another one has it, this one is not
     * enqueued, or replaces it: {@link Queue#enqueueWith} tells which. Default: none.
     *
     * @param uniqueKey any text but the empty one, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder uniqueKey(String uniqueKey) {
      this.uniqueKey = Checks.keyOrNull("uniqueKey", uniqueKey);
      return this;
    }

    /**
     * Sets until when the job has its unique key; default {@link UniqueUntil#SETTLED}.
     *
     * @param uniqueUntil the value
     * @return this
     */
    public Builder uniqueUntil(UniqueUntil uniqueUntil) {
      this.uniqueUntil = Checks.notNull("uniqueUntil", uniqueUntil);
      return this;
    }

    /**
     * Sets for what time the job has its unique key at least, whatever becomes of it, so that there
     * is one in that time; whole seconds, 1 or more; default: none.
     *
     * @param uniqueFor the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder uniqueFor(Duration uniqueFor) {
      this.uniqueFor = Checks.positiveSecondsOrNull("uniqueFor", uniqueFor);
      return this;
    }

    /**
     * Sets what becomes of the job if another one has its unique key; default {@link
     * OnConflict#KEEP}.
     *
     * @param onConflict the value
     * @return this
     */
    public Builder onConflict(OnConflict onConflict) {
      this.onConflict = Checks.notNull("onConflict", onConflict);
      return this;
    }

    /**
     * Sets what the job shares with the jobs of its queue that are not to run at the same time as
     * it, as far as {@link QueueUpdate#concurrencyPerKey} says; default: none.
     *
     * @param concurrencyKey any text but the empty one, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder concurrencyKey(String concurrencyKey) {
      this.concurrencyKey = Checks.keyOrNull("concurrencyKey", concurrencyKey);
      return this;
    }

    /**
     * Sets the batch that the job belongs to, as {@link Batch#enqueue(JobSpec)} does by itself;
     * default: none.
     *
     * @param batch the batch's id
     * @return this
     */
    public Builder batch(long batch) {
      this.batch = batch;
      this.memberId = 0;
      this.memberWorkerId = null;
      return this;
    }

    /**
     * Sets the batch that the job belongs to, on behalf of one of its jobs that runs: also if the
     * batch is sealed.
     *
     * @param batch the batch's id
     * @param member the job that runs
     * @return this
     */
    public Builder batch(long batch, Job member) {
      this.batch = batch;
      this.memberId = Checks.notNull("member", member).id();
      this.memberWorkerId = member.workerId();
      return this;
    }

    /**
     * Sets for what time a worker lets the job run before it is tried again; whole seconds, 1 or
     * more; default: as {@link WorkerOptions.Builder#maxRun} has it.
     *
     * @param maxRun the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder maxRun(Duration maxRun) {
      this.maxRun = Checks.positiveSecondsOrNull("maxRun", maxRun);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     * @throws HonkerInvalidOptionException if something is said of a unique key, and there is none
     */
    public EnqueueOptions build() {
      boolean isAboutKey =
          uniqueFor != null || uniqueUntil != UniqueUntil.SETTLED || onConflict != OnConflict.KEEP;
      if (isAboutKey && uniqueKey == null) {
        throw Checks.invalid("uniqueKey", "is missing, and other options are about it");
      }
      return new EnqueueOptions(this);
    }
  }
}
