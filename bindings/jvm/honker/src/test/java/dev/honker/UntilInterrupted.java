package dev.honker;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;

/** A handler that waits until it is interrupted, and ends with that. */
final class UntilInterrupted implements Handler<Job> {
  final CountDownLatch begun;
  final List<CancelReason> reasons = new CopyOnWriteArrayList<>();

  /** For so many jobs. */
  UntilInterrupted(int jobs) {
    begun = new CountDownLatch(jobs);
  }

  @Override
  public void handle(Job job) throws InterruptedException {
    begun.countDown();
    try {
      new CountDownLatch(1).await();
    } catch (InterruptedException e) {
      reasons.add(job.cancelled().orElseThrow());
      throw e;
    }
  }
}
