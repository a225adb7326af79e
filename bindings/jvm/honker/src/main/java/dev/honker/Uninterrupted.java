package dev.honker;

import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;

/** Waits that an interrupt does not end; its status is there again afterwards. */
final class Uninterrupted {
  private Uninterrupted() {}

  /** What the task answers, or throws. */
  static <T> T get(Future<T> task) {
    boolean wasInterrupted = false;
    try {
      while (true) {
        try {
          return task.get();
        } catch (InterruptedException e) {
          wasInterrupted = true;
        } catch (ExecutionException e) {
          if (e.getCause() instanceof Error error) throw error;
          throw (RuntimeException) e.getCause();
        }
      }
    } finally {
      if (wasInterrupted) Thread.currentThread().interrupt();
    }
  }
}
