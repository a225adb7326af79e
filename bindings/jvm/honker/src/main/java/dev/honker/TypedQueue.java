package dev.honker;

import java.util.List;
import java.util.Optional;

/**
 * A queue of values, which a codec makes JSON of.
 *
 * @param <T> the type of the values
 */
public final class TypedQueue<T> {
  private final Queue queue;
  private final JsonCodec<T> codec;

  TypedQueue(Queue queue, JsonCodec<T> codec) {
    this.queue = queue;
    this.codec = codec;
  }

  /**
   * The queue of their texts.
   *
   * @return the queue
   */
  public Queue queue() {
    return queue;
  }

  /**
   * Adds a job that is due now.
   *
   * @param value the payload
   * @return the job's id
   */
  public long enqueue(T value) {
    return enqueue(null, value, null);
  }

  /**
   * Adds a job.
   *
   * @param value the payload
   * @param options when it is due, and the like; null for the defaults
   * @return the job's id
   */
  public long enqueue(T value, EnqueueOptions options) {
    return enqueue(null, value, options);
  }

  /**
   * Adds a job that is due now, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param value the payload
   * @return the job's id
   */
  public long enqueue(Transaction tx, T value) {
    return enqueue(tx, value, null);
  }

  /**
   * Adds a job as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param value the payload
   * @param options when it is due, and the like; null for the defaults
   * @return the job's id
   */
  public long enqueue(Transaction tx, T value, EnqueueOptions options) {
    return queue.enqueue(tx, Codecs.encode(codec, value), options);
  }

  /**
   * Adds a job, and tells whether it was added: another one may have its unique key.
   *
   * @param value the payload
   * @param options its keys, and the like; null for the defaults
   * @return what has become of it
   */
  public EnqueueResult enqueueWith(T value, EnqueueOptions options) {
    return enqueueWith(null, value, options);
  }

  /**
   * As {@link #enqueueWith(Object, EnqueueOptions)}, as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param value the payload
   * @param options its keys, and the like; null for the defaults
   * @return what has become of it
   */
  public EnqueueResult enqueueWith(Transaction tx, T value, EnqueueOptions options) {
    return queue.enqueueWith(tx, Codecs.encode(codec, value), options);
  }

  /**
   * A job of this queue, for {@link Database#enqueueMany(List)} and {@link Batch#enqueueMany}.
   *
   * @param value the payload
   * @param options when it is due, and the like; null for the defaults
   * @return the job, not enqueued yet
   */
  public JobSpec spec(T value, EnqueueOptions options) {
    return queue.spec(Codecs.encode(codec, value), options);
  }

  /**
   * Claims the next job, if there is one.
   *
   * @param workerId who claims
   * @return the job; empty if none can be claimed now
   */
  public Optional<TypedJob<T>> claimOne(String workerId) {
    return queue.claimOne(workerId).map(job -> new TypedJob<>(job, codec));
  }

  /**
   * Claims jobs, highest priority first, then oldest.
   *
   * @param workerId who claims
   * @param n how many at most; a negative number means no limit
   * @return the jobs; none if none can be claimed now
   */
  public List<TypedJob<T>> claimBatch(String workerId, long n) {
    return queue.claimBatch(workerId, n).stream().map(job -> new TypedJob<>(job, codec)).toList();
  }

  /**
   * As {@link Queue#worker(String, Handler, WorkerOptions)}.
   *
   * @param workerId the workers' name
   * @param handler what is called with each job
   * @param options how many threads, and how they wait
   * @return what runs, to be closed
   */
  public Runner worker(String workerId, Handler<TypedJob<T>> handler, WorkerOptions options) {
    return queue.worker(workerId, TypedJob.handler(codec, handler), options);
  }
}
