package dev.honker;

import java.util.function.Function;
import java.util.function.Supplier;

/**
 * One job: runs what handles it, and settles it once, whatever the handler has done. Workers,
 * outboxes and tasks all go through here, on the thread that claimed the job.
 *
 * <p>Invariants: nothing that a handler throws comes out of here. The interrupt status that a
 * handler leaves does not disturb the settlement; it is the thread's again afterwards. A settlement
 * is tried until the file takes it, however long another process keeps it locked; only an error
 * that does not pass by itself comes out.
 */
final class Execution {
  private Execution() {}

  /** Handles the job, and says how it is to be settled. */
  interface Work {
    Supplier<Boolean> run() throws Exception;
  }

  /** Runs `work`; settles as it says, or as `failed` says for what it has thrown. */
  static void run(Work work, Function<Throwable, Supplier<Boolean>> failed) {
    Supplier<Boolean> settlement;
    try {
      settlement = work.run();
    } catch (Throwable e) {
      settlement = failed.apply(e);
    }
    boolean wasInterrupted = Thread.interrupted();
    try {
      insist(settlement);
    } finally {
      if (wasInterrupted) Thread.currentThread().interrupt();
    }
  }

  /** Calls, and calls again for as long as the file is locked by others. */
  static <T> T insist(Supplier<T> call) {
    Backoff backoff = new Backoff();
    while (true) {
      try {
        return call.get();
      } catch (HonkerException e) {
        if (!e.isPassing()) throw e;
        backoff.pause();
      }
    }
  }
}
