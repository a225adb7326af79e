package dev.honker;

import java.time.Duration;

/**
 * A claimed job whose payload is a value; {@link #job} has what is not here.
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
      typed.payload();
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
   * @throws DiscardException if it cannot be decoded
   */
  public synchronized T payload() {
    if (!isDecoded) {
      value = job.payload(codec);
      isDecoded = true;
    }
    return value;
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

  /**
   * As {@link Job#ack(Transaction)}.
   *
   * @param tx the transaction; null for none
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean ack(Transaction tx) {
    return job.ack(tx);
  }

  /**
   * As {@link Job#snooze(Duration)}.
   *
   * @param delay in what time; whole seconds
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean snooze(Duration delay) {
    return job.snooze(delay);
  }

  /**
   * As {@link Job#release()}.
   *
   * @return false, and nothing changed, if the claim was lost
   */
  public boolean release() {
    return job.release();
  }

  @Override
  public String toString() {
    return job.toString();
  }
}
