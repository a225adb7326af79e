package dev.honker;

import java.time.Duration;

/**
 * Tells that something was committed to the file, by anybody in any process. See {@link Consumer}
 * for threads and interrupts.
 */
public final class UpdateEvents extends Consumer {
  UpdateEvents(Database database) {
    super(
        database,
        "a source of updates",
        (library, waiter, token, out, err) ->
            library.honker_updates_new(database.handle(), waiter, token, out, err),
        database.library::honker_updates_free);
  }

  /**
   * Waits until something was committed after the last call, or after this was made. It is a hint:
   * several commits may be one, and there may be nothing new to see.
   *
   * @param timeout how long to wait; 0 or less is not at all, null is without end
   * @return false if nothing was committed in time
   * @throws InterruptedException if the thread is interrupted
   */
  public boolean awaitUpdate(Duration timeout) throws InterruptedException {
    return await(timeout, this::take).isPresent();
  }

  private Boolean take() {
    int status = database.call((db, err) -> database.library.honker_updates_next(handle(), 0, err));
    return status == OK ? Boolean.TRUE : none(status);
  }

  @Override
  public String toString() {
    return "UpdateEvents[" + database.path() + "]";
  }
}
