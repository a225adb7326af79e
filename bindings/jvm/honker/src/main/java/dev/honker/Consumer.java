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

  final Database database;
  final Dispatcher.Signal signal;
  private final Handle handle;
  private volatile boolean isClosed;
  private volatile boolean isStopped;

  /** Makes the native consumer, at the waiter of the database. */
  Consumer(Database database, String what, Maker maker, LongConsumer free) {
    this.database = database;
    Dispatcher dispatcher = database.dispatcher;
    long waiter = dispatcher.waiter(database);
    Dispatcher.Signal place = dispatcher.enter();
    long[] err = new long[1];
    long[] out = new long[1];
    try {
      database.check(maker.make(database.library, waiter, place.token, out, err), err);
    } catch (Throwable e) {
      dispatcher.leave(place);
      throw e;
    }
    this.signal = place;
    this.handle =
        new Handle(
            this,
            what,
            out[0],
            number -> {
              free.accept(number);
              dispatcher.leave(place);
            });
    database.children.add(this);
  }

  interface Maker {
    int make(HonkerLibrary library, long waiter, long token, long[] out, long[] err);
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
    signal.raise();
  }

  boolean isStopped() {
    return isStopped;
  }

  /**
   * What `look` finds; it is asked again whenever the library says that there may be something.
   * Null is nothing.
   */
  final <T> Optional<T> await(Duration timeout, Supplier<T> look) throws InterruptedException {
    long begin = System.nanoTime();
    long timeoutNanos = timeout == null ? Long.MAX_VALUE : Checks.toNanos(timeout);
    long interrupts = database.interrupts();
    if (Thread.interrupted()) throw new InterruptedException();
    while (true) {
      if (isStopped) return Optional.empty();
      checkOpen();
      long seen = signal.raised();
      T found = look.get();
      if (found != null) return Optional.of(found);
      long left =
          timeoutNanos == Long.MAX_VALUE
              ? Long.MAX_VALUE
              : timeoutNanos - (System.nanoTime() - begin);
      if (left <= 0) return Optional.empty();
      signal.await(
          seen,
          left,
          () ->
              isClosed || isStopped || database.isClosed() || database.interrupts() != interrupts);
      database.checkNotInterrupted(interrupts);
    }
  }

  /**
   * For those who must not block: a future that is completed when it is time to look again with a
   * time of 0, because something for this was committed, has become due, or was closed. Ask for it,
   * then look until there is no more: it is completed for what comes after a look has found
   * nothing.
   *
   * @return a future without a value; it is completed by the executor of {@link OpenOptions}. It
   *     may be cancelled
   * @throws HonkerClosedException if this, or the database, is closed
   */
  public CompletableFuture<Void> ready() {
    handle();
    return signal.future();
  }

  /**
   * Closes this; a thread that waits with it, gets {@link HonkerClosedException}. Does no harm
   * twice.
   */
  @Override
  public void close() {
    isClosed = true;
    signal.raise();
    database.children.remove(this);
    database.platform.close(
        () -> {
          handle.close(); // which may save an offset, or resign
          return 0;
        });
  }
}
