package dev.honker;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/** What becomes of a {@link Batch} when its last job has ended. Immutable. */
public final class BatchOptions extends Options<BatchOptions.Builder> {
  private BatchOptions(Builder is) {
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
   * What is enqueued when the last job has ended, however; default: nothing.
   *
   * @return the value, null if not given
   */
  public JobSpec onFinished() {
    return is.onFinished;
  }

  /**
   * What is enqueued when the last job has ended and all are done; default: nothing.
   *
   * @return the value, null if not given
   */
  public JobSpec onSuccess() {
    return is.onSuccess;
  }

  /**
   * For what time the batch can be looked at after its end; whole seconds; default: a day.
   *
   * @return the value, null if not given
   */
  public Duration keep() {
    return is.keep;
  }

  String json() {
    Map<String, Object> json = new LinkedHashMap<>();
    if (is.onFinished != null) json.put("on_finished", json(is.onFinished));
    if (is.onSuccess != null) json.put("on_success", json(is.onSuccess));
    if (is.keep != null) json.put("keep_s", is.keep.getSeconds());
    return Json.write(json);
  }

  private static Map<String, Object> json(JobSpec job) {
    return Map.of("queue", job.queue(), "payload", job.json(), "options", job.options().json());
  }

  /** Makes {@link BatchOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private JobSpec onFinished;
    private JobSpec onSuccess;
    private Duration keep;

    private Builder() {}

    /**
     * Sets what is enqueued when the last job has ended, however; default: nothing. Its metadata
     * have the batch's id as {@code batch_id}.
     *
     * @param onFinished the value, null for not given; it belongs to no batch
     * @return this
     */
    public Builder onFinished(JobSpec onFinished) {
      this.onFinished = onFinished;
      return this;
    }

    /**
     * Sets what is enqueued when the last job has ended and all are done; default: nothing. Its
     * metadata have the batch's id as {@code batch_id}.
     *
     * @param onSuccess the value, null for not given; it belongs to no batch
     * @return this
     */
    public Builder onSuccess(JobSpec onSuccess) {
      this.onSuccess = onSuccess;
      return this;
    }

    /**
     * Sets for what time the batch can be looked at after its end; whole seconds; default: a day.
     *
     * @param keep the value, null for not given
     * @return this
     * @throws HonkerInvalidOptionException if the value cannot be used
     */
    public Builder keep(Duration keep) {
      this.keep = Checks.secondsOrNull("keep", keep);
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public BatchOptions build() {
      return new BatchOptions(this);
    }
  }
}
