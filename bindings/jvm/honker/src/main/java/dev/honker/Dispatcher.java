package dev.honker;

import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * Where all consumers of one database wait. It owns the native waiter, and one daemon thread that
 * is in the library, asks which consumers have work, and wakes those that are parked here, where
 * they can be interrupted and where a virtual thread costs no thread. The library knows when
 * something becomes due; nothing here does.
 *
 * <p>The order that loses nothing: {@link Signal#raised}, then look, then {@link Signal#await} with
 * that number. A consumer is named again only after its look has found nothing.
 *
 * <p>The waiter is made with the first consumer, and the thread is started by the first that waits;
 * both end when the database is closed. They refer to nothing but this object, so that a database,
 * or a consumer, that nobody uses any more can be collected.
 */
final class Dispatcher {
  private static final int NAMED_AT_ONCE = 64;

  private final ReentrantLock lock = new ReentrantLock();

  /** Held while the waiter is made, which may have to wait for a locked file. */
  private final ReentrantLock making = new ReentrantLock();

  private final HonkerLibrary library;
  final Executor executor;
  private final Map<Long, Signal> signals = new HashMap<>();
  private final TreeSet<Timing> timings = new TreeSet<>(Timing.SOONEST);
  private volatile long waiter;
  private volatile Thread thread;
  private long lastToken;
  private long lastTiming;
  private boolean isClosed;
  private HonkerException failure;

  Dispatcher(HonkerLibrary library, Executor executor) {
    this.library = library;
    this.executor = run -> execute(executor, run);
  }

  /**
   * What waits has to be completed all the same if the user's executor is shut down, or throws, and
   * even if no thread can be had at all.
   */
  private static void execute(Executor executor, Runnable run) {
    try {
      executor.execute(run);
      return;
    } catch (RejectedExecutionException e) {
      // it was shut down
    } catch (Throwable e) {
      Log.error("the executor of OpenOptions has refused a task", e);
    }
    try {
      ForkJoinPool.commonPool().execute(run);
    } catch (Throwable e) {
      run.run();
    }
  }

  /** The native waiter. */
  long waiter(Database database) {
    if (waiter == 0) make(database);
    return waiter;
  }

  private void make(Database database) {
    making.lock();
    try {
      if (waiter != 0) return;
      long[] out = new long[1];
      database.waiting((db, err) -> library.honker_waiter_new(db, out, err));
      lock.lock();
      try {
        if (isClosed) {
          library.honker_waiter_free(out[0]);
          throw new HonkerClosedException("the database is closed");
        }
        waiter = out[0];
      } finally {
        lock.unlock();
      }
    } finally {
      making.unlock();
    }
  }

  /** A place for a consumer that is about to be made. */
  Signal enter() {
    lock.lock();
    try {
      Signal signal = new Signal(++lastToken);
      signals.put(signal.token, signal);
      return signal;
    } finally {
      lock.unlock();
    }
  }

  /** The consumer is freed. */
  void leave(Signal signal) {
    lock.lock();
    try {
      signals.remove(signal.token);
    } finally {
      lock.unlock();
    }
  }

  /** Where one consumer is told to look. */
  final class Signal {
    final long token;
    private final Condition changed = lock.newCondition();
    private Set<CompletableFuture<Void>> futures = new LinkedHashSet<>();
    private long raised;

    private Signal(long token) {
      this.token = token;
    }

    /**
     * A number that is another one after the consumer was told. To be asked for before it looks.
     */
    long raised() {
      lock.lock();
      try {
        return raised;
      } finally {
        lock.unlock();
      }
    }

    /** Parks until the number is another one, `isOver`, or the time is over. */
    void await(long seen, long nanos, BooleanSupplier isOver) throws InterruptedException {
      lock.lockInterruptibly();
      try {
        start();
        long left = nanos;
        while (raised == seen && left > 0 && !isClosed && !isOver.getAsBoolean()) {
          left = changed.awaitNanos(left);
        }
        checkAlive();
      } finally {
        lock.unlock();
      }
    }

    /** Parks until the number is another one, or the time is over, whatever has become of all. */
    void park(long seen, long nanos) throws InterruptedException {
      lock.lockInterruptibly();
      try {
        long left = nanos;
        while (raised == seen && left > 0) left = changed.awaitNanos(left);
      } finally {
        lock.unlock();
      }
    }

    /** A future that is completed when the consumer is told to look. To be had before it looks. */
    CompletableFuture<Void> future() {
      CompletableFuture<Void> future = new CompletableFuture<>();
      lock.lock();
      try {
        if (isClosed) throw new HonkerClosedException("the database is closed");
        checkAlive();
        start();
        futures.add(future);
      } finally {
        lock.unlock();
      }
      future.whenComplete((value, error) -> forget(future));
      return future;
    }

    private void forget(CompletableFuture<Void> future) {
      lock.lock();
      try {
        futures.remove(future);
      } finally {
        lock.unlock();
      }
    }

    /** Tells the consumer to look. */
    void raise() {
      Set<CompletableFuture<Void>> told;
      lock.lock();
      try {
        raised++;
        changed.signalAll();
        told = futures;
        futures = new LinkedHashSet<>();
      } finally {
        lock.unlock();
      }
      for (CompletableFuture<Void> future : told) future.completeAsync(() -> null, executor);
    }
  }

  /** Everybody who waits finds out what is over: the consumer, a call, the database. */
  void raiseAll() {
    Set<Signal> all;
    lock.lock();
    try {
      all = new LinkedHashSet<>(signals.values());
    } finally {
      lock.unlock();
    }
    all.forEach(Signal::raise);
  }

  /** The file may have been replaced; that is said to everybody who waits, from then on. */
  private void checkAlive() {
    if (failure == null) return;
    throw HonkerException.of(failure.getMessage(), failure.status(), failure.name(), 0, 0);
  }

  private void start() {
    if (thread != null || isClosed) return;
    Thread starting = new Thread(this::run, "honker");
    starting.setDaemon(true);
    LibraryLoader.use();
    try {
      starting.start();
    } catch (Throwable e) {
      LibraryLoader.release();
      throw new HonkerException(
          "no thread can be started: " + e.getMessage(), HonkerException.Status.SYSTEM);
    }
    thread = starting;
  }

  private void run() {
    try {
      waitForAll();
    } catch (Throwable e) {
      Log.error("the thread that waits for the file has ended", e);
      end(
          new HonkerException(
              "the thread that waits for the file has ended: " + e,
              HonkerException.Status.INTERNAL));
    } finally {
      library.honker_waiter_free(waiter);
      LibraryLoader.release();
    }
  }

  private void waitForAll() {
    long[] err = new long[1];
    while (true) {
      int status = library.honker_wait(waiter, millisToNextTiming(), err);
      if (status >= Abi.OK && status != Abi.CLOSED) status = raiseNamed(err);
      if (status == Abi.CLOSED) return;
      HonkerException error = status < Abi.OK ? Errors.take(library, status, err) : null;
      // An interrupt is for the calls that are running; Database.interrupt tells those parked here.
      if (error != null && error.status() != HonkerException.Status.INTERRUPTED.number) {
        end(error);
        return;
      }
      runTimings();
    }
  }

  private int raiseNamed(long[] err) {
    long[] tokens = new long[NAMED_AT_ONCE];
    long[] count = new long[1];
    while (true) {
      int status = library.honker_waiter_ready(waiter, tokens, tokens.length, count, err);
      for (int i = 0; i < count[0]; i++) {
        Signal signal = signal(tokens[i]);
        if (signal != null) signal.raise();
      }
      if (status < Abi.OK || status == Abi.CLOSED || count[0] < tokens.length) return status;
    }
  }

  private Signal signal(long token) {
    lock.lock();
    try {
      return signals.get(token);
    } finally {
      lock.unlock();
    }
  }

  private void end(HonkerException error) {
    lock.lock();
    try {
      failure = error;
    } finally {
      lock.unlock();
    }
    raiseAll();
  }

  /** Something that is to be done at a moment. */
  private record Timing(long nanos, long number, Runnable action) {
    static final Comparator<Timing> SOONEST =
        (a, b) ->
            a.nanos == b.nanos ? Long.compare(a.number, b.number) : a.nanos - b.nanos < 0 ? -1 : 1;
  }

  /**
   * Has the executor do something in a time, unless a future is done by then: nothing refers to it
   * afterwards. Java's own timer would keep the class loader of whoever was the first to use it.
   */
  void unlessDone(CompletableFuture<?> future, long millis, Runnable action) {
    long days = TimeUnit.DAYS.toMillis(36_500);
    long nanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(Math.min(millis, days));
    Timing timing;
    lock.lock();
    try {
      if (isClosed) throw new HonkerClosedException("the database is closed");
      start();
      timing = new Timing(nanos, ++lastTiming, action);
      timings.add(timing);
      if (timings.first() == timing) library.honker_waiter_wake(waiter, null);
    } finally {
      lock.unlock();
    }
    future.whenComplete((value, error) -> cancel(timing));
  }

  private void cancel(Timing timing) {
    lock.lock();
    try {
      timings.remove(timing);
    } finally {
      lock.unlock();
    }
  }

  private long millisToNextTiming() {
    lock.lock();
    try {
      if (timings.isEmpty()) return -1;
      long left = timings.first().nanos - System.nanoTime();
      return Math.max(0, TimeUnit.NANOSECONDS.toMillis(left) + 1);
    } finally {
      lock.unlock();
    }
  }

  private void runTimings() {
    while (true) {
      Timing due;
      lock.lock();
      try {
        if (timings.isEmpty() || timings.first().nanos - System.nanoTime() > 0) return;
        due = timings.pollFirst();
      } finally {
        lock.unlock();
      }
      executor.execute(due.action);
    }
  }

  /** The database is closed, or about to be: nobody waits any more. */
  void close() {
    long unused = 0;
    lock.lock();
    try {
      if (thread == null && !isClosed) unused = waiter;
      isClosed = true;
      timings.clear();
    } finally {
      lock.unlock();
    }
    if (unused != 0) library.honker_waiter_free(unused);
    raiseAll();
  }

  /** Waits for the thread to end, which it does when the database is closed. */
  void join() throws InterruptedException {
    Thread waiting = thread;
    if (waiting != null && waiting != Thread.currentThread()) waiting.join();
  }
}
