package dev.honker;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** Waits for the result of a job: on the calling thread, or for a future. */
final class ResultWait extends Consumer {
  private final long id;

  ResultWait(Queue queue, long id) {
    super(
        queue.database,
        "a wait for the result of " + id,
        (library, waiter, token, out, err) ->
            library.honker_result_wait_new(queue.database.handle(), waiter, token, id, out, err),
        queue.database.library::honker_result_wait_free);
    this.id = id;
  }

  Optional<String> await(Duration timeout) throws InterruptedException {
    return await(timeout, () -> take().orElse(null));
  }

  private Optional<String> take() {
    int[] status = new int[1];
    Optional<String> value =
        database.text(
            (db, out, err) ->
                status[0] = database.library.honker_result_wait_next(handle(), 0, out, err));
    if (value.isEmpty()) none(status[0]);
    return value;
  }

  /**
   * A future for the result, which closes this when it is complete. Nothing refers to it then but
   * the caller.
   */
  CompletableFuture<String> future(Duration timeout) {
    CompletableFuture<String> result = new CompletableFuture<>();
    result.whenComplete((value, error) -> close());
    if (timeout != null) {
      database.dispatcher.unlessDone(
          result, Checks.toMillis(timeout), () -> result.completeExceptionally(late(id)));
    }
    look(result);
    return result;
  }

  private void look(CompletableFuture<String> result) {
    if (result.isDone()) return;
    try {
      CompletableFuture<Void> ready = ready();
      Optional<String> found = take();
      if (found.isPresent()) {
        ready.cancel(false);
        result.complete(found.get());
      } else {
        ready.thenRunAsync(() -> look(result), database.dispatcher.executor);
      }
    } catch (RuntimeException | Error e) {
      result.completeExceptionally(e);
    }
  }

  static HonkerTimeoutException late(long id) {
    return new HonkerTimeoutException("wait_result(" + id + ") timed out");
  }

  @Override
  public String toString() {
    return "ResultWait[" + id + "]";
  }
}
