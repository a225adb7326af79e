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
  private final String name;
  private final Work work;
  private final Thread thread;
  private volatile Throwable failure;
  private volatile boolean isAsked;

  /** What its thread does. */
  interface Work {
    /** Called once, before it runs. */
    void begin(Runner runner);

    void run() throws Exception;

    void stop();

    boolean isStopped();

    /** Whether the calling thread, which is not the runner's, is in a handler. */
    default boolean isHandling() {
      return false;
    }

    /** Stops, and waits for no handler. */
    default void hurry() {
      stop();
    }

    /** How many handlers have not ended. */
    default int left() {
      return 0;
    }
  }

  Runner(String name, Work work) {
    this.name = name;
    this.work = work;
    this.thread = new RunnerThread(this::work, name);
    work.begin(this);
    thread.start();
  }

  /** Waits for one thing. */
  interface Take<C extends Consumer, T> {
    Optional<T> take(C consumer) throws InterruptedException;
  }

  /** Handles one thing after the other; what the handler throws ends it. */
  static <C extends Consumer, T> Runner each(
      String name, C consumer, Take<C, T> take, Handler<T> handler) {
    return new Runner(
        name,
        new Work() {
          @Override
          public void begin(Runner runner) {
            consumer.database.children.add(runner);
          }

          @Override
          public void run() throws Exception {
            try (consumer) {
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
            } finally {
              consumer.database.gate.rollBackOwn();
            }
          }

          @Override
          public void stop() {
            consumer.stop();
          }

          @Override
          public boolean isStopped() {
            return consumer.isStopped() || consumer.database.isClosed();
          }
        });
  }

  private void work() {
    try {
      work.run();
    } catch (Throwable e) {
      if (work.isStopped() && e instanceof HonkerClosedException) return;
      failure = e;
      Log.error(name + " has ended", e);
    }
  }

  /** Whether the current thread is within a handler of a runner of this database. */
  static boolean isHandling(Database database) {
    for (AutoCloseable child : database.children()) {
      if (child instanceof Runner runner && runner.isHandling()) return true;
    }
    return false;
  }

  /** Whether the calling thread is within a handler of this, or is this one's own thread. */
  private boolean isHandling() {
    return Thread.currentThread() == thread || work.isHandling();
  }

  /**
   * Runs for as long as the process: until SIGTERM or SIGINT, {@link #close}, or an error. The
   * first signal stops as {@link #close} does; a second one gives back at once what is in hand. All
   * that run so in the process are told. The signals are as they were before when the last of them
   * returns. To stop on signals of your own, call {@link #await} instead.
   *
   * @throws InterruptedException if the thread is interrupted, which does not stop the runner
   * @throws IllegalStateException if an error has ended it, as {@link #throwIfFailed}, or handlers
   *     have not returned
   */
  public void run() throws InterruptedException {
    try (Signals signals = new Signals(this::signalled)) {
      Log.info(name + " runs until SIGTERM or SIGINT");
      await();
    }
  }

  /** Each signal is told on a thread of its own: two that come together must not both be first. */
  private synchronized void signalled() {
    if (work.isStopped()) {
      work.hurry();
    } else {
      stop();
      Log.info(name + " stops");
    }
  }

  /**
   * Waits for its end, as {@link #run}, and lets signals alone.
   *
   * @throws InterruptedException if the thread is interrupted, which does not stop the runner
   * @throws IllegalStateException if an error has ended it, as {@link #throwIfFailed}, or handlers
   *     have not returned
   */
  public void await() throws InterruptedException {
    thread.join();
    throwIfFailed();
    int left = work.left();
    if (left > 0) throw new IllegalStateException(left + " handlers of " + name + " still run");
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
   * @throws IllegalStateException if there was an error: its message has that of the error, and its
   *     cause is the error itself, a {@link HonkerException} if the file or the library was it
   */
  public void throwIfFailed() {
    Throwable cause = failure;
    if (cause == null) return;
    throw new IllegalStateException(name + " has ended: " + Failures.text(cause), cause);
  }

  /** Takes nothing any more, and ends after what is in hand, for which this does not wait. */
  public void stop() {
    isAsked = true;
    work.stop();
  }

  /** Its database is being closed: ends as with {@link #stop}. */
  void databaseCloses() {
    work.stop();
  }

  /** Whether it ends because it was to: not by its database alone. */
  boolean isAsked() {
    return isAsked;
  }

  /**
   * Stops: what is in hand is finished first, and then the threads are gone. A worker's handlers
   * have as long as {@link WorkerOptions.Builder#stopTimeout} says; then they are cancelled, and
   * what has not ended 1.5 s later is given back. From within a handler of its own it does not wait
   * for that; an interrupt ends the waiting, and leaves the thread's interrupt status set. Does no
   * harm twice.
   */
  @Override
  public void close() {
    stop();
    if (!isHandling()) join();
  }

  /** Waits for it to end. Not to be called by its handlers. */
  void join() {
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
