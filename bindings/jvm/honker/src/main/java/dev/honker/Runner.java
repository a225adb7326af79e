package dev.honker;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;

/**
 * Threads that do something until they are told to stop: workers, listeners, subscriptions, a
 * scheduler. They are daemons. Closing the database closes them first.
 *
 * <p>Only {@link #close}, the end of the database, or an error that does not pass by itself ends a
 * thread. A file that others keep locked does not, {@link Database#interrupt} does not, and an
 * interrupt does not, be it one that a handler has left behind or one that came too late for it.
 */
public final class Runner implements AutoCloseable {
  private final Database database;
  private final String name;
  private final List<Thread> threads = new ArrayList<>();
  private final List<Consumer> consumers = new ArrayList<>();
  private volatile boolean isStopped;
  private volatile Throwable failure;

  Runner(Database database, String name) {
    this.database = database;
    this.name = name;
  }

  /** Waits for one thing. */
  interface Take<C extends Consumer, T> {
    Optional<T> take(C consumer) throws InterruptedException;
  }

  /** Handles one thing; what it throws ends the thread. */
  interface Handle<C extends Consumer, T> {
    void handle(C consumer, T item) throws Exception;
  }

  /**
   * Makes what each thread waits with, here, where the caller sees what is wrong, and starts them.
   */
  <C extends Consumer, T> Runner start(
      int size, IntFunction<C> make, Take<C, T> take, Handle<C, T> handle) {
    List<C> made = new ArrayList<>();
    try {
      for (int i = 0; i < size; i++) made.add(make.apply(i));
    } catch (RuntimeException e) {
      made.forEach(Consumer::close);
      throw e;
    }
    consumers.addAll(made);
    for (C consumer : made) {
      threads.add(
          new RunnerThread(
              database, () -> run(consumer, take, handle), name + "-" + threads.size()));
    }
    database.children.add(this);
    threads.forEach(Thread::start);
    return this;
  }

  private static final class RunnerThread extends Thread {
    private final Database database;

    RunnerThread(Database database, Runnable run, String name) {
      super(run, name);
      this.database = database;
      setDaemon(true);
    }
  }

  /** Whether the current thread is one of a runner's of this database, and so within a handler. */
  static boolean isThreadOf(Database database) {
    return Thread.currentThread() instanceof RunnerThread
        && ((RunnerThread) Thread.currentThread()).database == database;
  }

  private <C extends Consumer, T> void run(C consumer, Take<C, T> take, Handle<C, T> handle) {
    try (consumer) {
      Backoff backoff = new Backoff();
      while (!isStopped) {
        Optional<T> item;
        try {
          item = take.take(consumer);
          backoff.reset();
        } catch (InterruptedException e) {
          continue; // it was for a handler, and is gone
        } catch (HonkerException e) {
          if (!e.isPassing()) throw e;
          backoff.pause();
          continue;
        }
        if (item.isPresent()) handle.handle(consumer, item.get());
      }
    } catch (Throwable e) {
      boolean isExpected = isStopped || database.isClosed();
      if (isExpected && e instanceof HonkerClosedException) return;
      failure = e;
      Failures.log(name + " has ended", e);
    }
  }

  /**
   * Whether a thread has ended because of an error.
   *
   * @return false as long as all is well
   */
  public boolean failed() {
    return failure != null;
  }

  /**
   * What has ended a thread.
   *
   * @return the error; empty as long as all is well
   */
  public Optional<Throwable> failure() {
    return Optional.ofNullable(failure);
  }

  /**
   * Throws what has ended a thread.
   *
   * @throws IllegalStateException whose cause is the error, if there was one
   */
  public void throwIfFailed() {
    if (failure != null) throw new IllegalStateException(name + " has ended", failure);
  }

  /**
   * Stops: what is in hand is finished first, and then the threads are gone. From within a handler
   * of this database it does not wait for that, as another handler may be waiting for this one; an
   * interrupt ends the waiting, and leaves the thread's interrupt status set. Does no harm twice.
   */
  @Override
  public void close() {
    stop();
    if (!isThreadOf(database)) join();
  }

  /** Has the threads end after what is in hand. */
  void stop() {
    isStopped = true;
    consumers.forEach(Consumer::stop);
  }

  /** Waits for the threads, the current one excepted. */
  void join() {
    try {
      for (Thread thread : threads) {
        if (thread != Thread.currentThread()) thread.join();
      }
      database.children.remove(this);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
