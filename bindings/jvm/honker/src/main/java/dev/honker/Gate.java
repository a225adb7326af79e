package dev.honker;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * Where calls that write wait while a transaction of the same database object is open: here and not
 * in the library, where a virtual thread would keep its carrier that the transaction may need to go
 * on. It also knows whose transaction it is, so that a thread does not wait for itself.
 */
final class Gate {
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final long busyTimeoutNanos;

  /** The open transaction, and the thread that used it last. */
  private volatile Transaction.Key open;

  private volatile Thread user;

  Gate(long busyTimeoutNanos) {
    this.busyTimeoutNanos = busyTimeoutNanos;
  }

  /** Waits until no transaction is open. */
  void pass(Database database) {
    if (open != null) enter(database, null);
  }

  /** Waits until no transaction is open, and is the one that is. */
  void enter(Database database, Transaction.Key transaction) {
    boolean wasInterrupted = false;
    long interrupts = database.interrupts();
    BooleanSupplier goesOn = () -> !database.isClosed() && database.interrupts() == interrupts;
    lock.lock();
    try {
      long left = busyTimeoutNanos;
      while (open != null && goesOn.getAsBoolean()) {
        if (user == Thread.currentThread()) {
          throw new HonkerException(
              "this thread has a transaction open: pass it to the call, or end it first",
              HonkerException.Status.MISUSE);
        }
        if (left <= 0) {
          throw new HonkerBusyException(
              "another transaction of this process kept the database busy for longer than the busy"
                  + " timeout",
              "HONKER_BUSY",
              5,
              5);
        }
        try {
          left = changed.awaitNanos(left);
        } catch (InterruptedException e) {
          wasInterrupted = true; // it ends waits for something, not calls
        }
      }
      database.checkOpen();
      database.checkNotInterrupted(interrupts);
      if (transaction != null) {
        user = Thread.currentThread();
        open = transaction;
      }
    } finally {
      lock.unlock();
      if (wasInterrupted) Thread.currentThread().interrupt();
    }
  }

  /** The transaction is used by this thread now. */
  void use(Transaction.Key transaction) {
    if (open == transaction && user != Thread.currentThread()) user = Thread.currentThread();
  }

  /** The transaction is over. */
  void leave(Transaction.Key transaction) {
    lock.lock();
    try {
      if (open != transaction) return;
      open = null;
      user = null;
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /** Rolls back what the calling thread has left open; whether there was something. */
  boolean rollBackOwn() {
    Transaction.Key key = open;
    return key != null && user == Thread.currentThread() && key.rollBack();
  }

  /** A handler has returned on this thread: what it has left open is rolled back, and its error. */
  void checkNothingLeftOpen() {
    if (rollBackOwn()) throw new IllegalStateException("the handler left its transaction open");
  }

  /** Those who wait find out that the database was closed, or they were interrupted. */
  void signal() {
    lock.lock();
    try {
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  static long nanos(java.time.Duration timeout) {
    return Math.min(Checks.toNanos(timeout), TimeUnit.DAYS.toNanos(36_500));
  }
}
