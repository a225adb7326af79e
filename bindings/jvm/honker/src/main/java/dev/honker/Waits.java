package dev.honker;

import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * Waiting for commits to one database. One daemon thread is in the library; all that wait are
 * parked on a condition, where they can be interrupted, and where a virtual thread costs no thread.
 *
 * <p>The order that loses nothing: {@link #generation}, then look, then {@link #await} with that
 * generation. The thread is started by the first who asks for the generation, and ends when the
 * database is closed. It refers to nothing but this object, so that a database that nobody uses any
 * more can be collected.
 */
final class Waits {
  private static final int OK = Abi.OK;
  private static final int CLOSED = Abi.CLOSED;

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final HonkerLibrary library;
  final Executor executor;
  private final ScheduledThreadPoolExecutor timer = timer();
  private Set<CompletableFuture<Void>> futures = new LinkedHashSet<>();
  private long waiter;
  private volatile Thread thread;
  private long generation;
  private boolean isClosed;
  private HonkerException failure;

  Waits(HonkerLibrary library, Executor executor) {
    this.library = library;
    this.executor = run -> execute(executor, run);
  }

  /** Where an executor is shut down, what waits has to be completed all the same. */
  private static void execute(Executor executor, Runnable run) {
    try {
      executor.execute(run);
    } catch (RejectedExecutionException e) {
      ForkJoinPool.commonPool().execute(run);
    }
  }

  /** One thread, while there is something to time. */
  private static ScheduledThreadPoolExecutor timer() {
    ScheduledThreadPoolExecutor timer =
        new ScheduledThreadPoolExecutor(
            1,
            run -> {
              Thread thread = new Thread(run, "honker-timer");
              thread.setDaemon(true);
              return thread;
            });
    timer.setRemoveOnCancelPolicy(true);
    timer.setKeepAliveTime(5, TimeUnit.SECONDS);
    timer.allowCoreThreadTimeOut(true);
    return timer;
  }

  /** A number that has changed after the next commit. To be asked for before one looks. */
  long generation(Database database) {
    lock.lock();
    try {
      start(database);
      return generation;
    } finally {
      lock.unlock();
    }
  }

  /**
   * A future that is completed when the generation changes, or when it is time to look again. To be
   * had before one looks.
   */
  CompletableFuture<Void> future(Database database, long lookAgainMillis) {
    CompletableFuture<Void> future = new CompletableFuture<>();
    lock.lock();
    try {
      start(database);
      futures.add(future);
    } finally {
      lock.unlock();
    }
    unlessDone(future, lookAgainMillis, () -> future.complete(null));
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

  /**
   * Has the executor do something in a time, unless a future is done by then: nothing refers to it
   * afterwards. The timer is of this database alone: Java's own would keep the class loader of
   * whoever was the first to use it.
   */
  void unlessDone(CompletableFuture<?> future, long millis, Runnable action) {
    try {
      Future<?> timing =
          timer.schedule(() -> executor.execute(action), millis, TimeUnit.MILLISECONDS);
      future.whenComplete((value, error) -> timing.cancel(false));
    } catch (RejectedExecutionException e) {
      throw new HonkerClosedException("the database is closed");
    }
  }

  /** The file may have been replaced; that is said to everybody who waits, from then on. */
  private void checkAlive() {
    if (failure == null) return;
    throw HonkerException.of(failure.getMessage(), failure.status(), failure.name(), 0, 0);
  }

  private void start(Database database) {
    if (isClosed) throw new HonkerClosedException("the database is closed");
    checkAlive();
    if (waiter != 0) return;
    long[] out = new long[1];
    long[] err = new long[1];
    database.check(library.honker_waiter_new(database.handle(), out, err), err);
    waiter = out[0];
    thread = new Thread(this::run, "honker");
    thread.setDaemon(true);
    LibraryLoader.use();
    thread.start();
  }

  private void run() {
    long[] err = new long[1];
    while (true) {
      int status = library.honker_wait(waiter, -1, err);
      if (status == CLOSED) break;
      HonkerException error = status < OK ? Errors.take(library, status, err) : null;
      boolean isOver = error != null && error.status() != HonkerException.Status.INTERRUPTED.number;
      wake(true, isOver ? error : null);
      if (isOver) break;
    }
    library.honker_waiter_free(waiter);
    LibraryLoader.release();
  }

  /** Everybody who waits finds out what is over: what it waits with, its timeout, the database. */
  void wakeAll() {
    wake(false, null);
  }

  private void wake(boolean isUpdate, HonkerException error) {
    Set<CompletableFuture<Void>> completed;
    lock.lock();
    try {
      if (isUpdate) generation++;
      if (error != null) failure = error;
      changed.signalAll();
      completed = futures;
      futures = new LinkedHashSet<>();
    } finally {
      lock.unlock();
    }
    for (CompletableFuture<Void> future : completed) future.completeAsync(() -> null, executor);
  }

  void close() {
    lock.lock();
    try {
      isClosed = true;
    } finally {
      lock.unlock();
    }
    timer.shutdownNow();
    wakeAll();
  }

  /** Waits for the thread to end, which it does when the database is closed. */
  void join() throws InterruptedException {
    Thread waiting = thread;
    if (waiting != null && waiting != Thread.currentThread()) waiting.join();
  }

  /** Parks until the generation is another one, `isOver`, or the time is over. */
  void await(long seen, long nanos, BooleanSupplier isOver) throws InterruptedException {
    lock.lockInterruptibly();
    try {
      long left = nanos;
      while (generation == seen && left > 0 && !isClosed && !isOver.getAsBoolean()) {
        left = changed.awaitNanos(left);
      }
      checkAlive();
    } finally {
      lock.unlock();
    }
  }
}
