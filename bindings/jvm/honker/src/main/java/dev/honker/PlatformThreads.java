package dev.honker;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.concurrent.FutureTask;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.IntSupplier;

/**
 * Where the calls of virtual threads run that may wait for the file's writer. In the library such a
 * thread would keep its carrier for as long, and carriers are few: the one who has the writer, a
 * transaction of another {@link Database} on the same file, may need one to go on.
 *
 * <p>A platform thread calls at once, on itself. For virtual threads there are {@link #MAX} threads
 * for each database, enough for their writes to share commits; they end when they are idle. Who
 * finds all of them busy is parked, for little longer than the busy timeout. What a transaction
 * does, does not come here: it has the writer, and must not wait behind those who want it.
 */
final class PlatformThreads {
  private static final int MAX = 16;
  private static final long KEEP_SECONDS = 5;

  /** Thread.isVirtual, which Java 21 and later have; null before. */
  private static final MethodHandle IS_VIRTUAL = isVirtual();

  private final long acquireTimeoutNanos;
  private final Semaphore free = new Semaphore(MAX, true);
  private final ThreadPoolExecutor threads =
      new ThreadPoolExecutor(
          0,
          Integer.MAX_VALUE, // the semaphore is the limit
          KEEP_SECONDS,
          TimeUnit.SECONDS,
          new SynchronousQueue<>(),
          run -> {
            Thread thread = new Thread(run, "honker-call");
            thread.setDaemon(true);
            return thread;
          });

  PlatformThreads(long busyTimeoutNanos) {
    // With a busy timeout of 0 it is still no error that others are in the middle of a call.
    this.acquireTimeoutNanos = busyTimeoutNanos + TimeUnit.SECONDS.toNanos(1);
  }

  private static MethodHandle isVirtual() {
    try {
      MethodType type = MethodType.methodType(boolean.class);
      return MethodHandles.lookup().findVirtual(Thread.class, "isVirtual", type);
    } catch (ReflectiveOperationException e) {
      return null;
    }
  }

  private static boolean isOnVirtualThread() {
    if (IS_VIRTUAL == null) return false;
    try {
      return (boolean) IS_VIRTUAL.invokeExact(Thread.currentThread());
    } catch (Throwable e) {
      throw new AssertionError(e); // it throws nothing
    }
  }

  /** What the call answers. An interrupt does not end it, and is there again afterwards. */
  int call(IntSupplier call) {
    if (!isOnVirtualThread()) return call.getAsInt();
    boolean wasInterrupted = Thread.interrupted();
    try {
      while (true) {
        try {
          if (free.tryAcquire(acquireTimeoutNanos, TimeUnit.NANOSECONDS)) break;
          throw new HonkerBusyException(
              "all threads of this database were waiting for the writer for longer than the busy"
                  + " timeout",
              "HONKER_BUSY",
              5,
              5);
        } catch (InterruptedException e) {
          wasInterrupted = true;
        }
      }
      try {
        return run(call);
      } finally {
        free.release();
      }
    } finally {
      if (wasInterrupted) Thread.currentThread().interrupt();
    }
  }

  /** As {@link #call}, for what closes and frees, which nobody can be told to try again. */
  int close(IntSupplier call) {
    return isOnVirtualThread() ? run(call) : call.getAsInt();
  }

  private int run(IntSupplier call) {
    FutureTask<Integer> task = new FutureTask<>(call::getAsInt);
    try {
      threads.execute(task);
    } catch (RejectedExecutionException e) {
      return call.getAsInt(); // the database is closed, which the library says at once
    }
    return Uninterrupted.get(task);
  }

  void close() {
    threads.shutdown();
  }
}
