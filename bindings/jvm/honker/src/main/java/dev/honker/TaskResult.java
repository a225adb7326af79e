package dev.honker;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** The result of a task that was called, when there is one. Any thread may use it. */
public final class TaskResult {
  private final Queue queue;
  private final EnqueueResult call;

  TaskResult(Queue queue, EnqueueResult call) {
    this.queue = queue;
    this.call = call;
  }

  /**
   * The job.
   *
   * @return its id
   */
  public long id() {
    return call.id();
  }

  /**
   * Whether the call was enqueued.
   *
   * @return what has become of it; if another call has its unique key, this is that one's result
   */
  public EnqueueResult.Outcome outcome() {
    return call.outcome();
  }

  /**
   * The result.
   *
   * @return JSON text; empty if there is none (yet, or any more)
   */
  public Optional<String> get() {
    return queue.getResult(id());
  }

  /**
   * Waits for the result. A task that fails for good never has one.
   *
   * @param timeout how long to wait; null is without end
   * @return JSON text
   * @throws HonkerTimeoutException if it did not come in time
   * @throws InterruptedException if the thread is interrupted
   */
  public String waitFor(Duration timeout) throws InterruptedException {
    return queue.waitResult(id(), WaitOptions.timeout(timeout));
  }

  /**
   * The result, when there is one. No thread waits for it.
   *
   * @param timeout how long to wait; null is without end
   * @return a future, as {@link Queue#waitResultAsync} has it
   */
  public CompletableFuture<String> waitForAsync(Duration timeout) {
    return queue.waitResultAsync(id(), WaitOptions.timeout(timeout));
  }
}
