package dev.honker;

import java.time.Duration;

/**
 * Tells that something was committed to the file, by anybody in any process. See {@link Consumer}
 * for threads and interrupts.
 */
public final class UpdateEvents implements AutoCloseable {
  private final Database database;
  private volatile boolean isClosed;
  private long seen;

  UpdateEvents(Database database) {
    this.database = database;
    this.seen = database.waits.generation(database);
    database.children.add(this);
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
    return database
        .await(
            timeout,
            () -> {
              long now = database.waits.generation(database);
              if (now == seen) return null;
              seen = now;
              return true;
            },
            () -> 15_000,
            () -> isClosed,
            this::checkOpen)
        .isPresent();
  }

  private void checkOpen() {
    if (isClosed) throw new HonkerClosedException("the source of updates is closed");
    database.checkOpen();
  }

  /**
   * Closes this; a thread that waits with it, gets {@link HonkerClosedException}. Does no harm
   * twice.
   */
  @Override
  public void close() {
    isClosed = true;
    database.children.remove(this);
    database.waits.wakeAll();
  }
}
