package dev.honker;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiConsumer;

/** How a worker works. Immutable. */
public final class WorkerOptions extends Options<WorkerOptions.Builder> {
  private WorkerOptions(Builder is) {
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

  /** Begins with these. */
  Builder toBuilder() {
    return is.copy();
  }

  /**
   * How many jobs are handled at the same time; default 1.
   *
   * @return the value
   */
  public int concurrency() {
    return is.concurrency;
  }

  /**
   * How often a worker looks without having been woken; default 5 s.
   *
   * @return the value
   */
  public Duration idle() {
    return is.idle;
  }

  /**
   * In what time a job whose handler failed is tried again, always; whole seconds; if it is not
   * given, the distance is what is set for the queue, or grows from {@link #retryBase} on.
   *
   * @return the value, null if not given
   */
  public Duration retryDelay() {
    return is.retryDelay;
  }

  /**
   * In what time a job whose handler failed for the first time is tried again; each further
   * distance is twice as long, give or take a tenth; whole seconds; default 15 s.
   *
   * @return the value
   */
  public Duration retryBase() {
    return is.retryBase;
  }

  /**
   * How long that distance is at most; whole seconds; default 1 h.
   *
   * @return the value
   */
  public Duration retryMax() {
    return is.retryMax;
  }

  /**
   * How long a job may run before it is tried again, and its handler is cancelled; whole seconds,
   * more than 0; default: without end.
   *
   * @return the value, null if not given
   */
  public Duration maxRun() {
    return is.maxRun;
  }

  /**
   * How long handlers have to end when the worker is closed; then they are cancelled, and what does
   * not end is given back with its attempt; default 8 s.
   *
   * @return the value
   */
  public Duration stopTimeout() {
    return is.stopTimeout;
  }

  /**
   * How long a claim is valid without being extended; whole seconds; default: what the queue says.
   *
   * @return the value, null if not given
   */
  public Duration visibilityTimeout() {
    return is.visibilityTimeout;
  }

  List<JobInterceptor> interceptors() {
    return is.interceptors;
  }

  List<BiConsumer<Job, Throwable>> errorReporters() {
    return is.errorReporters;
  }

  /** Whether claims in hand are extended. */
  boolean heartbeat() {
    return is.heartbeat;
  }

  /** How long a handler that was cancelled has to end when the worker is closed. */
  Duration grace() {
    return is.grace;
  }

  /** How much of the distance between tries is random. */
  double retryJitter() {
    return is.retryJitter;
  }

  static <T> List<T> with(List<T> list, T more) {
    List<T> longer = new ArrayList<>(list);
    longer.add(more);
    return List.copyOf(longer);
  }

  /** Makes {@link WorkerOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private int concurrency = 1;
    private Duration idle = Duration.ofSeconds(5);
    private Duration retryDelay;
    private Duration retryBase = Duration.ofSeconds(15);
    private Duration retryMax = Duration.ofHours(1);
    private Duration maxRun;
    private Duration stopTimeout = Duration.ofSeconds(8);
    private Duration visibilityTimeout;
    private List<JobInterceptor> interceptors = List.of();
    private List<BiConsumer<Job, Throwable>> errorReporters = List.of();
    private Duration grace = Duration.ofMillis(1500);
    private boolean heartbeat = true;
    private double retryJitter = 0.1;

    private Builder() {}

    /**
     * Sets how many jobs are handled at the same time; default 1.
     *
     * @param concurrency the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder concurrency(int concurrency) {
      this.concurrency = Checks.positive("concurrency", concurrency);
      return this;
    }

    /**
     * Sets how often a worker looks without having been woken; default 5 s.
     *
     * @param idle the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder idle(Duration idle) {
      this.idle = Checks.positiveMillis("idle", idle);
      return this;
    }

    /**
     * Sets in what time a job whose handler failed is tried again, always; whole seconds; if it is
     * not given, the distance is what is set for the queue, or grows from {@link
     * #retryBase(Duration)} on.
     *
     * @param retryDelay the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder retryDelay(Duration retryDelay) {
      this.retryDelay = Checks.secondsOrNull("retryDelay", retryDelay);
      return this;
    }

    /**
     * Sets in what time a job whose handler failed for the first time is tried again; each further
     * distance is twice as long, give or take a tenth; whole seconds; default 15 s.
     *
     * @param retryBase the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder retryBase(Duration retryBase) {
      this.retryBase = Checks.seconds("retryBase", retryBase);
      return this;
    }

    /**
     * Sets how long that distance is at most; whole seconds; default 1 h.
     *
     * @param retryMax the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder retryMax(Duration retryMax) {
      this.retryMax = Checks.seconds("retryMax", retryMax);
      return this;
    }

    /**
     * Sets how long a job may run before it is tried again, and its handler is cancelled; whole
     * seconds, more than 0; default: without end.
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
     * Sets how long handlers have to end when the worker is closed; then they are cancelled, and
     * what does not end is given back with its attempt; default 8 s.
     *
     * @param stopTimeout the value
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder stopTimeout(Duration stopTimeout) {
      this.stopTimeout = Checks.millis("stopTimeout", stopTimeout);
      return this;
    }

    /**
     * Sets how long a claim is valid without being extended; whole seconds; default: what the queue
     * says.
     *
     * @param visibilityTimeout the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder visibilityTimeout(Duration visibilityTimeout) {
      this.visibilityTimeout = Checks.secondsOrNull("visibilityTimeout", visibilityTimeout);
      return this;
    }

    /**
     * Adds what is called around the handler of each job; the first one added is the outermost.
     *
     * @param interceptor what is called, by several threads if there are several
     * @return this
     */
    public Builder interceptor(JobInterceptor interceptor) {
      this.interceptors = with(interceptors, Checks.notNull("interceptor", interceptor));
      return this;
    }

    /**
     * Adds what is told of each failure of a handler, and of each that runs longer than it may, to
     * report it to a service. What it throws is logged.
     *
     * @param reporter is told the job, and what the handler has thrown; by several threads
     * @return this
     */
    public Builder onError(BiConsumer<Job, Throwable> reporter) {
      this.errorReporters = with(errorReporters, Checks.notNull("reporter", reporter));
      return this;
    }

    /** For those who have no handlers, or whose claims say how long a handler may take. */
    Builder heartbeat(boolean heartbeat) {
      this.heartbeat = heartbeat;
      return this;
    }

    /** For tests, which must not depend on how soon a thread is woken. */
    Builder grace(Duration grace) {
      this.grace = grace;
      return this;
    }

    Builder retryJitter(double retryJitter) {
      this.retryJitter = retryJitter;
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public WorkerOptions build() {
      return new WorkerOptions(this);
    }
  }
}
