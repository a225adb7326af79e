package dev.honker;

import java.util.Optional;

/**
 * Something that runs until it is told to stop: a worker, a listener, a subscription, a scheduler.
 * Its threads are daemons. Closing the database closes it first.
 *
 * <p>Only {@link #close}, the end of the database, or an error that does not pass by itself ends
 * it. A file that others keep locked does not, {@link Database#interrupt} does not, and an
 * interrupt does not, be it one that a handler has left behind or one that came too late for it.
 */
public final class Runner implements AutoCloseable {
  private final Database database;
  private final String name;
  private final Consumer consumer;
  private final Pool pool;
  private final Thread thread;
  private volatile Throwable failure;

  /** What the thread does until the consumer is stopped. */
  private interface Loop {
    void run() throws Exception;
  }

  private Runner(String name, Consumer consumer, Pool pool, Loop loop) {
    this.database = consumer.database;
    this.name = name;
    this.consumer = consumer;
    this.pool = pool;
    this.thread = new RunnerThread(database, () -> run(loop), name);
    database.children.add(this);
    thread.start();
  }

  /** Waits for one thing. */
  interface Take<C extends Consumer, T> {
    Optional<T> take(C consumer) throws InterruptedException;
  }

  /** A worker, whose jobs are handled elsewhere. */
  static Runner of(String name, Worker worker, Pool pool) {
    return new Runner(name, worker, pool, pool::run);
  }

  /** Handles one thing after the other; what the handler throws ends it. */
  static <C extends Consumer, T> Runner each(
      String name, C consumer, Take<C, T> take, Handler<T> handler) {
    return new Runner(
        name,
        consumer,
        null,
        () -> {
          Backoff backoff = new Backoff(name);
          while (!consumer.isStopped()) {
            Optional<T> item;
            try {
              item = take.take(consumer);
              backoff.reset();
            } catch (InterruptedException e) {
              continue; // it was for a handler, and is gone
            } catch (HonkerException e) {
              if (!e.isTransient()) throw e;
              backoff.pause(e, consumer::isStopped);
              continue;
            }
            if (item.isEmpty()) continue;
            handler.handle(item.get());
            consumer.database.gate.checkNothingLeftOpen();
          }
        });
  }

  private void run(Loop loop) {
    try (consumer) {
      loop.run();
    } catch (Throwable e) {
      consumer.database.gate.rollBackOwn();
      boolean isExpected = consumer.isStopped() || database.isClosed();
      if (isExpected && e instanceof HonkerClosedException) return;
      failure = e;
      Failures.log(name + " has ended", e);
    }
  }

  /** Whether the calling thread is within a handler of this, or is this one's own thread. */
  private boolean isHandling() {
    return Thread.currentThread() == thread || (pool != null && pool.current() != null);
  }

  /** Whether the current thread is within a handler of a runner of this database. */
  static boolean isHandling(Database database) {
    for (AutoCloseable child : database.children()) {
      if (child instanceof Runner runner && runner.isHandling()) return true;
    }
    return false;
  }

  /**
   * Whether it has ended because of an error.
   *
   * @return false as long as all is well
   */
  public boolean failed() {
    return failure != null;
  }

  /**
   * What has ended it.
   *
   * @return the error; empty as long as all is well
   */
  public Optional<Throwable> failure() {
    return Optional.ofNullable(failure);
  }

  /**
   * Throws what has ended it.
   *
   * @throws IllegalStateException whose cause is the error, if there was one
   */
  public void throwIfFailed() {
    if (failure != null) throw new IllegalStateException(name + " has ended", failure);
  }

  /**
   * Stops: what is in hand is finished first, and then the threads are gone. A worker's handlers
   * have as long as {@link WorkerOptions#shutdownTimeout} says; then they are cancelled, and what
   * has not ended a second later is given back. From within a handler of this database it does not
   * wait for that, as another handler may be waiting for this one; an interrupt ends the waiting,
   * and leaves the thread's interrupt status set. Does no harm twice.
   */
  @Override
  public void close() {
    stop();
    if (!isHandling(database)) join();
  }

  /** Has it end after what is in hand. */
  void stop() {
    consumer.stop();
  }

  /** Waits for it to end. Not to be called by its handlers. */
  void join() {
    try {
      thread.join();
      database.children.remove(this);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
