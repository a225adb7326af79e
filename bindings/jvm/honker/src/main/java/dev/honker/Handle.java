package dev.honker;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongConsumer;

/**
 * A handle of the library's, freed once: by {@link #close}, or, which is logged, when nobody refers
 * to its owner any more. The number stays what it was. The library refuses it then; 0 would mean
 * "none".
 */
final class Handle implements AutoCloseable {
  private static final Cleaner CLEANER = Cleaner.create();

  final long number;
  private final State state;
  private final Cleaner.Cleanable cleanable;

  /** `free` must not refer to the owner. */
  Handle(Object owner, String what, long number, LongConsumer free) {
    this.number = number;
    this.state = new State(what, number, free);
    this.cleanable = CLEANER.register(owner, state);
  }

  boolean isClosed() {
    return state.isClosed.get();
  }

  /** Whether this call is the one that freed it. */
  boolean free() {
    if (!state.isClosed.compareAndSet(false, true)) return false;
    cleanable.clean();
    return true;
  }

  @Override
  public void close() {
    free();
  }

  private static final class State implements Runnable {
    final String what;
    final long number;
    final LongConsumer free;
    final AtomicBoolean isClosed = new AtomicBoolean();

    State(String what, long number, LongConsumer free) {
      this.what = what;
      this.number = number;
      this.free = free;
    }

    @Override
    public void run() {
      if (isClosed.compareAndSet(false, true)) {
        Log.warn(what + " was not closed, and nobody uses it any more");
      }
      free.accept(number);
    }
  }
}
