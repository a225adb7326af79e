package dev.honker;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.LongConsumer;
import java.util.function.Supplier;

/**
 * Something that waits for commits: a worker, a listener, a subscription. One thread uses it at a
 * time; any thread may close it, which ends the wait with {@link HonkerClosedException}.
 *
 * <p>Waiting can be interrupted, and never has anything in hand when it is. A call that was
 * interrupted while it took something returns that, and leaves the thread's interrupt status set.
 */
public abstract class Consumer implements AutoCloseable {
  static final int OK = Abi.OK;

  /** What the library answers when what was waited for has been closed. */
  static final int CLOSED = Abi.CLOSED;

  /**
   * While something becomes due at a second of the clock, which somebody may set: how often to
   * look.
   */
  private static final long CLOCK_CHECK_MS = 1000;

  final Database database;
  private final Handle handle;
  private volatile boolean isClosed;
  private volatile boolean isStopped;

  /** Makes the native consumer, and the waiter that it must have. */
  Consumer(Database database, String what, Maker maker, LongConsumer free) {
    this.database = database;
    HonkerLibrary library = database.library;
    long[] err = new long[1];
    long[] out = new long[1];
    database.check(library.honker_waiter_new(database.handle(), out, err), err);
    long waiter = out[0];
    out[0] = 0;
    try {
      database.check(maker.make(library, waiter, out, err), err);
    } catch (RuntimeException e) {
      library.honker_waiter_free(waiter);
      throw e;
    }
    this.handle =
        new Handle(
            this,
            what,
            out[0],
            number -> {
              free.accept(number);
              library.honker_waiter_free(waiter);
            });
    database.children.add(this);
  }

  interface Maker {
    int make(HonkerLibrary library, long waiter, long[] out, long[] err);
  }

  long handle() {
    checkOpen();
    return handle.number;
  }

  void checkOpen() {
    if (isClosed) throw new HonkerClosedException(this + " is closed");
    database.checkOpen();
  }

  /** An outcome that is no item: null, unless the library says that this is closed. */
  <T> T none(int status) {
    if (status == CLOSED) throw new HonkerClosedException(this + " is closed");
    return null;
  }

  /** The wait that is running finds nothing, and so does every further one. */
  void stop() {
    isStopped = true;
    database.waits.wakeAll();
  }

  /** How long to park after having found nothing. */
  abstract long parkMillis();

  /**
   * What `look` finds; it is asked again after each commit, and when something may be due. Null is
   * nothing.
   */
  final <T> Optional<T> await(Duration timeout, Supplier<T> look) throws InterruptedException {
    if (isStopped) return Optional.empty();
    return database.await(
        timeout, look, this::parkMillis, () -> isClosed || isStopped, this::checkOpen);
  }

  /**
   * For those who must not block: a future that is completed when it is time to look again with a
   * time of 0, because something was committed, has become due, or was closed. Ask for it before
   * you look, so that nothing slips between.
   *
   * @return a future without a value; it is completed by the executor of {@link OpenOptions}. It
   *     may be cancelled
   * @throws HonkerClosedException if this, or the database, is closed
   */
  public CompletableFuture<Void> ready() {
    handle();
    return database.waits.future(database, database.parkMillis(parkMillis()));
  }

  /**
   * Closes this; a thread that waits with it, gets {@link HonkerClosedException}. Does no harm
   * twice.
   */
  @Override
  public void close() {
    isClosed = true;
    database.waits.wakeAll();
    database.children.remove(this);
    database.platform.close(
        () -> {
          handle.close(); // which may save an offset, or resign
          return 0;
        });
  }

  /** How long until a second of the clock, if there is one to wait for. */
  static long parkMillis(Optional<Long> at, long fallbackMillis) {
    if (at.isEmpty()) return fallbackMillis;
    long now = System.currentTimeMillis();
    long left = at.get() > now / 1000 + 3600 ? CLOCK_CHECK_MS : at.get() * 1000 - now;
    return Math.min(fallbackMillis, Math.max(1, Math.min(left, CLOCK_CHECK_MS)));
  }
}
