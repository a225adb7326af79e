package dev.honker;

import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * A future for the result of a job: looks, and looks again after each commit. It has one timer and
 * one future of {@link Waits} at a time, and nothing refers to the result once it is complete but
 * the caller.
 */
final class ResultWait {
  private final Queue queue;
  private final long id;
  private final long lookAgainMillis;
  private final CompletableFuture<String> result = new CompletableFuture<>();
  private volatile CompletableFuture<Void> ready;

  private ResultWait(Queue queue, long id, WaitOptions options) {
    this.queue = queue;
    this.id = id;
    this.lookAgainMillis = queue.database.parkMillis(Checks.toMillis(options.fallback()));
  }

  static CompletableFuture<String> start(Queue queue, long id, WaitOptions options) {
    ResultWait wait = new ResultWait(queue, id, options);
    CompletableFuture<String> result = wait.result;
    if (options.timeoutOrNull() != null) {
      queue.database.waits.unlessDone(
          result,
          Checks.toMillis(options.timeoutOrNull()),
          () -> result.completeExceptionally(Queue.late(id)));
    }
    result.whenComplete((value, error) -> wait.stop());
    wait.look();
    return result;
  }

  private void stop() {
    CompletableFuture<Void> waiting = ready;
    if (waiting != null) waiting.cancel(false);
  }

  private void look() {
    if (result.isDone()) return;
    try {
      Waits waits = queue.database.waits;
      CompletableFuture<Void> next = waits.future(queue.database, lookAgainMillis);
      ready = next;
      Optional<String> found = queue.getResult(id);
      if (found.isPresent()) result.complete(found.get());
      if (result.isDone()) next.cancel(false);
      next.thenRunAsync(this::look, waits.executor);
    } catch (RuntimeException | Error e) {
      result.completeExceptionally(e);
    }
  }
}
