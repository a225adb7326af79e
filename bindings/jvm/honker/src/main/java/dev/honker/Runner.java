package dev.honker;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.IntFunction;

/**
 * Threads that do something until they are told to stop: workers, listeners, subscriptions, a
 * scheduler. They are daemons. Closing the database closes them first.
 */
public final class Runner implements AutoCloseable {
  private static final System.Logger LOG = System.getLogger("dev.honker");

  private final Database database;
  private final String name;
  private final int size;
  private final List<Thread> threads = new ArrayList<>();
  private final List<Consumer> consumers = new ArrayList<>();
  private volatile boolean isStopped;
  private volatile Throwable failure;

  Runner(Database database, String name, int size) {
    this.database = database;
    this.name = name;
    this.size = size;
  }

  /** One turn: waits for something, and handles it. */
  interface Step<C extends Consumer> {
    void run(C consumer) throws Exception;
  }

  /**
   * Makes what each thread waits with, here, where the caller sees what is wrong, and starts them.
   */
  <C extends Consumer> Runner start(IntFunction<C> make, Step<C> step) {
    List<C> made = new ArrayList<>();
    try {
      for (int i = 0; i < size; i++) made.add(make.apply(i));
    } catch (RuntimeException e) {
      made.forEach(Consumer::close);
      throw e;
    }
    for (C consumer : made) add(consumer, step);
    database.children.add(this);
    return this;
  }

  private <C extends Consumer> void add(C consumer, Step<C> step) {
    Thread thread = new Thread(() -> run(consumer, step), name + "-" + threads.size());
    thread.setDaemon(true);
    threads.add(thread);
    consumers.add(consumer);
    thread.start();
  }

  /** Starts more threads of the same runner, before anybody else has it. */
  <C extends Consumer> void addAll(List<C> more, Step<C> step) {
    for (C consumer : more) add(consumer, step);
    database.children.add(this);
  }

  private <C extends Consumer> void run(C consumer, Step<C> step) {
    try (consumer) {
      while (!isStopped) {
        try {
          step.run(consumer);
        } catch (HonkerBusyException e) {
          pause(); // somebody else keeps the file locked, and will not for ever
        }
      }
    } catch (Throwable e) {
      boolean isExpected = isStopped || database.isClosed();
      if (isExpected && (e instanceof HonkerClosedException || e instanceof InterruptedException)) {
        return;
      }
      failure = e;
      LOG.log(System.Logger.Level.ERROR, name + " has ended", e);
    }
  }

  /** Does what has to be done, however long somebody else keeps the file locked. */
  static void insist(BooleanSupplier settle) {
    while (true) {
      try {
        settle.getAsBoolean();
        return;
      } catch (HonkerBusyException e) {
        pause();
      }
    }
  }

  private static void pause() {
    LockSupport.parkNanos(20_000_000);
  }

  /** What is told of a handler's exception: its message, or what it is if it has none. */
  static String text(Throwable e) {
    return e.getMessage() == null ? e.toString() : e.getMessage();
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
   * it does not wait for that; an interrupt ends the waiting, and leaves the thread's interrupt
   * status set. Does no harm twice.
   */
  @Override
  public void close() {
    isStopped = true;
    consumers.forEach(Consumer::stop);
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
