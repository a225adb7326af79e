package dev.honker;

import java.time.Duration;

/**
 * A claimed job whose payload is a value. Immutable.
 *
 * @param <T> the type of the value
 */
public final class TypedJob<T> {
  private final Job job;
  private final JsonCodec<T> codec;
  private T value;
  private boolean isDecoded;

  TypedJob(Job job, JsonCodec<T> codec) {
    this.job = job;
    this.codec = codec;
  }

  /** Is given jobs with their values; a job without one is among the dead. */
  static <T> Handler<Job> handler(JsonCodec<T> codec, Handler<TypedJob<T>> handler) {
    Checks.notNull("codec", codec);
    Checks.notNull("handler", handler);
    return job -> {
      TypedJob<T> typed = new TypedJob<>(job, codec);
      try {
        typed.decode();
      } catch (Exception e) {
        throw new DiscardException("the payload cannot be decoded: " + Failures.text(e), e);
      }
      handler.handle(typed);
    };
  }

  /**
   * The job with its text.
   *
   * @return the job
   */
  public Job job() {
    return job;
  }

  /**
   * The id.
   *
   * @return a number that no other job of the file has
   */
  public long id() {
    return job.id();
  }

  /**
   * The payload, decoded once.
   *
   * @return the value
   */
  public synchronized T payload() {
    if (!isDecoded) {
      value = job.payload(codec);
      isDecoded = true;
    }
    return value;
  }

  /** Decodes; what the codec throws is thrown as it is. */
  private synchronized void decode() throws Exception {
    value = codec.decode(job.payloadJson());
    isDecoded = true;
  }

  /**
   * As {@link Job#ack()}.
   *
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean ack() {
    return job.ack();
  }

  /**
   * As {@link Job#retry(Duration, String)}.
   *
   * @param delay in what time; whole seconds, may be negative
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean retry(Duration delay, String error) {
    return job.retry(delay, error);
  }

  /**
   * As {@link Job#fail(String)}.
   *
   * @param error why; any text, null is the empty one
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean fail(String error) {
    return job.fail(error);
  }
}
