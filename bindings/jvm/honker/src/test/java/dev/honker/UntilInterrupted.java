package dev.honker;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/** A handler that waits until it is interrupted, and ends with that. */
final class UntilInterrupted implements Handler<Job> {
  private final AtomicInteger calls = new AtomicInteger();
  final List<CancelReason> reasons = new CopyOnWriteArrayList<>();

  /**
   * Until it was called so often: a job may be claimed, and cancelled, before its handler begins.
   */
  void awaitCalls(int number) throws Exception {
    Temporary.eventually(() -> calls.get() == number);
  }

  @Override
  public void handle(Job job) throws InterruptedException {
    calls.incrementAndGet();
    try {
      new CountDownLatch(1).await();
    } catch (InterruptedException e) {
      reasons.add(job.cancelled().orElseThrow());
      throw e;
    }
  }
}
